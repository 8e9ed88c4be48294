"""What `beside` says of its runs: scores, verdicts, the page and its picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.rows import measured, origin
from experiments.studies import beside_cases as cases
from experiments.studies.beside_cases import MARGIN
from experiments.studies.beside_settings import ALIKE, CASES, LIMITS, REASONS
from purejaxo2o.disk.files import read_json, replacing, write_json
from purejaxo2o.disk.rows import plain
from purejaxo2o.figures import plots
from purejaxo2o.figures.stats import Interval, bootstrap_interval, difference_interval
from purejaxo2o.figures.tables import markdown_table

SIDES = ("theirs", "ours")
COLORS = {"theirs": "#D55E00", "ours": "#0072B2"}


def verdict(difference: Interval, margin: float = MARGIN) -> str:
    """Of ours minus theirs: `equivalent`, `outside` or `undecided`, as `beside` defines them."""
    _, low, high = difference
    if low >= -margin and high <= margin:
        return "equivalent"
    return "outside" if low > margin or high < -margin else "undecided"


def explain(row: dict[str, Any]) -> bool:
    """Whether a comparison asks for a reason: outside, or undecided with means farther apart than the margin."""
    return row["verdict"] == "outside" or (row["verdict"] == "undecided" and abs(row["difference"][0]) > MARGIN)


def scores(folder: Path, place: str) -> tuple[dict[int, float], list[dict[str, Any]]]:
    """Of one side: the score of every seed that is there, and what the files say besides."""
    recording = cases.RECORDINGS.get(place, cases.ONLINE)
    found = {int(path.stem): read_json(path) for path in folder.glob("[0-9]*.json")}
    found = dict(sorted(found.items()))
    mean = {seed: float(np.mean(one["returns"])) for seed, one in found.items()}
    span = recording.high - recording.low
    return {seed: 100.0 * (x - recording.low) / span for seed, x in mean.items()}, list(found.values())


def compare(name: str, place: str, folder: Path) -> dict[str, Any] | None:
    """One row: both sides' scores, their difference and the verdict; None while a side has fewer than two seeds."""
    sides = {side: scores(folder / place / name / side, place) for side in SIDES}
    if any(len(found) < 2 for found, _ in sides.values()):
        return None
    engines = [one["engine"]["waves"] for _, files in sides.values() for one in files]
    if any(waves != engines[0] for waves in engines):
        raise SystemExit(f"{name} on {place}: runs were judged by engines that differ")
    values = {side: np.array(list(found.values())) for side, (found, _) in sides.items()}
    difference = difference_interval(values["ours"], values["theirs"], paired=False)
    whole = all(len(x) >= cases.SEEDS for x in values.values())
    about = {side: files[0]["versions"] | files[0]["engine"]["versions"] for side, (_, files) in sides.items()}
    return {
        "method": name,
        "place": place,
        "peer": CASES[name].theirs,
        "scores": {side: values[side].tolist() for side in SIDES},
        "means": {side: [float(x) for x in bootstrap_interval(values[side])] for side in SIDES},
        "difference": [float(x) for x in difference],
        "verdict": verdict(difference) if whole else "unfinished",
        "train_seconds": {side: [one["train_seconds"] for one in files] for side, (_, files) in sides.items()},
        "versions": about,
    }


def line(row: dict[str, Any]) -> dict[str, str]:
    """For the table."""
    counts = "/".join(str(len(row["scores"][side])) for side in SIDES)
    return {
        "method": f"{row['method']}, {row['peer']}",
        "on": row["place"],
        "seeds": counts,
        "theirs": str(Interval(*row["means"]["theirs"])),
        "ours": str(Interval(*row["means"]["ours"])),
        "ours - theirs": "{:+.1f} [{:+.1f}, {:+.1f}]".format(*row["difference"]),
        "verdict": row["verdict"],
    }


def settings(names: Sequence[str]) -> list[dict[str, str]]:
    """Every setting of these methods under both names."""
    return [
        {"method": name, "theirs": same.named[0], "ours": same.named[1], "value": str(same.value)}
        for name in names
        for same in CASES[name].settings
    ]


Gaps = dict[str, dict[str, dict[str, float]]]
"""By method and number of updates: how far the sides lie apart."""


