"""No loss broadcasts by accident: what has another shape than it should ends in one line while tracing."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from tiny import Slope, dataset, shrink, task, tiny

import purejaxo2o as o2o
from purejaxo2o import shapes
from purejaxo2o.distributions import Categorical, CensoredNormal, ClippedNormal, TanhNormal
from purejaxo2o.loop import store
from purejaxo2o.tasks import make
from purejaxo2o.types import Space, pytree, transition_example


def test_residuals_have_leading_axes_more_and_nothing_else():
    assert shapes.residual(jnp.ones((3, 5, 2)), jnp.ones((5, 2))).shape == (3, 5, 2)
    for prediction, target in (((5, 1, 2), (5, 2)), ((5,), (5, 1)), ((5, 2), (1, 2)), ((5, 2), (3, 5, 2))):
        with pytest.raises(AssertionError, match="Chex"):
            shapes.residual(jnp.ones(prediction), jnp.ones(target))


@pytest.mark.parametrize("policy", [TanhNormal, ClippedNormal, CensoredNormal])
def test_densities_are_of_actions_of_the_policys_own_shape(policy):
    mean = jnp.zeros((5, 1, 2))  # of observations [5, 1, O]
    with pytest.raises(AssertionError, match="Chex"):
        policy(mean, mean).log_prob(jnp.zeros((5, 2)))
    with pytest.raises(AssertionError, match="Chex"):
        Categorical(mean).log_prob(jnp.zeros(5, jnp.int32))


def fed_to(recipe, spaces, wrong):
    """What an update of the first learning phase gets, and its agent; `wrong` leaf has one axis more."""
    phase = next(phase for phase in recipe.phases if phase.updates)
    agent = recipe.agent_in(phase)
    row = transition_example(spaces, tuple(agent.needs))
    row = row._replace(extras=row.extras | {"valid": jnp.array(True)})
    if "next_action" in agent.needs:
        row = row._replace(extras=row.extras | {"next_action": row.action})

    def rows(*leading):
        batch = jax.tree.map(lambda x: jnp.broadcast_to(x, (*leading, *x.shape)), row)
        return batch._replace(**{wrong: jnp.expand_dims(getattr(batch, wrong), len(leading))})

    batches = rows(2, 6, agent.chunk) if agent.chunk else rows(2, 6)
    rollout = rows(phase.rollout, 2)
    return agent, {"sampled": batches, "rollout": rollout, "both": (rollout, batches)}[phase.feed]


FEW = ("bc", "iql", "sac", "ppo")
RANKS = [(name, "obs") for name in o2o.recipes()]
RANKS += [(name, wrong) for name in FEW for wrong in ("action", "reward", "next_obs", "terminated")]


@pytest.mark.parametrize(("name", "wrong"), RANKS)
def test_every_agent_refuses_rows_of_another_rank(name, wrong):
    recipe, task, _ = tiny(name)
    spaces = o2o.Spaces(task.env.obs_space, task.env.action_space)
    agent, fed = fed_to(recipe, spaces, wrong)
    state = jax.eval_shape(lambda: agent.init(jax.random.key(0), spaces))
    with pytest.raises(AssertionError, match=r"^\[Chex\]") as error:
        jax.eval_shape(agent.update, state, fed, jax.random.key(0))
    assert "\n" not in str(error.value)


@pytree
class Folded(Slope):
    """`Slope` that shows what it shows in another shape."""

    obs_space = Space(shape=(1, 2))

    def reset(self, key):
        state, obs = super().reset(key)
        return state, jnp.full(self.obs_space.shape, obs[0], self.obs_space.dtype)

    def step(self, state, action, key):
        state, step = super().step(state, action, key)
        return state, step._replace(obs=jnp.full(self.obs_space.shape, step.obs[0], self.obs_space.dtype))


@pytree
class Scalar(Folded):
    obs_space = Space(shape=())


@pytree
class Thin(Folded):
    obs_space = Space(shape=(4, 2, 2), dtype="uint8")


@pytree
class Frames(Folded):
    obs_space = Space(shape=(4, 8, 8, 3), dtype="uint8")


@pytree
class Square(Slope):
    """Actions in a matrix."""

    action_space = Space(shape=(1, 1))

    def step(self, state, action, key):
        return super().step(state, action[0], key)


ODD = [(name, Folded()) for name in o2o.recipes()]
ODD += [(name, env) for name in FEW for env in (Scalar(), Thin(), Frames(), Square())]


@pytest.mark.parametrize(("name", "env"), ODD, ids=[f"{name}-{type(env).__name__}" for name, env in ODD])
def test_every_recipe_refuses_spaces_that_networks_do_not_take(name, env):
    """Each of them was trained once, or ended in a traceback."""
    odd = make("odd", env, domain="toy")
    recipe = shrink(o2o.recipe(name, odd))
    spaces = o2o.Spaces(env.obs_space, env.action_space)
    data = store.empty(transition_example(spaces), rows=40, envs=1)
    with pytest.raises(o2o.O2OError) as error:
        jax.eval_shape(o2o.train, jax.random.key(0), recipe, odd, data)
    assert "\n" not in str(error.value)


def test_a_store_of_another_shape_than_its_task_is_refused():
    recipe, _, data = tiny("bc")
    folded = dataclasses.replace(data, data=data.data._replace(obs=data.data.obs[..., None, :]))
    with pytest.raises(o2o.O2OError, match=r"obs has shape \(1, 1\)"):
        jax.eval_shape(o2o.train, jax.random.key(0), recipe, task(), folded)
    assert dataset().data.obs.shape[2:] == (1,)
