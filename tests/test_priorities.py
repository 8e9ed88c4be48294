"""Rows by priority: frequencies, sums, what new rows get; the rows that a prioritised phase feeds."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxo2o as o2o
from purejaxo2o.data.collect import collect, random_policy
from purejaxo2o.loop import feeds, priorities
from purejaxo2o.loop.prepare import prepare, rows_of
from purejaxo2o.train import enter, init, iterate, train


def filled(*values: float) -> priorities.Priorities:
    """Rows 0, 1, ... with these priorities, all of the dataset."""
    empty = priorities.empty(len(values), 0)
    return priorities.put(empty, jnp.arange(len(values)), jnp.array(values))


def test_rows_are_drawn_in_proportion_and_never_at_zero() -> None:
    values = np.array([1.0, 0.0, 3.0, 0.0, 0.0, 2.0, 0.5, 0.0, 0.0, 0.0, 1.5])
    drawn = priorities.draw(filled(*values), jax.random.key(0), 8_000)
    counts = np.bincount(drawn, minlength=12)
    np.testing.assert_allclose(counts[:11] / 8_000, values / values.sum(), atol=2e-3)
    assert counts[:11][values == 0.0].sum() == 0
    assert counts[11:].sum() == 0


def test_draws_are_stratified() -> None:
    """Of 40 draws from 4 equal rows each gets exactly 10."""
    drawn = priorities.draw(filled(1.0, 1.0, 1.0, 1.0), jax.random.key(1), 40)
    assert np.bincount(drawn).tolist() == [10, 10, 10, 10]


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 1000, 12_345])
def test_sums_are_those_of_the_blocks_whatever_is_put(rows: int) -> None:
    found = priorities.empty(rows, 0)
    key = jax.random.key(rows)
    for step in range(5):
        number = jax.random.randint(jax.random.fold_in(key, step), (7,), 0, rows)
        value = 10.0 ** (number % 7 - 3.0)  # a row comes with one value, however often
        found = priorities.put(found, number, value)
    np.testing.assert_allclose(found.sums, found.values.sum(axis=1), rtol=1e-6)
    assert found.values.size >= rows
    drawn = priorities.draw(found, key, 500)
    assert (found.values.ravel()[drawn] > 0).all()


def test_the_end_of_the_sum_is_a_row_with_priority() -> None:
    """Rounding must not push the last stratum past the last row, however unequal the priorities."""
    values = np.zeros(101)
    values[[3, 50, 77]] = 1e-3, 1e3, 1e-3
    for seed in range(50):
        drawn = priorities.draw(filled(*values), jax.random.key(seed), 256)
        assert set(np.unique(drawn)) <= {3, 50, 77}


def test_the_sheets_first_priority_of_new_rows() -> None:
    """A million offline rows, a thousand online ones, half of all draws each: 1000."""
    begun = priorities.begin(priorities.empty(1_000_000, 2_000), jnp.int32(1_000), 0.5)
    np.testing.assert_allclose(begun.top, 1000.0, rtol=1e-6)
    drawn = priorities.draw(begun, jax.random.key(0), 10_000)
    np.testing.assert_allclose((drawn >= 1_000_000).mean(), 0.5, atol=1e-3)
    assert drawn.max() < 1_001_000


def rows(task: o2o.Task) -> Any:
    return collect(task.env, random_policy(task.env.action_space), jax.random.key(5), steps=200, num_envs=2)


def settled() -> tuple[o2o.Recipe, o2o.Task, Any]:
    task = o2o.task("reach")
    recipe = o2o.recipe("off2on", task, scale="small")
    small = {"agent.hidden": (8,), "agent.actor_hidden": (8,), "agent.ratio_hidden": (8,), "agent.members": 2}
    phases = {"offline": (4, 1), "warmup": (20, 1), "settle": (6, 1), "online": (40, 1)}
    for name, (steps, segments) in phases.items():
        small |= {f"{name}.steps": steps, f"{name}.segments": segments, f"{name}.batch_size": 16}
    return o2o.replace(recipe, small | {"eval_episodes": 1}), task, rows(task)


def test_a_phase_feeds_thirds_and_keeps_its_books() -> None:
    recipe, task, data = settled()
    prepared = prepare(recipe, task, data)
    assert prepared is not None
    count = rows_of(prepared)
    run = init(jax.random.key(0), recipe, task, count)
    assert run.priorities is not None
    assert not run.priorities.values.any()
    collect = jax.jit(lambda run: iterate(run, recipe, task, recipe.phases[1], None, None)[0])
    for _ in range(20):
        run = collect(run)
    run = enter(run, recipe, phase=2)
    values = run.priorities.values.ravel()
    np.testing.assert_allclose(values[:count], 1.0)
    np.testing.assert_allclose(values[count : count + 20], count / 20, rtol=1e-5)
    assert not values[count + 20 :].any()

    spec = recipe.phases[2]
    fed = feeds.feed(run, recipe, spec, prepared, jax.random.key(1))
    assert fed.reward.shape == (1, 48)
    number = fed.extras["number"][0, :16]
    flat = np.concatenate([prepared.data.obs[:, 0], run.store.data.obs[:, 0]])
    np.testing.assert_array_equal(fed.obs[0, :16], flat[number])
    online = np.asarray(run.store.data.obs[:20, 0])
    for part, pool in ((fed.obs[0, 16:32], np.asarray(prepared.data.obs[:, 0])), (fed.obs[0, 32:], online)):
        assert all((pool == row).all(axis=-1).any() for row in np.asarray(part))

    after = feeds.reconsider(run, recipe, spec, fed)
    np.testing.assert_allclose(
        after.priorities.values.ravel()[number], recipe.agent_in(spec).priorities(run.agent, fed)[0], rtol=1e-6
    )
    kept = np.setdiff1d(np.arange(count + 20), number)
    np.testing.assert_array_equal(after.priorities.values.ravel()[kept], values[kept])


def test_new_rows_get_the_largest_priority_and_priorities_go_on_from_phase_to_phase() -> None:
    recipe, task, data = settled()
    prepared = prepare(recipe, task, data)
    run = init(jax.random.key(0), recipe, task, rows_of(prepared))
    for phase, steps in ((1, 20), (2, 6), (3, 5)):
        before = run.priorities
        run = enter(run, recipe, phase=phase)
        if phase == 3:
            np.testing.assert_array_equal(run.priorities.values, before.values)
        spec = recipe.phases[phase]
        step = jax.jit(lambda run, data, spec=spec: iterate(run, recipe, task, spec, data, None)[0])
        for _ in range(steps):
            run = step(run, prepared)
    newest = run.priorities.values.ravel()[rows_of(prepared) + 24]
    assert newest == run.priorities.top or newest <= 1e3  # drawn at once, it has been looked at already
    assert (run.priorities.values.ravel()[rows_of(prepared) : rows_of(prepared) + 25] > 0).all()
    assert not run.priorities.values.ravel()[rows_of(prepared) + 25 :].any()


@pytest.mark.slow
def test_seeds_side_by_side_are_the_seeds_alone() -> None:
    recipe, task, data = settled()
    keys = jax.random.split(jax.random.key(0), 2)
    both = jax.jit(jax.vmap(train, in_axes=(0, None, None, None)))(keys, recipe, task, data)
    for index in range(2):
        alone = jax.jit(train)(keys[index], recipe, task, data)
        np.testing.assert_allclose(alone.metrics["q"], both.metrics["q"][index], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_prioritised_is_refused() -> None:
    task = o2o.task("reach")
    data = rows(task)
    iql = o2o.replace(o2o.recipe("iql", task, scale="small"), {"online.mix": "prioritised"})
    with pytest.raises(o2o.O2OError, match="IQL gives rows no priorities"):
        train(jax.random.key(0), iql, task, data)
    ppo = o2o.recipe("ppo", task, scale="small")
    phase = dataclasses.replace(ppo.phases[-1], mix="prioritised")
    with pytest.raises(o2o.O2OError, match=r"mix='prioritised' draws by priority, but .*feed='rollout'"):
        train(jax.random.key(0), dataclasses.replace(ppo, phases=(phase,)), task, data)
