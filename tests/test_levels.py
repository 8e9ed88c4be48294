"""D4RL's levels of data: which policy is medium, what a replay holds, and all of them from one small training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doubles import Idle

import purejaxo2o as o2o
from purejaxo2o import envs
from purejaxo2o.cli.main import main
from purejaxo2o.data import minari
from purejaxo2o.drive import levels
from purejaxo2o.loop import store as stores
from purejaxo2o.tasks import make
from purejaxo2o.types import O2OError, Transition, pytree


@pytest.mark.parametrize(
    ("returns", "low", "medium"),
    [
        ([0, 10, 29, 30, 60, 90], 0, 3),
        ([-1200, -1200, -800, -600, -300], -1200, 2),  # a third of the way is -900
        ([50, 0, 40, 90], 0, 2),  # what nobody has trained is no policy of ours
    ],
)
def test_medium_is_the_first_a_third_of_the_way_up(returns, low, medium):
    assert levels._medium(np.array(returns, float), low) == medium


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ([0, 5, 10], "no better than 20 of random"),
        ([0, 5, 100], "no policy lies between"),
        ([0, 9, np.nan], "no better"),
    ],
)
def test_trainings_that_give_no_levels_are_refused(returns, message):
    with pytest.raises(O2OError, match=message):
        levels._medium(np.array(returns, float), 20)


def test_a_replay_is_the_beginning_of_the_buffer_environment_by_environment():
    t, e = 6, 2
    obs = 10.0 * jnp.arange(e)[None, :, None] + jnp.arange(t)[:, None, None]
    end = jnp.zeros((t, e), bool).at[1, 0].set(True).at[3, 1].set(True)
    reward = jnp.zeros((t, e))
    extras = {"return_to_go": reward}
    data = Transition(obs, obs, reward, obs + 1, end, end & False, extras)
    buffer = stores.Store(data=data, size=jnp.int32(t), head=jnp.int32(0))
    rows = stores.flat(levels._replay(buffer, 4))
    assert rows.obs[:, 0].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert np.flatnonzero(rows.terminated).tolist() == [1, 7]
    assert np.flatnonzero(rows.truncated).tolist() == [3]
    assert rows.extras == {}


def test_who_learns_and_which_levels_there_are():
    reach, cart = o2o.task("reach"), o2o.task("cartpole")
    assert levels.learner(reach, "small").name == "sac"
    assert levels.learner(cart, "small").name == "iql_online"
    assert "noisy-scripted" in levels.levels_of(o2o.task("pointmaze-umaze").env)
    assert "noisy-scripted" not in levels.levels_of(reach.env)
    with pytest.raises(O2OError, match="toy/reach has no level 'noisy-scripted'; it has random, medium"):
        levels.record(reach, "noisy-scripted", None, jax.random.key(0), steps=10, num_envs=1)
    with pytest.raises(O2OError, match="'expert' comes out of a training"):
        levels.record(reach, "expert", None, jax.random.key(0), steps=10, num_envs=1)


@pytree
class Fixed(Idle):
    """Always acts as its state says, but for a little noise when it explores."""

    def init(self, key, spaces):
        return {"action": jnp.zeros(spaces.action.shape)}

    def act(self, state, obs, key, *, explore):
        return state["action"] + explore * jax.random.uniform(key, (1,), minval=0.0, maxval=0.01)


@pytest.fixture
def training(tmp_path):
    """Of three segments, medium after the second: its policy acts 0.25, the expert's 0.5."""
    for segment, action in enumerate((0.0, 0.25, 0.5), start=1):
        np.savez(tmp_path / f"{segment}.npz", action=np.full(1, action, np.float32))
    returns, steps = np.array([0.0, 0.1, 0.5, 1.0]), np.array([0, 2, 4, 6])
    zeros, flag = jnp.zeros((6, 1)), jnp.zeros((6, 1), bool)
    obs = jnp.arange(6.0)[:, None, None]
    data = Transition(obs, obs, zeros, obs + 1, flag, flag)
    buffer = stores.Store(data=data, size=jnp.int32(6), head=jnp.int32(0))
    return levels.Training(Fixed(), tmp_path, buffer, returns, steps, 0.05, 2)


