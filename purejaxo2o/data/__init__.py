"""Datasets: reading and writing (`minari`, `d4rl_hdf5`), making (`collect`, `levels`, `embedded`), preparing
(`transforms`, `scores`, `corrupt`), judging (`measures`, `checks`)."""
