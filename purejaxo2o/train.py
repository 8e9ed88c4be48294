"""A whole run: offline, hand-over, online and evaluation as one pure function.

`train` composes `prepare`, `init`, `enter`, `segment` and `judge`; the host driver (`fit.py`) calls the same five.
Nothing here touches the host, and no random number depends on anything but the root key, the stream and a counter.
A loop of one's own may call them too: see `help(purejaxo2o)`.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from purejaxo2o.loop import priorities, rollout, store
from purejaxo2o.loop.agent import check_phase
from purejaxo2o.loop.env import spaces
from purejaxo2o.loop.evaluate import Standing, judge_all, standing
from purejaxo2o.loop.evaluate import judge as judge_standing
from purejaxo2o.loop.feeds import feed, reconsider, roll
from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.prepare import check, check_settings, online_needs, prepare, ready, rows_of
from purejaxo2o.loop.recipe import Recipe, check_phases
from purejaxo2o.loop.result import PARAMETERS, Fault, Record, Result, assemble, averages, no_fault, told
from purejaxo2o.loop.run import Run
from purejaxo2o.loop.seeds import one_key
from purejaxo2o.loop.store import Store
from purejaxo2o.loop.streams import ENTER, INIT, ITERATE, STARTS, stream
from purejaxo2o.loop.task import Task
from purejaxo2o.types import Array, Metrics, transition_example, tree_finite, tree_where, vary_like


def train(key: Array, recipe: Recipe, task: Task, dataset: Store | None = None) -> Result:
    """Run all phases of `recipe` on `task`. Pure; `jit` it, `vmap` it over keys or any numeric setting.

    dataset: unbatched rows shared by every seed (`o2o.dataset(task)`); None for recipes that need none.
    Raises `O2OError` while tracing for whatever does not fit together.
    """
    key = one_key(key)
    check(recipe, task, dataset)
    dataset = prepare(recipe, task, dataset)
    inputs = key, recipe, task, dataset
    run = vary_like(init(key, recipe, task, dataset), inputs)
    seen = [jax.tree.map(lambda x: x[None], (standing(run), record(run, {})))]
    for index, phase in enumerate(recipe.phases):
        run = vary_like(enter(run, recipe, phase=index), inputs)

        def body(run: Run, _: None, index: int = index) -> tuple[Run, tuple[Standing, Record]]:
            run, new = segment(run, recipe, task, dataset, phase=index)
            return run, (standing(run), new)

        run, new = jax.lax.scan(body, run, length=phase.segments)
        seen.append(new)
    agents = [recipe.agent_in(phase) for phase in (recipe.phases[0], *recipe.phases)]
    returns = judge_all(key, agents, [standings for standings, _ in seen], task, episodes=recipe.eval_episodes)
    parts = [replace(told(record), returns=some) for (_, record), some in zip(seen, returns, strict=True)]
    return assemble(run, recipe, task, parts)


def init(key: Array, recipe: Recipe, task: Task, offline: Store | int | None = None) -> Run:
    """Fresh agent, environments and an empty store. offline: the dataset or its number of rows, which count where
    rows are drawn by priority. Raises `O2OError` for settings that do not fit."""
    check_phases(recipe)
    check_settings(recipe)
    key_agent, key_env = jax.random.split(stream(key, INIT, 0))
    agent = recipe.agent.init(key_agent, spaces(task.env))
    zero = jnp.int32(0)
    env = obs = memory = episodes = replay = order = None
    if recipe.capacity:
        memory = recipe.agent.begin(agent, recipe.num_envs)
        env, obs = rollout.reset(task.env, key_env, recipe.num_envs)
        episodes = rollout.begin(recipe.num_envs)
        example = transition_example(spaces(task.env), online_needs(recipe))
        replay = store.empty(example, rows=recipe.capacity, envs=recipe.num_envs)
    if recipe.prioritised:
        rows = offline if isinstance(offline, int) else rows_of(offline)
        order = priorities.empty(rows, recipe.capacity * recipe.num_envs)
    return Run(
        key=key,
        agent=agent,
        env=env,
        obs=obs,
        memory=memory,
        episodes=episodes,
        store=replay,
        priorities=order,
        iteration=zero,
        env_steps=zero,
        grad_steps=zero,
        segment=zero,
        fault=no_fault(),
    )


def enter(run: Run, recipe: Recipe, *, phase: int) -> Run:
    """The boundary before phase `phase`: the agent's `enter`, and clearing the store if the phase says so."""
    phase = recipe.place_of(phase)
    spec = recipe.phases[phase]
    check_phase(recipe.agent_in(spec), spec, recipe.num_envs)
    agent = recipe.agent_in(spec).enter(run.agent, stream(run.key, ENTER, phase), recipe.boundary(phase))
    replay, order = run.store, run.priorities
    if spec.store == "clear" and replay is not None:
        replay = Store(data=replay.data, size=jnp.int32(0), head=jnp.int32(0))
    if order is not None and replay is not None and recipe.reorders(phase):
        order = priorities.begin(order, replay.size * replay.envs, spec.offline_ratio)
    return replace(run, agent=agent, store=replay, priorities=order)


