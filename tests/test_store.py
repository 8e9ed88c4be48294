"""The store against a plain list of rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purejaxo2o import store as stores
from purejaxo2o.types import Space, Spaces, Transition, transition_example

ROWS, DRAWS, LENGTH = 5, 64, 4
EXAMPLE = transition_example(Spaces(Space((1,)), Space((1,))), ("return_to_go",))
KEY = jax.random.key(0)
ADD = jax.jit(stores.add)
SAMPLE = jax.jit(lambda store, pending: stores.sample(store, KEY, (DRAWS,), pending=pending))
CHUNKS = jax.jit(lambda store: stores.sample_chunks(store, KEY, (DRAWS,), LENGTH))
quick = functools.partial(settings, deadline=None, derandomize=True, max_examples=40)


@st.composite
def histories(draw, envs):
    """Up to three rounds of the ring: for every row, which environments' episodes end."""
    return draw(st.lists(st.lists(st.booleans(), min_size=envs, max_size=envs), max_size=3 * ROWS))


def row(time, ends):
    """A row that tells its time and environment: reward 10 t + e."""
    envs = len(ends)
    number = 10.0 * time + np.arange(envs, dtype=np.float32)
    flags = np.array(ends)
    column = number[:, None].astype(np.float32)
    odd = np.full(envs, time % 2 == 1)
    extras = {"return_to_go": -number}
    return Transition(column, column / 1000, number, column + 10, flags & odd, flags & ~odd, extras)


def build(history, envs):
    """The store after all rows, and the rows it should hold, oldest first."""
    store = stores.empty(EXAMPLE, rows=ROWS, envs=envs)
    rows = [row(time, ends) for time, ends in enumerate(history)]
    for step in rows:
        store = ADD(store, step)
    return store, rows[-ROWS:]


def everywhere(envs):
    return pytest.mark.parametrize("envs", envs)


@everywhere([1, 3])
def test_add_keeps_the_newest_rows_in_order(envs):
    @quick()
    @given(histories(envs))
    def check(history):
        store, model = build(history, envs)
        assert (store.rows, store.envs) == (ROWS, envs)
        assert int(store.size) == len(model)
        assert int(store.head) == len(history) % ROWS
        newest = np.asarray(stores.recent(store, ROWS))[: len(model)]
        for index, expected in zip(newest, reversed(model), strict=True):
            jax.tree.map(lambda a, b, i=index: np.testing.assert_array_equal(a[i], b), store.data, expected)

    check()


@everywhere([1, 3])
def test_flat_goes_environment_by_environment_in_time_order(envs):
    history = [[False] * envs] * (2 * ROWS + 1) + [[True] * envs]
    store, model = build(history, envs)
    expected = [step.reward[env] for env in range(envs) for step in model]
    np.testing.assert_array_equal(stores.flat(store).reward, expected)
    again = stores.from_transitions(stores.flat(store))
    assert (again.rows, again.envs, int(again.size), int(again.head)) == (ROWS * envs, 1, ROWS * envs, 0)
    np.testing.assert_array_equal(stores.flat(again).reward, expected)


@everywhere([1, 3])
def test_sample_draws_rows_that_are_there(envs):
    @quick()
    @given(histories(envs).filter(bool))
    def check(history):
        store, model = build(history, envs)
        batch = SAMPLE(store, None)
        valid = {float(x) for step in model for x in step.reward}
        drawn = np.asarray(batch.reward)
        assert set(drawn.tolist()) <= valid
        # 64 draws of at most 15 rows: whatever is never drawn, most are.
        assert len(set(drawn.tolist())) >= len(valid) / 2
        np.testing.assert_array_equal(batch.obs[:, 0], drawn)  # one row, not pieces of several
        np.testing.assert_array_equal(batch.extras["return_to_go"], -drawn)

    check()


@everywhere([1, 3])
def test_sample_leaves_out_pending_rows_of_each_environment(envs):
    @quick()
    @given(histories(envs).filter(bool), st.data())
    def check(history, data):
        store, model = build(history, envs)
        # An unfinished episode may have begun before the oldest row that is left.
        pending = data.draw(st.lists(st.integers(0, ROWS + 3), min_size=envs, max_size=envs))
        valid = {
            float(step.reward[env]) for env in range(envs) for step in model[: max(0, len(model) - pending[env])]
        }
        drawn = set(np.asarray(SAMPLE(store, jnp.array(pending)).reward).tolist())
        if valid:
            assert drawn <= valid
            assert len(drawn) >= len(valid) / 2

    check()


