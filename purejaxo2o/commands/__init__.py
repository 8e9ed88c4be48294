"""The subcommands of the command line, each a dataclass of its arguments with a `run` (see `cli.py`)."""
