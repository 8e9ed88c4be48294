"""README's speed table, out of the committed JSON: the rows that carry a headline, one column a device."""

import json
import re
from pathlib import Path
from typing import Any

from experiments.benchmarks.rows import ROOT, Row
from purejaxo2o.figures.tables import markdown_table
from purejaxo2o.types import O2OError

RESULTS = ROOT / "experiments" / "results" / "benchmarks"
README = ROOT / "README.md"
MARKED = re.compile(r"(<!-- speed -->\n).*?(<!-- /speed -->)", re.DOTALL)


def generate(results: Path = RESULTS) -> str:
    """Markdown; a sentence instead while nothing has been measured."""
    files = sorted(results.glob("*.json"))
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    lines: dict[str, dict[str, str]] = {}
    for report in reports:
        for row in _rows(report):
            if "headline" in row:
                lines.setdefault(row["headline"], {})[report["device"]] = text(row)
    if not lines:
        return "Nothing measured yet: `python -m experiments.benchmarks`."
    table = markdown_table(
        [{"measure": label} | figures for label, figures in lines.items()],
        {"measure": ""} | {report["device"]: _heading(report) for report in reports},
    )
    return f"{table}\n\n{_sources(reports)}"


def text(row: Row) -> str:
    """One figure as the table shows it."""
    if row["value"] is None:
        return f"not measured ({row['reason']})"
    share = row.get("share_of_same_shape_peak")
    if share is not None:
        return f"{share:.0%} ({row['value']:,.0f} {row['unit']})"
    if row["unit"].startswith("share"):
        return f"{row['value']:.1%}"
    if row["unit"] == "x":
        return f"{row['value']:.1f} times"
    return f"{row['value']:,.0f} {row['unit']}" if row["value"] >= 1000 else f"{row['value']:.3g} {row['unit']}"


def replaced(readme: str, table: str) -> str:
    """`readme` with the table between its markers. Raises `O2OError` where there are none."""
    if not MARKED.search(readme):
        raise O2OError(
            "README.md has no <!-- speed --> ... <!-- /speed -->; put the two markers where the table goes"
        )
    return MARKED.sub(lambda found: f"{found[1]}{table}\n{found[2]}", readme)


def _rows(report: dict[str, Any]) -> list[Row]:
    return [row for section in report["sections"].values() for row in section["rows"]]


def _heading(report: dict[str, Any]) -> str:
    newest = max(report["sections"].values(), key=lambda section: section["date"])
    cores = max(section["cores"] for section in report["sections"].values())  # a section may have been given fewer
    return f"{report['device']} ({newest['processor']}, {cores} cores)"


def _sources(reports: list[dict[str, Any]]) -> str:
    """Versions and dates, one clause a device."""
    clauses = []
    for report in reports:
        newest = max(report["sections"].values(), key=lambda section: section["date"])
        clauses.append(f"{report['device']}: jax {newest['versions']['jax']}, {newest['date'][:10]}")
    return f"Measured by `python -m experiments.benchmarks` ({'; '.join(clauses)})."
