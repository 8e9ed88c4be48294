"""Where the time of a segment goes: each part compiled on its own and run in turns with the whole.

The whole is `train.segment` and `evaluate.judge` of the online phase on `toy/reach`, an environment that costs next
to nothing, with 2 x 256 networks and minibatches of 256. The parts, each a scan as long as the segment's:
`agent.update` on minibatches that lie ready; acting and stepping; adding to and sampling from the stores; and one
evaluation. What the segment takes beyond updates, environment and evaluation is its overhead: stores, metrics, keys,
the loop.
"""

import sys
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

import purejaxo2o as o2o
from experiments.benchmarks.measure import Program, build, race
from experiments.benchmarks.rows import Row, row
from purejaxo2o import envs
from purejaxo2o.data.collect import collect, random_policy
from purejaxo2o.loop import rollout, store
from purejaxo2o.loop.evaluate import judge, standing
from purejaxo2o.loop.feeds import sample
from purejaxo2o.loop.prepare import prepare
from purejaxo2o.tasks.evaluate import evaluate
from purejaxo2o.train import Run, enter, init, segment
from purejaxo2o.types import Array

RECIPES = {"iql": 1_000, "rlpd": 100}
"""Steps of the segment: a second or a few of either."""
WIDE = {"agent.hidden": (256, 256), "agent.actor_hidden": (256, 256)}
STEPPED = ("toy/reach", "maze/PointMaze_UMaze-v3", "gymnax/Pendulum-v1", "brax/hopper")
SIDE_BY_SIDE = 64
READY = 64
"""Minibatches that lie ready. Learning one by heart would end in gradients so small that a CPU is slow with them."""
LOOPED = ("reach", "pointmaze-umaze", "pendulum")


def rows(*, quick: bool = False) -> list[Row]:
    """Shares of a segment, then environment steps a second."""
    found = []
    for name in list(RECIPES)[:1] if quick else RECIPES:
        print(f"parts: {name}", file=sys.stderr, flush=True)
        found += _segment(name, quick)
    return found + _environments(quick)


def settled(name: str, quick: bool) -> tuple[o2o.Recipe, o2o.Task, Any]:
    """The recipe with one online segment on `toy/reach`, and data for it."""
    task = o2o.task("reach")
    recipe = o2o.recipe(name, task)
    changes: dict[str, Any] = dict(WIDE) if not quick else {"agent.hidden": (8,), "agent.actor_hidden": (8,)}
    steps = 20 if quick else RECIPES[name]
    changes |= {"eval_episodes": 20}
    for phase in recipe.phases:
        changes |= {f"{phase.name}.segments": 1, f"{phase.name}.steps": steps}
    if name == "rlpd":
        changes |= {"online.updates": 1 if quick else 2}
    policy = random_policy(task.env.action_space)
    data = collect(task.env, policy, jax.random.key(1), steps=500 if quick else 10_000, num_envs=10)
    return o2o.replace(recipe, changes), task, data


def _segment(name: str, quick: bool) -> list[Row]:
    recipe, task, data = settled(name, quick)
    last = len(recipe.phases) - 1
    spec = recipe.phases[last]
    prepared = prepare(recipe, task, data)
    run = jax.jit(lambda key: init(key, recipe, task))(jax.random.key(0))
    for index, phase in enumerate(recipe.phases):  # a replay store with rows in it
        run = enter(run, recipe, phase=index)
        if phase.acts:
            filled = jax.jit(lambda run, data, index=index: segment(run, recipe, task, data, phase=index)[0])
            run = filled(run, prepared)
    programs = _programs(run, recipe, task, prepared, last)
    times = race(programs)
    whole, count = times["segment"], spec.iterations(recipe.num_envs)
    compile_seconds = {part: program.compile_seconds for part, program in programs.items()}

    def share(label: str, seconds: float, part: str | None = None, **more: Any) -> Row:
        compiled = None if part is None else compile_seconds[part]
        return row(
            "parts", f"{name}: {label}", seconds / whole, "share of a segment", compiled, seconds=seconds, **more
        )

    def each(label: str, seconds: float, part: str) -> Row:
        return row("parts", f"{name}: {label}", 1e6 * seconds / count, "us an iteration", compile_seconds[part])

    metrics = times["updates and metrics"] - times["updates"]
    # XLA fuses the two loops differently, and the one with less to do may be the slower one.
    bare = min(times["updates"], times["updates and metrics"])
    known = bare + times["environment"] + times["evaluation"]
    overhead = f"Overhead of a segment ({name}): outside updates, environment and evaluation"
    beyond = f"A whole {name} segment over its bare updates, cheap environment"
    return [
        row("parts", f"{name}: segment", whole, "s", compile_seconds["segment"], iterations=count),
        share("updates", times["updates"], "updates"),
        share("acting and stepping", times["environment"], "environment"),
        share("evaluation", times["evaluation"], "evaluation", episodes=recipe.eval_episodes),
        share("stores, adding and sampling", times["stores"], "stores"),
        share("metrics", metrics),
        share("outside updates, environment and evaluation", whole - known, headline=overhead),
        row("parts", f"{name}: beyond bare updates", (whole - bare) / bare, "share of the updates", headline=beyond),
        each("stores, adding and sampling", times["stores"], "stores"),
        each("acting and stepping", times["environment"], "environment"),
    ]