def segment(run: Run, recipe: Recipe, task: Task, dataset: Store | None, *, phase: int) -> tuple[Run, Record]:
    """One equal part of a phase: the unit of compilation, logging, saving and resuming.

    dataset: as `prepare` gives it. The record has no returns (`judge` finds them), and a `train_return` of 0 where no
    episode ended. Raises `O2OError` while tracing for a dataset that nobody prepared, or whose arrays do not fit."""
    phase = recipe.place_of(phase)
    spec = recipe.phases[phase]
    dataset = ready(recipe, spec, dataset)
    count = spec.iterations(recipe.num_envs)
    after, metrics, fault = advance(run, recipe, task, dataset, phase=phase, count=count)
    run = replace(_freeze(run, after, fault, learned=spec.updates > 0), segment=run.segment + 1)
    return run, record(run, metrics)


def advance(
    run: Run, recipe: Recipe, task: Task, dataset: Store | None, *, phase: int, count: int
) -> tuple[Run, Metrics, Fault]:
    """`count` iterations of a phase; metrics averaged over them, and where one was first not finite."""
    spec = recipe.phases[phase]
    # Keyed by the phase, not the segment: evaluating more often must not change what is trained on.
    starts = rollout.pool(task.env, stream(run.key, STARTS, phase)) if spec.acts else None
    names = sorted(jax.eval_shape(lambda run: iterate(run, recipe, task, spec, dataset, starts)[1], run))
    never = jnp.iinfo(jnp.int32).max

    def body(carry: tuple[Run, Array, Array], _: None) -> tuple[tuple[Run, Array, Array], None]:
        run, sums, first = carry
        after, metrics = iterate(run, recipe, task, spec, dataset, starts)
        values = jnp.stack([metrics[name].astype(jnp.float32) for name in names])
        first = jnp.minimum(first, jnp.where(jnp.isfinite(values), never, run.iteration))
        return (after, sums + values, first), None

    # Packed into two vectors: a dozen scalar sums would cost a dozen kernels in every iteration.
    sums, first = jnp.zeros(len(names), jnp.float32), jnp.full(len(names), never, jnp.int32)
    carry = vary_like((run, sums, first), run, recipe, task, dataset)
    (run, sums, first), _ = jax.lax.scan(body, carry, length=count)
    fault = Fault(step=jnp.where(first.min() < never, first.min(), -1), metric=first.argmin().astype(jnp.int32))
    return run, averages(dict(zip(names, sums, strict=True)), count), fault


def iterate(
    run: Run, recipe: Recipe, task: Task, spec: Phase, dataset: Store | None, starts: Any
) -> tuple[Run, Metrics]:
    """One iteration of a phase: act if the phase acts, then learn if it learns."""
    keys = jax.random.split(stream(run.key, ITERATE, run.iteration), 4)
    metrics: Metrics = {}
    if spec.acts:
        run, metrics = act(run, recipe, task, spec, keys[:2], starts, dataset)
    if spec.updates:
        fed = feed(run, recipe, spec, dataset, keys[2])
        state, losses = recipe.agent_in(spec).update(run.agent, fed, keys[3])
        run = reconsider(replace(run, agent=state, grad_steps=run.grad_steps + spec.updates), recipe, spec, fed)
        metrics = metrics | losses
    return replace(run, iteration=run.iteration + 1), metrics


