"""Every recipe is one program that XLA can lower for each platform, without a word to the host."""

import re

import jax
import pytest
from tiny import tiny

import purejaxo2o as o2o


@pytest.mark.parametrize("name", o2o.recipes())
def test_whole_run_lowers_for_every_platform(name):
    recipe, task, data = tiny(name)

    def run(seed, recipe, data):
        result = o2o.train(jax.random.key(seed), recipe, task, data)
        return result.scores, result.returns, result.metrics, result.run.agent

    # `export` itself refuses custom calls whose behaviour is not guaranteed to stay.
    exported = jax.export.export(jax.jit(run), platforms=("tpu", "cuda", "cpu"))(0, recipe, data)
    scores, returns, *_ = exported.out_avals
    evaluations = 1 + sum(phase.segments for phase in recipe.phases)
    assert (scores.shape, returns.shape) == ((evaluations,), (evaluations, recipe.eval_episodes))
    assert exported.platforms == ("tpu", "cuda", "cpu")
    text = exported.mlir_module()
    assert "callback" not in text
    assert not re.findall(r"stablehlo\.(?:infeed|outfeed|send|recv)\b", text)
    # What is left are markers for sharding and for random bits, lowered by XLA itself.
    assert set(re.findall(r"custom_call @(\w+)", text)) <= {"Sharding", "cu_threefry2x32_ffi"}
