"""`--dry-run`: what would be trained, told from shapes alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from purejaxo2o.cli.base import Answer, show


def plan(whole: Any, task: Any, out: Path, *, dataset: str | None) -> Answer:
    """What a `grid.Grid` of runs on a task would be: phases, sizes, memory before temporaries, folder."""
    from purejaxo2o.disk.rows import plain
    from purejaxo2o.drive.memory import size
    from purejaxo2o.loop import settings

    phases = [_phase(phase) for phase in whole.recipe.phases]
    needs, lanes, programs = _needs(whole.recipe, task, dataset), whole.lanes, len(whole.programs())
    axes = [f"{len(values)} of {name}" for name, values in whole.over.items()]
    count = lanes * programs
    lines = {
        "recipe": f"{whole.recipe.name}, {type(whole.recipe.agent).__name__}",
        "task": f"{task.name}: {task.env.name}, observations {task.env.obs_space}, actions {task.env.action_space}",
        "dataset": _dataset(dataset, needs),
        "runs": f"{count:,}: {' x '.join([*axes, f'{len(whole.keys):,} seeds'])}, in {_many(programs, 'program')}",
        "a run": f"learner {size(needs['learner'])}, replay {size(needs['replay'])}, the rest {size(needs['rest'])}",
        "memory": f"{size(count * needs['run'] + (needs['dataset'] or 0))} for all at once, temporaries apart",
        "evaluation": f"{whole.recipe.eval_episodes} episodes after each segment",
        "folder": f"{out}{' (there already)' if out.exists() else ''}",
    }
    text = "\n".join([*(f"{name:<11} {line}" for name, line in lines.items()), show(phases)])
    data = {
        **{"recipe": whole.recipe.name, "task": task.name, "dataset": dataset, "out": str(out), "runs": count},
        **{"programs": programs, "bytes": needs, "phases": phases, "over": plain(whole.over)},
        "settings": plain(settings.names(whole.recipe)),
    }
    return Answer(text, data)


def plan_study(study: Any, members: Sequence[Any], out: Path) -> Answer:
    """The sweeps of a study."""
    from purejaxo2o.disk.rows import plain
    from purejaxo2o.drive import grid
    from purejaxo2o.drive.sweep import seed_keys

    rows = []
    for member in members:
        whole = grid.make(member.recipe, seed_keys(study.seeds), member.over)
        programs = len(whole.programs())
        rows.append(
            {
                "task": member.task.name,
                "recipe": member.recipe.name,
                "runs": whole.lanes * programs,
                "programs": programs,
                "steps": sum(phase.steps for phase in member.recipe.phases),
                "folder": member.folder,
            }
        )
    text = f"{show(rows)}\nruns would go to {out}{' (there already)' if out.exists() else ''}"
    over = {member.folder: plain(member.over) for member in members}
    return Answer(text, {"out": str(out), "seeds": study.seeds, "seed0": study.seed0, "members": rows, "over": over})


def _phase(phase: Any) -> dict[str, Any]:
    changed = sorted(phase.agent)
    samples = phase.samples
    return {
        "phase": phase.name,
        "steps": phase.steps,
        "segments": phase.segments,
        "acts": phase.act,
        "updates": phase.updates,
        "batch": phase.batch_size if samples else None,
        "learns from": phase.mix if samples else phase.feed if phase.updates else "-",
        "changes": ", ".join(changed) or "-",
    }


def _needs(recipe: Any, task: Any, dataset: str | None) -> dict[str, Any]:
    """Bytes of a run and of the dataset, from shapes; None for a dataset whose size only reading it tells."""
    import jax

    from purejaxo2o.drive.memory import nbytes
    from purejaxo2o.loop.env import spaces
    from purejaxo2o.loop.prepare import offline_needs
    from purejaxo2o.train import init
    from purejaxo2o.types import transition_example

    rows = _rows(dataset)
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    run = jax.eval_shape(lambda key: init(key, recipe, task, rows or 0), key)
    row = nbytes(transition_example(spaces(task.env), offline_needs(recipe)))
    whole, learner, replay = nbytes(run), nbytes(run.agent), nbytes(run.store)
    parts = {"run": whole, "learner": learner, "replay": replay, "rest": whole - learner - replay}
    return parts | {"dataset": rows * row if rows else (0 if dataset is None else None), "dataset_rows": rows}


def _rows(dataset: str | None) -> int | None:
    """How many rows a dataset has, where its description says so."""
    from purejaxo2o.data import embedded, folder, minari

    if dataset in folder.local_ids():
        return minari.info(str(dataset)).steps
    return embedded.EMBEDDED[dataset].steps if dataset in embedded.EMBEDDED else None


def _dataset(name: str | None, needs: dict[str, Any]) -> str:
    from purejaxo2o.data import folder
    from purejaxo2o.drive.memory import size

    if name is None:
        return "none is used"
    rows = needs["dataset_rows"]
    described = f"{name}, {rows:,} rows, {size(needs['dataset'])}" if rows else name
    return described if not rows or name in folder.local_ids() else f"{described}, made on first use"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
