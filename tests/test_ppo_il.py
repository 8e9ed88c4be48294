"""PPO with imitation: cloning against the reference, what it leaves alone, and its demonstrations."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref
import reference_ppo
from tiny import shrink, tiny

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.agents import PPO, PPOIL
from purejaxo2o.data.demonstrations import demonstrations
from purejaxo2o.loop.store import flat
from purejaxo2o.tasks import make
from purejaxo2o.types import O2OError, Space, Spaces, Transition

U, B, T, E, OBS, ACT, CHOICES = 2, 6, 4, 3, 3, 2, 3
BOX = Spaces(Space(shape=(OBS,)), Space(shape=(ACT,)))
DISCRETE = Spaces(Space(shape=(OBS,)), Space(n=CHOICES, dtype="int32"))
SETTINGS: dict[str, Any] = {"hidden": (8, 8), "actor_hidden": (8, 8), "minibatches": 2, "epochs": 2}
KEY = jax.random.key(0)


def rows(spaces: Spaces, *shape: int) -> Transition:
    """Random rows with both kinds of ends."""
    rng = np.random.default_rng(0)
    action: Any = rng.uniform(-0.95, 0.95, (*shape, ACT))
    if spaces.action.discrete:
        action = rng.integers(0, CHOICES, shape).astype(np.int32)
    terminated, truncated = rng.random((2, *shape)) < 0.2
    obs, next_obs = rng.normal(size=(2, *shape, OBS))
    return Transition(obs, action, rng.normal(size=shape), next_obs, terminated, truncated, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("spaces", [BOX, DISCRETE], ids=["box", "discrete"])
def test_cloning_matches_the_reference_and_touches_nothing_else(spaces):
    agent = PPOIL(imitation_learning_rate=1e-2, adam_eps=1e-3, **SETTINGS)
    with jax.enable_x64(True):
        state = jax.tree.map(
            lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, agent.init(KEY, spaces)
        )
        batches = rows(spaces, U, B)
        got, metrics = agent.update(state, jax.tree.map(jnp.asarray, batches), KEY)
        numbers = jax.tree.map(np.asarray, state)
    known = {"actor": numbers.actor, "actor_opt": ref.Adam(0, numbers.imitation_opt.mu, numbers.imitation_opt.nu)}
    losses = []
    for u in range(U):
        b = ref.row(batches, u)

        def loss(p: Any, b: Any = b) -> ref.Var:
            return -reference_ppo.log_prob(p, b.obs, b.action).mean()

        losses.append(ref.descend(known, "actor", loss, 1e-2, eps=1e-3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), got.actor, known["actor"])
    assert metrics["imitation_loss"] == pytest.approx(np.mean(losses), rel=1e-7)
    jax.tree.map(np.testing.assert_array_equal, got.params["value"], state.params["value"])
    jax.tree.map(np.testing.assert_array_equal, got.opt, state.opt)


def test_the_sheets_number():
    """Two actions of probabilities 0.5 and 0.25: the mean of their negative logarithms."""
    agent = PPOIL(**SETTINGS)
    state = agent.init(KEY, DISCRETE)
    actor = jax.tree.map(jnp.zeros_like, state.actor)
    actor["logits"]["bias"] = jnp.log(jnp.array([0.5, 0.25, 0.25]))
    state = dataclasses.replace(state, params=state.params | {"actor": actor})
    batch = jax.tree.map(lambda x: jnp.asarray(x[:2]), rows(DISCRETE, B))._replace(action=jnp.array([0, 1]))
    assert agent.imitate(state, batch, KEY)[1]["imitation_loss"] == pytest.approx(1.0397208, rel=1e-6)


def test_without_demonstrations_it_is_ppo_and_with_them_ppo_and_then_cloning():
    settings = SETTINGS | {"learning_rate": 1e-2}
    agent, plain = PPOIL(stage="learn", **settings), PPO(**settings)
    state = agent.init(KEY, BOX)
    own = plain.init(KEY, BOX)
    rollout, batches = (jax.tree.map(jnp.asarray, rows(BOX, *shape)) for shape in ((T, E), (U, B)))
    alone, _ = agent.update(state, rollout, KEY)
    jax.tree.map(np.testing.assert_array_equal, alone.params, plain.update(own, rollout, KEY)[0].params)
    both, metrics = agent.update(state, (rollout, batches), KEY)
    key_own, key_imitate = jax.random.split(KEY)
    learned, _ = agent.update(state, rollout, key_own)
    expected, _ = dataclasses.replace(agent, stage="clone").update(learned, batches, key_imitate)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), both.params, expected.params)
    assert {"imitation_loss", "actor_loss", "value_loss"} <= set(metrics)


def test_the_stages_are_those_of_the_phases():
    recipe, task, data = tiny("ppo_il")
    assert [recipe.agent_in(phase).stage for phase in recipe.phases] == ["clone", "learn"]
    result = jax.jit(o2o.train)(KEY, recipe, task, data)
    offline, online = np.asarray(result.phase) == 0, np.asarray(result.phase) == 1
    assert np.isnan(result.metrics["value_loss"][offline]).all()
    assert np.isfinite(result.metrics["value_loss"][online]).all()
    assert np.isfinite(result.metrics["imitation_loss"][1:]).all()


@pytest.fixture(scope="module")
def rooms():
    pytest.importorskip("xminigrid", reason="grid-worlds are an optional extra")
    return envs.make("xland/MiniGrid-FourRooms", height=9, width=9)


def test_grid_worlds_follow_the_protocol(rooms):
    assert (rooms.obs_space.shape, rooms.obs_space.dtype) == ((7, 7, 2), "uint8")
    assert (rooms.action_space.n, rooms.horizon, rooms.name) == (6, 100, "xland/MiniGrid-FourRooms")
    reset, step = jax.jit(rooms.reset), jax.jit(rooms.step)
    state, obs = reset(KEY)
    other, _ = reset(jax.random.key(1))
    assert (np.asarray(state.grid) != np.asarray(other.grid)).any()  # another world
    assert obs.dtype == jnp.uint8
    for t in range(rooms.horizon):
        state, out = step(state, jnp.int32(1), KEY)  # turning goes nowhere
        assert (float(out.reward), bool(out.terminated), bool(out.truncated)) == (0.0, False, t == 99)
    for name in ("xland/MiniGrid-Empty-5x5", "xland/MiniGrid-DoorKey-5x5"):
        assert envs.make(name).obs_space == rooms.obs_space
    with pytest.raises(O2OError, match="hight"):
        envs.make("xland/MiniGrid-Empty-5x5", hight=7)


def test_demonstrations_take_shortest_ways(rooms):
    data = jax.tree.map(np.asarray, flat(demonstrations(rooms, KEY, 8)))
    assert data.terminated.sum() == 8
    assert data.last[-1]
    lengths = np.diff([0, *(np.flatnonzero(data.terminated) + 1)])
    np.testing.assert_allclose(data.reward[data.terminated], 1 - 0.9 * lengths / 100, rtol=1e-5)
    assert set(np.unique(data.action)) == {0, 1, 2}
    # Into the corner of an empty room of 5 x 5, from the opposite one, facing right: 2 steps, a turn, 2 steps.
    corner = flat(demonstrations(envs.make("xland/MiniGrid-Empty-5x5"), KEY, 1))
    np.testing.assert_array_equal(corner.action, [0, 0, 1, 0, 0])
    with pytest.raises(O2OError, match="no way to the goal"):
        demonstrations(envs.make("xland/MiniGrid-DoorKey-5x5"), KEY, 2)


@pytest.mark.slow
def test_it_learns_from_demonstrations(rooms):
    task = make("rooms", rooms, domain="toy")
    recipe = shrink(o2o.recipe("ppo_il", task, scale="small"))
    result = jax.jit(o2o.train)(KEY, recipe, task, demonstrations(rooms, KEY, 2))
    assert bool(result.finite.all())
    assert result.run.store.data.obs.dtype == jnp.uint8
