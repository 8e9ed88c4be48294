"""Naive fine-tuning: pre-train, then plain SAC on what it collects (the failure arXiv 2412.07762 starts from).

Phases: offline Cal-QL exactly as `recipes/cal_ql.py`; then SAC from the first online step on, one update per
step, on a store that holds only what was just collected: neither offline data nor warm-up, neither ensemble nor
LayerNorm. Everything learned is carried over (`conservative=False` drops the penalty, as in WSRL), and the policy
falls: values of actions outside the few new rows are unanchored the moment the data that held them is gone.
The control group of every hand-over.

Defaults and small scale as `recipes/cal_ql.py`. Cost per update relative to IQL, counted in network passes: 12
offline, 1.0 online.
"""

from dataclasses import replace

from purejaxo2o.phases import Recipe
from purejaxo2o.recipes import cal_ql
from purejaxo2o.tasks import Task


def build(task: Task, scale: str) -> Recipe:
    recipe = cal_ql.build(task, scale)
    offline, _, online = recipe.phases
    online = replace(online, mix="online", override_static=(("conservative", False),))
    return replace(recipe, name="naive", phases=(offline, online))
