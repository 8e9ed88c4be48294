"""Naive fine-tuning: pre-train, then plain SAC on what it collects (the failure arXiv 2412.07762 starts from).

Phases: offline Cal-QL exactly as `recipes/cal_ql.py`; then SAC from the first online step on, one update per
step, on a store that holds only what was just collected: neither offline data nor warm-up, neither ensemble nor
LayerNorm. Everything learned is carried over; what changes in the agent is what changes in WSRL's (the penalty goes,
and with it the best of 10 next actions outside of mazes), and the policy falls: values of actions outside the few new
rows are unanchored the moment the data that held them is gone. The control group of every hand-over.

Defaults, deviations and small scale as `recipes/cal_ql.py`. Cost per update relative to IQL, counted in network
passes: 13 offline, 1.0 online (mazes 2.2).
"""

from dataclasses import replace

from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.task import Task
from purejaxo2o.recipes import cal_ql, wsrl


def build(task: Task, scale: str) -> Recipe:
    recipe = cal_ql.build(task, scale)
    offline, _, online = recipe.phases
    online = replace(online, mix="online", agent={**online.agent, **wsrl.plain_sac(task.domain)})
    return replace(recipe, name="naive", phases=(offline, online))
