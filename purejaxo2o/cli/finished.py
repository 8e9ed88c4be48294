"""`purejaxo2o evaluate`, `report` and `render`: what can be done with run folders."""

import collections
import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from purejaxo2o.cli.base import Answer, Command, episode_count, key_seed, show
from purejaxo2o.cli.given import Reference, reference_of
from purejaxo2o.data import places
from purejaxo2o.types import O2OError

RunDir = Annotated[Positional[str], arg(metavar="RUN_DIR")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Evaluate the trained policies of a run folder: greedy episodes for every seed from its last checkpoint.

    purejaxo2o evaluate runs/wsrl-pointmaze-umaze-small --episodes 200"""

    run_dir: RunDir
    """A folder that train or sweep wrote."""
    episodes: int = 100
    """Episodes per policy; all policies see the same start states."""
    seed: int = 0
    """Of start states and environment noise."""
    reference: Reference = None
    """Returns that score 0 and 100, by default those of the run."""

    def run(self) -> Answer:
        import jax

        from purejaxo2o.drive.policies import load_policies

        seed, episodes = key_seed(self.seed), episode_count(self.episodes)
        low, high = (None, None) if self.reference is None else reference_of(self.reference)
        trained = load_policies(self.run_dir)
        _check_memory(trained, episodes)
        outcome = trained.evaluate(jax.random.key(seed), episodes=episodes)
        returns, task = np.asarray(outcome.returns), trained.task
        if low is not None:
            task = dataclasses.replace(task, score_low=low, score_high=high)
        scores = np.asarray(task.score(outcome.returns))
        lengths = np.asarray(outcome.lengths).mean(-1)
        named = trained.named or ({},) * trained.lanes
        lanes = [
            {
                "lane": i,
                **named[i],
                **_mean("return", returns[i]),
                **_mean("score", scores[i]),
                "length": float(lengths[i]),
            }
            for i in range(trained.lanes)
        ]
        total = (
            _mean("return", returns.mean(-1)) | _mean("score", scores.mean(-1)) | {"length": float(lengths.mean())}
        )
        if trained.lanes == 1:
            total = {name: lanes[0][name] for name in lanes[0] if name not in ("lane", *named[0])}
        hidden = "lane" if all(set(names) == {"seed"} for names in named) else ""  # the seed says it
        rows = [{name: value for name, value in lane.items() if name != hidden} for lane in lanes]
        if trained.lanes > 1:
            rows.append({next(iter(rows[0])): "all", **total})
        text = f"{self.episodes} greedy episodes in {task.eval_env.name}, after segment {trained.segment}"
        data = {"task": task.name, "segment": trained.segment, "episodes": self.episodes}
        return Answer(f"{text}\n{show(rows)}", data | {"lanes": lanes, "all": total})


def _check_memory(trained: Any, copies: int) -> None:
    """Raise `O2OError` for so many states of the environment at once that they do not fit in memory."""
    import jax

    from purejaxo2o.drive import memory

    one = jax.eval_shape(trained.task.eval_env.reset, jax.eval_shape(lambda: jax.random.key(0)))
    need, there = copies * trained.lanes * memory.nbytes(one), memory.limit(())
    if there is not None and need > there:
        raise O2OError(f"episodes take {memory.size(need)}, there are {memory.size(there)}; give fewer --episodes")


def _mean(name: str, values: np.ndarray) -> dict[str, float]:
    """Mean with its 95 % bootstrap interval, over episodes or over lanes."""
    from purejaxo2o.figures.stats import bootstrap_interval

    interval = bootstrap_interval(values)
    return {name: float(interval.point), f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Compare finished runs: one table and one picture with a curve for each.

    purejaxo2o report runs/wsrl-pointmaze-umaze-small runs/naive-pointmaze-umaze-small --out report"""

    dirs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN_DIR [RUN_DIR ...]")]
    """Folders that train or sweep wrote."""
    out: Annotated[str, arg(metavar="DIR")] = "report"
    """Where curves.png, table.md and figures.json go."""

    def run(self) -> Answer:
        from purejaxo2o.cli.train import summary_table
        from purejaxo2o.figures import stats
        from purejaxo2o.figures.report import report

        if not self.dirs:
            raise O2OError("report needs at least one run folder; give those that train wrote")
        places.check_folder(self.out)
        results = self._results()
        picture = report(results, self.out)
        text = f"{summary_table(results)}\nwrote {picture}, table.md and figures.json"
        return Answer(text, {"out": self.out, "rows": stats.summary(results)})

    def _results(self) -> dict[str, Any]:
        """By the shortest label that tells them apart: recipe, folder, whole path; with the setting in a sweep."""
        from purejaxo2o.cli.train import by_setting

        found = {folder: by_setting(Path(folder)) for folder in dict.fromkeys(self.dirs)}
        first = {folder: next(iter(results.values())) for folder, results in found.items()}
        tasks = {result.task_name for result in first.values()}
        if len(tasks) > 1:
            raise O2OError(f"the runs are of different tasks ({', '.join(sorted(tasks))}); report one task at a time")
        recipes = {folder: result.recipe_name for folder, result in first.items()}
        labels = next(x for x in (recipes, {f: Path(f).name for f in found}, {f: f for f in found}) if _distinct(x))
        many = {folder: len(results) > 1 for folder, results in found.items()}
        return {
            f"{labels[folder]}: {setting}" if many[folder] else labels[folder]: result
            for folder, results in found.items()
            for setting, result in results.items()
        }


def _distinct(labels: dict[str, str]) -> bool:
    return max(collections.Counter(labels.values()).values()) == 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Render(Command):
    """Draw where a trained policy goes in a PointMaze: a picture, or an animation if the name ends in .gif.

    purejaxo2o render runs/wsrl-pointmaze-umaze-small --out wsrl.gif --episodes 5"""

    run_dir: RunDir
    """A folder that train or sweep wrote."""
    out: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Picture (.png, .pdf, .svg) or animation (.gif), by default trajectories.png in the run folder."""
    lane: int = 0
    """Which policy of the run: the first seed is 0."""
    episodes: int = 6
    """How many episodes to draw."""
    seed: int = 0
    """Of start states and goals."""

    def run(self) -> Answer:
        import jax

        from purejaxo2o.drive.policies import load_policies
        from purejaxo2o.figures import render
        from purejaxo2o.figures.trajectories import of_policy

        target = Path(self.run_dir) / "trajectories.png" if self.out is None else Path(self.out)
        places.check_file(target)
        seed, episodes = key_seed(self.seed), episode_count(self.episodes)
        trained = load_policies(self.run_dir)
        env = trained.task.eval_env
        _check_memory(trained, episodes * env.horizon)
        found = of_policy(env, trained.policy(self.lane), jax.random.key(seed), episodes=episodes)
        reached = int(found.reached.sum())
        title = f"{Path(self.run_dir).resolve().name}: {reached} of {self.episodes} reach their goal"
        draw = render.maze_animation if target.suffix == ".gif" else render.maze_trajectories
        draw(env, found.positions, target, goals=found.goals, title=title)
        data = {"picture": str(target), "episodes": self.episodes, "reached": reached}
        return Answer(f"wrote {target}: {reached} of {self.episodes} episodes reach their goal", data)
