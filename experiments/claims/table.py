"""`claims.md`: one row per contrast, and a small plot per method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.rows import measured
from experiments.claims.claim import Claim
from purejaxo2o.figures.stats import Interval
from purejaxo2o.figures.tables import markdown_table

COLUMNS = {
    "method": "method",
    "says": "claim",
    "figures": "means",
    "difference": "difference",
    "runs": "rerun",
    "verdict": "verdict",
}
HEAD = """# What the papers claim, measured here

Written by `python -m experiments.claims --table` from the JSON files in `claims/`. Each line is a contrast between
two arms that share task, data, budget and seeds and differ in one thing; *difference* is the mean over {seeds} paired
seeds that nobody tuned on, with its 95% bootstrap interval; *holds* and *fails* mean that the interval lies on one
side of zero. *rerun* is the standard deviation by which the difference moves when the same seeds are run again with
other lanes or cores, where it was measured (`results/spread`: dips, final scores and areas). The scale is small
(64 x 64 networks, ten thousand steps): a claim that does not show here may well hold at the paper's.

Dips measured before 2026-11-30 are plain minima of twenty evaluations, about eight points of which are noise, in both
arms; those measured since are free of it (`purejaxo2o/loop/handover.py`).
"""


def lines(outcomes: Sequence[dict[str, Any]], made: Mapping[str, Claim]) -> list[dict[str, Any]]:
    """Rows for a table, a contrast each; made: the claims by method."""
    found = []
    for outcome in outcomes:
        contrasts = {contrast.says: contrast for contrast in made[outcome["method"]].contrasts}
        for contrast in outcome["contrasts"]:
            pair = {arm: contrast["values"][arm] for arm in (contrast["more"], contrast["less"])}
            means = {arm: sum(values) / len(values) for arm, values in pair.items()}
            difference = Interval(*(contrast[name] for name in ("difference", "low", "high")))
            known = contrasts.get(contrast["says"])
            moves = known and known.from_run_to_run(len(next(iter(pair.values()))))
            found.append(
                {
                    "method": outcome["method"],
                    "says": contrast["says"],
                    "figures": "; ".join(f"{arm} {Interval(mean)}" for arm, mean in means.items()),
                    "difference": f"{difference} {contrast['unit']}",
                    "runs": f"± {moves:.1f}" if moves else "",
                    "verdict": contrast["verdict"],
                }
            )
    return found


def write(outcomes: Sequence[dict[str, Any]], made: Mapping[str, Claim], path: Path) -> None:
    """The page; made: the claims by method. Pictures are looked for beside it, in `claims/`."""
    seeds = max((len(next(iter(c["values"].values()))) for o in outcomes for c in o["contrasts"]), default=0)
    parts = [HEAD.format(seeds=seeds), markdown_table(lines(outcomes, made), COLUMNS)]
    for outcome in outcomes:
        about = made[outcome["method"]].note
        note = f"\n{about}\n" if about else ""
        parts.append(
            f"\n## {outcome['method']}\n\n{outcome['says']} ({outcome['paper']})\n{note}\n"
            f"![{outcome['method']}](claims/{outcome['method']}.png)\n\n"
            f"{outcome['task']}, {outcome['seconds']} s. {measured(outcome)}"
        )
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")
