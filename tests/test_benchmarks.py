"""The benchmark counts right, writes what it says, and README shows what the JSON holds. Nothing is timed here."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxo2o as o2o
from experiments.benchmarks import __main__ as command
from experiments.benchmarks import arithmetic, host_envs, host_loop, products, rows, speed_table, updates
from purejaxo2o.agents import CQL, IQL, SAC, TD3, CalQL
from purejaxo2o.types import O2OError, Space, Spaces
from tests import tiny

SPACES = Spaces(Space(shape=(11,)), Space(shape=(3,)))


@pytest.fixture(autouse=True)
def kept_programs(monkeypatch):
    """The command turns the compilation cache off for its whole process; the other tests want it."""
    monkeypatch.setattr(command, "configure", lambda precision: None)


# -- arithmetic --------------------------------------------------------------------------------------------


def test_iql_by_hand():
    # Multiply-adds a row of each network's layers; a training step adds the weights' gradient (as much again) and
    # the hidden layers' input gradient (the first layer's inputs need none).
    v, v_back = 11 * 256 + 256 * 256 + 256 * 1, 256 * 256 + 256 * 1
    q, q_back = 14 * 256 + 256 * 256 + 256 * 1, 256 * 256 + 256 * 1
    pi, pi_back = 11 * 256 + 256 * 256 + 256 * 3, 256 * 256 + 256 * 3
    training = (2 * v + v_back) + 2 * (2 * q + q_back) + (2 * pi + pi_back)
    evaluated = 2 * q + 2 * v  # both target critics; the new V at s and at s'
    assert arithmetic.flops(IQL(), SPACES, batch=256) == 2 * 256 * (training + evaluated) == 559_415_296
    # The peers' 524 MFLOP reuse the old V(s) for the advantage: one forward pass of V less.
    assert 559_415_296 - 2 * 256 * v == 524_288_000


def test_minibatches_multiply_what_is_done_for_each():
    agent = SAC(critics=10, actor_batch="last")
    one, five = (arithmetic.flops(agent, SPACES, batch=32, updates=count) for count in (1, 5))
    [actor] = [each.flops() for each in arithmetic.passes(agent, SPACES, batch=32) or [] if each.backward == "inputs"]
    policy = arithmetic.Pass(32, (11, 256, 256, 6), backward="weights").flops()
    assert one is not None
    assert five == 5 * (one - actor - policy) + actor + policy


def test_td3s_actor_counts_in_its_turns_only():
    two, four = (arithmetic.flops(TD3(), SPACES, batch=32, updates=count) for count in (2, 4))
    assert two is not None
    assert four == 2 * two
    assert arithmetic.flops(TD3(), SPACES, batch=32, updates=3) is None


def test_nothing_is_counted_for_unknown_agents_and_discrete_actions():
    assert arithmetic.flops(object(), SPACES, batch=8) is None
    assert arithmetic.flops(IQL(), Spaces(Space(shape=(4,)), Space(n=2)), batch=8) is None


@pytest.mark.parametrize(
    "agent",
    [
        SAC(),
        CalQL(cql_actions=4),
        CQL(critics=3, penalty_critics=2, stage="conservative", temperature_on="next_obs"),
        TD3(delay=1),
    ],
    ids=["sac", "cal_ql", "cql", "td3"],
)
def test_close_to_what_xla_counts(agent):
    data = updates.synthetic(100).data
    batches = jax.tree.map(lambda x: jnp.zeros((1, 256, *x.shape[2:]), x.dtype), data)
    state = agent.init(jax.random.key(0), SPACES)
    found = jax.jit(agent.update).lower(state, batches, jax.random.key(0)).compile().cost_analysis()["flops"]
    counted = arithmetic.flops(agent, SPACES, batch=256)
    # XLA also counts activations, losses and Adam, but half of a product with a single term.
    assert 0.995 * counted <= found <= 1.03 * counted


@pytest.mark.parametrize("batched", [True, False])
def test_the_bare_products_are_all_done(batched):
    work = [
        arithmetic.Pass(40, (14, 32, 48, 2), members=3, backward="weights"),
        arithmetic.Pass(40, (14, 32, 2), members=2, backward="inputs", inputs=3),
        arithmetic.Pass(24, (11, 32, 5), count=2),
    ]
    function, arguments = products.bare(work, 1, batched=batched)
    found = jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]
    counted = sum(each.flops() for each in work)
    assert 0.995 * counted <= found <= 1.03 * counted


# -- the host loop -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["iql", "rlpd"])
def test_the_host_loop_does_the_recipes_work(name):
    recipe, task, data = tiny.tiny(name)
    made = []

    class Counted(host_envs.FromJax):
        def __init__(self, env, seed):
            super().__init__(env, seed)
            self.steps = 0
            made.append(self)

        def step(self, action):
            self.steps += 1
            return super().step(action)

    outcomes = host_loop.run(recipe, task, data, lambda seed: Counted(task.env, seed))
    assert len(outcomes.scores) == 1 + sum(phase.segments for phase in recipe.phases)
    assert np.isfinite(outcomes.scores).all()
    acted = sum(phase.steps for phase in recipe.phases if phase.acts)
    assert made[0].steps == acted + 1  # one to warm up


def test_the_host_loop_refuses_what_it_cannot_do():
    recipe, task, data = tiny.tiny("cal_ql")
    with pytest.raises(O2OError, match="online extras"):
        host_loop.run(recipe, task, data, lambda seed: host_envs.FromJax(task.env, seed))


def test_replay_is_a_ring():
    replay = host_loop.Replay(o2o.types.transition_example(SPACES), 3)
    for value in range(5):
        example = o2o.types.transition_example(SPACES)
        replay.add(jax.tree.map(np.asarray, example)._replace(reward=np.float32(value)))
    assert replay.size == 3
    drawn = replay.sample(np.random.default_rng(0), (20, 5)).reward
    assert set(drawn.ravel().tolist()) == {2.0, 3.0, 4.0}


# -- the files ---------------------------------------------------------------------------------------------


def fake(value=2.0):
    def section(*, quick):
        found = rows.row("fake", "what", value, "x", 1.5, headline="Faster than nothing")
        return [found, rows.missing("fake", "other", "x", "no time")]

    return section


def check_schema(report):
    assert set(report) == {"device", "sections"}
    for name, section in report["sections"].items():
        needed = {"device", "platform", "processor", "cores", "versions", "commit", "command", "date", "precision"}
        assert needed <= set(section)
        assert section["versions"]["jax"]
        assert section["rows"]
        for row in section["rows"]:
            assert row["section"] == name
            assert {"name", "value", "unit", "compile_s"} <= set(row)
            assert row["value"] is not None or row["reason"]


def test_a_section_replaces_only_its_own_rows(tmp_path, monkeypatch, capsys):
    out = tmp_path / "deep" / "cpu.json"
    monkeypatch.setattr(command, "SECTIONS", {"one": fake(), "two": fake()})
    assert command.main(["one", "--out", str(out)]) == 0
    monkeypatch.setattr(command, "SECTIONS", {"one": fake(), "two": fake(3.0)})
    assert command.main(["two", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert [report["sections"][name]["rows"][0]["value"] for name in ("one", "two")] == [2.0, 3.0]
    assert list(out.parent.iterdir()) == [out]  # nothing temporary is left
    printed = capsys.readouterr().out
    assert "not measured: no time" in printed


def test_an_unknown_section_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["speed", "--out", str(tmp_path / "x.json")])
    assert "speed" in capsys.readouterr().err


@pytest.mark.slow
def test_the_quick_run_writes_the_schema(tmp_path):
    out = tmp_path / "cpu.json"
    assert command.main(["parts", "compile", "loading", "--quick", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    check_schema(report)
    assert set(report["sections"]) == {"parts", "compile", "loading"}
    values = [row["value"] for section in report["sections"].values() for row in section["rows"]]
    assert np.isfinite(values).all()


# -- README ------------------------------------------------------------------------------------------------


def test_table_from_json(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "SECTIONS", {"fake": fake()})
    command.main(["fake", "--out", str(tmp_path / "cpu.json")])
    check_schema(json.loads((tmp_path / "cpu.json").read_text()))
    table = speed_table.generate(tmp_path)
    assert "| Faster than nothing | 2.0 times |" in table
    assert "other" not in table  # it has no headline
    before = "a\n<!-- speed -->\nold\n<!-- /speed -->\nb\n"
    assert speed_table.replaced(before, table) == f"a\n<!-- speed -->\n{table}\n<!-- /speed -->\nb\n"
    with pytest.raises(O2OError, match="markers"):
        speed_table.replaced("none", table)


def test_readme_shows_the_committed_results():
    if not speed_table.README.exists():
        pytest.skip("there is no README.md beside the tests (an installed copy)")
    text = speed_table.README.read_text(encoding="utf-8")
    assert speed_table.replaced(text, speed_table.generate()) == text


def test_committed_results_have_the_schema():
    for path in speed_table.RESULTS.glob("*.json"):
        check_schema(json.loads(path.read_text(encoding="utf-8")))
