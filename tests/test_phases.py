"""What every recipe's phases really feed: counted in whole runs with an agent that counts instead of learning."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles import MARK, Counting
from tiny import ROWS, UNOPTIMISED, arrays, distance, tiny

import purejaxo2o as o2o
from purejaxo2o.loop import rollout
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.feeds import sample
from purejaxo2o.loop.phases import Phase, online, warmup
from purejaxo2o.loop.recipe import Recipe
from purejaxo2o.loop.result import no_fault
from purejaxo2o.train import Run, enter, segment
from purejaxo2o.types import transition_example

KEY = jax.random.key(0)
TRAIN = jax.jit(o2o.train, compiler_options=UNOPTIMISED)


def marked(name="bc"):
    """The recipe's dataset with an observation in every row that no environment here produces."""
    data = tiny(name)[2]
    return dataclasses.replace(data, data=data.data._replace(obs=jnp.full_like(data.data.obs, MARK)))


def counting(recipe, **changes):
    """`recipe` with its agent replaced by one that counts."""
    agent = Counting(extras=tuple(sorted(recipe.agent.needs)))
    phases = [dataclasses.replace(p, agent={}, **changes.get(p.name, {})) for p in recipe.phases]
    stages = [{name: x for name, x in p.agent.items() if name == "stage"} for p in recipe.phases]
    phases = [dataclasses.replace(p, agent=x) for p, x in zip(phases, stages, strict=True)]
    # Without the name, recipes that feed alike are compiled once.
    return dataclasses.replace(recipe, name="counting", agent=agent, phases=tuple(phases))


@pytest.mark.parametrize("name", o2o.recipes())
def test_every_recipe_feeds_what_its_phases_say(name):
    """Shares of dataset rows, numbers of updates and of steps, in the whole run of each recipe."""
    recipe, task, _ = tiny(name)
    recipe = counting(recipe)
    result = TRAIN(KEY, recipe, task, marked(name))
    metrics_by_name = jax.tree.map(np.asarray, result.metrics)
    entry, grad_steps, env_steps, leading = 1, 0, 0, 0
    for phase in recipe.phases:
        for _ in range(phase.segments):
            count = phase.iterations(recipe.num_envs)
            grad_steps += count * phase.updates
            leading += count * (phase.history + phase.rollout if phase.feed == "rollout" else phase.updates)
            env_steps += count * phase.per_iteration(recipe.num_envs) * phase.acts
            assert (result.grad_steps[entry], result.env_steps[entry]) == (grad_steps, env_steps)
            metrics = {key: value[entry] for key, value in metrics_by_name.items()}
            entry += 1
            if phase.updates == 0:
                assert np.isnan(metrics["share"])
                continue
            thirds = 3 if phase.mix == "prioritised" else 1
            assert metrics["rows"] == (recipe.num_envs if phase.feed == "rollout" else thirds * phase.batch_size)
            if phase.mix == "offline":
                assert metrics["share"] == 1
            elif phase.mix == "online":
                assert metrics["share"] == 0
            elif phase.mix == "fraction":
                assert phase.offline_fraction == 0.5
                if phase.offline_rows == "dataset":
                    assert metrics["off_half"] == 0  # in each minibatch of each update
                else:
                    assert 0.25 < metrics["share"] < 0.5
            else:
                assert 0 < metrics["share"] <= 1
    assert entry == len(result.env_steps)
    assert result.run.agent["updates"] == leading  # minibatches, or steps of rollouts
    final = recipe.phases[-1]
    if final.acts:
        kept = sum(p.steps for p in recipe.phases if p.acts) // recipe.num_envs
        assert result.run.store.size == min(kept, recipe.capacity)


def shape(name):
    """The published phases: who acts, what is fed, with how many updates per step."""
    phases = o2o.recipe(name, tiny(name)[1]).phases
    return [(p.name, p.act, p.mix if p.updates else None, p.updates) for p in phases]


