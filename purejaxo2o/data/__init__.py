"""Datasets: reading and writing (`minari`), making (`collect`, `embedded`), preparing (`transforms`, `scores`)."""
