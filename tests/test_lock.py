"""The combination locks: who opens them, what is paid on the way, the data of their tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.data import embedded, minari
from purejaxo2o.data.collect import collect, random_policy
from purejaxo2o.envs.lock import ACTIONS, LOCKS, LOST, CombinationLock, ContinuousLock, LockState
from purejaxo2o.loop.extras import trajectory_returns
from purejaxo2o.loop.store import flat
from purejaxo2o.tasks.evaluate import evaluate
from purejaxo2o.types import O2OError, Space

KEY = jax.random.key(0)
CONTINUOUS = "toy/continuous-lock"


@pytest.mark.parametrize("horizon", [5, 12])
def test_the_script_opens_the_lock_and_chance_does_not(horizon):
    env = envs.make("toy/combination-lock", horizon=horizon)
    act = jax.vmap(env.scripted(0.0))
    opened = evaluate(lambda obs, key: act(obs, jax.random.split(key, len(obs))), env, KEY, episodes=50)
    assert (opened.returns == 1).all()
    assert (opened.lengths == horizon).all()
    lost = evaluate(lambda obs, key: jax.random.randint(key, obs.shape[:1], 0, 10), env, KEY, episodes=200)
    assert set(np.round(np.asarray(lost.returns), 3)) <= {0.0, np.float32(0.1)}  # one lure on the way out, at most
    assert 0.03 < lost.returns.mean() < 0.06


def test_the_script_stays_on_the_path_as_often_as_the_sheet_says():
    """`(1 - 0.9/H)^H` of epsilon-greedy episodes with epsilon 1/H."""
    env = envs.make("toy/combination-lock", horizon=5)
    rows = collect(env, env.scripted(1 / 5), KEY, steps=20_000, num_envs=100).data
    opened = (rows.reward[:, 0] == 1).sum() / rows.last[:, 0].sum()
    assert float(opened) == pytest.approx((1 - 0.9 / 5) ** 5, abs=0.03)
    assert bool((rows.terminated == rows.last).all())


@pytest.mark.parametrize("name", LOCKS)
def test_locks_differ_by_seed_and_refuse_no_steps(name):
    assert (envs.make(name, seed=1).combination != envs.make(name).combination).any()
    with pytest.raises(O2OError, match=f"{name}: horizon=0"):
        envs.make(name, horizon=0)


# -- actions drawn from preferences ------------------------------------------------------------------------


def test_both_locks_have_one_chain():
    one, other = envs.make("toy/combination-lock", horizon=7), envs.make(CONTINUOUS, horizon=7)
    np.testing.assert_array_equal(one.combination, other.combination)
    assert one.obs_space == other.obs_space == Space(shape=(16,))
    assert (one.action_space, other.action_space) == (Space(n=ACTIONS), Space(shape=(ACTIONS,)))
    assert isinstance(other, envs.Env)


def test_the_script_opens_the_continuous_lock_nearly_always():
    """A unit vector draws its action with probability e^10 / (e^10 + 9)."""
    env = envs.make(CONTINUOUS, horizon=5)
    act = jax.vmap(env.scripted(0.0))
    opened = evaluate(lambda obs, key: act(obs, jax.random.split(key, len(obs))), env, KEY, episodes=500)
    assert (opened.lengths == 5).all()
    assert (opened.returns == 1).mean() >= 0.99  # 0.9996^5 each


def steps(env: CombinationLock, state: LockState, action, count=4000):
    """`count` independent outcomes of one step."""
    return jax.jit(jax.vmap(lambda key: env.step(state, action, key)))(jax.random.split(KEY, count))


@pytest.mark.parametrize(("preference", "share"), [(10.0, 1.0), (0.2, np.exp(2) / (np.exp(2) + 9)), (0.0, 0.1)])
def test_actions_are_drawn_from_a_sharp_softmax_of_clipped_preferences(preference, share):
    env = ContinuousLock(horizon=5)
    wanted = int(env.combination[2, 0])
    _, found = steps(env, LockState(jnp.int32(0), jnp.int32(2)), preference * jax.nn.one_hot(wanted, ACTIONS))
    assert float(found.info["good"].mean()) == pytest.approx(share, abs=0.03)  # four standard deviations
    assert (found.reward == 0).all()  # nothing is paid on the way


def test_the_lure_is_paid_at_the_end_to_whoever_did_not_open():
    env, still = ContinuousLock(horizon=5), jnp.zeros(ACTIONS)
    for latent in (0, LOST):
        wrong = still.at[(int(env.combination[4, 0]) + 1) % ACTIONS].set(1.0)
        _, found = steps(env, LockState(jnp.int32(latent), jnp.int32(4)), wrong)
        assert found.terminated.all()
        assert not found.truncated.any()
        paid = np.round(np.asarray(found.reward), 3)
        assert set(paid) <= {0.0, np.float32(0.1), 1.0}  # once in 2500 draws the right action, all the same
        assert (paid == np.float32(0.1)).mean() == pytest.approx(0.5, abs=0.04)
    right = jax.nn.one_hot(int(env.combination[4, 0]), ACTIONS)
    _, found = steps(env, LockState(jnp.int32(0), jnp.int32(4)), right)
    assert float((found.reward == 1).mean()) > 0.99


def test_the_discrete_lock_lures_at_any_step_and_only_out_of_the_good_states():
    env = CombinationLock(horizon=5)
    wrong = jnp.int32((int(env.combination[2, 0]) + 1) % ACTIONS)
    _, found = steps(env, LockState(jnp.int32(0), jnp.int32(2)), wrong)
    assert float((found.reward > 0).mean()) == pytest.approx(0.5, abs=0.04)
    _, found = steps(env, LockState(jnp.int32(LOST), jnp.int32(4)), wrong)
    assert (found.reward == 0).all()


def test_continuous_data_stay_on_the_path_as_often_as_the_sheet_says():
    """One action in H is uniform noise, which draws the right one a tenth of the time."""
    env = envs.make(CONTINUOUS, horizon=5)
    rows = collect(env, env.scripted(1 / 5), KEY, steps=20_000, num_envs=100).data
    opened = (rows.reward[:, 0] == 1).sum() / rows.last[:, 0].sum()
    assert float(opened) == pytest.approx((1 - 0.9 / 5) ** 5, abs=0.03)
    assert set(np.unique(rows.action)) >= {0.0, 1.0}
    assert float(rows.action.min()) >= 0
    random = collect(env, random_policy(env.action_space), KEY, steps=20_000, num_envs=100).data
    assert (random.reward == 1).mean() < 1e-3


@pytest.mark.parametrize("name", ["combination-lock", "continuous-lock"])
def test_the_tasks_bring_their_data(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    task = o2o.task(name)
    assert task.env == envs.make(f"toy/{name}")
    assert task.dataset is not None
    embedded.make_dataset(task.dataset, steps=2_000)
    data = o2o.dataset(task)
    assert data.rows == 2_000
    returns, lengths = trajectory_returns(flat(data).reward, flat(data).last)
    assert 0.2 < (np.asarray(returns) >= 1).mean() < 0.6
    assert (lengths == 10).all()
    assert minari.info(task.dataset).reference == (0.0, 1.0)
    assert o2o.task_from_minari(task.dataset).env == task.env