def test_published_phases():
    pretrain = ("offline", "none", "offline", 1)
    assert shape("wsrl") == [pretrain, ("warmup", "policy", None, 0), ("online", "policy", "online", 4)]
    assert shape("naive") == [pretrain, ("online", "policy", "online", 1)]  # no warm-up: the control group
    assert shape("cql") == [pretrain, ("online", "policy", "fraction", 1)]
    assert shape("cal_ql") == [pretrain, ("warmup", "policy", None, 0), ("online", "policy", "fraction", 1)]
    assert shape("iql") == [pretrain, ("online", "policy", "by_size", 1)]
    assert shape("rlpd") == [("warmup", "random", None, 0), ("online", "policy", "fraction", 20)]
    assert shape("sac") == [("warmup", "random", None, 0), ("online", "policy", "online", 1)]
    assert shape("bc") == [pretrain]
    assert shape("ppo") == shape("props") == [("online", "policy", "online", 1)]
    values, improve = ("values", "none", "offline", 1), ("improve", "none", "offline")
    assert shape("bppo") == [pretrain, values, (*improve, 20)]
    assert shape("uni_o4") == [pretrain, values, (*improve, 100), ("online", "policy", "online", 1)]
    assert shape("hnpg") == shape("hac") == [("online", "policy", "offline", 10)]
    settle, last = ("settle", "none", "prioritised", 1), ("online", "policy", "prioritised", 1)
    assert shape("off2on") == [pretrain, ("warmup", "policy", None, 0), settle, last]
    assert shape("famo2o") == shape("famo2o_awac") == [pretrain, ("online", "policy", "by_size", 1)]
    warm = ("warmup", "policy", None, 0)
    assert shape("boorl") == [pretrain, warm, ("online", "policy", "fraction", 5)]
    assert shape("so2") == [pretrain, warm, ("online", "policy", "ratio", 10)]
    assert shape("fql") == [pretrain, ("online", "policy", "by_size", 1)]
    assert shape("qc") == [pretrain, ("warmup", "policy", None, 0), ("online", "policy", "by_size", 1)]


@pytest.mark.parametrize("name", ["wsrl", "naive"])
def test_the_hand_over_drops_the_penalty_and_nothing_else(name):
    recipe = o2o.recipe(name, tiny(name)[1])
    before, after = recipe.agent_in(recipe.phases[0]), recipe.agent_in(recipe.phases[-1])
    assert before.stage == "conservative"
    assert after == dataclasses.replace(before, stage="plain")