def write(rows: list[dict[str, Any]], steps: Gaps, folder: Path, margin: str) -> None:
    """`figures.json`, `beside.md` and `clouds.png`; steps: of the first updates; margin: the study's text on it."""
    folder.mkdir(parents=True, exist_ok=True)
    head = origin()
    write_json(folder / "figures.json", plain({"about": head, "margin": MARGIN, "rows": rows, "steps": steps}))
    draw(rows, folder / "clouds.png")
    with replacing(folder / "beside.md") as temporary:
        temporary.write_text(page(rows, steps, head, margin), encoding="utf-8")


def page(rows: list[dict[str, Any]], steps: Gaps, head: dict[str, Any], margin: str) -> str:
    """The figures as Markdown."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    versions = {row["peer"]: row["versions"]["theirs"] for row in rows}
    reasons = [reason(row) for row in rows if explain(row) or (row["method"], row["place"]) in REASONS]
    differences = [f"- {name}: {text}." for name in names for text in CASES[name].differs]
    parts = [
        "# Beside independent implementations",
        "",
        margin,
        "",
        "Scores with 95% bootstrap intervals over seeds; *seeds* theirs/ours. *unfinished*: fewer than "
        f"{cases.SEEDS} seeds of a side, no verdict.",
        "",
        markdown_table([line(row) for row in rows]),
        "",
        "![Scores of all seeds](clouds.png)",
        "",
        LIMITS,
        "",
        *(["## Reasons and remarks", "", *reasons, ""] if reasons else []),
        *(first_updates(steps) if steps else []),
        "## What stays different",
        "",
        "- All: theirs draws its own random numbers. " + ALIKE,
        *differences,
        "",
        "## Settings",
        "",
        f"Two hidden layers of {cases.SIZE}, minibatches of {cases.SIZE}, Adam with epsilon 1e-8. *fixed*: that "
        "side has no such setting and does so.",
        "",
        markdown_table(settings(names)),
        "",
        *(f"{peer}: {', '.join(f'{name} {x}' for name, x in sorted(x.items()))}.\n" for peer, x in versions.items()),
        measured(head),
        "",
    ]
    return "\n".join(parts)


def first_updates(steps: Gaps) -> list[str]:
    """The part on updates taken one by one."""

    def cell(gap: dict[str, float]) -> str:
        return f"{gap['action']:.0e}" + (f", {gap['q']:.0e}" if "q" in gap else "")

    lines = [
        {"method": label} | {f"after {count}": cell(gap) for count, gap in gaps.items()}
        for label, gaps in steps.items()
    ]
    text = (
        "From the same weights on the same minibatches, noise off, d3rlpy beside ours: the largest difference of a "
        "greedy action (which lie in -1 to 1), and the mean difference of Q relative to its size. Rounding in "
        "float32 begins at 1e-6 and grows with the updates; *differences undone*: ours with d3rlpy's order and "
        "log-std."
    )
    return ["## The first updates", "", text, "", markdown_table(lines), ""]


def reason(row: dict[str, Any]) -> str:
    """Why it is outside, or that nobody knows."""
    text = REASONS.get((row["method"], row["place"]), "not found yet")
    return f"- **{row['method']} on {row['place']}** ({row['verdict']}): {text}"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """All seeds of both sides of every comparison, with their means."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 0.55 * len(rows) + 1.4), layout="constrained", dpi=130)
    axes = figure.add_subplot()
    for index, row in enumerate(rows):
        for side, shift in (("theirs", 0.16), ("ours", -0.16)):
            y = -index + shift
            label = side if index == 0 else None
            mean, low, high = row["means"][side]
            axes.plot([low, high], [y, y], color=COLORS[side], lw=6, alpha=0.25)
            axes.plot(
                row["scores"][side], np.full(len(row["scores"][side]), y), "o", ms=4, color=COLORS[side], alpha=0.6
            )
            axes.plot(mean, y, "|", ms=14, mew=2, color=COLORS[side], label=label)
    axes.set_yticks([-i for i in range(len(rows))], [f"{row['method']}, {row['place']}" for row in rows])
    axes.set_xlabel("score of a seed; bar and band: mean, 95% interval")
    axes.grid(axis="x", color="#D5D9DF", lw=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    if rows:
        axes.legend(loc="best", fontsize=8)
    plots.save(figure, path)