def _programs(run: Run, recipe: o2o.Recipe, task: o2o.Task, data: Any, index: int) -> dict[str, Program]:
    """The segment and its parts, each as long as the segment."""
    spec = recipe.phases[index]
    agent, count = recipe.agent_in(spec), spec.iterations(recipe.num_envs)
    draw = jax.jit(jax.vmap(lambda run, data, key: sample(run, recipe, spec, data, key), (None, None, 0)))
    ready, key = draw(run, data, jax.random.split(jax.random.key(2), READY)), jax.random.key(3)
    batches = jax.tree.map(lambda x: x[0], ready)

    def updates(state: Any, ready: Any, *, metrics: bool) -> Any:
        shapes = jax.eval_shape(agent.update, state, batches, key)[1]

        def body(carry: Any, step: Array) -> tuple[Any, None]:
            own = jax.tree.map(lambda x: x[step % READY], ready)
            state, new = agent.update(carry[0], own, jax.random.fold_in(key, step))
            return (state, jax.tree.map(jnp.add, carry[1], new) if metrics else carry[1]), None

        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.scan(body, (state, zeros), jnp.arange(count))[0]

    def environment(run: Run) -> Any:
        def body(carry: Any, step: Array) -> tuple[Any, None]:
            env, obs, length, _ = carry
            key_act, key_step = jax.random.split(jax.random.fold_in(key, step))
            action = agent.act(run.agent, obs, key_act, explore=True)
            env, obs, new, _ = rollout.step(task.env, env, obs, action, key_step, starts, length=length)
            return (env, obs, jnp.where(new.last, 0, length + 1), new.reward), None

        starts = rollout.pool(task.env, key)
        length = jnp.zeros(recipe.num_envs, jnp.int32) if run.episodes is None else run.episodes.length
        return jax.lax.scan(body, (run.env, run.obs, length, jnp.zeros(recipe.num_envs)), jnp.arange(count))[0]

    def stores(run: Run, data: Any, batches: Any) -> Any:
        def body(carry: Any, step: Array) -> tuple[Any, None]:
            run, last = carry
            first = jax.tree.map(lambda x: x[0, : recipe.num_envs], last)
            assert run.store is not None
            extras = dict.fromkeys(run.store.data.extras, first.reward)
            run = replace(run, store=store.add(run.store, first._replace(extras=extras)))
            return (run, sample(run, recipe, spec, data, jax.random.fold_in(key, step))), None

        return jax.lax.scan(body, (run, batches), jnp.arange(count))[0]

    def evaluation(state: Any) -> Any:
        def act(obs: Array, key: Array) -> Array:
            return agent.act(state, obs, key, explore=False)

        return evaluate(act, task.eval_env, key, episodes=recipe.eval_episodes)

    def whole(run: Run, data: Any) -> Any:
        run, record = segment(run, recipe, task, data, phase=index)
        return run, record, judge(run.key, agent, standing(run), task, episodes=recipe.eval_episodes)

    return {
        "segment": build(whole, run, data),
        "updates": build(lambda s, b: updates(s, b, metrics=False), run.agent, ready),
        "updates and metrics": build(lambda s, b: updates(s, b, metrics=True), run.agent, ready),
        "environment": build(environment, run),
        "stores": build(stores, run, data, batches),
        "evaluation": build(evaluation, run.agent),
    }


def _environments(quick: bool) -> list[Row]:
    """Steps a second of environments alone, resets included, one and many side by side; then in the training loop."""
    found = []
    for name in STEPPED[:1] if quick else STEPPED:
        print(f"parts: {name}", file=sys.stderr, flush=True)
        env = envs.make(name)
        for count in (1, SIDE_BY_SIDE):
            steps = 20 if quick else 200 if env.pooled_resets else 10_000
            program = build(_stepping(env, count, steps), jax.random.key(0))
            rate = steps * count / race({name: program})[name]
            found.append(row("parts", f"{name} alone", rate, "steps/s", program.compile_seconds, environments=count))
    return found + [_in_the_loop(name, quick) for name in (LOOPED[:1] if quick else LOOPED)]


def _stepping(env: envs.Env, count: int, steps: int) -> Any:
    """`steps` random steps of `count` environments."""

    def function(key: Array) -> Any:
        starts = rollout.pool(env, key)

        def body(carry: Any, step: Array) -> tuple[Any, None]:
            env_state, obs, length, total = carry
            key_act, key_step = jax.random.split(jax.random.fold_in(key, step))
            action = rollout.random_action(env.action_space, key_act, (count,))
            env_state, obs, new, _ = rollout.step(env, env_state, obs, action, key_step, starts, length=length)
            return (env_state, obs, jnp.where(new.last, 0, length + 1), total + new.reward), None

        env_state, obs = rollout.reset(env, key, count)
        begun = (env_state, obs, jnp.zeros(count, jnp.int32), jnp.zeros(count))
        return jax.lax.scan(body, begun, jnp.arange(steps))[0]

    return function


def _in_the_loop(name: str, quick: bool) -> Row:
    """Steps a second of a phase that acts with the policy, records and never updates."""
    task = o2o.task(name)
    steps = 20 if quick else 10_000
    recipe = o2o.recipe("sac", task, scale="small")
    changes = {"online.updates": 0, "online.steps": steps, "online.segments": 1}
    recipe = o2o.replace(recipe, changes)
    run = jax.jit(lambda key: init(key, recipe, task))(jax.random.key(0))
    last = len(recipe.phases) - 1
    program = build(lambda run: segment(run, recipe, task, None, phase=last), run)
    rate = steps / race({name: program})[name]
    return row("parts", f"{name} in the training loop", rate, "steps/s", program.compile_seconds, environments=1)
