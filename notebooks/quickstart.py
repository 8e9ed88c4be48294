# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # purejaxo2o in ten minutes
#
# Learn from a recorded dataset first, then go on by acting: offline-to-online reinforcement learning. Here a whole
# run (offline phase, hand-over, online phase, evaluations) is one pure function of a random key, so it compiles to
# one program, and many seeds are one `vmap`.
#
# Where the package is missing, on Colab say, the next cell installs it from the checkout that this notebook lies in.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("purejaxo2o") is None:
    if not Path("../pyproject.toml").exists():
        raise FileNotFoundError("copy the whole checkout of purejaxo2o, and open notebooks/quickstart.ipynb in it")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", ".."], check=True)

# %%
import os
import time

import jax
from IPython.display import Image, display

import purejaxo2o as o2o
from purejaxo2o.data import embedded
from purejaxo2o.figures import plots, render, stats
from purejaxo2o.figures.tables import table
from purejaxo2o.figures.trajectories import of_dataset, of_policy

FAST = os.environ.get("PUREJAXO2O_NOTEBOOK_FAST") == "1"  # the smallest run that shows everything, for the tests
SEEDS = 2 if FAST else 4
OUT = Path("quickstart-pictures")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## The task and its data
#
# A ball is pushed through a maze to a goal; reaching it gives reward 1 and ends the episode, so the score is the
# percentage of episodes that arrive. The data are 50,000 steps of a slow driver, a lost one and random pushes. They
# are made on first use and kept as a Minari dataset.

# %%
task = o2o.task("pointmaze-umaze")
data = embedded.generate(task.dataset, seed=0, steps=3000) if FAST else o2o.dataset(task)
print(f"{task.name}: {task.env.name}, observations {task.env.obs_space}, actions {task.env.action_space}")
print(f"{int(data.size):,} recorded steps:", embedded.statistics(data))

# %%
recorded = of_dataset(data, 60)
picture = render.maze_trajectories(
    task.env, recorded.positions, OUT / "dataset.png", title=f"dataset: {recorded.reached.mean():.0%} arrive"
)
display(Image(picture, width=360))

# %% [markdown]
# ## A recipe
#
# A recipe is a paper's method by name: an agent and its phases. IQL learns from the data, then goes on with data and
# experience mixed. `scale="paper"` is the published protocol; `"small"` fits a laptop. `o2o.recipes()` lists the
# others: try `"wsrl"`, which scores higher here and takes longer.

# %%
recipe = o2o.recipe("iql", task, scale="small")
if FAST:
    short = {"offline.steps": 500, "offline.segments": 2, "online.steps": 400, "online.segments": 2}
    recipe = o2o.replace(recipe, short | {"eval_episodes": 4})
print(table([{"phase": p.name, "steps": p.steps, "who acts": p.act, "fed from": p.mix} for p in recipe.phases]))

# %% [markdown]
# ## One run is one function call
#
# Compiling takes longer than running; the second call with the same shapes only runs.

# %%
began = time.perf_counter()
result = jax.block_until_ready(jax.jit(o2o.train)(jax.random.key(0), recipe, task, data))
print(f"compiled and ran in {time.perf_counter() - began:.0f} s")
print(f"score before any training: {result.scores[0]:.0f}")
print(f"... after the offline phase: {result.scores[result.switch]:.0f}")
print(f"... after the online phase:  {result.scores[-1]:.0f}")

# %% [markdown]
# ## Many seeds are one `vmap`
#
# The dataset is shared by all of them, never copied.

# %%
keys = jax.random.split(jax.random.key(0), SEEDS)
train_seeds = jax.jit(jax.vmap(o2o.train, in_axes=(0, None, None, None)))
results = jax.block_until_ready(train_seeds(keys, recipe, task, data))
print("final scores by seed:", results.scores[:, -1])

# %% [markdown]
# The learning curve, with a 95 % bootstrap band over the seeds: gradient steps while offline on the left, steps in
# the environment on the right.

# %%
picture = plots.learning_curves({"iql": plots.curve(results)}, OUT / "curve.png", title=task.name)
display(Image(picture, width=720))

# %% [markdown]
# What the hand-over cost: the score at the switch, how far it fell after it (the dip), and where it ended.

# %%
figures = ["method", "seeds", "score_at_switch", "lowest", "dip", "final", "regret"]
print(table(stats.summary({"iql": results}), figures))

# %% [markdown]
# ## The trained policy acts
#
# `act(obs, key)` is a pure function again: jit it, batch it, export it.

# %%
best = int(results.scores[:, -1].argmax())
act = jax.jit(results.policy(seed=best))
state, obs = task.env.reset(jax.random.key(1))
print("observation", obs, "-> action", act(obs, jax.random.key(2)))

# %%
driven = of_policy(task.env, results.policy(seed=best), jax.random.key(3), episodes=6)
picture = render.maze_trajectories(
    task.env,
    driven.positions,
    OUT / "policy.png",
    goals=driven.goals,
    title=f"trained policy: {driven.reached.sum()} of {len(driven.reached)} arrive",
)
display(Image(picture, width=360))

# %% [markdown]
# ## From here
#
# The same from a shell, with progress, checkpoints and a run folder:
#
# ```
# purejaxo2o train wsrl pointmaze-umaze --scale small --seeds 4
# purejaxo2o evaluate runs/wsrl-pointmaze-umaze-small
# ```
#
# Any numeric setting can be swept together with the seeds: `o2o.sweep(recipe, task, data, seeds=4,
# over={"agent.expectile": [0.7, 0.9]})`.
