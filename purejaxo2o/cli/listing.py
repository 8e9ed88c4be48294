"""`purejaxo2o list`: the names that the other commands take."""

import dataclasses
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from purejaxo2o.cli.base import Answer, Command, show
from purejaxo2o.spelling import shown
from purejaxo2o.types import O2OError


@dataclasses.dataclass(frozen=True, kw_only=True)
class List(Command):
    """Show the recipes, tasks, environments and datasets that the other commands take by name, or the settings of a
    recipe: purejaxo2o list settings iql"""

    kind: Positional[Literal["all", "recipes", "tasks", "envs", "datasets", "settings"]] = "all"
    """What to list."""
    recipe: Annotated[Positional[str | None], arg(metavar="RECIPE", help_behavior_hint="(with settings)")] = None
    """Whose settings, e.g. iql: what --set and --over take, with the values of --scale paper and small."""

    def run(self) -> Answer:
        if self.kind == "settings":
            rows = _settings(self.recipe)
            text = show([{name: _text(value) for name, value in row.items()} for row in rows])
            return Answer(f"settings of {self.recipe}\n{text}", {"settings": rows})
        if self.recipe is not None:
            raise O2OError(f"list {self.kind} takes no name; drop {shown(self.recipe)}")
        makers = {"recipes": _recipes, "tasks": _tasks, "envs": _envs, "datasets": _datasets}
        chosen = makers if self.kind == "all" else {self.kind: makers[self.kind]}
        found = {kind: make() for kind, make in chosen.items()}
        return Answer("\n\n".join(f"{kind}\n{show(rows)}" for kind, rows in found.items()), found)


def _recipes() -> list[dict[str, Any]]:
    from purejaxo2o.loop.prepare import offline_needs
    from purejaxo2o.recipes import names, recipe, summary
    from purejaxo2o.tasks import task

    maze, found = task("pointmaze-umaze"), []
    for name in names():
        made = recipe(name, maze)
        needs = ["dataset"] * made.uses_offline
        found.append(
            {
                "recipe": name,
                "description": summary(name),
                "actions": _actions(made.agent),
                "needs": ", ".join([*needs, *offline_needs(made)]) or "-",
                "after the switch": _afterwards(made),
            }
        )
    return found


def _settings(name: str | None) -> list[dict[str, Any]]:
    """Every setting of a recipe, with its values at both scales."""
    from purejaxo2o.disk.rows import plain
    from purejaxo2o.loop.settings import names
    from purejaxo2o.recipes import recipe
    from purejaxo2o.tasks import task

    if name is None:
        raise O2OError("list settings needs a recipe, e.g. purejaxo2o list settings iql")
    paper, small = (plain(names(recipe(name, task("pointmaze-umaze"), scale))) for scale in ("paper", "small"))
    both = {name: (paper.get(name), small.get(name)) for name in {**paper, **small}}
    return [{"setting": name, "paper": one, "small": other} for name, (one, other) in both.items()]


def _text(value: Any) -> str:
    """As `--set` takes it: numbers with all their digits, a tuple with its brackets."""
    return repr(tuple(value)).replace(" ", "") if isinstance(value, list | tuple) else str(value)


def _actions(agent: Any) -> str:
    """Which action spaces the agent takes."""
    import jax

    from purejaxo2o.types import Space, Spaces

    taken = []
    for kind, action in (("box", Space(shape=(2,))), ("discrete", Space(n=3))):
        try:
            jax.eval_shape(lambda key, action=action: agent.init(key, Spaces(Space(shape=(3,)), action)), _key())
            taken.append(kind)
        except O2OError:
            continue
    return ", ".join(taken)


def _key() -> Any:
    import jax

    return jax.ShapeDtypeStruct((), jax.random.key(0).dtype)


def _afterwards(recipe: Any) -> str:
    """What minibatches are made of once it acts, and which settings change."""
    acting = [phase for phase in recipe.phases if phase.acts]
    if not acting:
        return "-"
    last = acting[-1]
    rows = {
        "online": "replay only",
        "offline": "dataset only",
        "fraction": f"{last.offline_fraction:.0%} dataset",
        "ratio": f"{last.offline_ratio:.0%} dataset, by chance",
        "by_size": "dataset and replay alike",
        "prioritised": "dataset and replay by priority",
    }
    changed = sorted(last.agent)
    waits = [f"{phase.steps:,} {phase.act} steps first" for phase in acting if not phase.updates]
    rolled = f"the last {last.history + last.rollout:,} steps" if last.history else "fresh rollouts"
    fed = {"sampled": rows[last.mix], "rollout": rolled, "both": f"{rolled}, {rows[last.mix]}"}
    return "; ".join([fed[last.feed], *waits, *([f"changes {', '.join(changed)}"] if changed else [])])


def _tasks() -> list[dict[str, Any]]:
    from purejaxo2o.tasks import names, task

    made = [task(name) for name in names()]
    return [
        {"task": t.name, "environment": t.env.name, "steps per episode": t.env.horizon, "dataset": t.dataset}
        for t in made
    ]


def _envs() -> list[dict[str, Any]]:
    from purejaxo2o import envs
    from purejaxo2o.envs.toy import TOYS

    open_ended = "host/<gymnasium id>"

    def described(name: str) -> str:
        """The problem's own first line where it has one, else its family's."""
        text = TOYS[name].__doc__ if name in TOYS else envs.family(name).__doc__
        return (text or "").strip().splitlines()[0]

    return [{"environment": name, "description": described(name)} for name in (*envs.names(), open_ended)]


def _datasets() -> list[dict[str, Any]]:
    from purejaxo2o.data import embedded, folder

    here = folder.local_ids()
    made = {
        name: {"steps": plan.steps, "description": f"{plan.place}, {plan.kind} recording"}
        for name, plan in embedded.EMBEDDED.items()
    }
    found = {name: _local(name) for name in here}
    return [
        {"dataset": name, "here": "yes" if name in here else "made on first use", **(made | found)[name]}
        for name in sorted(made | found)
    ]


def _local(name: str) -> dict[str, Any]:
    """What the dataset's metadata.json says; nothing else of it is opened."""
    from purejaxo2o.data import folder

    try:
        said = folder.described(name)
    except O2OError as error:  # one damaged dataset must not hide the others
        return {"steps": None, "description": str(error)}
    recorded = said.env_spec.id if said.env_spec else None
    lines = str(said.raw.get("description") or recorded or "-").strip().splitlines()
    first = "".join(c if c.isprintable() else " " for c in lines[0]) if lines else "-"
    return {"steps": said.steps, "description": first}
