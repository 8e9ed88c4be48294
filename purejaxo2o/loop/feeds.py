"""What a phase feeds its agent: minibatches of the dataset, the replay store or both, or the newest rollout.

And how a rollout is made, since an agent may look at its rows in between.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from purejaxo2o.loop import priorities, store
from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array, Metrics, Transition

if TYPE_CHECKING:
    from purejaxo2o.loop.run import Run


def feed(run: "Run", recipe: Recipe, spec: Phase, dataset: Store | None, key: Array) -> Any:
    """What `agent.update` takes in this phase; see `Phase.feed`."""
    if spec.mix == "prioritised":
        assert dataset is not None
        return prioritised(run, recipe, spec, dataset, key)
    if spec.feed == "sampled":
        return sample(run, recipe, spec, dataset, key)
    rollout = newest(run, recipe, spec, dataset)
    return rollout if spec.feed == "rollout" else (rollout, sample(run, recipe, spec, dataset, key))


def newest(run: "Run", recipe: Recipe, spec: Phase, dataset: Store | None = None, *, without: int = 0) -> Transition:
    """The rows `[H + T, E, ...]` of the rollout that was just made and of the phase's history before it, in time
    order, with the learner's rewards; `without` that many of the oldest. `extras["valid"]`: see `store.window`."""
    assert run.store is not None
    before = dataset if spec.recalls_offline else None
    rows = store.window(run.store, spec.history + spec.rollout - without, before)
    return rows._replace(reward=recipe.learned_reward(rows.reward))


def roll(
    step: Callable[["Run", Array], tuple["Run", Metrics]],
    run: "Run",
    recipe: Recipe,
    spec: Phase,
    dataset: Store | None,
    keys: Array,
) -> tuple["Run", Metrics]:
    """A rollout: `spec.rollout` times `step(run, keys)`, before every `agent.pace` of which the agent adapts. Metrics
    are sums."""
    pace = recipe.agent_in(spec).pace
    keys_steps = jax.random.split(keys[0], spec.rollout)

    def body(run: "Run", key: Array) -> tuple["Run", Metrics]:
        return step(run, jax.random.split(key))

    def stretch(run: "Run", own: tuple[Array, Array]) -> tuple["Run", Metrics]:
        key_adapt, keys_steps = own
        return jax.lax.scan(body, adapt(run, recipe, spec, dataset, key_adapt), keys_steps)

    if pace is None:
        run, metrics = jax.lax.scan(body, run, keys_steps)
    else:
        count = spec.rollout // pace
        own = jax.random.split(keys[1], count), keys_steps.reshape(count, pace)
        run, metrics = jax.lax.scan(stretch, run, own)
    return run, jax.tree.map(jnp.sum, metrics)


def adapt(run: "Run", recipe: Recipe, spec: Phase, dataset: Store | None, key: Array) -> "Run":
    """The agent's `adapt` to the rows that the next update will still see: the steps to come push out the oldest."""
    agent = recipe.agent_in(spec)
    rows = newest(run, recipe, spec, dataset, without=agent.pace)
    return replace(run, agent=agent.adapt(run.agent, rows, key))


def sample(run: "Run", recipe: Recipe, spec: Phase, dataset: Store | None, key: Array) -> Transition:
    """The phase's minibatches, leaves `[U, B, ...]`, with the learner's rewards and the extras it needs.

    Leaves are `[U, B, h, ...]` for agents that learn from chunks of `h` steps."""
    key_off, key_on, key_mix = jax.random.split(key, 3)
    agent = recipe.agent_in(spec)
    needs, chunk = agent.needs, agent.chunk
    count = spec.batch_size
    n_off = round(spec.offline_fraction * count) if spec.mix == "fraction" else count
    n_on = count - n_off if spec.mix == "fraction" else count

    def draw(source: Store | None, key: Array, n: int, pending: Array | None) -> Transition:
        assert source is not None
        if chunk is None:
            batch, valid = store.sample(source, key, (spec.updates, n), pending=pending), {}
        else:
            batch, inside = store.sample_chunks(source, key, (spec.updates, n), chunk)
            valid = {"valid": inside}
        extras = {name: batch.extras[name] for name in sorted(needs)} | valid
        return batch._replace(reward=recipe.learned_reward(batch.reward), extras=extras)

    offline = draw(dataset, key_off, n_off, None) if spec.uses_offline else None
    if not spec.uses_online:
        assert offline is not None
        return offline
    # The returns-to-go of an unfinished episode are not known yet.
    pending = run.episodes.length if run.episodes is not None and "return_to_go" in needs else None
    if offline is not None and spec.offline_rows != "dataset":
        assert dataset is not None
        held, unknown = counted_as_offline(run, recipe, spec, pending)
        key_held, key_which = jax.random.split(jax.random.fold_in(key_off, 1))
        share = dataset.size / (dataset.size + held.size * held.envs)
        offline = store.mix_rows(offline, draw(held, key_held, n_off, unknown), key_which, share)
    online = draw(run.store, key_on, n_on, pending)
    if offline is None:
        return online
    if spec.mix == "fraction":
        return store.mix(offline, online)
    ratio = spec.offline_ratio
    if spec.mix == "by_size":
        assert dataset is not None
        assert run.store is not None
        ratio = dataset.size / (dataset.size + run.store.size * run.store.envs)
    return store.mix_rows(offline, online, key_mix, ratio)


def counted_as_offline(run: "Run", recipe: Recipe, spec: Phase, pending: Array | None) -> tuple[Store, Array | None]:
    """The rows of the replay store that are drawn with the dataset's (`Phase.offline_rows`), and how many of the
    newest of them are `pending`."""
    assert run.store is not None
    if spec.offline_rows == "all":
        return run.store, pending
    held = jnp.int32(recipe.held_before(spec))
    unknown = None if pending is None else jnp.maximum(pending - (run.store.size - held), 0)
    return replace(run.store, size=held, head=held), unknown


def prioritised(run: "Run", recipe: Recipe, spec: Phase, dataset: Store, key: Array) -> Transition:
    """Leaves `[U, 3 B, ...]`: rows of dataset and replay store by priority, then as many uniform rows of either, from
    which an agent learns what its priorities are. `extras["number"]`: which rows the first third is."""
    assert run.priorities is not None
    assert run.store is not None
    key_drawn, key_off, key_on = jax.random.split(key, 3)
    shape, count = (spec.updates, spec.batch_size), run.priorities.offline_rows
    keys = jax.random.split(key_drawn, spec.updates)
    number = jax.vmap(lambda key: priorities.draw(run.priorities, key, spec.batch_size))(keys)  # type: ignore[arg-type]
    offline = store.take(dataset, jnp.minimum(number, count - 1))
    online = store.take(run.store, jnp.maximum(number - count, 0))
    parts = [store.choose(number < count, offline._replace(extras={}), online._replace(extras={}))]
    for source, key_uniform in ((dataset, key_off), (run.store, key_on)):
        parts.append(store.sample(source, key_uniform, shape)._replace(extras={}))
    rows: Transition = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *parts)
    return rows._replace(reward=recipe.learned_reward(rows.reward), extras={"number": jnp.tile(number, (1, 3))})


def reconsider(run: "Run", recipe: Recipe, spec: Phase, fed: Any) -> "Run":
    """After an update: what was drawn by priority gets the priorities that the agent now gives it."""
    if spec.mix != "prioritised":
        return run
    assert run.priorities is not None
    value = recipe.agent_in(spec).priorities(run.agent, fed)
    number = fed.extras["number"][:, : spec.batch_size]
    return replace(run, priorities=priorities.put(run.priorities, number.ravel(), value.ravel()))
