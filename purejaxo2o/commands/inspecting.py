"""`purejaxo2o inspect`: looking at offline data."""

import dataclasses
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from purejaxo2o.commands.base import Answer, Command, say, show

SATURATED = 0.999
"""From this absolute value on an action counts as at its bound."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Describe a dataset: sizes, spaces, returns and lengths of episodes, how they end, actions, where it is from.

    purejaxo2o inspect purejaxo2o/pointmaze-umaze/mixed-v0"""

    dataset: Annotated[Positional[str], arg(metavar="DATASET_ID")]
    """A local Minari id, or that of a dataset of our own, which is then made."""
    clip: bool = False
    """Accept actions beyond their declared bounds."""

    def run(self) -> Answer:
        from purejaxo2o import store
        from purejaxo2o.data import embedded, folder, minari

        if self.dataset in embedded.EMBEDDED and self.dataset not in folder.local_ids():
            say(f"making {self.dataset}")
            embedded.make_dataset(self.dataset)
        info = minari.info(self.dataset)
        rows = store.flat(minari.load(self.dataset, clip=self.clip))
        data = _facts(info) | _figures(rows, info.reference)
        return Answer(_description(data), data)


def _facts(info: Any) -> dict[str, Any]:
    """What the dataset says about itself."""
    return {
        "dataset": info.id,
        "path": str(info.path),
        "steps": info.steps,
        "episodes": info.episodes,
        "environment": info.env_id or info.metadata.get("provenance", {}).get("environment"),
        "obs": str(info.spaces.obs),
        "obs_parts": dict(info.spaces.obs.parts),
        "action": str(info.spaces.action),
        "reference": None if info.reference is None else list(info.reference),
        "algorithm": info.metadata.get("algorithm_name"),
        "description": info.metadata.get("description"),
        "provenance": info.metadata.get("provenance"),
    }


def _figures(rows: Any, reference: tuple[float, float] | None) -> dict[str, Any]:
    """What its rows say."""
    from purejaxo2o.data.scores import normalise
    from purejaxo2o.data.transforms import trajectory_returns

    returns, lengths = trajectory_returns(rows.reward, rows.last)
    quantiles = {"return": _quantiles(returns), "length": _quantiles(lengths)}
    if reference is not None:
        quantiles["score"] = _quantiles(normalise(returns, *reference))
    action = np.asarray(rows.action)
    discrete = np.issubdtype(action.dtype, np.integer)
    return {
        "quantiles": quantiles,
        "terminated": int(np.asarray(rows.terminated).sum()),
        "truncated": int(np.asarray(rows.truncated & ~rows.terminated).sum()),
        "action_shares": (np.bincount(action) / len(action)).tolist() if discrete else None,
        "action_saturation": None if discrete else (np.abs(action) >= SATURATED).mean(0).tolist(),
        "action_mean_abs": None if discrete else np.abs(action).mean(0).tolist(),
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    low, quarter, half, three, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist()
    return {"mean": float(values.mean()), "min": low, "25%": quarter, "median": half, "75%": three, "max": high}


def _description(data: dict[str, Any]) -> str:
    parts = " = " + " + ".join(f"{name} {size}" for name, size in data["obs_parts"].items())
    facts = {
        "dataset": data["dataset"],
        "folder": data["path"],
        "environment": data["environment"] or "not declared",
        "made by": data["algorithm"] or "not declared",
        "steps": f"{data['steps']:,}",
        "episodes": f"{data['episodes']:,}: {data['terminated']:,} terminated, {data['truncated']:,} truncated",
        "observations": data["obs"] + (parts if data["obs_parts"] else ""),
        "actions": data["action"],
    }
    if data["reference"]:
        facts["reference"] = "return {} scores 0, {} scores 100".format(*data["reference"])
    if data["action_saturation"] is None:
        facts["action shares"] = "  ".join(f"{share:.1%}" for share in data["action_shares"])
    else:
        facts["at action bounds"] = "  ".join(f"{share:.1%}" for share in data["action_saturation"])
    source = data["provenance"] or {}
    facts["provenance"] = ", ".join(f"{k}={v}" for k, v in source.items() if not isinstance(v, dict)) or "none"
    lines = [f"{name:<17} {text}" for name, text in facts.items()]
    table = show([{"per episode": name, **row} for name, row in data["quantiles"].items()])
    return "\n".join([*lines, table])
