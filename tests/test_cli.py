"""The command line from data to picture, its answers for machines, and what it says to bad input."""

import json
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

import purejaxo2o as o2o
from purejaxo2o.cli import given, output
from purejaxo2o.cli.main import cache_compilations, main
from purejaxo2o.disk import lock
from purejaxo2o.disk.results import load_results
from purejaxo2o.drive.policies import load_policies, load_policy
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.types import O2OError

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
        ("train bc reach", "has no dataset; collect one (purejaxo2o collect) or name one (--dataset ID)"),
        ("train dqn reach", "DQN needs discrete actions"),
        ("train bc reach --dataset no/such-v0", "'no/such-v0' is not in"),
        ("train sac reach --set num_envs=2 --set phase.num_envs=4", "num_envs is given twice, as 2 and 4"),
        ("train sac reach --set agent.learning_rate={[]:1}", "{[]:1} is no value of a setting"),
        ("train sac reach --set agent.learning_rate={1:2}", "{1:2} is no value of a setting"),
        ("train sac reach --set agent.learning_rate=1e400", "1e400 is too large a number"),
        (f"train sac reach --set agent.learning_rate={'9' * 400}", "(400 characters) is too large a number"),
        (f"train sac reach --set agent.hidden=({'9' * 400},)", "(403 characters) is too large a number"),
        (f"train sac reach --set agent.learning_rate={'9' * 5000}", "(5000 characters) is no value"),
        (f"train sac reach --set agent.learning_rate={'(' * 5000}", "(5000 characters) is no value"),
        (f"train sac reach --set agent.learning_rate={'-' * 5000}1", "(5001 characters) is no value"),
        ("train sac reach --seeds 100000000000", "--seeds is 100000000000; it must be at least 1"),
        ("train sac reach --seed0 4294967296", "--seed0 is 4294967296; it must be at least 0"),
        (f"train sac reach --seeds {'9' * 400}", "--seeds is 9999"),
        ("train sac reach --width 0 --seeds 1", "--width is 0; it must be at least 1"),
        ("train sac reach --chunk 0 --seeds 1", "--chunk is 0; it must be at least 1"),
        ("train sac reach --save-every 0", "--save-every is 0; it must be at least 1"),
        ("train sac reach --reference 5 5", "--reference 5 5: give finite returns, the lower one"),
        ("train sac reach --reference nan 5", "--reference nan 5: give finite returns"),
        ("train sac reach --resume --overwrite", "--resume and --overwrite exclude each other"),
        ("evaluate no-folder --reference 2 1", "--reference 2 1: give finite returns"),
        ("evaluate no-folder --seed -1", "--seed is -1; give a whole number from 0 to"),
        ("sweep sac reach --over agent.learning_rate=a,b", "every value must be a finite number"),
        ("sweep sac reach --over agent.learning_rate=1,,2", "lacks a value between commas"),
        (
            "sweep sac reach --over agent.polyak=0.1,0.2 --set agent.polyak=0.1",
            "both set (--set) and varied (--over)",
        ),
        ("sweep sac reach --over agent.polyak=0.1 phase.agent.polyak=0.2", "agent.polyak is given twice"),
        ("sweep sac reach --over agent.polyak=0.1,0.2 --width 0", "--width is 0"),
        ("sweep sac reach --over online.segments=2,5", "run one for each with --set online.segments=VALUE"),
        ("sweep sac reach --over agent.hidden=8,16", "takes a tuple like"),
        ("collect reach", "give --id"),
        ("collect reach --id a/b/c-v0 --steps 0", "--steps is 0; it must be at least 1"),
        ("collect reach --id a/b/c-v0 --policy medium --steps 0", "--steps is 0; it must be at least 1"),
        ("collect reach --id a/b/c-v0 --num-envs 0", "--num-envs is 0; it must be at least 1"),
        (
            "collect reach --id a/b/c-v0 --steps 100000000000000",
            "--steps is 100000000000000; it must be at least 1 and",
        ),
        ("collect reach --id a/b/c-v0 --noise nan", "--noise nan: give at least 0"),
        ("collect purejaxo2o/pointmaze-umaze/mixed-v0 --steps 0", "--steps is 0"),
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
        (f"evaluate {folder} --episodes 0", "--episodes is 0; give at least 1"),
        (f"evaluate {folder} --episodes 1000000000000", "--episodes is 1000000000000; give at least 1 and fewer"),
        (f"evaluate {folder} --episodes 2000000000", "give fewer --episodes"),
        (f"render {folder} --episodes 100000000", "give fewer --episodes"),
        (f"collect pointmaze-umaze --id {name}", "exists in"),
        (f"collect reach --id a/b/c-v0 --policy {folder}", "has other spaces"),
    ]:
        assert main(command.split()) == 2
        assert message in capsys.readouterr().err


