"""The task of a dataset: the environment that recorded it (`origins.py`), its time limit, its reference scores.

What a dataset declares decides everything. Where it declares nothing, the remedy is an argument of
`task_from_minari`.
"""

import os
import warnings
from typing import TYPE_CHECKING, Any

from purejaxo2o import envs
from purejaxo2o.data import scores, sources
from purejaxo2o.data.d4rl_names import is_file
from purejaxo2o.loop.env import Env, spaces
from purejaxo2o.loop.task import RAW, Task, checked
from purejaxo2o.tasks.domains import domain_of, fail_reward_of
from purejaxo2o.tasks.named import TASKS
from purejaxo2o.tasks.origins import IN_PYTHON, Origin, contradictions, origin
from purejaxo2o.types import O2OError

if TYPE_CHECKING:  # Minari and Gymnasium are imported when a dataset is opened
    from purejaxo2o.data.reading import DatasetInfo


def task_from_minari(
    dataset_id: str | os.PathLike[str],
    *,
    physics: str | None = None,
    reference: tuple[float, float] | None = None,
    env: Any = None,
    limit: int | None = None,
    clip: bool = False,
) -> Task:
    """Train where a local dataset was recorded, and be evaluated in its `eval_env_spec` if it has one.

    physics: `"mujoco<=3.4"` or `"mujoco>=3.5"`; by default as the dataset's requirements or provenance say. D4RL's
        data, and environments before v4, are of the older kind; others that say nothing are taken for the newer,
        as if recorded with today's MuJoCo.
    reference: returns that score 0 and 100; by default the dataset's own, else those known of its environment
        (D4RL's), else scores are returns (`Task.raw`).
    env: for datasets that declare no environment, or one that can be had neither as a twin nor on the host; trained
        and evaluated in. Whatever `envs.make` takes: an environment, an id, an object of gymnax, brax or Gymnasium.
    limit: time limit of an episode in steps, of the environments and of a D4RL file whose ends are not marked; by
        default as declared.
    clip: accept recorded actions beyond their declared bounds.

    The domain and the reward of a failure follow from the environment's id (`domains.py`); others are set by
    `dataclasses.replace`. Warns where it is evaluated in another environment than the one that recorded it. Raises
    `O2OError` if the dataset is missing, if there is no such environment, for an argument that the twin lacks, for
    other spaces than the dataset's, for an evaluation within other walls, and for a reference that is none.
    """
    if reference is not None:
        reference = checked(reference)
    name = os.fspath(dataset_id)
    info = sources.info(name, limit=limit)
    train_env = eval_env = None if env is None else _given(env)
    if train_env is None:
        train_env = eval_env = _own(info, physics, limit)
        judged = _judged(info)
        if judged is not None:
            _compare(judged, train_env)
            eval_env = judged.make(info, physics, limit)
    assert eval_env is not None
    have, need = spaces(train_env), info.spaces
    if have != need:
        raise O2OError(
            f"dataset {name!r} has observations {need.obs} and actions {need.action}, {train_env.name} has "
            f"{have.obs} and {have.action}",
            python="pass the environment that recorded it: env=",
            shell=IN_PYTHON,
        )
    low, high = reference or _reference(info, eval_env)
    return Task(
        name=name,
        env=train_env,
        eval_env=eval_env,
        dataset=name,
        limit=limit if is_file(name) else None,
        clip=clip,
        score_low=low,
        score_high=high,
        domain=domain_of(train_env),
        fail_reward=fail_reward_of(train_env),
    )


def _given(env: Any) -> Env:
    found = envs.make(env)
    if not hasattr(found, "obs_space"):
        raise O2OError(f"env is {env!r:.80}, no environment; give one (envs.make) or its id")
    return found


def _own(info: "DatasetInfo", physics: str | None, limit: int | None) -> Env:
    """The environment that recorded a dataset; one that `purejaxo2o collect` made may have a source of ours alone."""
    if info.env_spec is not None:
        return origin(info, info.env_spec).make(info, physics, limit)
    source = info.provenance.get("source")
    if source in TASKS:
        return TASKS[source](source).env
    if source in envs.names():
        return envs.make(source)
    raise O2OError(
        f"dataset {info.id!r} declares no environment", python="pass it: env=envs.make(...)", shell=IN_PYTHON
    )


def _judged(info: "DatasetInfo") -> Origin | None:
    """Where the dataset asks for the evaluation."""
    return None if info.eval_env_spec is None else origin(info, info.eval_env_spec)


def _compare(judged: Origin, env: Env) -> None:
    """Warn of an evaluation in another environment than `env`, and refuse one within other walls."""
    found = list(contradictions(judged, env))
    text = f"{judged.where} was not recorded where its eval_env_spec evaluates: {'; '.join(found)}"
    if any("walls" in line for line in found):
        raise O2OError(
            f"{text}: such scores mean nothing",
            python=f"pass one environment for both, e.g. env=envs.make({env.name!r}), or correct eval_env_spec",
            shell=f"train in {env.name} with --dataset, or correct eval_env_spec in its metadata.json",
        )
    if found:
        warnings.warn(
            f"{text}; if that is not meant, correct its eval_env_spec (in Python, or pass env=)", stacklevel=4
        )


def _reference(info: "DatasetInfo", eval_env: Env) -> tuple[float, float]:
    """What the dataset declares, else what is known of where it is judged, else none (`task.RAW`)."""
    declared = None not in (info.metadata.get("ref_min_score"), info.metadata.get("ref_max_score"))
    if declared and info.reference is not None:
        return info.reference
    known = scores.of(eval_env)
    if known is None and info.eval_env_spec is None:
        known = info.reference
    return known or RAW
