"""`python -m experiments.benchmarks`: measures speed on the device at hand; JSON out, one table printed.

Sections: updates (share of what matrix products allow), whole_run (against an ordinary host loop), parts (where a
segment's time goes), peers (d3rlpy, sbx in environments of their own), compile (seconds and memory per recipe),
saving (checkpoints), loading (a dataset), twins (MuJoCo environments against C and brax), variants (ideas to make
updates faster), widths (lanes side by side on a CPU). A section that is run alone replaces its own rows of the JSON
file and leaves the others.
`--side-by-side` compiles in many processes and times in turns: for machines with many cores and little time.
`--table` measures nothing and writes README's speed table from the committed files.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax

from experiments.benchmarks import (
    compiling,
    loading,
    parts,
    peers,
    rows,
    saving,
    speed_table,
    turns,
    twins,
    updates,
    variants,
    whole_run,
    widths,
)
from purejaxo2o.figures.tables import table
from purejaxo2o.recipes import names as recipe_names

Section = Callable[..., list[rows.Row]]
SECTIONS: dict[str, Section] = {
    "updates": updates.rows,
    "whole_run": whole_run.rows,
    "parts": parts.rows,
    "peers": peers.rows,
    "compile": compiling.rows,
    "saving": saving.rows,
    "loading": loading.rows,
    "twins": twins.rows,
    "variants": variants.rows,
    "widths": widths.rows,
}
PARTS = {"updates": updates.names, "compile": recipe_names, "twins": twins.names}
"""Sections of which `--only` picks rows by the beginning of their name (by the whole of it where there is such)."""
COLUMNS = {
    "section": "section",
    "name": "what",
    "seeds": "seeds",
    "shown": "figure",
    "compile_s": "compile s",
    "square": "of 256^3 peak",
    "same": "of same-shape peak",
}


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.table:
        text = speed_table.README.read_text(encoding="utf-8")
        speed_table.README.write_text(speed_table.replaced(text, speed_table.generate()), encoding="utf-8")
        return 0
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown:
        _parser().error(f"unknown section {sorted(unknown)[0]!r}; known: {', '.join(SECTIONS)}")
    configure(arguments.precision)
    suffix = "" if arguments.precision == "float32" else f"-{arguments.precision}"
    path = arguments.out or speed_table.RESULTS / f"{rows.device_name()}{suffix}.json"
    report = rows.read(path) or {"device": f"{rows.device_name()}{suffix}", "sections": {}}
    found = []
    wanted = arguments.sections or list(SECTIONS)
    ahead = _side_by_side(wanted, arguments) if arguments.side_by_side else {}
    for name in wanted:
        new = ahead[name] if name in ahead else _measured(name, arguments)
        old = report["sections"].get(name, {"rows": []})["rows"] if arguments.only else []
        kept = [row for row in old if row["name"] not in {row["name"] for row in new}]
        report["sections"][name] = rows.head(arguments.precision) | {"quick": arguments.quick, "rows": kept + new}
        rows.write(path, report)  # after every section: a long run that is cut off keeps what it has
        found += new
    print(table([_shown(row) for row in found], COLUMNS))
    print(path)
    return 0


def _measured(name: str, arguments: argparse.Namespace) -> list[rows.Row]:
    options: dict = {}
    if name in PARTS:
        options["wanted"] = rows.matching(PARTS[name](), arguments.only)
    if name == "updates":
        options["seeds"] = tuple(arguments.seeds)
    if name == "variants":
        options |= {"limit": arguments.limit, "at_once": arguments.side_by_side or 1}
    return SECTIONS[name](quick=arguments.quick, **options)


def _side_by_side(wanted: list[str], arguments: argparse.Namespace) -> dict[str, list[rows.Row]]:
    """The rows of sections that were measured by processes, one for each part; `variants` has its own."""
    with tempfile.TemporaryDirectory() as folder:
        jobs, files = {}, {}
        for name in (name for name in wanted if name != "variants"):
            for part in rows.matching(PARTS[name](), arguments.only) if name in PARTS else [""]:
                label = f"{name}: {part}" if part else name
                files[label] = (name, Path(folder) / f"{len(files)}.json")
                command = ["experiments.benchmarks", name, "--only", part, "--out", str(files[label][1])]
                command += ["--precision", arguments.precision, *(["--quick"] if arguments.quick else [])]
                jobs[label] = ([*command, "--seeds", *map(str, arguments.seeds)], {})
        turns.run(jobs, at_once=arguments.side_by_side, limit=arguments.limit)
        found: dict[str, list[rows.Row]] = {name: [] for name, _ in files.values()}
        for label, (name, path) in files.items():
            report = rows.read(path)
            failed = [rows.missing(name, label, "", "the process failed")]
            found[name] += report["sections"][name]["rows"] if report else failed
        return found


def configure(precision: str) -> None:
    """For the whole process: no kept programs, so that compile times are true, and products of one precision."""
    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_default_matmul_precision", precision)


def _shown(row: rows.Row) -> rows.Row:
    """A row as the printed table has it."""
    figure = f"not measured: {row['reason']}" if row["value"] is None else f"{row['value']:,.4g} {row['unit']}"
    shares = {"square": "share_of_square_peak", "same": "share_of_same_shape_peak"}
    percent = {short: f"{row[name]:.0%}" if name in row else "" for short, name in shares.items()}
    compiled = "" if row["compile_s"] is None else f"{row['compile_s']:.1f}"
    return row | percent | {"shown": figure, "compile_s": compiled, "seeds": row.get("seeds", "")}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--out", type=Path, help="JSON file; default experiments/results/benchmarks/<device>.json")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--only", default="", help="updates, compile, twins: those whose name starts with this")
    parser.add_argument("--limit", type=float, help="seconds for all that is side by side")
    parser.add_argument("--side-by-side", type=int, default=0, metavar="N", help="compile in N processes")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(updates.SEEDS), help="updates: seeds at once")
    parser.add_argument(
        "--precision", default="float32", help="of matrix products, as in jax.default_matmul_precision"
    )
    parser.add_argument("--table", action="store_true", help="only write README's table from the committed results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
