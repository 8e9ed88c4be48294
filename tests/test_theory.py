"""Tables and the theory methods on them, against what is exact."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.theory import ftpedel, hyglow, lcb, nora
from purejaxo2o import envs
from purejaxo2o.envs import tabular
from purejaxo2o.types import O2OError

KEY = jax.random.key(0)
MDP = tabular.random(states=4, actions=3, horizon=3, seed=1)
BEST = float(MDP.start @ tabular.optimal(MDP)[1][0])


def behaviour(epsilon: float) -> jax.Array:
    """The best policy, with probability `epsilon` a uniformly random action."""
    return (1 - epsilon) * tabular.greedy(tabular.optimal(MDP)[0]) + epsilon * tabular.uniform(MDP)


# ---- tables ------------------------------------------------------------------------------------------------------


def test_backward_induction_is_the_best_of_all_policies() -> None:
    mdp = tabular.random(states=2, actions=2, horizon=2, seed=3)
    choices = itertools.product(range(2), repeat=4)
    policies = jnp.stack([jax.nn.one_hot(jnp.array(c).reshape(2, 2), 2) for c in choices])
    values = jax.vmap(lambda policy: tabular.value(mdp, policy))(policies)
    q, v = tabular.optimal(mdp)
    np.testing.assert_allclose(mdp.start @ v[0], values.max(), rtol=1e-6)
    np.testing.assert_allclose(tabular.value(mdp, tabular.greedy(q)), values.max(), rtol=1e-6)


def test_occupancies_values_and_episodes_agree() -> None:
    policy = behaviour(0.5)
    pairs = tabular.occupancy(MDP, policy)
    np.testing.assert_allclose(pairs.sum(axis=(1, 2)), 1.0, rtol=1e-5)
    np.testing.assert_allclose((pairs * MDP.reward).sum(), tabular.value(MDP, policy), rtol=1e-5)
    log = tabular.episodes(MDP, policy, KEY, 20_000)
    counts = tabular.count(tabular.no_counts(MDP), log)
    np.testing.assert_allclose(counts.visits / 20_000, pairs, atol=0.015)
    np.testing.assert_allclose(log.reward.sum(axis=1).mean(), tabular.value(MDP, policy), atol=0.02)
    often = counts.visits > 500
    np.testing.assert_allclose(counts.mean_reward[often], MDP.reward[often], atol=0.1)
    np.testing.assert_allclose(counts.transition[often], MDP.transition[often], atol=0.1)
    assert (counts.following.sum(axis=-1) == counts.visits).all()


def test_as_an_environment_it_observes_step_and_state_and_ends_by_itself() -> None:
    env = envs.make("toy/random-mdp", states=4, actions=3, horizon=3, seed=1)
    np.testing.assert_array_equal(env.reward, MDP.reward)
    state, obs = env.reset(KEY)
    assert obs.tolist() == [1, 0, 0, 1, 0, 0, 0]
    for time in range(3):
        state, step = env.step(state, jnp.int32(time), jax.random.fold_in(KEY, time))
        assert step.obs.sum() == (2 if time < 2 else 1)
        assert step.reward in (0.0, 1.0)
        assert bool(step.terminated) == (time == 2)
        assert not step.truncated
    with pytest.raises(O2OError, match="states=0; give at least 1"):
        envs.make("toy/random-mdp", states=0)


# ---- pessimism ---------------------------------------------------------------------------------------------------


def test_with_endless_data_pessimism_is_optimal_and_without_any_it_promises_nothing() -> None:
    counts = tabular.expected_counts(MDP, tabular.uniform(MDP), 1e12)
    found = lcb.pessimistic(counts)
    np.testing.assert_allclose(found.q, jnp.where(counts.visits > 0, tabular.optimal(MDP)[0], 0.0), atol=1e-4)
    np.testing.assert_allclose(tabular.value(MDP, found.policy), BEST, rtol=1e-5)
    none = lcb.pessimistic(tabular.no_counts(MDP))
    assert not none.q.any()
    assert (none.bonus == MDP.horizon).all()


@pytest.mark.parametrize("episodes", [20, 200, 2000])
def test_pessimistic_values_are_kept_and_the_loss_is_within_the_bound(episodes: int) -> None:
    def one(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        log = tabular.episodes(MDP, behaviour(0.3), key, episodes)
        found = lcb.pessimistic(tabular.count(tabular.no_counts(MDP), log))
        real = tabular.value(MDP, found.policy)
        bound = 2.0 * (tabular.occupancy(MDP, behaviour(0.0)) * found.bonus).sum()
        return MDP.start @ found.v[0], real, bound

    promised, real, bound = jax.vmap(one)(jax.random.split(KEY, 40))
    assert (promised <= real + 1e-5).all()
    assert (BEST - real <= bound + 1e-5).all()
    assert bound.max() < 2.0 * MDP.horizon**2


def test_pessimism_prefers_what_was_tried_often_over_what_looked_good_once() -> None:
    counts = tabular.Counts(
        visits=jnp.array([[[1000.0, 1.0]]]),
        reward=jnp.array([[[600.0, 1.0]]]),
        following=jnp.array([[[[1000.0], [1.0]]]]),
    )
    assert lcb.pessimistic(counts).policy.tolist() == [[[1.0, 0.0]]]
    assert lcb.pessimistic(counts, scale=0.0).policy.tolist() == [[[0.0, 1.0]]]


# ---- HyGLOW ------------------------------------------------------------------------------------------------------


def test_the_inner_maximum_of_the_sheet() -> None:
    """n = 100, gamma 0.1, |D| = 0.3: at w = 0.1875 it is 0.028125, and no ratio does better."""
    values = [hyglow.clipped(jnp.full((100, 1), 0.3), jnp.full((100, 1), w), 10.0) for w in (0.1875, 0.1, 0.3, 20.0)]
    np.testing.assert_allclose(values[0], 0.028125, rtol=1e-5)
    assert max(values[1:]) < values[0]
    np.testing.assert_allclose(values[3], 10 * 0.3 - 0.8 * 100, rtol=1e-5)  # clipped at 10


def test_concentrability_of_ones_own_data_is_one_and_of_others_at_most_the_limit() -> None:
    own = behaviour(0.2)
    data = tabular.occupancy(MDP, own)
    np.testing.assert_allclose(hyglow.concentrability(MDP, own, data, 5.0), 1.0, rtol=1e-5)
    narrow = tabular.occupancy(MDP, behaviour(0.0))
    np.testing.assert_allclose(
        hyglow.concentrability(MDP, tabular.uniform(MDP), narrow, 5.0)[0], 5.0 * 2 / 3 + 1 / 9, rtol=1e-5
    )  # at the one start state: two actions that the data lack, one with ratio 1/3


def test_every_rounds_policy_is_the_offline_methods_on_as_many_rows_of_both() -> None:
    offline = tabular.episodes(MDP, behaviour(0.3), KEY, 30)
    found = hyglow.reduction(MDP, offline, hyglow.fitted_q, 20, jax.random.key(1))
    for t in (0, 1, 7, 19):
        counts = tabular.no_counts(MDP)
        for log in (offline, found.log):
            counts = tabular.count(counts, jax.tree.map(lambda x, t=t: x[:t], log))
        np.testing.assert_array_equal(found.policies[t], hyglow.fitted_q(counts))
        np.testing.assert_allclose(found.regret[t], BEST - tabular.value(MDP, found.policies[t]), atol=1e-5)


def test_offline_data_make_the_mixtures_regret_small() -> None:
    """20 seeds: with data that cover the best policy the mixture loses less than without any, and ever less."""

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key_data, key_run = jax.random.split(key)
        offline = tabular.episodes(MDP, behaviour(0.3), key_data, 200)
        hybrid = hyglow.reduction(MDP, offline, hyglow.fitted_q, 200, key_run).regret
        return hybrid, hyglow.reduction(MDP, None, hyglow.fitted_q, 200, key_run).regret

    hybrid, alone = jax.vmap(one)(jax.random.split(KEY, 20))
    assert hybrid.mean() < 0.7 * alone.mean()
    assert hybrid[:, 100:].mean() < 0.5 * hybrid[:, :100].mean()


def test_mabo_finds_the_optimal_values_where_the_data_cover_them() -> None:
    log = tabular.episodes(MDP, behaviour(0.5), KEY, 4000)
    best = tabular.optimal(MDP)[0]
    others = [best + 0.5, jnp.zeros_like(best), best.at[0, 0].add(jnp.array([0.0, 0.3, -0.3])), best[::-1]]
    data = tabular.occupancy(MDP, behaviour(0.5))
    targets = (behaviour(0.0), tabular.uniform(MDP))
    ratios = jnp.stack([tabular.occupancy(MDP, policy) / jnp.maximum(data, 1e-6) for policy in targets])
    objective = hyglow.mabo(log, jnp.stack([best, *others]), ratios, limit=1000.0)
    assert int(objective.argmin()) == 0


# ---- the optimistic actor-critic ---------------------------------------------------------------------------------


def test_mirror_ascent_of_the_sheet() -> None:
    f, uniform = jnp.array([1.0, 0.0]), jnp.array([0.5, 0.5])
    once = nora.climb(uniform, f, 1.0)
    np.testing.assert_allclose(once, [0.731059, 0.268941], rtol=1e-5)
    np.testing.assert_allclose(nora.climb(once, f, 1.0), [0.880797, 0.119203], rtol=1e-5)


def test_misfit_is_that_of_the_definition_and_a_new_critic_is_within_beta() -> None:
    log = tabular.episodes(MDP, tabular.uniform(MDP), KEY, 50)
    counts = tabular.count(tabular.no_counts(MDP), log)
    f = jax.random.uniform(KEY, MDP.reward.shape)
    following = jnp.concatenate([f[1:].max(axis=-1), jnp.zeros((1, 4))])
    step = np.broadcast_to(np.arange(3), log.state.shape)
    target = np.asarray(log.reward + following[step, log.next_state])
    for h in range(3):
        groups: dict[tuple[int, int], list[int]] = {}
        for n in range(50):
            groups.setdefault((int(log.state[n, h]), int(log.action[n, h])), []).append(n)
        total = 0.0
        for (state, action), members in groups.items():
            y = target[members, h]
            total += ((float(f[h, state, action]) - y) ** 2).sum() - ((y - y.mean()) ** 2).sum()
        np.testing.assert_allclose(nora.misfit(counts, f)[h], total, rtol=1e-3, atol=1e-3)
    assert (nora.misfit(counts, nora.optimistic(counts, 2.0)) <= 2.0 + 1e-4).all()
    assert (nora.optimistic(tabular.no_counts(MDP), 1.0) == jnp.array([3.0, 2.0, 1.0])[:, None, None]).all()


def test_optimism_holds_and_vanishes_with_data() -> None:
    exact = tabular.expected_counts(MDP, tabular.uniform(MDP), 1e10)
    f, best = nora.optimistic(exact, 1.0), tabular.optimal(MDP)[0]
    assert (f >= best - 1e-5).all()
    np.testing.assert_allclose(f[exact.visits > 0], best[exact.visits > 0], atol=1e-3)


def test_switches_are_rare_and_offline_data_save_episodes() -> None:
    def one(key: jax.Array) -> tuple[nora.Run, nora.Run]:
        key_data, key_run = jax.random.split(key)
        offline = tabular.episodes(MDP, behaviour(0.5), key_data, 1000)
        return tuple(nora.run(MDP, data, 1000, key_run, beta=4.0) for data in (offline, None))  # type: ignore[return-value]

    hybrid, alone = jax.vmap(one)(jax.random.split(KEY, 10))
    for found in (hybrid, alone):
        assert (found.switched.sum(axis=1) <= 3 * 4 * np.log2(1000)).all()
    assert alone.switched.any()
    assert hybrid.regret.sum(axis=1).mean() < 0.5 * alone.regret.sum(axis=1).mean()
    assert alone.regret[:, 500:].mean() < 0.7 * alone.regret[:, :200].mean()


# ---- FTPedel -----------------------------------------------------------------------------------------------------


def bandit(arms: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Features and second moments of arms `[K, d]` as policies of one step."""
    return arms[:, None], jnp.einsum("kd,ke->kde", arms, arms)[:, None]


