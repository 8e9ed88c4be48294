"""What the commands that record data say about it."""

from pathlib import Path
from typing import Any

from purejaxo2o.cli.base import Answer, say


def counted(rows: Any, env: Any, reference: tuple[float, float] | None) -> dict[str, Any]:
    """What to note about the episodes of a recording; says so if most of them were cut off by its end."""
    from purejaxo2o.data import measures
    from purejaxo2o.data.collect import lanes
    from purejaxo2o.loop import store

    found = measures.trajectories(store.flat(rows), env.horizon)
    facts = measures.summary(found, reference)
    if 2 * facts["cut"] > facts["episodes"]:
        steps = len(rows.data.reward)
        fewer, more = f"--num-envs {lanes(steps, env.horizon)} at most", f"--steps {env.horizon} at least"
        say(
            f"{facts['cut']} of {facts['episodes']} episodes were cut off by the end of the recording (after "
            f"{found.length[found.cut].mean():.0f} steps on average, the time limit is {env.horizon}): no mean "
            f"return or score includes them; give {fewer if steps >= env.horizon else more}"
        )
    return facts


def written(name: str, path: Path) -> Answer:
    from purejaxo2o.data import minari

    info = minari.info(name)
    text = f"wrote {name}: {info.episodes:,} episodes, {info.steps:,} steps, in {path}"
    return Answer(text, {"dataset": name, "path": str(path), "episodes": info.episodes, "steps": info.steps})
