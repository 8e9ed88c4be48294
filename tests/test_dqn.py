"""DQN and Hy-Q."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref

from purejaxo2o.agents import DQN
from purejaxo2o.types import O2OError, Space, Spaces, Transition

B, OBS, CHOICES = 8, 3, 4
SPACES = Spaces(Space(shape=(OBS,)), Space(n=CHOICES, dtype="int32"))
KEY = jax.random.key(0)


def batches(seed: int = 0) -> Transition:
    rng = np.random.default_rng(seed)
    terminated, truncated = rng.random((2, 2, B)) < 0.3
    obs, next_obs = rng.normal(size=(2, 2, B, OBS))
    action = rng.integers(0, CHOICES, (2, B)).astype(np.int32)
    return Transition(obs, action, rng.normal(size=(2, B)), next_obs, terminated, truncated, {})  # type: ignore[arg-type]


def reference_update(agent: Any, state: dict[str, Any], rows: Transition) -> dict[str, Any]:
    """Mnih et al. 2015, van Hasselt et al. 2016, in float64."""

    def q(p: Any, obs: Any) -> Any:
        return ref.mlp(p, obs, output=True)

    for u in range(2):
        b = ref.row(rows, u)
        known, choosing = q(state["target"], b.next_obs).value, q(state["critic"], b.next_obs).value
        best = (choosing if agent.double else known).argmax(1)
        y = ref.td_target(b, known[np.arange(B), best], agent.discount)

        def loss(p: Any, b: Any = b, y: Any = y) -> Any:
            error = q(p, b.obs).pick(b.action, 1) - y
            return (error * error).mean()

        ref.descend(state, "critic", loss, agent.learning_rate)
        state["target"] = ref.polyak(state["target"], state["critic"], agent.polyak)
    return state


@pytest.mark.parametrize("double", [True, False])
def test_update_matches_the_reference(double):
    agent = DQN(hidden=(8, 8), learning_rate=1e-2, discount=0.9, polyak=0.1, double=double)
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        shapes = jax.eval_shape(lambda key: agent.init(key, SPACES), KEY)
        state = jax.tree.map(
            lambda x: (
                jnp.int32(3)
                if jnp.issubdtype(x.dtype, jnp.integer)
                else jnp.asarray(np.abs(rng.normal(size=x.shape)) + 0.01)
            ),
            shapes,
        )
        got, _ = agent.update(state, jax.tree.map(jnp.asarray, batches()), KEY)
        numbers = jax.tree.map(np.asarray, state)
        adam = ref.Adam(3, numbers.critic_opt.mu, numbers.critic_opt.nu)
        known = {"critic": numbers.critic, "target": numbers.target, "critic_opt": adam}
        expected = reference_update(agent, known, batches())
    for name in ("critic", "target"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10), getattr(got, name), expected[name]
        )


def test_termination_stops_and_truncation_bootstraps():
    agent, rows = DQN(hidden=(8, 8)), jax.tree.map(jnp.asarray, batches())
    state = agent.init(KEY, SPACES)
    none = jnp.zeros_like(rows.terminated)
    flag, elsewhere = none.at[:, 0].set(True), rows.next_obs.at[:, 0].set(3.0)
    rows = rows._replace(terminated=none, truncated=none)

    def critic(**changes):
        return jax.flatten_util.ravel_pytree(agent.update(state, rows._replace(**changes), KEY)[0].critic)[0]

    assert (critic(truncated=flag) == critic()).all()
    assert (critic(truncated=flag, next_obs=elsewhere) != critic(truncated=flag)).any()
    assert (critic(terminated=flag, next_obs=elsewhere) == critic(terminated=flag)).all()


def test_it_explores_as_often_as_it_says():
    agent = DQN(hidden=(8, 8), epsilon=0.2)
    state = agent.init(KEY, SPACES)
    obs = jnp.zeros((20_000, OBS))
    greedy = agent.act(state, obs, KEY, explore=False)
    assert len(set(np.asarray(greedy))) == 1
    assert (agent.act(state, obs, KEY, explore=True) != greedy).mean() == pytest.approx(0.2 * 3 / 4, abs=0.01)


def test_boxes_are_refused():
    with pytest.raises(O2OError, match="DQN needs discrete actions"):
        jax.eval_shape(lambda: DQN().init(KEY, Spaces(Space(shape=(3,)), Space(shape=(2,)))))