def test_remedies_are_flags_for_those_who_type_commands(run, reach_data, maze_run, capsys):
    """The same mistake has another remedy in Python."""
    folder, name = maze_run
    for command, flag, python in [
        (f"collect reach --id {reach_data} --steps 200", "--overwrite", None),
        (
            f"train bc pointmaze-umaze --dataset {reach_data}",
            f"give {reach_data} instead of the task",
            "task_from_min",
        ),
        (f"train bc pointmaze-umaze --dataset {name} --out {folder}", "replace it (--overwrite)", None),
    ]:
        assert main(command.split()) == 2
        [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
        assert flag in line
        assert "=True" not in line
        assert python is None or python not in line
    error = O2OError("it is 0", python="pass x=1", shell="give --x 1").within("here")
    assert (str(error), error.in_shell) == ("here: it is 0; pass x=1", "here: it is 0; give --x 1")
    assert O2OError("plain").in_shell == "plain"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.in_shell) == (str(error), error.in_shell)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.7,0.9", [0.7, 0.9]),
        ("1,2", [1, 2]),
        ("mse,nll", ["mse", "nll"]),
        ("'mse','nll'", ["mse", "nll"]),
        ("(8,8),(16,16)", [(8, 8), (16, 16)]),
        ("(8, 8), (16, 16)", [(8, 8), (16, 16)]),
        ("[8,8],[16]", [(8, 8), (16,)]),
        ("None,True,-1e-3", [None, True, -1e-3]),
    ],
)
def test_values_of_an_axis(text, found):
    assert given.values("x", text) == found


def test_axes_of_words_and_tuples(run, reach_data, capsys):
    """`--over` takes choices and sizes as it takes numbers."""
    axes = ["agent.hidden=(8,8),(16,16)", "agent.learning_rate=0.001,0.01"]
    found = run("sweep", "sac", "reach", "--over", *axes, "--seeds", "2", "--dry-run", "--json")
    assert found["over"] == {"agent.hidden": [[8, 8], [16, 16]], "agent.learning_rate": [0.001, 0.01]}
    assert (found["runs"], found["programs"]) == (8, 2)
    words = ["sweep", "bc", "reach", "--dataset", reach_data, "--dry-run", "--json", "--over"]
    assert run(*words, "agent.loss=mse,nll")["over"] == {"agent.loss": ["mse", "nll"]}
    assert main([*words, "agent.loss=mse,nl"]) == 2
    assert "agent.loss is 'nl'; did you mean 'nll'?" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_and_does_nothing(run, tmp_path, monkeypatch, minari_root):
    monkeypatch.chdir(tmp_path)
    before = sorted(minari_root.rglob("*"))
    command = ["train", "wsrl", "pointmaze-umaze", "--scale", "small", "--seeds", "3", "--dry-run"]
    found = run(*command, "--json")
    assert [phase["phase"] for phase in found["phases"]] == ["offline", "warmup", "online"]
    assert (found["runs"], found["out"]) == (3, "runs/wsrl-pointmaze-umaze-small")
    assert found["bytes"]["dataset_rows"] == 50_000
    assert found["bytes"]["run"] == sum(found["bytes"][name] for name in ("learner", "replay", "rest"))
    assert found["settings"]["online.steps"] == 4000
    text = run(*command)
    assert "made on first use" in text
    assert "runs/wsrl-pointmaze-umaze-small" in text
    (tmp_path / "study.toml").write_text('recipes = ["sac"]\ntasks = ["reach"]\nover = {agent.polyak = [0.1, 0.2]}')
    found = run("study", "study.toml", "--seeds", "2", "--dry-run", "--json")
    assert [(member["recipe"], member["runs"]) for member in found["members"]] == [("sac", 4)]
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
    assert sorted(minari_root.rglob("*")) == before


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert f"jax {jax.__version__}" in capsys.readouterr().out