def test_the_design_of_the_sheet() -> None:
    """The data cover the first of two orthogonal arms a hundred times: all online episodes go to the other."""
    features, second = bandit(jnp.eye(2))
    offline = jnp.diag(jnp.array([100.0, 0.0]))[None]
    share, worst = ftpedel.design(features, second, offline, 50.0)
    np.testing.assert_allclose(share, [0.0, 1.0], atol=0.01)
    np.testing.assert_allclose(worst, 1 / 50, rtol=0.01)
    assert int(ftpedel.episodes_needed(features, second, offline, 0.01)) in range(100, 103)
    alone = int(ftpedel.episodes_needed(features, second, 0 * offline, 0.01))
    assert alone in range(199, 206)  # a hundred of each
    assert int(ftpedel.episodes_needed(features, second, 1000 * jnp.eye(2)[None], 0.01)) == 0


def test_in_a_table_the_design_plays_who_goes_where_the_data_do_not() -> None:
    size = MDP.reward.size // MDP.horizon
    policies = jnp.stack([behaviour(0.0), tabular.uniform(MDP)])
    pairs = jax.vmap(lambda policy: tabular.occupancy(MDP, policy))(policies).reshape(2, MDP.horizon, size)
    second = jax.vmap(jax.vmap(jnp.diag))(pairs)
    offline = 1000.0 * second[0]  # the best policy's data
    share, _ = ftpedel.design(pairs, second, offline, 100.0)
    np.testing.assert_allclose(share, [0.0, 1.0], atol=0.05)


def test_elimination_keeps_the_best_arm_and_pays_for_what_the_data_lack_only() -> None:
    arms, theta = jnp.eye(3), jnp.array([0.2, 0.5, 1.0])
    covered = jnp.array([2000.0, 2000.0, 0.0])  # the best arm is the one that the data lack

    def one(key: jax.Array) -> tuple[ftpedel.Elimination, ftpedel.Elimination]:
        options = {"epochs": 4, "beta": 4.0}
        return tuple(ftpedel.eliminate(key, arms, theta, pulls, **options) for pulls in (covered, 0 * covered))  # type: ignore[return-value]

    hybrid, alone = jax.vmap(one)(jax.random.split(KEY, 20))
    for found in (hybrid, alone):
        assert (found.alive == jnp.array([False, False, True])).all(axis=1).mean() > 0.9
    assert hybrid.pulls[:, 2].min() > 10
    assert hybrid.pulls[:, :2].max() < 0.05 * alone.pulls[:, :2].mean()
    assert hybrid.pulls.sum(axis=1).mean() < 0.6 * alone.pulls.sum(axis=1).mean()
