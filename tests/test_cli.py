"""The command line from data to picture, its answers for machines, and what it says to bad input."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import purejaxo2o as o2o
from purejaxo2o.cli import cache_compilations, main
from purejaxo2o.policies import load_policies, load_policy
from purejaxo2o.sweep import seed_keys

NETWORKS = ["agent.hidden=(8, 8)", "agent.actor_hidden=(8, 8)"]
OFFLINE = ["offline.steps=40", "offline.segments=2", "offline.batch_size=8", "eval_episodes=4"]
ONLINE = ["online.steps=40", "online.segments=2", "online.batch_size=8"]


@pytest.fixture
def run(capsys):
    """`run(*arguments)`: the command succeeds; what it printed, parsed if `--json` is among them."""

    def call(*arguments):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in arguments else out

    return call


@pytest.fixture(scope="module")
def reach_data():
    name = "test/reach/random-v0"
    assert main(f"collect reach --id {name} --steps 200 --num-envs 5 --seed 3".split()) == 0
    return name


@pytest.fixture(scope="module")
def maze_run(tmp_path_factory):
    """A run folder of two tiny policies in a maze, and the dataset that they learned from."""
    folder, name = tmp_path_factory.mktemp("maze") / "bc", "test/umaze/waypoint-v0"
    collect = f"collect pointmaze-umaze --policy waypoint --noise 0.5 --id {name} --steps 600 --num-envs 4"
    assert main(collect.split()) == 0
    sizes = ["agent.actor_hidden=(8, 8)", *OFFLINE]
    train = f"train bc pointmaze-umaze --scale small --seeds 2 --dataset {name} --out {folder} --set"
    assert main([*train.split(), *sizes]) == 0
    return folder, name


def test_list_names_what_the_other_commands_take(run, reach_data):
    found = run("list", "--json")
    assert {"recipes", "tasks", "envs", "datasets"} == set(found)
    recipes = {row["recipe"]: row for row in found["recipes"]}
    assert recipes["iql"]["actions"] == "box, discrete"
    assert (recipes["sac"]["actions"], recipes["sac"]["needs"]) == ("box", "-")
    assert recipes["ppo"]["after the switch"] == "fresh rollouts"
    assert recipes["dqn"]["actions"] == "discrete"
    after = recipes["off2on"]["after the switch"]
    assert after.startswith("dataset and replay by priority; 1,000 policy steps first")
    assert recipes["cal_ql"]["needs"] == "dataset, return_to_go"
    assert recipes["wsrl"]["after the switch"].startswith("replay only; 5,000 policy steps first; changes ")
    assert "arXiv 2412.07762" in recipes["wsrl"]["description"]
    assert "toy/reach" in {row["environment"] for row in found["envs"]}
    here = {row["dataset"]: row["here"] for row in found["datasets"]}
    assert here[reach_data] == "yes"
    assert here["purejaxo2o/pointmaze-umaze/mixed-v0"] == "made on first use"
    text = run("list", "tasks")
    assert "pointmaze-umaze" in text
    assert "wsrl" not in text


def test_inspect_counts_what_was_collected(run, reach_data):
    found = run("inspect", reach_data, "--json")
    assert found["steps"] == 200
    assert found["terminated"] + found["truncated"] == found["episodes"]
    assert found["quantiles"]["length"]["max"] <= 20
    assert found["quantiles"]["length"]["mean"] * found["episodes"] == pytest.approx(200)
    assert found["reference"] == [0.0, 1.0]
    assert found["quantiles"]["score"]["mean"] == pytest.approx(100 * found["quantiles"]["return"]["mean"])
    assert (found["provenance"]["seed"], found["provenance"]["policy"]) == (3, "random")
    text = run("inspect", reach_data)
    assert "median" in text
    assert "seed=3" in text


@pytest.mark.slow
def test_a_story_in_a_maze(run, maze_run, tmp_path):
    """train (in the fixture) -> report -> evaluate -> render -> collect with the trained policy."""
    folder, dataset = maze_run
    written = {path.name for path in folder.iterdir()}
    assert {"config.json", "metrics.jsonl", "results.npz", "checkpoints", "curve.png"} <= written
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["segment"] for row in rows] == [0, 1, 2]

    found = run("report", folder, "--out", tmp_path / "report", "--json")
    assert [(row["method"], row["seeds"]) for row in found["rows"]] == [("bc", 2)]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"curves.png", "table.md", "figures.json"}

    found = run("evaluate", folder, "--episodes", "6", "--json")
    assert [lane["lane"] for lane in found["lanes"]] == [0, 1]
    scores = [lane["score"] for lane in found["lanes"]]
    assert all(0 <= score <= 100 for score in scores)
    assert found["all"]["score"] == pytest.approx(np.mean(scores))
    assert found["segment"] == 2

    found = run("render", folder, "--episodes", "2", "--json")
    assert (folder / "trajectories.png").read_bytes()[:4] == b"\x89PNG"
    assert 0 <= found["reached"] <= 2

    name = "test/umaze/bc-v0"
    again = ["collect", "pointmaze-umaze", "--policy", folder, "--lane", "1", "--id", name]
    found = run(*again, "--steps", "40", "--num-envs", "2", "--json")
    assert (found["dataset"], found["steps"]) == (name, 40)
    origin = run("inspect", name, "--json")["provenance"]
    assert (origin["policy"], origin["lane"], origin["run"]["recipe"]) == ("bc", 1, "bc")
    assert dataset.startswith("test/")


@pytest.mark.slow
def test_a_sweep_has_a_row_per_setting_and_resumes(run, reach_data, tmp_path):
    out = tmp_path / "sweep"
    command = ["sweep", "iql", "reach", "--scale", "small", "--seeds", "2", "--dataset", reach_data, "--out", out]
    command += ["--over", "agent.expectile=0.6,0.9", "--json", "--set", *NETWORKS, *OFFLINE, "--set", *ONLINE]
    found = run(*command)
    labels = ["agent.expectile=0.6", "agent.expectile=0.9"]
    assert [(row["method"], row["seeds"]) for row in found["rows"]] == [(label, 2) for label in labels]
    assert run(*command, "--resume") == found
    assert [row["method"] for row in run("report", out, "--out", tmp_path / "r", "--json")["rows"]] == [
        f"iql: {label}" for label in labels
    ]
    lanes = run("evaluate", out, "--episodes", "4", "--json")["lanes"]
    assert len(lanes) == 4
    scores = np.load(out / "results.npz", allow_pickle=False)["scores"]
    assert scores.shape == (4, 5)


def test_restored_policies_act_like_the_trained_ones(reach_data, tmp_path):
    task = o2o.task("reach")
    sizes = {"agent.actor_hidden": (8, 8), "offline.steps": 40, "offline.segments": 2, "eval_episodes": 4}
    recipe = o2o.replace(o2o.recipe("bc", task, "small"), sizes)
    data, obs, key = o2o.dataset(reach_data), np.array([0.3], np.float32), jax.random.key(0)
    over = {"agent.learning_rate": [1e-3, 1e-1]}
    many = o2o.sweep(recipe, task, data, seeds=3, over=over, out=tmp_path / "many", progress=False)
    loaded = load_policies(tmp_path / "many")
    wanted = [float(many.policy((i, j))(obs, key)[0]) for i in range(2) for j in range(3)]
    assert len(set(wanted)) == 6
    assert [float(loaded.policy(lane)(obs, key)[0]) for lane in range(loaded.lanes)] == pytest.approx(wanted)
    one = o2o.fit(jax.random.key(7), recipe, task, data, out=tmp_path / "one", progress=False)
    assert load_policy(tmp_path / "one")(obs, key) == pytest.approx(one.policy()(obs, key))


def test_seeds_of_a_later_range_are_those_of_a_longer_run():
    longer, later = seed_keys(6), seed_keys(2 + 4)[2:]
    assert (jax.random.key_data(longer[2:]) == jax.random.key_data(later)).all()
    assert (jax.random.key_data(longer[:3]) == jax.random.key_data(seed_keys(3))).all()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train wsrll pointmaze-umaze", "unknown recipe 'wsrll'; did you mean 'wsrl'?"),
        ("train wsrl pointmaze-umase", "did you mean 'pointmaze-umaze'?"),
        ("train sac reach --set agent.learning_rat=1", "did you mean 'agent.learning_rate'?"),
        ("train sac reach --set agent.learning_rate", "write NAME=VALUE"),
        ("train sac reach --set num_envs=2 --set num_envs=4", "given twice"),
        ("train sac reach --set agent.learning_rate=fast", "takes a number, got 'fast'"),
        ("train sac reach --set online.steps=1001", "does not divide"),
        ("train sac reach --seeds 0", "--seeds is 0"),
        ("train sac reach --dataset a/b/c-v0", "uses no offline data"),
        ("train bc reach", "has no dataset"),
        ("train bc reach --dataset no/such-v0", "'no/such-v0' is not in"),
        ("sweep sac reach --over agent.learning_rate=a,b", "numbers with commas"),
        ("sweep sac reach --over agent.hidden=8,16", "takes a tuple like"),
        ("collect reach", "give --id"),
        ("collect rech --id a/b/c-v0", "did you mean 'reach'?"),
        ("collect reach --id a/b/c-v0 --policy waypoint", "PointMazes only"),
        ("collect reach --id a/b/c-v0 --policy nobody", "neither random nor waypoint nor a run folder"),
        ("collect cartpole --id a/b/c-v0 --noise 0.1", "where actions are continuous"),
        ("collect purejaxo2o/pointmaze-umaze/mixed-v0 --policy random", "made in its own way"),
        ("inspect no/such-v0", "is not in"),
        ("evaluate no-folder", "is not a run folder"),
        ("report no-folder", "is not a run folder"),
        ("render no-folder", "is not a run folder"),
    ],
)
def test_bad_input_is_one_line(command, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    [line] = printed.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []  # nothing was written


def test_a_taken_folder_and_a_wrong_lane(run, maze_run, capsys):
    folder, name = maze_run
    train = f"train bc pointmaze-umaze --scale small --dataset {name} --out {folder}"
    for command, message in [
        (train, "already holds a run"),
        (f"render {folder} --lane 2", "lanes 0 to 1"),
        (f"evaluate {folder} --episodes 0", "episodes is 0"),
        (f"collect pointmaze-umaze --id {name}", "exists in"),
        (f"collect reach --id a/b/c-v0 --policy {folder}", "has other spaces"),
    ]:
        assert main(command.split()) == 2
        assert message in capsys.readouterr().err


def test_unknown_arguments_exit_with_2(capsys):
    for command in ("trian", "train sac reach --seed 3", "list recipe"):
        with pytest.raises(SystemExit) as exit_info:
            main(command.split())
        assert exit_info.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["list", "train", "sweep", "collect", "inspect", "evaluate", "report", "render"])
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([name, "--help"])
    assert exit_info.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "purejaxo2o", "train"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "RECIPE" in done.stderr


def test_compilations_are_kept_where_the_user_says(monkeypatch, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("PUREJAXO2O_CACHE", str(tmp_path))
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        cache_compilations()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path)
        jax.config.update("jax_compilation_cache_dir", "given")
        cache_compilations()
        assert jax.config.jax_compilation_cache_dir == "given"
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
