"""The host driver: compiled programs, devices and memory, `fit` and `sweep`, progress and sinks."""
