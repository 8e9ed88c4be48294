"""Observations that are images: MinAtar's Breakout, its data, and every network's convolution."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import shrink

import purejaxo2o as o2o
from purejaxo2o.data import embedded, minari
from purejaxo2o.loop.store import flat
from purejaxo2o.networks import MLP

KEY = jax.random.key(0)
PADDLE, BALL = 0, 1


@pytest.fixture(scope="module")
def breakout(tmp_path_factory):
    """The task and a small recording of it, through a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        task = o2o.task("minatar-breakout")
        assert task.dataset is not None
        embedded.make_dataset(task.dataset, steps=3_000)
        found = o2o.task_from_minari(task.dataset)
        assert (found.env, found.score_low, found.score_high) == (task.env, task.score_low, task.score_high)
        assert minari.info(task.dataset).spaces.obs == task.env.obs_space
        yield task, o2o.dataset(task)


def test_data_are_small_integers_of_a_paddle_that_follows_the_ball(breakout):
    task, data = breakout
    rows = jax.tree.map(np.asarray, flat(data))
    assert task.env.obs_space.dtype == rows.obs.dtype == rows.next_obs.dtype == np.uint8
    assert rows.obs.shape == (3_000, 10, 10, 4)
    assert set(np.unique(rows.obs)) == {0, 1}
    paddle, ball = (rows.obs[..., channel].max(1).argmax(-1) for channel in (PADDLE, BALL))
    right = np.where(ball < paddle, 1, np.where(ball > paddle, 2, 0)) == rows.action
    assert 0.95 < right.mean() < 0.99  # all but a twentieth, of which a third is right by chance
    assert rows.reward.sum() > 100


def test_an_image_goes_through_one_convolution():
    network, image = MLP((8,), 3), jnp.ones((2, 10, 10, 4), jnp.uint8)
    params = network.init(KEY, image[0])["params"]
    assert params["Convolution_0"]["kernel"].shape == (3, 3, 4, 16)
    assert params["Dense_0"]["kernel"].shape == (8 * 8 * 16, 8)
    out = network.apply({"params": params}, image)
    assert isinstance(out, jax.Array)
    assert out.shape == (2, 3)
    kernel, bias = (np.asarray(params["Convolution_0"][x], np.float64) for x in ("kernel", "bias"))
    hidden = np.tile(np.maximum(kernel.sum((0, 1, 2)) + bias, 0), 64)  # of an image of ones
    for layer in ("Dense_0", "Dense_1"):
        hidden = hidden @ np.asarray(params[layer]["kernel"], np.float64) + np.asarray(params[layer]["bias"])
        hidden = np.maximum(hidden, 0) if layer == "Dense_0" else hidden
    np.testing.assert_allclose(out[0], hidden, atol=1e-4)


@pytest.mark.parametrize("name", ["hyq", "ppo"])
def test_agents_learn_from_images(breakout, name):
    task, data = breakout
    recipe = shrink(o2o.recipe(name, task, scale="small"))
    task = dataclasses.replace(task, eval_env=dataclasses.replace(task.env, horizon=20))
    result = jax.jit(o2o.train)(KEY, recipe, task, data if recipe.uses_offline else None)
    assert bool(result.finite.all())
    assert result.run.store.data.obs.dtype == np.uint8
