"""What a phase feeds its agent: minibatches of the dataset, the replay store or both, or the newest rollout."""

from typing import TYPE_CHECKING, Any

import jax

from purejaxo2o import store
from purejaxo2o.agents.base import chunk_of
from purejaxo2o.phases import Phase, Recipe
from purejaxo2o.store import Store
from purejaxo2o.types import Array, Transition

if TYPE_CHECKING:
    from purejaxo2o.train import Run


def feed(run: "Run", recipe: Recipe, spec: Phase, dataset: Store | None, key: Array) -> Any:
    """What `agent.update` takes in this phase; see `Phase.feed`."""
    if spec.feed == "sampled":
        return sample(run, recipe, spec, dataset, key)
    rollout = newest(run, recipe, spec)
    return rollout if spec.feed == "rollout" else (rollout, sample(run, recipe, spec, dataset, key))


def newest(run: "Run", recipe: Recipe, spec: Phase) -> Transition:
    """The rows `[T, E, ...]` of the rollout that was just made, in time order, with the learner's rewards."""
    assert run.store is not None
    index = store.recent(run.store, spec.rollout)[::-1]
    rows: Transition = jax.tree.map(lambda x: x[index], run.store.data._replace(extras={}))
    return rows._replace(reward=recipe.learned_reward(rows.reward))


def sample(run: "Run", recipe: Recipe, spec: Phase, dataset: Store | None, key: Array) -> Transition:
    """The phase's minibatches, leaves `[U, B, ...]`, with the learner's rewards and the extras it needs.

    Leaves are `[U, B, h, ...]` for agents that learn from chunks of `h` steps."""
    key_off, key_on, key_mix = jax.random.split(key, 3)
    agent = recipe.agent_in(spec)
    needs, chunk = agent.needs, chunk_of(agent)
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
