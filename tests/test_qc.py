"""Q-chunking: returns and weights of chunks, what one step of a chunk equals, and acting without looking."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles import Idle
from test_closed_forms import KEY, NETS, SPACES, assert_same, batches, cast, constant, run_update
from test_phases import hand_made
from tiny import arrays, distance, lane, task, tiny

import purejaxo2o as o2o
from purejaxo2o.agents.fql import FQL
from purejaxo2o.agents.qc import QC, Plan
from purejaxo2o.data.collect import collect
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.loop import store as stores
from purejaxo2o.loop.evaluate import evaluate_agent
from purejaxo2o.loop.feeds import sample
from purejaxo2o.loop.phases import Phase
from purejaxo2o.loop.policy import Policy
from purejaxo2o.loop.prepare import check
from purejaxo2o.loop.streams import ITERATE, stream
from purejaxo2o.train import enter, iterate
from purejaxo2o.types import Transition, pytree

FLOW: dict[str, Any] = {"flow_steps": 3, "learning_rate": 1e-2, **NETS}
KEYS = seed_keys(2)
TRAIN = jax.jit(o2o.train)


def steps(reward: Any, terminated: Any, truncated: Any = False) -> Transition:
    """One trajectory, then steps of another."""
    reward = jnp.array(reward, jnp.float32)
    n = len(reward)
    number = jnp.arange(n, dtype=jnp.float32)[:, None]
    flags = [jnp.broadcast_to(jnp.array(flag), (n,)) for flag in (terminated, truncated)]
    return Transition(number, jnp.zeros((n, 1)), reward, number + 1, *flags)


def chunk_at_the_start(rows: Transition, length: int) -> Transition:
    """The chunk `[1, length, ...]` that starts with the first row, as agents get it."""
    cut = rows.truncated.at[-1].set(~rows.terminated[-1])  # where the recording stops
    drawn, valid = stores.sample_chunks(stores.from_transitions(rows._replace(truncated=cut)), KEY, (200,), length)
    first = int(jnp.argmin(drawn.obs[:, 0, 0]))
    assert drawn.obs[first, 0, 0] == 0
    return jax.tree.map(lambda x: x[first : first + 1], drawn._replace(extras={"valid": valid}))


FIVE = QC(chunk=5, **FLOW)


def test_return_and_discount_of_the_sheet() -> None:
    chunk = FIVE.joined(chunk_at_the_start(steps([0, 0, 0, 0, 1], [False] * 5, [False] * 4 + [True]), 5))
    np.testing.assert_allclose(chunk.reward, [0.9605960], rtol=1e-6)
    np.testing.assert_allclose(FIVE.backup_discount, 0.9509900, rtol=1e-6)
    assert chunk.next_obs.tolist() == [[5.0]]
    assert not chunk.terminated[0]  # cut, not over: it bootstraps
    assert FIVE.critic_weight(chunk).tolist() == [True]


@pytest.mark.parametrize(("end", "weight"), [(2, 0.0), (4, 1.0)])
@pytest.mark.parametrize("how", ["terminated", "truncated"])
def test_an_end_inside_a_chunk_drops_it_and_an_end_with_it_does_not(how: str, end: int, weight: float) -> None:
    flags = {"terminated": [False] * 5, "truncated": [False] * 5} | {how: [i == end for i in range(5)]}
    chunk = FIVE.joined(chunk_at_the_start(steps([0, 0, 0, 0, 1], **flags), 5))
    assert float(FIVE.critic_weight(chunk)[0]) == weight
    assert bool(chunk.terminated[0]) == (how == "terminated")
    assert FIVE.flow_weight(chunk._replace(action=jnp.zeros((1, 10)))).tolist() == [
        [i <= end for i in range(5) for _ in range(2)]
    ]


def chunked(rows: Transition, length: int) -> Transition:
    """`[U, B, ...]` as chunks: every row repeated `length` times, all valid."""
    many = jax.tree.map(lambda x: np.repeat(x[:, :, None], length, axis=2), rows)
    return many._replace(extras={"valid": np.ones(many.reward.shape, bool)})


def test_dropped_chunks_count_as_zero_in_the_mean() -> None:
    agent = QC(chunk=2, **FLOW | {"learning_rate": 0.0})
    state = agent.init(KEY, SPACES)
    state = dataclasses.replace(state, critic=constant(state.critic, jnp.zeros(2)))
    rows = chunked(batches(reward=1.0, terminated=True), 2)
    expected = (1 + agent.discount) ** 2
    np.testing.assert_allclose(run_update(agent, state, rows, KEY)[1]["critic_loss"], expected, rtol=1e-6)
    rows.extras["valid"][0, :3, 1] = False  # three of four
    metrics = run_update(agent, state, rows, KEY)[1]
    np.testing.assert_allclose(metrics["critic_loss"], expected / 4, rtol=1e-6)
    np.testing.assert_allclose(metrics["valid"], 0.25)


def test_a_chunk_of_one_is_fql() -> None:
    fql, qc = FQL(alpha=0.7, **FLOW), QC(alpha=0.7, chunk=1, policy="distilled", **FLOW)
    state = fql.init(KEY, SPACES)
    assert distance(state, qc.init(KEY, SPACES)) == 0
    with jax.enable_x64(True):
        wide, rows = cast(state, np.float64), cast(batches(3), np.float64)
        one, metrics = run_update(fql, wide, rows, KEY)
        other, others = run_update(qc, wide, chunked(rows, 1), KEY)
    assert_same(one, other, [f.name for f in dataclasses.fields(one)])
    for name in metrics:
        np.testing.assert_allclose(metrics[name], others[name], rtol=1e-10)
    obs = jnp.zeros((3, 3))
    np.testing.assert_array_equal(fql.act(state, obs, KEY, explore=True), qc.act(state, obs, KEY, explore=True))


def test_a_run_with_chunks_of_one_is_one_of_fql() -> None:
    """The same rows are drawn, the same actions taken."""
    recipe, where, data = tiny("fql")
    shared = {f.name: getattr(recipe.agent, f.name) for f in dataclasses.fields(FQL)}
    other = dataclasses.replace(recipe, agent=QC(chunk=1, policy="distilled", **shared))
    one, two = TRAIN(KEYS[0], recipe, where, data), TRAIN(KEYS[0], other, where, data)
    assert distance(one.run.store, two.run.store) <= 1e-5
    assert distance(one.run.agent, two.run.agent) <= 1e-5
    assert distance(one.returns, two.returns) <= 1e-5


def test_the_policy_takes_what_the_critics_like_best() -> None:
    """Not their targets; and in the target of the update as well as in acting."""
    agent = QC(chunk=2, samples=16, **FLOW)
    state = agent.init(KEY, SPACES)
    assert state.actor is None
    obs = jnp.linspace(-1, 1, 12).reshape(4, 3)
    noise = agent.noise(state, KEY, (4, 16))
    samples = agent.carried(state.flow, jnp.broadcast_to(obs[:, None], (4, 16, 3)), noise)
    values = agent.q(state.critic, jnp.broadcast_to(obs[:, None], (4, 16, 3)), samples).mean(axis=0)
    best = samples[jnp.arange(4), values.argmax(axis=1)]
    spoiled = dataclasses.replace(state, target=jax.tree.map(lambda x: -x, state.target))
    np.testing.assert_allclose(agent.proposal(spoiled, obs, KEY), best, rtol=1e-6)
    np.testing.assert_allclose(agent.act(spoiled, obs, KEY, explore=False), best[:, :2], rtol=1e-6)


def test_best_of_n_learns_by_cloning_and_values_alone() -> None:
    """alpha and whatever belongs to the one-step policy do nothing."""
    agent = QC(chunk=2, samples=4, **FLOW)
    state, rows = agent.init(KEY, SPACES), chunked(batches(), 2)
    one = run_update(agent, state, rows, KEY)[0]
    other = run_update(dataclasses.replace(agent, alpha=3.0, normalise_q=True), state, rows, KEY)[0]
    assert distance(one, other) == 0


# ---- acting without looking ------------------------------------------------------------------------------


def test_a_plan_is_followed_to_its_end() -> None:
    agent = QC(chunk=3, samples=2, **FLOW)
    state = agent.init(KEY, SPACES)
    plan = agent.begin(state, 2)
    start = jnp.ones((2, 3))
    expected = agent.chunks(state, start, KEY)
    for i in range(3):
        obs = start if i == 0 else 9.0 * start  # what is seen on the way does not matter
        action, plan = agent.follow(state, obs, KEY if i == 0 else KEYS[0], plan, explore=True)
        np.testing.assert_allclose(action, expected[:, i], rtol=1e-6)
    action, _ = agent.follow(state, start, KEYS[1], plan, explore=True)
    np.testing.assert_allclose(action, agent.chunks(state, start, KEYS[1])[:, 0], rtol=1e-6)


def test_plans_of_several_environments_run_out_one_by_one() -> None:
    agent = QC(chunk=3, samples=2, **FLOW)
    state = agent.init(KEY, SPACES)
    old = jnp.full((2, 3, 2), 0.5)
    action, plan = agent.follow(state, jnp.ones((2, 3)), KEY, Plan(old, jnp.array([0, 2])), explore=True)
    np.testing.assert_allclose(action[0], agent.chunks(state, jnp.ones((2, 3)), KEY)[0, 0], rtol=1e-6)
    assert action[1].tolist() == [0.5, 0.5]
    assert plan.left.tolist() == [2, 1]


def acting(num_envs: int) -> tuple[Any, Any, list[Any]]:
    """`qc` acting without updates for longer than an episode: recipe, last run, and the runs before every step."""
    recipe, where, _ = tiny("qc")
    phase = Phase(name="warmup", steps=30 * num_envs, act="policy", updates=0, segments=1)
    recipe = dataclasses.replace(recipe, phases=(phase,), num_envs=num_envs)
    one = jax.jit(lambda run: iterate(run, recipe, where, phase, None, None)[0])
    run, before = enter(o2o.init(KEYS[0], recipe, where), recipe, phase=0), []
    for _ in range(30):
        before.append(run)
        run = one(run)
    return recipe, run, before


@pytest.mark.parametrize("num_envs", [1, 3])
def test_training_acts_like_a_queue_that_an_episodes_end_empties(num_envs: int) -> None:
    """Against a queue written out; in float32 the two programs may differ in the last bits."""
    recipe, run, before = acting(num_envs)
    data, queues = run.store.data, [[] for _ in range(num_envs)]
    emptied = 0
    for i, now in enumerate(before):
        key = jax.random.split(stream(now.key, ITERATE, i), 4)[0]
        chunks = recipe.agent.chunks(now.agent, now.obs, key)
        for e, queue in enumerate(queues):
            queue.extend(chunks[e] if not queue else [])
            np.testing.assert_allclose(data.action[i, e], queue.pop(0), atol=1e-5)
            if data.last[i, e]:
                emptied += len(queue) > 0
                queue.clear()
    assert emptied  # an episode of 20 steps ends inside a chunk of 3
    assert run.memory.left.tolist() == [len(queue) for queue in queues]


def test_random_steps_leave_no_plan() -> None:
    recipe, _, before = acting(1)
    planning = next(run for run in before if run.memory.left[0] > 0)
    phase = Phase(name="random", steps=1, act="random", updates=0, segments=1)
    after = iterate(planning, recipe, task(), phase, None, None)[0]
    assert after.memory.left.tolist() == [0]


@pytree
class Forgetful(Idle):
    """Stays where it is."""

    def act(self, state: Any, obs: Any, key: Any, *, explore: bool) -> Any:
        return jnp.zeros_like(obs)


@pytree
class Counting(Forgetful):
    """Goes right for two steps, then left; it could not tell from what it sees."""

    def begin(self, state: Any, count: int) -> Any:
        return jnp.zeros(count)

    def follow(self, state: Any, obs: Any, key: Any, memory: Any, *, explore: bool) -> Any:
        return jnp.where(memory < 2, 1.0, -1.0)[:, None], memory + 1


def test_evaluation_keeps_what_the_agent_has_in_mind() -> None:
    """`slope` pays a tenth of where one is, for 20 steps."""
    env = task().env
    counted, forgetful = (evaluate_agent(a, None, env, KEY, episodes=8).returns for a in (Counting(), Forgetful()))
    starts = np.asarray(jax.vmap(env.reset)(jax.random.split(jax.random.split(KEY)[0], 8))[1][:, 0], float)
    np.testing.assert_allclose(forgetful, 20 * 0.1 * starts, atol=1e-4)
    expected = []
    for x in starts:
        total = 0.0
        for i in range(20):
            x = max(-1.0, x + (0.2 if i < 2 else -0.2))
            total += 0.1 * x + (there := abs(x - 0.8) < 0.1)
            if there:
                break
        expected.append(total)
    np.testing.assert_allclose(counted, expected, atol=1e-4)


def test_chunks_of_unfinished_episodes_have_no_returns() -> None:
    @pytree
    class Promised(Forgetful):
        chunk = 2

        @property
        def needs(self) -> frozenset[str]:
            return frozenset({"return_to_go"})

    recipe, where, data = tiny("iql")
    phases = tuple(dataclasses.replace(phase, agent={}) for phase in recipe.phases)
    with pytest.raises(o2o.O2OError, match=r"chunks and needs return_to_go.*online\.mix='offline'"):
        check(dataclasses.replace(recipe, agent=Promised(), phases=phases), where, data)


def test_a_policy_remembers_what_its_agent_does() -> None:
    """What a result gives, is evaluated, recorded and exported with is what was trained with: with its plans."""
    recipe, where, data = tiny("qc")
    result = TRAIN(KEYS[0], recipe, where, data)
    act, env = result.policy(), where.eval_env
    assert result.run is not None
    judged = evaluate_agent(result.agent, result.run.agent, env, KEY, episodes=4)
    np.testing.assert_array_equal(o2o.evaluate(act, env, KEY, episodes=4).returns, judged.returns)
    forgetful = o2o.evaluate(act.scaled, env, KEY, episodes=4)
    assert (forgetful.returns != judged.returns).any()
    counting = Policy(agent=Counting(), state=None)
    rows = stores.flat(collect(env, counting, KEY, steps=60, num_envs=3))
    time = np.zeros(3, int)
    for row, lane_of in enumerate(np.repeat(np.arange(3), 20)):
        assert rows.action[row, 0] == (1.0 if time[lane_of] < 2 else -1.0)
        time[lane_of] = 0 if rows.last[row] else time[lane_of] + 1
    obs = jnp.zeros((2, 1))
    exported = jax.export.export(jax.jit(act.act), platforms=("cpu", "cuda", "tpu"))(obs, act.init(2), KEY)
    arguments = (obs, act.init(2), KEY)
    for got, expected in zip(*map(jax.tree.leaves, (exported.call(*arguments), act.act(*arguments))), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_agents_without_a_memory_have_none() -> None:
    recipe, where, _ = tiny("iql")
    assert o2o.init(KEYS[0], recipe, where).memory is None
    assert recipe.agent.begin(None, 3) is None


@pytest.mark.slow
def test_lanes_equal_solo_runs() -> None:
    """Plans run out at different steps in different lanes."""
    batch = jax.jit(jax.vmap(o2o.train, in_axes=(0, None, None, None)))(KEYS, *tiny("qc"))
    for index, key in enumerate(KEYS):
        assert distance(lane(batch, index), TRAIN(key, *tiny("qc"))) <= 1e-4


class Stop:
    """A sink that interrupts at a row."""

    def __init__(self, at: int):
        self.left = at

    def write(self, row: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def close(self) -> None:
        pass


@pytest.mark.slow
def test_a_run_killed_within_a_chunk_goes_on_with_it(tmp_path: Any) -> None:
    """Segments of ten steps and chunks of three."""
    recipe, where, data = tiny("qc")
    whole = o2o.fit(KEYS[0], recipe, where, data, progress=False)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        o2o.fit(KEYS[0], recipe, where, data, out=out, save_every=1, progress=False, sinks=[Stop(8)])
    resumed = o2o.fit(KEYS[0], recipe, where, data, out=out, save_every=1, progress=False, resume=True)
    for a, b in zip(arrays(whole), arrays(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- drawing chunks --------------------------------------------------------------------------------------


def dataset(size: int = 40) -> stores.Store:
    """Rows whose rewards are minus their number."""
    rows = steps(-jnp.arange(size), [i == size - 1 for i in range(size)])
    return stores.from_transitions(rows)


@pytest.mark.parametrize("mix", ["offline", "online", "fraction", "ratio", "by_size"])
def test_every_mix_is_made_of_whole_chunks(mix: Any) -> None:
    recipe = dataclasses.replace(tiny("qc")[0], reward_scale=1.0, reward_bias=0.0)
    phase = Phase(name="online", steps=1, act="policy", mix=mix, batch_size=64, updates=2)
    batch = sample(hand_made(), recipe, phase, dataset(), KEY)
    reward, valid = np.asarray(batch.reward), np.asarray(batch.extras["valid"])
    assert reward.shape == valid.shape == (2, 64, recipe.agent.chunk)
    assert valid[..., 0].all()
    offline = (reward <= 0).all(axis=-1) & (np.asarray(batch.next_obs)[..., 0] > 0).all(axis=-1)
    jumps = np.where(offline[..., None], -1, 100)
    ok = np.diff(reward, axis=-1) == jumps
    assert ok[valid[..., 1:]].all()
    share = {"offline": 1.0, "online": 0.0, "fraction": 0.5}.get(mix)
    assert offline.mean() == share if share is not None else 0.2 < offline.mean() < 0.8
