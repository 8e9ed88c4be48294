"""`purejaxo2o collect`: making offline data."""

import dataclasses
import importlib.metadata
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from purejaxo2o.cli.base import Answer, Command, key_seed, say
from purejaxo2o.cli.recording import counted, written
from purejaxo2o.types import O2OError, nearest

STEPS = 100_000
MOST = 2**31
"""Counters of steps on the device are of 32 bits."""
PACKAGES = ("purejaxo2o", "jax", "jaxlib", "minari")
TRAINED = ("medium", "medium-replay", "medium-expert", "expert", "full-replay", "noisy-scripted")
"""Policies that are levels of data (`data/levels.py`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collect(Command):
    """Record a Minari dataset: a scripted or a trained policy drives many environments at once on the device.

    D4RL's levels (medium, medium-replay, medium-expert, expert, full-replay, or all of them) come out of the training
    of an agent, which is made first, once for all levels, and goes on where it was stopped.
    The id of a dataset that purejaxo2o makes itself (purejaxo2o list datasets) makes that one.

    purejaxo2o collect pointmaze-umaze --id me/umaze/waypoint-v0 --policy waypoint --noise 0.5

    purejaxo2o collect pointmaze-umaze --id me/umaze/wsrl-v0 --policy runs/wsrl-pointmaze-umaze-small

    purejaxo2o collect gymnax/Pendulum-v1 --id me/pendulum --policy all --scale small"""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """A task, an environment, or the id of a dataset of our own."""
    id: Annotated[str | None, arg(metavar="ID", help_behavior_hint="")] = None
    """Name of the new dataset, like namespace/name-v0; with --policy all the namespace (namespace/LEVEL-v0)."""
    policy: Annotated[str | None, arg(metavar="POLICY", help_behavior_hint="")] = None
    """random (the default), waypoint (mazes: the shortest path), the folder of a finished run, a level, or all."""
    lane: int = 0
    """Which policy of the run folder: the first seed is 0."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise on actions, which lie in [-1, 1]."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """How many steps; by default 100000, or what the dataset of our own has."""
    num_envs: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Environments side by side, by default up to 50, each with time for an episode; unfinished episodes of each are
    cut off at the end."""
    seed: int = 0
    """The same seed records the same data."""
    overwrite: bool = False
    """Replace a dataset of that name."""
    scale: Literal["small", "paper"] = "paper"
    """Levels: size of the agent's networks and of its training."""
    train_steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Levels: environment steps of the training after its random warm-up, by default those of the scale."""
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="NAME=VALUE ...")] = ()
    """Levels: settings of the training to change, e.g. '*.learning_rate=1e-3' online.segments=40."""
    train_dir: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Levels: folder of the training, by default runs/collect-SOURCE-SCALE-SEED."""

    def run(self) -> Answer:
        from purejaxo2o.data.embedded import EMBEDDED, make_dataset

        key_seed(self.seed)
        for name in ("steps", "num_envs", "train_steps"):
            value = getattr(self, name)
            if value is not None and not 1 <= value < MOST:
                raise O2OError(f"--{name.replace('_', '-')} is {value}; it must be at least 1 and below {MOST:,}")
        if self.source in EMBEDDED:
            if (self.id, self.policy, self.lane, self.noise, self.num_envs) != (None, None, 0, 0.0, None):
                raise O2OError(f"{self.source} is made in its own way; give only --steps, --seed, --overwrite")
            say(f"making {self.source}")
            path = make_dataset(self.source, self.seed, steps=self.steps, overwrite=self.overwrite)
            return written(self.source, path)
        if self.id is None:
            raise O2OError(f"a recording of {self.source} needs a name; give --id namespace/name-v0")
        if self.policy in (*TRAINED, "all"):
            from purejaxo2o.cli.levels import write

            return write(self, self.id, self.policy)
        if (self.scale, self.train_steps, self.set, self.train_dir) != ("paper", None, (), None):
            raise O2OError(
                f"--scale, --train-steps, --set and --train-dir are for levels ({', '.join(TRAINED)}, all)"
            )
        return written(self.id, self._record(self.id))

    def _record(self, name: str) -> Path:
        import jax

        from purejaxo2o.data import collect

        self.check_new(name)
        task = self.task()
        env = task.env
        act, origin = self._policy(env)
        steps, num_envs = self.sizes(env)
        say(f"recording {steps:,} steps of {env.name} with {num_envs} environments")
        rows = collect.collect(env, act, jax.random.key(self.seed), steps=steps, num_envs=num_envs)
        reference = None if task.raw else (float(task.score_low), float(task.score_high))
        noted = {"steps": steps, "num_envs": num_envs, "noise": self.noise, **origin}
        noted |= counted(rows, env, reference)
        return self.export(
            rows,
            name,
            env,
            kind=f"{origin['policy']} policy",
            maker=str(origin["policy"]),
            noted=noted,
            reference=reference,
        )

    def sizes(self, env: Any, *, parts: int = 1) -> tuple[int, int]:
        """How many steps are recorded and how many environments do it, in equal `parts` one after another.

        Raises `O2OError` for numbers that do not go together."""
        from purejaxo2o.data.collect import lanes

        steps = STEPS if self.steps is None else self.steps
        num_envs = lanes(steps // parts, env.horizon) if self.num_envs is None else self.num_envs
        if not 1 <= num_envs <= steps // parts:
            raise O2OError(
                f"--steps {steps} with {num_envs} environments{' in two parts' if parts > 1 else ''}: give "
                "--num-envs of at least 1 and a step for each of them"
            )
        _check_memory(env, steps)
        return steps, num_envs

    def check_new(self, name: str) -> None:
        """Raise `O2OError` unless a dataset of this name may be written."""
        from purejaxo2o.data import folder

        folder.namespace_of(name)
        place = folder.root()
        if name in folder.local_ids() and not self.overwrite:
            raise O2OError(f"dataset {name!r} exists in {place}; pick another --id or give --overwrite")

    def export(
        self, rows: Any, name: str, env: Any, *, kind: str, maker: str, noted: dict[str, Any], reference: Any
    ) -> Path:
        """Write rows of `env` as the dataset `name`, with where they come from and what is `noted` of it."""
        from purejaxo2o.data import minari, specs
        from purejaxo2o.loop.env import spaces

        env_spec, requirements = specs.original(env)
        origin = {"environment": env.name, "source": self.source, "seed": self.seed, "time_limit": env.horizon}
        versions = {package: importlib.metadata.version(package) for package in PACKAGES}
        return minari.export(
            rows,
            name,
            spaces=spaces(env),
            algorithm_name=maker,
            description=f"{env.name}: {kind}, recorded by purejaxo2o collect",
            provenance=origin | noted | {"versions": versions},
            env_spec=env_spec,
            requirements=requirements,
            reference=reference,
            overwrite=self.overwrite,
        )

    def task(self) -> Any:
        """What is recorded."""
        from purejaxo2o import envs, tasks
        from purejaxo2o.data.embedded import EMBEDDED
        from purejaxo2o.tasks import task

        if self.source in (*tasks(), *envs.names()) or self.source.startswith("host/"):
            return task(self.source)
        known = (*tasks(), *envs.names(), *EMBEDDED)
        raise O2OError(f"{self.source!r} is no task, environment or dataset of ours; {nearest(self.source, known)}")

    def _policy(self, env: Any) -> tuple[Any, dict[str, Any]]:
        """Who acts, and what to note about it."""
        from purejaxo2o.data import collect

        name = self.policy or "random"
        if name == "random":
            act, origin = collect.random_policy(env.action_space), {"policy": "random"}
        elif name == "waypoint":
            act, origin = _waypoint(env), {"policy": "waypoint"}
        elif Path(name).is_dir():
            act, origin = _trained(name, self.lane, env)
        else:
            raise O2OError(
                f"--policy {name} is neither random nor waypoint nor a run folder nor a level ({', '.join(TRAINED)}, "
                "all); give one of them"
            )
        if not 0.0 <= self.noise < math.inf or (self.noise and env.action_space.discrete):
            raise O2OError(f"--noise {self.noise}: give at least 0, and only where actions are continuous")
        return (collect.noisy(act, sigma=self.noise) if self.noise else act), origin


def _check_memory(env: Any, steps: int) -> None:
    """Raise `O2OError` for rows that do not fit in memory."""
    from purejaxo2o.drive import memory
    from purejaxo2o.loop.env import spaces
    from purejaxo2o.types import transition_example

    need, there = steps * memory.nbytes(transition_example(spaces(env))), memory.limit(())
    if there is not None and need > there:
        raise O2OError(
            f"{steps:,} steps of {env.name} take {memory.size(need)}, there are {memory.size(there)}; give fewer "
            "(--steps)"
        )


def _waypoint(env: Any) -> Any:
    from purejaxo2o.data.waypoint import waypoint_policy
    from purejaxo2o.envs.maze import PointMaze

    if not isinstance(env, PointMaze):
        raise O2OError(f"--policy waypoint finds its way in PointMazes only, not in {env.name}; use random or a run")
    return waypoint_policy(env)


def _trained(folder: str, lane: int, env: Any) -> tuple[Any, dict[str, Any]]:
    from purejaxo2o.disk.folder import load_config
    from purejaxo2o.drive.policies import load_policies
    from purejaxo2o.loop.env import spaces

    trained = load_policies(folder)
    have, need = spaces(trained.task.env), spaces(env)
    if have != need:
        raise O2OError(f"the policy of {folder} is for {trained.task.env.name}; {env.name} has other spaces")
    config = load_config(folder)
    origin = {name: config.get(name) for name in ("recipe", "task", "keys")}
    return trained.policy(lane), {"policy": config["recipe"], "lane": lane, "segment": trained.segment, "run": origin}