def test_overwriting_puts_the_old_run_back_unless_a_new_one_began(tmp_path):
    folder, aside = tmp_path / "run", tmp_path / ".run.replaced"
    folder.mkdir()
    (folder / "config.json").write_text("old")
    with pytest.raises(O2OError), output.room(folder, overwrite=True):
        raise O2OError("too little memory" if not folder.exists() else "it is still there")
    assert (folder / "config.json").read_text() == "old"
    with output.room(folder, overwrite=True):
        folder.mkdir()
        (folder / "config.json").write_text("new")
    assert (folder / "config.json").read_text() == "new"
    assert not aside.exists()
    with output.room(folder, overwrite=False):
        assert folder.exists()


def test_a_folder_in_use_is_not_moved_away_and_one_that_was_only_locked_is_free(tmp_path):
    folder = tmp_path / "run"
    with lock.held(folder, print):
        output.check(folder, resume=False, overwrite=False)  # the run itself says that another process is there
        (folder / "config.json").write_text("old")
        with (
            pytest.raises(O2OError, match=r"another process is at work in .*run; wait"),
            output.room(folder, overwrite=True),
        ):
            raise AssertionError("the body runs")
        assert (folder / "config.json").read_text() == "old"
    with output.room(folder, overwrite=True):
        assert not folder.exists()
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_only_runs_are_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    for command in ("train sac reach --out mine --overwrite", "train sac reach --out . --overwrite"):
        assert main(command.split()) == 2
        assert "is not empty and holds no run" in capsys.readouterr().err
    (tmp_path / "config.json").touch()
    assert main(["train", "sac", "reach", "--out", ".", "--overwrite"]) == 2
    assert "go elsewhere" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.slow
def test_a_run_without_references_says_so_and_can_be_scored_anew(run, tmp_path, capsys, monkeypatch):
    """Own data: an environment of which no returns are known."""
    name, out = "test/mountain/random-v0", tmp_path / "run"
    run("collect", "gymnax/MountainCarContinuous-v0", "--id", name, "--steps", "2000", "--num-envs", "2")
    sizes = ["agent.actor_hidden=(8, 8)", *OFFLINE]
    train = ["train", "bc", name, "--scale", "small", "--seeds", "2", "--seed0", "5", "--out", out]
    assert main([str(x) for x in (*train, "--set", *sizes)]) == 0
    printed = capsys.readouterr()
    assert f"no reference scores are known for {name}: scores are raw returns (--reference LOW HIGH)" in printed.err
    lanes = run("evaluate", out, "--episodes", "2", "--json")["lanes"]
    assert [lane["score"] for lane in lanes] == pytest.approx([lane["return"] for lane in lanes])
    lanes = run("evaluate", out, "--episodes", "2", "--reference", "-100", "0", "--json")["lanes"]
    assert [lane["score"] for lane in lanes] == pytest.approx([100 + lane["return"] for lane in lanes])
    run(*train, "--reference", "-100", "0", "--overwrite", "--set", *sizes)
    lanes = run("evaluate", out, "--episodes", "2", "--json")["lanes"]
    assert [lane["score"] for lane in lanes] == pytest.approx([100 + lane["return"] for lane in lanes])
    assert [lane["seed"] for lane in lanes] == [5, 6]
    result = load_results(out)
    np.testing.assert_allclose(result.scores, 100 + result.returns.mean(-1), rtol=1e-5)


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