def act(
    run: Run, recipe: Recipe, task: Task, spec: Phase, keys: Array, starts: Any, dataset: Store | None = None
) -> tuple[Run, Metrics]:
    """One step of every environment, or a rollout of `spec.rollout` of them; metrics are sums."""

    def step(run: Run, keys: Array) -> tuple[Run, Metrics]:
        return collect(run, recipe, task, spec, keys, starts)

    return step(run, keys) if spec.feed == "sampled" else roll(step, run, recipe, spec, dataset, keys)


def _freeze(before: Run, after: Run, fault: Fault, *, learned: bool) -> Run:
    """`after`, unless something in it is not finite or was before: then learner and environment stay as they were.

    Decided once a segment. The store goes on as it is (selecting it would copy it), nobody reads it any more.
    learned: whether the learner may have changed."""
    kept = ("env", "obs", "memory", "episodes") + (("agent",) if learned else ())
    if learned:  # the very last step's parameters: no metric has seen them
        spoiled = (fault.step < 0) & ~tree_finite(after.agent)
        fault = Fault(
            step=jnp.where(spoiled, after.iteration - 1, fault.step),
            metric=jnp.where(spoiled, PARAMETERS, fault.metric),
        )
    fault = tree_where(before.fault.step >= 0, before.fault, fault)
    old, new = ({name: getattr(run, name) for name in kept} for run in (before, after))
    return replace(after, fault=fault, **tree_where(fault.step < 0, new, old))


def collect(run: Run, recipe: Recipe, task: Task, spec: Phase, keys: Array, starts: Any) -> tuple[Run, Metrics]:
    """Act once in every environment and record the row. Metrics: sums over ended episodes."""
    assert run.store is not None
    assert run.episodes is not None
    agent = recipe.agent_in(spec)
    fresh = agent.begin(run.agent, recipe.num_envs)
    if spec.act == "random":
        action, memory = rollout.random_action(task.env.action_space, keys[0], (recipe.num_envs,)), fresh
    else:
        action, memory = agent.follow(run.agent, run.obs, keys[0], run.memory, explore=True)
    length = run.episodes.length
    env, obs, row, _ = rollout.step(task.env, run.env, run.obs, action, keys[1], starts, length=length)
    extras = online_needs(recipe)
    replay = store.add(run.store, row._replace(extras={name: jnp.zeros_like(row.reward) for name in extras}))
    if "return_to_go" in extras:
        replay = rollout.backfill_return_to_go(
            replay,
            run.episodes,
            row,
            horizon=task.env.horizon,
            discount=recipe.agent.discount,
            scale=recipe.reward_scale,
            bias=recipe.reward_bias,
            fail_reward=task.fail_reward,
        )
    ended = row.last.sum().astype(jnp.float32)
    totals = jnp.where(row.last, run.episodes.total + row.reward, 0.0).sum()
    run = replace(
        run,
        env=env,
        obs=obs,
        memory=None if memory is None else tree_where(row.last, fresh, memory),
        store=replay,
        priorities=priorities.add(run.priorities, run.store),
        episodes=rollout.advance(run.episodes, row, task.fail_reward),
        env_steps=run.env_steps + recipe.num_envs,
    )
    return run, {"train_episodes": ended, "train_return": totals}


def judge(run: Run, recipe: Recipe, task: Task, *, phase: int = 0) -> Array:
    """Undiscounted returns `[recipe.eval_episodes]` of the greedy policy; NaN once the run is frozen. phase: the one
    that the run is in; before any training, the first."""
    agent = recipe.agent_in(recipe.phases[phase])
    return judge_standing(run.key, agent, standing(run), task, episodes=recipe.eval_episodes)


def record(run: Run, metrics: Metrics) -> Record:
    """What is known of the run after a segment, but for its evaluation."""
    finite = run.fault.step < 0
    return Record(
        returns=None,
        metrics={name: jnp.where(finite, value, jnp.nan) for name, value in metrics.items()},
        env_steps=run.env_steps,
        grad_steps=run.grad_steps,
        finite=finite,
        fault=run.fault,
    )
