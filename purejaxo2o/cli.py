"""The command line: `purejaxo2o list|train|sweep|collect|inspect|evaluate|report|render`.

Results go to standard output (text, or one JSON document with `--json`), progress to standard error. Bad input
is one line and exit code 2. XLA's compilation cache is on here, and only here.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import subcommand

from purejaxo2o.commands.base import Command
from purejaxo2o.commands.collecting import Collect
from purejaxo2o.commands.finished import Evaluate, Render, Report
from purejaxo2o.commands.inspecting import Inspect
from purejaxo2o.commands.listing import List
from purejaxo2o.commands.sweeping import Sweep
from purejaxo2o.commands.training import Train
from purejaxo2o.types import O2OError

Commands = (
    Annotated[List, subcommand("list")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Sweep, subcommand("sweep")]
    | Annotated[Collect, subcommand("collect")]
    | Annotated[Inspect, subcommand("inspect")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Render, subcommand("render")]
)

DESCRIPTION = """Offline-to-online reinforcement learning in JAX.

Start with: purejaxo2o train wsrl pointmaze-umaze --scale small --seeds 4"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` is `sys.argv[1:]` by default. Returns the exit code: 0, 2 for bad input and for a
    study of which a part failed, 130 when interrupted. Raises `SystemExit` for `--help` (0) and for arguments that
    do not parse (2)."""
    command: Command = tyro.cli(
        Commands,  # pyright: ignore[reportArgumentType]
        prog="purejaxo2o",
        description=DESCRIPTION,
        args=sys.argv[1:] if argv is None else list(argv),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    cache_compilations()
    try:
        answer = command.run()
    except O2OError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; train and sweep continue where they were with --resume", file=sys.stderr)
        return 130
    if command.json:
        import json

        from purejaxo2o.sinks import plain

        print(json.dumps(plain(answer.data), allow_nan=False))
    else:
        print(answer.text)
    return answer.code


def cache_compilations() -> None:
    """Keep compiled programs in `$PUREJAXO2O_CACHE` (by default `~/.cache/purejaxo2o/xla`), unless JAX has been
    told a folder already (`JAX_COMPILATION_CACHE_DIR`)."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        default = Path.home() / ".cache" / "purejaxo2o" / "xla"
        jax.config.update("jax_compilation_cache_dir", os.environ.get("PUREJAXO2O_CACHE") or str(default))
