"""The store against a plain list of rows."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

import purejaxo2o as o2o
from purejaxo2o.loop import store as stores
from purejaxo2o.types import O2OError, Space, Spaces, Transition, transition_example

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


N = 40
LAST = np.arange(N) % 10 == 9
ROWS_GOOD = Transition(
    np.zeros((N, 1), np.float32),
    np.zeros((N, 1), np.float32),
    np.zeros(N, np.float32),
    np.zeros((N, 1), np.float32),
    LAST & False,
    LAST,
)
SPOILED = {
    "fewer observations": (
        {"obs": ROWS_GOOD.obs[:10]},
        r"^obs is float32\[10, 1\]; it must be \[40, 1\]: .* 40 rows",
    ),
    "more rewards": ({"reward": np.zeros(400, np.float32)}, r"^reward is float32\[400\]; it must be \[40\]"),
    "a column of rewards": (
        {"reward": ROWS_GOOD.reward[:, None]},
        r"^reward is float32\[40, 1\]; it must be \[N\], one number",
    ),
    "whole rewards": ({"reward": np.arange(N)}, r"^reward is int64\[40\]; it must be float32"),
    "numbers for flags": (
        {"terminated": LAST.astype(int)},
        r"^terminated is int64\[40\]; it must be bool, e\.g\. term",
    ),
    "NaN for flags": ({"truncated": np.full(N, np.nan)}, r"^truncated is float64\[40\]; it must be bool"),
    "flags for actions": ({"action": LAST}, r"^action is bool\[40\]; it must be float32, or int32 of discrete"),
    "text": (
        {"obs": np.full((N, 1), "a"), "next_obs": np.full((N, 1), "a")},
        r"^obs is <U1\[40, 1\]; it must be float32",
    ),
    "objects": ({"reward": np.array([None] * N)}, r"^reward is object\[40\]"),
    "complex": ({"reward": np.zeros(N, complex)}, r"^reward is complex128\[40\]"),
    "a list": ({"reward": [0.0] * N}, r"^reward is a list; give an array"),
    "nothing": ({"obs": None}, r"^obs is a NoneType; give an array"),
    "one number": ({"reward": np.float32(1)}, r"^reward is float32\[\]; it must be \[N\]"),
    "other successors": (
        {"next_obs": np.zeros((N, 2), np.float32)},
        r"^next_obs is float32\[40, 2\], obs is float32\[40, 1",
    ),
    "other successors' type": (
        {"next_obs": np.zeros((N, 1), np.uint8)},
        r"^next_obs is uint8\[40, 1\], obs is float32",
    ),
    "short extras": (
        {"extras": {"w": np.zeros(3, np.float32)}},
        r"^extras\['w'\] is float32\[3\]; it must be \[40\]",
    ),
    "extras in a list": ({"extras": [1]}, r"^extras is a list; give a dictionary"),
    "an open end": ({"truncated": LAST & False}, r"^row 39: the final row does not end .* truncated\[-1\] = True"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_rows_that_do_not_fit_together_are_refused_by_the_field(case):
    changes, message = SPOILED[case]
    with pytest.raises(O2OError, match=message) as error:
        stores.from_transitions(ROWS_GOOD._replace(**changes))
    assert "\n" not in str(error.value)


def test_the_odd_one_out_is_named_whichever_it_is():
    """400 rewards and flags beside 100 observations: the observations are wrong, not the rewards."""
    flags = np.ones(400, bool)
    rows = ROWS_GOOD._replace(reward=np.zeros(400, np.float32), terminated=flags & False, truncated=flags)
    with pytest.raises(O2OError, match=r"^obs is float32\[40, 1\]; it must be \[400, 1\]: the others have 400 rows"):
        stores.from_transitions(rows)


def test_other_forms_of_rows_are_refused():
    for rows, message in (
        (ROWS_GOOD._asdict(), r"^rows are a dict; give o2o\.Transition\(obs, action, reward"),
        (jax.tree.map(lambda x: x[:0], ROWS_GOOD), r"^there are no rows: reward is float32\[0\]"),
        (
            jax.tree.map(lambda x: x.reshape(10, 4, *x.shape[1:]), ROWS_GOOD),
            r"^reward is float32\[10, 4\]; .*flat rows",
        ),
    ):
        with pytest.raises(O2OError, match=message):
            stores.from_transitions(rows)


def test_numbers_of_64_bits_become_those_of_32():
    wide = jax.tree.map(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, ROWS_GOOD)
    wide = wide._replace(action=np.zeros(N, np.int64))
    data = stores.from_transitions(wide).data
    assert [x.dtype for x in (data.obs, data.action, data.reward, data.next_obs)] == [
        np.float32,
        np.int32,
        np.float32,
        np.float32,
    ]


def test_from_transitions_while_tracing():
    made = jax.jit(lambda rows: stores.from_transitions(rows).data.reward)(ROWS_GOOD)
    assert made.shape == (N, 1)
    with pytest.raises(O2OError, match=r"^obs is float32\[10, 1\]; it must be \[40, 1\]"):
        jax.eval_shape(stores.from_transitions, ROWS_GOOD._replace(obs=ROWS_GOOD.obs[:10]))


GOOD = stores.from_transitions(ROWS_GOOD)


def spoiled(**fields):
    return dataclasses.replace(GOOD, data=GOOD.data._replace(**fields))


STORES = {
    "rows": (ROWS_GOOD, r"dataset is a Transition, no o2o\.Store; .*o2o\.dataset\(o2o\.Transition"),
    "a dictionary": ({"obs": ROWS_GOOD.obs}, r"dataset is a dict, no o2o\.Store"),
    "flat arrays": (
        dataclasses.replace(GOOD, data=ROWS_GOOD),
        r"dataset: reward is float32\[40\]; it must be \[T, E\]",
    ),
    "400 rewards": (
        spoiled(reward=np.zeros((400, 1), np.float32)),
        r"dataset: reward is float32\[400, 1\]; it must be \[40, 1\]: the others have 40 rows of 1 env",
    ),
    "whole flags": (spoiled(terminated=np.zeros((N, 1), np.int32)), r"dataset: terminated is int32\[40, 1\]; .*bool"),
    "other environments": (
        spoiled(obs=np.zeros((N, 2, 1), np.float32)),
        r"dataset: obs is float32\[40, 2, 1\]; it must",
    ),
    "short extras": (
        stores.with_extras(GOOD, {"w": np.zeros((3, 1), np.float32)}),
        r"dataset: extras\['w'\] is float32",
    ),
    "images for vectors": (
        spoiled(obs=np.zeros((N, 1, 1), np.uint8)),
        r"dataset obs has shape \(1,\) and type uint8, task",
    ),
    "whole actions": (
        spoiled(action=np.zeros((N, 1), np.int32)),
        r"dataset action has shape \(\) and type int32, task",
    ),
}


@pytest.mark.parametrize("case", STORES)
def test_stores_that_do_not_fit_are_refused_while_tracing(case):
    store, message = STORES[case]
    recipe, task = o2o.recipe("bc", tiny.task(), "small"), tiny.task()
    for trains in (
        lambda: jax.eval_shape(o2o.train, KEY, recipe, task, store),
        lambda: o2o.fit(KEY, recipe, task, store, progress=False),
        lambda: o2o.sweep(recipe, task, store, seeds=2, progress=False),
    ):
        with pytest.raises(O2OError, match=message) as error:
            trains()
        assert "\n" not in str(error.value)


def test_a_segment_looks_at_its_rows_too():
    recipe, task = o2o.recipe("bc", tiny.task(), "small"), tiny.task()
    store, message = STORES["400 rewards"]
    with pytest.raises(O2OError, match=message):
        jax.eval_shape(lambda key: o2o.segment(o2o.init(key, recipe, task), recipe, task, store, phase=0), KEY)
    # Arrays of NumPy's that a traced function closes over.
    jax.eval_shape(lambda key: o2o.segment(o2o.init(key, recipe, task), recipe, task, GOOD, phase=0), KEY)


@pytest.mark.parametrize(("field", "value"), [("size", 0), ("size", 41), ("head", 40), ("head", -1), ("size", "a")])
def test_counters_that_point_elsewhere(field, value):
    wrong = dataclasses.replace(GOOD, **{field: value if isinstance(value, str) else jnp.int32(value)})
    with pytest.raises(O2OError, match=rf"^dataset: {field} is "):
        stores.check(wrong)
