"""`purejaxo2o inspect`: looking at offline data."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from purejaxo2o.cli.base import Answer, Command, say, show, terminal_width
from purejaxo2o.data import places
from purejaxo2o.types import O2OError

BINS = 12
SHOWN = 3
"""Best and worst trajectories that are named."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Describe a dataset: sizes, spaces, returns, how episodes end, actions, NaNs, duplicates, coverage, origin.

    What training would refuse is named and described all the same. --out writes a one-page picture and the figures.

    purejaxo2o inspect purejaxo2o/pointmaze-umaze/mixed-v0 --out runs/inspect"""

    dataset: Annotated[Positional[str], arg(metavar="DATASET_ID")]
    """A local Minari id, that of a dataset of our own, which is then made, or a D4RL .hdf5 file."""
    coverage_of: Annotated[str | None, arg(metavar="ID", help_behavior_hint="")] = None
    """A second dataset, best the replay data of an online agent: SACo is the share of its state-action pairs."""
    limit: Annotated[int | None, arg(metavar="STEPS", help_behavior_hint="")] = None
    """Time limit of a D4RL file that does not say where time ran out."""
    clip: bool = False
    """Accept actions beyond their declared bounds."""
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Write dataset.png and figures.json into this folder."""

    def run(self) -> Answer:
        from purejaxo2o.data import embedded, folder, sources

        if self.out is not None:
            places.check_folder(self.out)
        if self.limit is not None and self.limit < 1:
            raise O2OError(f"--limit is {self.limit}; it must be at least 1")
        if self.dataset in embedded.EMBEDDED and self.dataset not in folder.local_ids():
            say(f"making {self.dataset}")
        reading = sources.read(self.dataset, limit=self.limit, clip=self.clip)
        reference = None if self.coverage_of is None else sources.read(self.coverage_of)
        data = _facts(reading.info) | _figures(reading) | _coverage(reading, reference)
        text = _description(data)
        if self.out is not None:
            text += f"\nwrote dataset.png and figures.json to {self._write(Path(self.out), reading, data)}"
        return Answer(text, data)

    def _write(self, out: Path, reading: Any, data: dict[str, Any]) -> Path:
        from purejaxo2o.disk.files import full_disk, write_json
        from purejaxo2o.disk.rows import plain
        from purejaxo2o.figures.portrait import draw

        with full_disk(out):
            out.mkdir(parents=True, exist_ok=True)
            draw(reading, data, out / "dataset.png")
            write_json(out / "figures.json", plain(data))
        return out


def _facts(info: Any) -> dict[str, Any]:
    """What the dataset says about itself."""
    spec = info.env_spec
    return {
        "dataset": info.id,
        "path": str(info.path),
        "steps": info.steps,
        "episodes": info.episodes,
        "environment": info.env_id or info.provenance.get("environment"),
        "time_limit": None if spec is None else spec.max_episode_steps,
        "obs": str(info.spaces.obs),
        "obs_parts": dict(info.spaces.obs.parts),
        "action": str(info.spaces.action),
        "reference": None if info.reference is None else list(info.reference),
        "algorithm": info.metadata.get("algorithm_name"),
        "description": info.metadata.get("description"),
        "provenance": info.metadata.get("provenance"),
    }


def _figures(reading: Any) -> dict[str, Any]:
    """What its rows say."""
    from purejaxo2o.data import measures
    from purejaxo2o.data.scores import normalise

    rows, reference = reading.data, reading.info.reference
    discrete = reading.info.spaces.action.discrete
    found = measures.trajectories(rows, measures.limit_of(reading.info))
    returns = found.total[found.whole]
    quantiles = {"return": _quantiles(returns), "length": _quantiles(found.length[found.whole])}
    if reference is not None:
        quantiles["score"] = _quantiles(normalise(returns, *reference))
    order = measures.by_return(found)
    action = rows.action
    return {
        "quantiles": quantiles,
        "histogram": _histogram(returns),
        "terminated": int(rows.terminated.sum()),
        "truncated": int((rows.truncated & ~rows.terminated).sum()),
        "cut": int(found.cut.sum()),
        "action_shares": (np.bincount(action) / len(action)).tolist() if discrete else None,
        "action_saturation": None if discrete else measures.saturation(action).tolist(),
        "action_mean_abs": None if discrete else np.abs(action).mean(0).tolist(),
        "not_finite": measures.not_finite(rows),
        "duplicates": measures.duplicates(rows),
        "tq": None if reference is None or not len(returns) else measures.trajectory_quality(returns, *reference),
        "best": [_trajectory(found, int(i)) for i in order[:SHOWN]],
        "worst": [_trajectory(found, int(i)) for i in order[: -SHOWN - 1 : -1]],
        "remarks": _remarks(reading, found),
    }


def _coverage(reading: Any, reference: Any) -> dict[str, Any]:
    from purejaxo2o.data import measures

    found = {"state_action_pairs": measures.state_action_pairs(reading.data), "saco": None, "saco_reference": None}
    if reference is not None:
        saco = measures.coverage(reading.data, reference.data)
        found |= {"saco": saco, "saco_reference": reference.info.id}
    return found


