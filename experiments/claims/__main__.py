"""`python -m experiments.claims [NAMES | --all]`: does each method do here what its paper claims?

Without names: lists the claims. With names: trains each claim's arms, prints the contrasts, writes JSON and a plot
under `experiments/results/claims/` and the table `experiments/results/claims.md`. `--try` uses other seeds than the
committed results and writes to `runs/claims` only.
"""

import argparse
import sys
from pathlib import Path

from experiments import claims, cores
from experiments.claims import measure, table
from experiments.claims.claim import CONFIRMED, TRIED
from purejaxo2o.figures.tables import table as text_table


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="methods whose claims are measured")
    parser.add_argument("--all", action="store_true", help="every claim")
    parser.add_argument("--table", action="store_true", help="only write the table from what is on disk")
    parser.add_argument("--try", dest="trial", action="store_true", help="seeds to tune on; commits nothing")
    parser.add_argument("--processes", type=int, help="arms at once; one to a core by default, on a CPU")
    arguments = parser.parse_args(argv)
    known = claims.names()
    made = {name: claims.load(name) for name in known}
    unknown = set(arguments.names) - set(known)
    if unknown:
        parser.error(f"no claim {sorted(unknown)[0]!r}; known: {', '.join(known)}")
    folder = Path("runs/claims") if arguments.trial else measure.RESULTS
    wanted = known if arguments.all else arguments.names
    for name in wanted:
        seeds = TRIED if arguments.trial else CONFIRMED
        found = measure.reproduce(made[name], seeds, folder, arguments.processes or cores.count())
        print(text_table(table.lines([found], made), table.COLUMNS, title=f"{name}: {found['says']}"), flush=True)
    if wanted or arguments.table:
        table.write(measure.load(folder), made, folder.parent / "claims.md")
        return 0
    rows = [{"method": name, "claim": claim.says} for name, claim in made.items()]
    print(text_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
