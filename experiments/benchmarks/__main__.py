"""`python -m experiments.benchmarks`: measures speed on the device at hand; JSON out, one table printed."""

import argparse
import sys
from pathlib import Path

import jax

from experiments.benchmarks import rows, updates
from purejaxo2o.tables import table

SECTIONS = {"updates": updates.rows}
RESULTS = rows.ROOT / "experiments" / "results" / "benchmarks"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--out", type=Path, help="JSON file; default experiments/results/benchmarks/<device>.json")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--only", default="", help="updates: cases whose name starts with this")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(updates.SEEDS), help="updates: seeds at once")
    parser.add_argument("--precision", default="float32", help="of matrix products, as jax.default_matmul_precision")
    arguments = parser.parse_args(argv)
    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_default_matmul_precision", arguments.precision)
    found = updates.rows(quick=arguments.quick, only=arguments.only, seeds=tuple(arguments.seeds))
    head = rows.head(arguments.precision)
    rows.write(arguments.out or RESULTS / f"{head['device']}.json", head | {"rows": found})
    shown = ("name", "seeds", "value", "unit", "compile_s", "share_of_square_peak", "share_of_same_shape_peak")
    print(table(found, shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