def test_warm_up_leaves_the_real_agent_bitwise_alone():
    recipe, task, _ = tiny("wsrl")
    index = [p.name for p in recipe.phases].index("warmup")

    @jax.jit
    def warm(key):
        before = enter(o2o.init(key, recipe, task), recipe, phase=index)
        after, record = segment(before, recipe, task, None, phase=index)  # no dataset in reach
        return before, after, record

    before, after, record = warm(KEY)
    for old, new in zip(arrays(before.agent), arrays(after.agent), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(record.grad_steps) == 0
    assert int(record.env_steps) == int(after.store.size) == 40
    assert np.unique(after.store.data.action[:40]).size == 40  # it explores


def mixed(mix, **settings):
    phases = (warmup(40), online(200, mix=mix, batch_size=8, segments=1, updates=2, **settings))
    return Recipe(name="test", agent=Counting(), phases=phases, eval_episodes=1)


def test_by_size_shares_as_if_in_one_buffer():
    _, task, _ = tiny("bc")
    share = TRAIN(KEY, mixed("by_size"), task, marked()).metrics["share"][-1]
    expected = np.mean([ROWS / (ROWS + 40 + t) for t in range(1, 201)])
    # 3200 rows: five standard deviations are 0.04.
    np.testing.assert_allclose(share, expected, atol=0.04)


def test_ratio_is_a_number_that_can_be_swept():
    _, task, _ = tiny("bc")
    ratios = jnp.array([0.0, 0.25, 1.0])

    def run(ratio):
        return o2o.train(KEY, mixed("ratio", offline_ratio=ratio), task, marked()).metrics["share"][-1]

    shares = jax.jit(jax.vmap(run))(ratios)
    assert (shares[0], shares[2]) == (0, 1)
    np.testing.assert_allclose(shares[1], 0.25, atol=0.04)  # 3200 rows, five standard deviations


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_exact_fractions(fraction):
    recipe = mixed("fraction", offline_fraction=fraction)
    phase = recipe.phases[1]
    assert phase.uses_offline == (fraction > 0)
    assert phase.uses_online == (fraction < 1)
    batches = sample(hand_made(), recipe, phase, marked(), KEY)
    count = (np.asarray(batches.obs)[..., 0] == MARK).sum(axis=1)
    assert count.tolist() == [8 * fraction] * 2


def hand_made(size=30, envs=2, pending=(0, 0), extras=()):
    """A run with a store of numbered rows: reward 100 t + e, return-to-go its negative."""
    example = transition_example(o2o.Spaces(o2o.Space((1,)), o2o.Space((1,))), tuple(extras))
    store = stores.empty(example, rows=size, envs=envs)
    number = 100.0 * np.arange(size)[:, None] + np.arange(envs)
    data = store.data._replace(
        reward=jnp.asarray(number, jnp.float32), extras={e: -jnp.asarray(number) for e in extras}
    )
    zero = jnp.int32(0)
    episodes = dataclasses.replace(rollout.begin(envs), length=jnp.array(pending))
    counters = dict.fromkeys(("iteration", "env_steps", "grad_steps", "segment"), zero)
    return Run(
        key=KEY,
        agent=None,
        env=None,
        obs=None,
        memory=None,
        episodes=episodes,
        priorities=None,
        store=stores.Store(data=data, size=jnp.int32(size), head=zero),
        fault=no_fault(),
        **counters,
    )


COUNTED = {"before": 10, "all": 30}
"""Rows of the hand-made store that are drawn with the dataset's after 20 steps in two environments."""


@pytest.mark.parametrize(("offline_rows", "held"), COUNTED.items())
def test_rows_of_the_store_that_are_drawn_with_the_datasets(offline_rows, held):
    """In the offline half alone, each as often as a row of the dataset."""
    last = online(40, mix="fraction", offline_rows=offline_rows, batch_size=8000, segments=1)
    recipe = Recipe(name="test", agent=Counting(), phases=(warmup(20), last), num_envs=2)
    assert recipe.held_before(last) == 10
    batch = sample(hand_made(), recipe, last, marked(), KEY)
    rows = np.asarray(batch.reward)[0, :4000][np.asarray(batch.obs)[0, :4000, 0] != MARK]
    assert set(rows.tolist()) == {100 * t + e for t in range(held) for e in (0, 1)}
    share = 2 * held / (ROWS + 2 * held)
    np.testing.assert_allclose(len(rows) / 4000, share, atol=5 * (share * (1 - share) / 4000) ** 0.5)
    assert (np.asarray(batch.obs)[0, 4000:, 0] != MARK).all()


@pytest.mark.parametrize(("offline_rows", "ready"), [("before", (10, 9)), ("all", (26, 9))])
def test_rows_of_unfinished_episodes_are_not_drawn_with_the_datasets(offline_rows, ready):
    """Of 30 rows the newest 4 and 21 are of unfinished episodes; 10 were there before the phase."""
    recipe, _, data = tiny("cal_ql")
    last = dataclasses.replace(recipe.phases[-1], name="last", batch_size=8000, offline_rows=offline_rows)
    recipe = dataclasses.replace(recipe, phases=(warmup(20), last), num_envs=2)
    data = stores.with_extras(data, {"return_to_go": jnp.ones_like(data.data.reward)})
    batch = sample(hand_made(pending=(4, 21), extras=("return_to_go",)), recipe, last, data, KEY)
    found = -np.asarray(batch.extras["return_to_go"])[0, :4000]
    assert set(found[found != -1].tolist()) == {100 * t + e for e in (0, 1) for t in range(ready[e])}


def test_offline_rows_that_cannot_be_drawn_are_refused():
    _, task, _ = tiny("bc")
    cases = [
        (
            mixed("by_size", offline_rows="all"),
            {},
            "online.offline_rows='all' is for online.mix='fraction' or 'ratio'",
        ),
        (
            mixed("ratio", offline_rows="before"),
            {"store_rows": 100},
            "needs the 40 rows .* there are 240, but store_rows=100",
        ),
    ]
    for recipe, changes, text in cases:
        with pytest.raises(o2o.O2OError, match=text):
            jax.eval_shape(o2o.train, KEY, dataclasses.replace(recipe, **changes), task, marked())


def test_calibrated_online_rows_come_from_finished_episodes_only():
    recipe, _, data = tiny("cal_ql")
    phase = dataclasses.replace(recipe.phases[-1], batch_size=400)
    data = stores.with_extras(data, {"return_to_go": jnp.zeros_like(data.data.reward)})
    run = hand_made(pending=(4, 11), extras=("return_to_go",))
    batch = sample(run, recipe, phase, data, KEY)
    online_rows = np.asarray(batch.reward)[:, 200:]
    raw = np.round((online_rows - recipe.reward_bias) / recipe.reward_scale).astype(int)
    expected = {100 * t + e for e, ready in ((0, 26), (1, 19)) for t in range(ready)}
    assert set(raw.ravel().tolist()) == expected
    np.testing.assert_allclose(batch.extras["return_to_go"][:, 200:], -raw)


def test_agents_that_need_no_returns_see_unfinished_episodes_too():
    recipe, _, _ = tiny("wsrl")
    phase = dataclasses.replace(recipe.phases[-1], batch_size=800)
    batch = sample(hand_made(pending=(4, 11)), recipe, phase, None, KEY)
    raw = np.round((np.asarray(batch.reward) - recipe.reward_bias) / recipe.reward_scale).astype(int)
    assert set(raw.ravel().tolist()) == {100 * t + e for e in (0, 1) for t in range(30)}
    assert batch.extras == {}


def test_rewards_are_transformed_for_the_learner_and_kept_in_the_store():
    recipe = dataclasses.replace(mixed("online"), reward_scale=3.0, reward_bias=-1.0)
    run = hand_made()
    batch = sample(run, recipe, recipe.phases[1], None, KEY)
    assert set(np.asarray(batch.reward).ravel().tolist()) <= {
        3 * x - 1 for x in run.store.data.reward.ravel().tolist()
    }


def test_clearing_the_store_and_overriding_the_agent():
    phases = (
        warmup(20),
        Phase(
            name="second", steps=20, mix="online", store="clear", act="policy", segments=1, agent={"discount": 0.5}
        ),
    )
    recipe = Recipe(name="test", agent=Counting(), phases=phases)
    after = enter(hand_made(), recipe, phase=1)
    assert (int(after.store.size), int(after.store.head)) == (0, 0)
    kept = enter(hand_made(), recipe, phase=0)
    assert int(kept.store.size) == 30
    assert recipe.agent_in(phases[1]).discount == 0.5
    assert recipe.agent_in(phases[0]).discount == 0.9


def test_more_environments_make_fewer_iterations_of_more_rows():
    _, task, _ = tiny("bc")
    recipe = dataclasses.replace(mixed("online"), num_envs=4)
    result = TRAIN(KEY, recipe, task)
    assert result.env_steps.tolist() == [0, 40, 240]
    assert result.grad_steps.tolist() == [0, 0, 100]  # 50 iterations of 2
    assert result.run.store.data.reward.shape == (60, 4)


def test_seeds_do_not_multiply_the_dataset():
    """Memory of the compiled program: four seeds may cost four small runs, but not one more copy of the data."""
    recipe, task, data = tiny("iql")
    recipe = counting(recipe)
    large = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1_000_000, *x.shape[1:]), x.dtype), data.data)
    rows = dataclasses.replace(data, data=large)
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(large))
    train = jax.jit(jax.vmap(o2o.train, in_axes=(0, None, None, None)))

    def memory(seeds):
        found = train.lower(jax.random.split(KEY, seeds), recipe, task, rows).compile().memory_analysis()
        return found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes

    one, four = memory(1), memory(4)
    assert one > size
    assert four - one < size / 100


def test_distance_sees_a_difference():
    """The yardstick of the other tests, on a known case."""
    one = {"a": jnp.array([0.0, jnp.nan]), "b": jax.random.key(1)}
    assert distance(one, one) == 0
    assert distance(one, {**one, "a": jnp.array([0.5, jnp.nan])}) == 0.5
    assert distance(one, {**one, "b": jax.random.key(2)}) == 1