def _remarks(reading: Any, found: Any) -> list[str]:
    """What is wrong with the rows, or looks wrong."""
    from purejaxo2o.data import measures

    remarks = []
    try:
        reading.check()
    except O2OError as error:
        remarks.append(str(error))
    if 2 * found.cut.sum() > len(found.cut):
        length = f"{found.length[found.cut].mean():.0f} steps on average, of {measures.limit_of(reading.info)}"
        remarks.append(
            f"{found.cut.sum()} of {len(found.cut)} episodes were cut off by the end of the recording (after "
            f"{length}): figures per episode leave them out"
        )
    limit = None if reading.info.env_spec is None else reading.info.env_spec.max_episode_steps
    if limit is not None:
        late = found.terminated & (found.length == limit)
        if late.any():
            remarks.append(
                f"{late.sum()} episodes terminate exactly at the time limit of {limit} steps: if those are "
                "time-outs, record them as truncations, or agents learn that nothing follows"
            )
        if (found.length > limit).any():
            worst = int(found.length.argmax())
            remarks.append(
                f"episode {worst} has {found.length[worst]} steps, the environment's limit is {limit}: a truncation "
                "may be missing in it"
            )
    return remarks


def _trajectory(found: Any, index: int) -> dict[str, Any]:
    end = "terminated" if found.terminated[index] else "truncated"
    return {
        "episode": index,
        "return": float(found.total[index]),
        "steps": int(found.length[index]),
        "end": end,
        "first_row": int(found.start[index]),
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(("mean", "min", "25%", "median", "75%", "max"), float("nan"))
    low, quarter, half, three, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist()
    return {"mean": float(values.mean()), "min": low, "25%": quarter, "median": half, "75%": three, "max": high}


def _histogram(values: np.ndarray) -> dict[str, list[Any]]:
    """Trajectories by return: counts between edges."""
    try:
        counts, edges = np.histogram(values, bins=BINS)
    except ValueError:  # so large that there are not as many numbers between the lowest and the highest
        counts, edges = np.array([len(values)]), np.array([values.min(), values.max()])
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _description(data: dict[str, Any]) -> str:
    lines = [f"{name:<18} {text}" for name, text in (_about(data) | _quality(data)).items()]
    lines += [f"{'attention':<18} {remark}" for remark in data["remarks"]]
    table = show([{"per whole episode": name, **row} for name, row in data["quantiles"].items()])
    named = [{"episode": f"{kind} {t['episode']}", **_short(t)} for kind in ("best", "worst") for t in data[kind]]
    episodes = [table, _bars(data["histogram"]), show(named)] if named else ["no episode is whole"]
    return "\n".join([*lines, *episodes])


def _about(data: dict[str, Any]) -> dict[str, str]:
    parts = " = " + " + ".join(f"{name} {size}" for name, size in data["obs_parts"].items())
    limit = f", at most {data['time_limit']:,} steps" if data["time_limit"] else ""
    source = data["provenance"] if isinstance(data["provenance"], dict) else {}
    noted = (f"{name}={_short_number(value)}" for name, value in source.items() if not isinstance(value, dict))
    facts = {
        "dataset": data["dataset"],
        "folder": data["path"],
        "environment": (data["environment"] or "not declared") + limit,
        "made by": data["algorithm"] or "not declared",
        "provenance": ", ".join(noted) or "none",
        "steps": f"{data['steps']:,}",
        "episodes": f"{data['episodes']:,}: {data['terminated']:,} terminated, {data['truncated']:,} truncated"
        + (f" ({data['cut']:,} by the end of the recording, in no mean)" if data["cut"] else ""),
        "observations": data["obs"] + (parts if data["obs_parts"] else ""),
        "actions": data["action"],
    }
    if data["reference"]:
        facts["reference"] = "return {:g} scores 0, {:g} scores 100".format(*data["reference"])
    return facts


def _quality(data: dict[str, Any]) -> dict[str, str]:
    if data["action_saturation"] is None:
        facts = {"action shares": "  ".join(f"{share:.1%}" for share in data["action_shares"])}
    else:
        facts = {"at action bounds": "  ".join(f"{share:.1%}" for share in data["action_saturation"])}
    spoiled = [f"{count:,} rows of {name}" for name, count in data["not_finite"].items() if count]
    facts["not finite"] = ", ".join(spoiled) or "none"
    facts["duplicate rows"] = f"{data['duplicates']:,}"
    if data["tq"] is not None:
        facts["TQ"] = f"{data['tq']:.3f} (mean return of whole episodes, 0 as the reference's low, 1 as its high)"
    pairs = data["state_action_pairs"]
    facts["state-action pairs"] = f"{pairs:,} different ones ({pairs / data['steps']:.1%} of the steps)"
    if data["saco"] is not None:
        facts["SACo"] = f"{data['saco']:.3f} of the state-action pairs of {data['saco_reference']}"
    return facts


def _short_number(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _short(trajectory: dict[str, Any]) -> dict[str, Any]:
    return {name: trajectory[name] for name in ("return", "steps", "end")}


def _bars(histogram: dict[str, list[Any]]) -> str:
    """The histogram in characters, in lines of the terminal's length."""
    space = min(40, (terminal_width() or 80) - 40)
    counts, edges = histogram["counts"], histogram["edges"]
    most, lines = max(1, *counts), ["episodes by return"]
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        bar = "█" * round(max(space, 1) * count / most) or ("▏" if count else "")
        lines.append(f"{low:>10.4g} to {high:<10.4g} {count:>7,} {bar}".rstrip())
    return "\n".join(lines)
