"""Methods by name, one paper a file. A builder takes a task and a scale and returns a `Recipe`.

`scale="paper"` is the published protocol of the task's domain; `scale="small"` the same method with small
networks and budgets that a laptop runs in a minute or two (each docstring says what was cut).
"""

from collections.abc import Callable
from typing import Literal

from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import (
    awac,
    bc,
    boorl,
    bppo,
    cal_ql,
    cql,
    dqn,
    edac,
    famo2o,
    fql,
    h2o,
    hac,
    hnpg,
    hyq,
    iql,
    jsrl,
    moorl,
    naive,
    off2on,
    pex,
    ppo,
    ppo_il,
    props,
    proto,
    qc,
    rebrac,
    rlpd,
    ro2o,
    sac,
    so2,
    spot,
    td3_bc,
    uni_o4,
    wsrl,
)
from purejaxo2o.tasks import Named, as_task
from purejaxo2o.types import O2OError, nearest

Scale = Literal["small", "paper"]

RECIPES: dict[str, Callable[[Task, Scale], Recipe]] = {
    "bc": bc.build,
    "sac": sac.build,
    "iql": iql.build,
    "cql": cql.build,
    "cal_ql": cal_ql.build,
    "rlpd": rlpd.build,
    "wsrl": wsrl.build,
    "naive": naive.build,
    "td3_bc": td3_bc.build,
    "rebrac": rebrac.build,
    "awac": awac.build,
    "edac": edac.build,
    "spot": spot.build,
    "pex": pex.build,
    "so2": so2.build,
    "boorl": boorl.build,
    "h2o": h2o.build,
    "moorl": moorl.build,
    "jsrl": jsrl.build,
    "ppo": ppo.build,
    "ppo_il": ppo_il.build,
    "props": props.build,
    "dqn": dqn.build,
    "hyq": hyq.build,
    "fql": fql.build,
    "qc": qc.build,
    "famo2o": famo2o.build,
    "famo2o_awac": famo2o.build_awac,
    "proto": proto.build,
    "ro2o": ro2o.build,
    "off2on": off2on.build,
    "bppo": bppo.build,
    "uni_o4": uni_o4.build,
    "hnpg": hnpg.build,
    "hac": hac.build,
}


def recipe(name: str, task: Task | Named, scale: Scale = "paper") -> Recipe:
    """The recipe called `name` with its defaults for the task's domain. task: also by name, as in `o2o.task`."""
    if name not in RECIPES:
        raise O2OError(f"unknown recipe {name!r}; {nearest(name, RECIPES)}")
    if scale not in ("small", "paper"):
        raise O2OError(f"unknown scale {scale!r}; use 'small' or 'paper'")
    return RECIPES[name](as_task(task), scale)


def names() -> tuple[str, ...]:
    """Every recipe that `recipe` knows."""
    return tuple(RECIPES)


def summary(name: str) -> str:
    """The first line of the recipe's file."""
    return (__import__(RECIPES[name].__module__, fromlist=["x"]).__doc__ or "").strip().splitlines()[0]