@pytest.mark.parametrize(
    ("level", "counts"),
    [("medium", (7, 0)), ("expert", (0, 7)), ("medium-expert", (4, 3)), ("random", None), ("full-replay", None)],
)
def test_levels_are_recorded_with_their_policies(training, level, counts):
    task = o2o.task("reach")
    rows = levels.record(task, level, training, jax.random.key(0), steps=7, num_envs=2)
    action = np.asarray(stores.flat(rows).action)[:, 0]
    if counts is None:
        assert len(action) == (6 if level == "full-replay" else 7)
    else:
        medium, expert = ((action >= x) & (action <= x + 0.01) for x in (0.25, 0.5))
        assert (medium.sum(), expert.sum()) == counts
        assert len(np.unique(action)) == 7  # sampled, not greedy
    again = levels.record(task, level, training, jax.random.key(0), steps=7, num_envs=2)
    for a, b in zip(jax.tree.leaves(rows), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_noted_about_a_level(training):
    noted = levels.policy_scores(training, "medium-expert")
    assert noted["random_return"] == 0.05
    assert noted["medium_policy"] == {"env_steps": 4, "return": 0.5}
    assert noted["expert_policy"] == {"env_steps": 6, "return": 1.0}
    assert set(levels.policy_scores(training, "medium")) == {"random_return", "medium_policy"}
    assert set(levels.policy_scores(training, "full-replay")) == {"random_return", "expert_policy"}


def test_a_lost_policy_is_named(training):
    (training.policies / "2.npz").unlink()
    with pytest.raises(O2OError, match=r"2.npz cannot be read .*train again"):
        levels.record(o2o.task("reach"), "medium", training, jax.random.key(0), steps=7, num_envs=2)


@pytest.mark.slow
def test_a_choice_is_learned_too():
    """IQL on its own replay buffer."""
    task = make("choice", envs.make("toy/action-reward-discrete"), domain="toy")
    sizes = {"agent.hidden": (8, 8), "agent.actor_hidden": (8, 8), "warmup.steps": 20, "eval_episodes": 4}
    short = o2o.replace(levels.learner(task, "small"), sizes | {"online.steps": 60, "online.segments": 3})
    result = o2o.fit(jax.random.key(0), short, task, progress=False)
    assert np.isfinite(result.scores).all()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The answer of `collect --policy all` in a toy, its command, and the bytes of every dataset."""
    folder = tmp_path_factory.mktemp("levels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "root"))
        settings = ["agent.hidden=(16,16)", "agent.actor_hidden=(16,16)", "online.segments=12", "warmup.steps=200"]
        command = [
            *("collect", "reach", "--id", "me/reach", "--policy", "all", "--steps", "300", "--num-envs", "5"),
            *("--scale", "small", "--train-steps", "2400", "--train-dir", str(folder / "training"), "--seed", "1"),
            *("--set", *settings, "--json"),
        ]
        assert main(command) == 0
        yield command, folder, _bytes(folder / "root")


def _bytes(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.*") if path.is_file()}


@pytest.mark.slow
def test_every_level_is_there_with_its_scores(made):
    mean, sizes = {}, {}
    for level in levels.levels_of(envs.make("toy/reach")):
        info = minari.info(f"me/reach/{level}-v0")
        about = info.metadata["provenance"]
        assert (about["environment"], about["level"], about["seed"]) == ("toy/reach", level, 1)
        assert info.reference == (0.0, 1.0)
        assert about["mean_score"] == pytest.approx(100 * about["mean_return"])
        mean[level], sizes[level] = about["mean_return"], info.steps
        if level not in levels.UNTRAINED:
            assert about["training"]["agent"] == "SAC"
            assert about["training"]["random_return"] < 0.6
        data = stores.flat(o2o.dataset(info.id))
        assert data.last[-1]
    assert mean["random"] < mean["expert"]
    assert mean["medium"] <= mean["expert"] + 0.1
    assert sizes["random"] == sizes["medium"] == sizes["medium-expert"] == sizes["expert"] == 300
    assert sizes["full-replay"] == 2600
    assert 200 < sizes["medium-replay"] < 2600
    full, part = (stores.flat(o2o.dataset(f"me/reach/{x}-v0")) for x in ("full-replay", "medium-replay"))
    np.testing.assert_array_equal(full.obs[: len(part.obs)], part.obs)


@pytest.mark.slow
def test_a_collected_dataset_finds_its_environment(made):
    task = o2o.task("me/reach/expert-v0")
    assert (task.env.name, task.score_high, task.domain) == ("toy/reach", 1.0, "toy")


@pytest.mark.slow
def test_the_same_command_keeps_what_is_there_and_makes_the_rest_again_bit_for_bit(made, capsys):
    command, folder, before = made
    import shutil

    shutil.rmtree(folder / "root" / "me/reach/medium-v0")
    capsys.readouterr()
    assert main(command[:-1]) == 0
    out = capsys.readouterr().out
    assert "kept me/reach/expert-v0" in out
    assert "wrote me/reach/medium-v0" in out
    assert _bytes(folder / "root") == before


@pytest.mark.slow
def test_levels_are_refused_in_one_line(made, capsys):
    _, folder, _ = made
    root = _bytes(folder / "root")
    for arguments, message in [
        ("--id me/reach/medium-v0 --policy medium", "exists in"),
        ("--id me/reach --policy all --noise 0.1", "exclude each other"),
        ("--id me/reach/x-v0 --policy noisy-scripted", "has no level 'noisy-scripted'"),
        ("--id me/reach/x-v0 --policy random --train-steps 5", "are for levels"),
        (f"--id me/reach/x-v0 --policy medium --train-dir {folder / 'training'}", "holds another run"),
    ]:
        assert main(["collect", "reach", *arguments.split()]) == 2
        assert message in capsys.readouterr().err
    assert _bytes(folder / "root") == root