def test_sample_is_uniform_over_rows_and_environments():
    store, model = build([[False] * 3] * (ROWS + 2), 3)
    for pending, ready in ((None, [ROWS] * 3), (jnp.array([0, 3, 5]), [5, 2, 0])):
        drawn = np.asarray(stores.sample(store, KEY, (20_000,), pending=pending).reward)
        rows = [step.reward[env] for env in range(3) for step in model[: ready[env]]]
        shares = np.array([(drawn == x).mean() for x in rows])
        # Five standard deviations of a share at 20 000 draws are below 0.014.
        np.testing.assert_allclose(shares, 1 / len(rows), atol=0.014)


@everywhere([1, 3])
def test_chunks_run_to_the_end_of_the_trajectory_or_of_the_store(envs):
    @quick()
    @given(histories(envs).filter(bool))
    def check(history):
        store, model = build(history, envs)
        chunks, valid = CHUNKS(store)
        oldest = len(history) - len(model)
        for rewards, mask in zip(np.asarray(chunks.reward), np.asarray(valid), strict=True):
            start, env = int(rewards[0]) // 10, int(rewards[0]) % 10
            assert oldest <= start < len(history)
            ends = [i for i in range(start, len(history)) if history[i][env]]
            stop = min(ends[0] + 1 if ends else len(history), start + LENGTH)
            assert mask.tolist() == [start + i < stop for i in range(LENGTH)]
            assert rewards[mask].tolist() == [10.0 * t + env for t in range(start, stop)]

    check()


def test_mix_puts_the_exact_numbers_into_every_minibatch():
    store, _ = build([[False]] * ROWS, 1)
    offline, online = (stores.sample(store, KEY, (3, n)) for n in (2, 5))
    mixed = stores.mix(offline, online._replace(reward=online.reward + 1000))
    assert mixed.obs.shape == (3, 7, 1)
    assert ((np.asarray(mixed.reward) >= 1000).sum(axis=1) == 5).all()


def test_mix_rows_takes_whole_rows_at_the_ratio():
    store, _ = build([[False]] * ROWS, 1)
    offline = stores.sample(store, KEY, (4, 5000))
    online = jax.tree.map(lambda x: x if x.dtype == bool else x + 1000, offline)
    for ratio in (0.0, 0.3, 1.0):
        mixed = stores.mix_rows(offline, online, KEY, ratio)
        fresh = np.asarray(mixed.reward) >= 1000
        np.testing.assert_array_equal(fresh, np.asarray(mixed.obs)[..., 0] >= 1000)
        assert abs((~fresh).mean() - ratio) < 0.02  # six standard deviations at 20 000 rows


def test_with_extras_shares_the_other_arrays():
    store, _ = build([[False]] * ROWS, 1)
    changed = stores.with_extras(store, {"weight": jnp.ones((ROWS, 1))})
    assert set(changed.data.extras) == {"weight"}
    assert changed.data.obs is store.data.obs


WINDOW = 4


@pytest.mark.parametrize("envs", [1, 3])
@pytest.mark.parametrize("dataset", [False, True], ids=["alone", "after a dataset"])
def test_window_is_the_newest_rows_in_time_order(envs, dataset):
    """Shorter stores are filled up, with seams that no sum over time crosses."""
    old = [1000.0 + i for i in range(7)]
    rows = [row(value / 10, [False])._replace(truncated=np.array([False])) for value in old]
    rows = jax.tree.map(lambda *x: jnp.stack(x), *rows)  # with an open end
    data = stores.Store(data=rows, size=jnp.int32(len(old)), head=jnp.int32(0))
    window = jax.jit(lambda store: stores.window(store, WINDOW, data if dataset else None))
    for steps in range(0 if dataset else 1, 2 * ROWS):
        store, model = build([[time == 3] * envs for time in range(steps)], envs)
        found, known = jax.tree.map(np.asarray, window(store)), min(len(model), WINDOW)
        for env in range(envs):
            own = [float(step.reward[env]) for step in model]
            # A stretch of WINDOW rows for each environment, counted around from the dataset's end.
            stretch = [old[(len(old) - (envs - env) * WINDOW + i) % len(old)] for i in range(WINDOW)]
            values = ((stretch[known:] if dataset else own * WINDOW) + own)[-WINDOW:]
            assert found.reward[:, env].tolist() == values
            seams = {WINDOW - 1 - known} if dataset else {WINDOW - 1 - i * known for i in range(1, WINDOW)}
            ends = [value == 30 + env or (known > 0 and t in seams) for t, value in enumerate(values)]
            assert (found.terminated | found.truncated)[:, env].tolist() == ends
            assert not (found.terminated & found.truncated).any()
            assert found.extras["valid"][:, env].sum() == (WINDOW if dataset else known)
