"""Datasets: reading and writing (`minari`, `d4rl_hdf5`), making (`collect`, `embedded`), preparing
(`scores`, `corrupt`), judging (`measures`, `checks`).

Files are somebody else's: `metadata`, `space_json`, `env_specs`, `hdf5` and `limits` are the door."""
