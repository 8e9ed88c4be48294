"""`purejaxo2o collect --policy medium|...|all`: D4RL's levels of data, from a training made for them."""

from pathlib import Path
from typing import Any

from purejaxo2o.cli.base import Answer, say
from purejaxo2o.cli.given import literal, pairs
from purejaxo2o.cli.recording import counted, written
from purejaxo2o.data import places
from purejaxo2o.types import O2OError


def write(command: Any, name: str, policy: str) -> Answer:
    """The dataset `name` of one level, or with `policy="all"` those of every level, `name/LEVEL-v0`.

    Levels of `all` that exist already are left as they are, so that the same command goes on where it was stopped."""
    from purejaxo2o.data import folder
    from purejaxo2o.drive import levels

    task = command.task()
    if command.noise:
        raise O2OError(
            f"--noise {command.noise} and --policy {policy} exclude each other; levels have their own noise"
        )
    chosen = levels.levels_of(task.env) if policy == "all" else (policy,)
    if policy not in ("all", *levels.levels_of(task.env)):
        raise O2OError(f"{task.env.name} has no level {policy!r}; it has {', '.join(levels.levels_of(task.env))}")
    names = {level: f"{name}/{level}-v0" if policy == "all" else name for level in chosen}
    if policy != "all":
        command.check_new(name)
    for dataset in names.values():
        folder.namespace_of(dataset)
    folder.root()  # there must be a place for them before an agent is trained
    there = set() if command.overwrite else {level for level in chosen if names[level] in folder.local_ids()}
    missing = [level for level in chosen if level not in there]
    training = None
    if any(level not in levels.UNTRAINED for level in missing):
        training = _train(command, task)
    paths = [_record(command, task, level, names[level], training) for level in missing]
    answers = [written(names[level], path) for level, path in zip(missing, paths, strict=True)]
    if policy != "all":
        return answers[0]
    lines = [f"kept {names[level]}" for level in sorted(there)] + [answer.text for answer in answers]
    return Answer("\n".join(lines), {"datasets": names, "written": [answer.data for answer in answers]})


def _train(command: Any, task: Any) -> Any:
    from purejaxo2o.drive import levels
    from purejaxo2o.loop.recipe import check_phases
    from purejaxo2o.loop.settings import replace

    changes: dict[str, Any] = {} if command.train_steps is None else {"online.steps": command.train_steps}
    changes |= {name: literal(value) for name, value in pairs(command.set).items()}
    learner = replace(levels.learner(task, command.scale), changes)
    check_phases(learner)
    place = f"runs/collect-{command.source.replace('/', '-')}-{command.scale}-{command.seed}"
    out = Path(place if command.train_dir is None else command.train_dir)
    places.check_folder(out, "folder of the training (--train-dir)")
    say(f"training {learner.name} in {task.env.name}, in {out} (continued if it is there)")
    return levels.train(task, learner, command.seed, out)


def _record(command: Any, task: Any, level: str, name: str, training: Any) -> Path:
    import jax

    from purejaxo2o.disk.rows import plain
    from purejaxo2o.drive import levels

    say(f"recording {level} data of {task.env.name}")
    key = jax.random.fold_in(jax.random.key(command.seed), levels.LEVELS.index(level))
    steps, num_envs = command.sizes(task.env, parts=2 if level == "medium-expert" else 1)
    rows = levels.record(task, level, training, key, steps=steps, num_envs=num_envs)
    reference = None if task.raw else (float(task.score_low), float(task.score_high))
    if reference is None and training is not None:
        reference = (training.random_return, float(training.returns[-1]))
    noted = {"level": level, "steps": int(rows.size), "num_envs": num_envs, **counted(rows, task.env, reference)}
    maker = level
    if training is not None and level not in levels.UNTRAINED:
        maker = type(training.agent).__name__
        noted["training"] = {
            "agent": maker,
            "settings": plain(vars(training.agent)),
            "scale": command.scale,
            **levels.policy_scores(training, level),
        }
    return command.export(rows, name, task.env, kind=f"{level} data", maker=maker, noted=noted, reference=reference)
