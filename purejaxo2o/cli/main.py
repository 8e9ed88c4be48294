"""The command line: `purejaxo2o list|train|sweep|study|collect|inspect|evaluate|report|render`.

Results go to standard output (text, or one JSON document with `--json`), progress to standard error. Bad input
is one line and exit code 2. XLA's compilation cache is on here, and only here.
"""

import functools
import json
import operator
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from purejaxo2o.cli import terminal
from purejaxo2o.cli.base import Command
from purejaxo2o.cli.collect import Collect
from purejaxo2o.cli.finished import Evaluate, Render, Report
from purejaxo2o.cli.inspect import Inspect
from purejaxo2o.cli.listing import List
from purejaxo2o.cli.study import Study
from purejaxo2o.cli.sweep import Sweep
from purejaxo2o.cli.train import Train
from purejaxo2o.data import places
from purejaxo2o.types import O2OError

COMMANDS: dict[str, type[Command]] = {
    **{"list": List, "train": Train, "sweep": Sweep, "study": Study, "collect": Collect},
    **{"inspect": Inspect, "evaluate": Evaluate, "report": Report, "render": Render},
}
LONGEST = 200
"""Characters of a word in a message."""

DESCRIPTION = """Offline-to-online reinforcement learning in JAX.

Start with: purejaxo2o train wsrl pointmaze-umaze --scale small --seeds 4

Versions: purejaxo2o --version"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` is `sys.argv[1:]` by default. Returns the exit code: 0, 2 for bad input, for files and
    streams that cannot be used and for a study of which a part failed, 130 when interrupted, 141 when nobody reads
    the output any more. Raises `SystemExit` for `--help` (0) and for arguments that do not parse (2)."""
    terminal.open_all()
    try:
        with terminal.flushed(), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: terminal.complain(f"warning: {_line(str(message))}")
            return _run(sys.argv[1:] if argv is None else list(argv))
    except O2OError as error:
        terminal.complain(f"error: {_line(error.in_shell)}")
        return 2
    except KeyboardInterrupt:
        terminal.complain("interrupted; train, sweep and study continue where they were with --resume")
        return 130
    except BrokenPipeError:
        terminal.give_up()
        return terminal.PIPE_CLOSED
    except OSError as error:  # of the user's files and streams: a full disk, a folder that has gone
        terminal.complain(f"error: {_line(_of_the_system(error))}")
        terminal.give_up()
        return 2


def _run(arguments: list[str]) -> int:
    _check_text(arguments)
    if arguments == ["--version"]:
        terminal.write(_versions())
        return 0
    command: Command = tyro.cli(
        _parsed(brief=not arguments or arguments[0] not in COMMANDS),
        prog="purejaxo2o",
        description=DESCRIPTION,
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    cache_compilations()
    answer = command.run()
    if command.json:
        from purejaxo2o.disk.rows import plain

        terminal.write(json.dumps(plain(answer.data), allow_nan=False))
    else:
        terminal.write(answer.text)
    return answer.code


def _parsed(*, brief: bool) -> Any:
    """The union of the commands, for tyro; with their first lines only where all of them are listed."""
    first = {name: (command.__doc__ or "").splitlines()[0] for name, command in COMMANDS.items()}
    kinds = (
        Annotated[command, subcommand(name, description=first[name] if brief else None)]
        for name, command in COMMANDS.items()
    )
    return functools.reduce(operator.or_, kinds)  # pyright: ignore[reportArgumentType]


def _line(text: str) -> str:
    """One line in which no word (a path, a number) is without end."""
    short = (w if len(w) <= LONGEST else f"{w[: LONGEST // 2]}...{w[-LONGEST // 4 :]}" for w in text.split())
    return " ".join(short)


def _check_text(arguments: Sequence[str]) -> None:
    """Bytes that are no UTF-8 come in as lone surrogates, which no file of ours could hold."""
    for text in arguments:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise O2OError(f"argument {text!r} is not UTF-8; rename what it names") from None


def _versions() -> str:
    found = {name: metadata.version(name) for name in ("purejaxo2o", "jax", "jaxlib")}
    return ", ".join([*(f"{name} {version}" for name, version in found.items()), f"Python {sys.version.split()[0]}"])


def _of_the_system(error: OSError) -> str:
    """What the system says, in one line: which file, and why not."""
    reason = error.strerror or " ".join(str(error).split())
    if error.filename is None:
        return f"cannot write ({reason}); make room, or send the output elsewhere"
    return f"cannot use {os.fspath(error.filename)!r} ({reason}); give another path, or repair that one"


def cache_compilations() -> None:
    """Keep compiled programs in `places.programs`, unless JAX has been told a folder already
    (`JAX_COMPILATION_CACHE_DIR`), or there is none."""
    import jax

    folder = places.programs()
    if jax.config.jax_compilation_cache_dir is None and folder:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", str(folder))
