"""Studies: how they are written, what is refused, what comes out, going on after an interruption, what is shown."""

import dataclasses
import io
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import rich.console
from tiny import arrays, dataset, task, tiny

import purejaxo2o as o2o
from purejaxo2o.cli.main import main
from purejaxo2o.disk.folder import load_config
from purejaxo2o.drive.progress import Meter
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.study import run
from purejaxo2o.study.members import plan
from purejaxo2o.study.table import LiveTable, Watch, watch
from purejaxo2o.types import O2OError

EXAMPLE = Path(__file__).resolve().parents[1] / "experiments" / "studies" / "small.toml"
RATES = [1e-4, 1e-3]
LABELS = ["swept: agent.learning_rate=0.0001", "swept: agent.learning_rate=0.001", "bc"]
PYTHON = """
import dataclasses

import purejaxo2o as o2o
from tiny import dataset, task, tiny

study = o2o.Study(
    recipes=[dataclasses.replace(tiny("bc")[0], name="swept"), tiny("bc")[0]],
    tasks=[task()],
    dataset=dataset(),
    seeds=5,
    set={"offline.segments": 2},
    recipe={"swept": {"over": {"agent.learning_rate": [1e-4, 1e-3]}}},
)
"""
SWEPT = dataclasses.replace(tiny("bc")[0], name="swept")


def small(**changes):
    fields = {
        "recipes": [SWEPT, tiny("bc")[0]],
        "tasks": [task()],
        "dataset": dataset(),
        "seeds": 2,
        "set": {"offline.segments": 2},
        "recipe": {"swept": {"over": {"agent.learning_rate": RATES}}},
    }
    return o2o.Study(**fields | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that was never interrupted."""
    out = tmp_path_factory.mktemp("study") / "out"
    return run.run(small(), out=out, progress=False), out


def same(one, other):
    """Two outcomes, bit for bit."""
    assert one.failed == other.failed
    assert {name: list(found) for name, found in one.results.items()} == {
        name: list(found) for name, found in other.results.items()
    }
    for a, b in zip(arrays(one.results), arrays(other.results), strict=True):
        np.testing.assert_array_equal(a, b)


# What is written down


TOML = """
recipes = ["iql", "sac"]
tasks = ["pointmaze-umaze", "pointmaze-medium"]
scale = "small"
seeds = 3
seed0 = 2

[dataset]
pointmaze-medium = "purejaxo2o/pointmaze-medium/waypoint-v0"

[set]
offline.steps = 1_000
"phase.offline.segments" = 2
"*.learning_rate" = 1e-4

[over]
agent.polyak = [0.01, 0.02]

[recipe.iql.set]
offline.steps = 500

[recipe.iql.over]
agent.expectile = [0.7, 0.9]
agent.hidden = [[8, 8], [16, 16]]

[recipe.sac.set]
agent.polyak = 0.05

[recipe.sac.over]
agent.learning_rate = [1e-3, 2e-3]
"""


def write(folder, text, name="study.toml"):
    path = folder / name
    path.write_text(text)
    return path


def test_toml_says_which_sweeps_there_are(tmp_path):
    found = run.load(write(tmp_path, TOML))
    assert (found.seeds, found.seed0, found.out) == (3, 2, Path("runs/study"))
    assert [member.folder for member in plan(found)] == [
        "pointmaze-umaze/iql",
        "pointmaze-umaze/sac",
        "pointmaze-medium/iql",
        "pointmaze-medium/sac",
    ]
    iql, sac = plan(found)[2:]
    assert iql.task.dataset == "purejaxo2o/pointmaze-medium/waypoint-v0"
    assert plan(found)[0].task.dataset == "purejaxo2o/pointmaze-umaze/mixed-v0"
    assert [phase.steps for phase in iql.recipe.phases[:1]] == [500]  # its own goes before what is for all
    assert iql.recipe.phases[0].segments == 2
    assert {iql.recipe.agent_in(phase).learning_rate for phase in iql.recipe.phases} == {1e-4}
    assert list(iql.over) == ["agent.polyak", "agent.expectile", "agent.hidden"]
    assert iql.over["agent.hidden"] == ((8, 8), (16, 16))
    assert sac.over == {"agent.learning_rate": (1e-3, 2e-3)}
    assert sac.recipe.agent.polyak == 0.05
    assert (iql.uses_data, sac.uses_data) == (True, False)


def test_fields_can_be_changed_and_python_says_the_same(tmp_path):
    assert run.load(write(tmp_path, TOML), seeds=5, out="x").seeds == 5
    found, wanted = run.load(write(tmp_path, PYTHON, "two.py")), small()
    assert (found.out, found.seeds) == (Path("runs/two"), 5)
    assert [m.folder for m in plan(found)] == [m.folder for m in plan(wanted)] == ["slope/swept", "slope/bc"]
    assert [m.over for m in plan(found)] == [m.over for m in plan(wanted)]
    assert [m.recipe for m in plan(found)] == [m.recipe for m in plan(wanted)]


def test_references_and_limits_are_those_of_the_tasks(tmp_path):
    both = 'recipes = ["sac"]\ntasks = ["reach", "gymnax/Pendulum-v1"]\nscale = "small"\nclip = true\n'
    tables = '[reference]\nreach = [-5, 10]\n[limit]\n"gymnax/Pendulum-v1" = 50'
    reach, pendulum = (member.task for member in plan(run.load(write(tmp_path, both + tables))))
    assert (reach.score_low, reach.score_high, reach.clip) == (-5, 10, True)
    assert (pendulum.env.horizon, pendulum.clip) == (50, True)
    alone = 'recipes = ["sac"]\ntasks = ["gymnax/Pendulum-v1"]\nreference = [-1e3, 0]\nlimit = 20'
    [member] = plan(run.load(write(tmp_path, alone)))
    assert (member.task.score_low, member.task.env.horizon) == (-1000, 20)


@pytest.mark.parametrize("two", [np.int64(2), jax.numpy.int32(2), 2.0])
def test_anybodys_numbers_are_seeds(two):
    found = small(seeds=two, seed0=two)
    assert (found.seeds, found.seed0, type(found.seeds)) == (2, 2, int)


def test_the_example_is_a_study():
    if not EXAMPLE.exists():
        pytest.skip("there are no experiments beside the tests (an installed copy)")
    found = run.load(EXAMPLE)
    assert len(found.recipes) == 2
    assert {sum(p.steps for p in m.recipe.phases if p.acts) for m in plan(found)} == {3_000}


TOP = 'recipes = ["iql", "wsrl"]\ntasks = ["pointmaze-umaze"]\nscale = "small"\n'
BAD = {
    "unknown key": (TOP + "seed = 3", "unknown key 'seed'; did you mean 'seeds'?"),
    "no recipes": ('tasks = ["reach"]', "recipes is missing"),
    "no tasks": ('recipes = ["sac"]', "tasks is missing"),
    "reference of many": (
        TOP.replace("umaze", 'umaze", "reach') + "reference = [0, 1]",
        "reference is one for 2 tasks; write a table [reference] with a line per task name",
    ),
    "reference of nobody": (TOP + "[reference]\nx = [0, 1]", "reference: no task 'x' in this study"),
    "reference upside down": (TOP + "reference = [1, 0]", "reference [1, 0]: give two finite numbers, low < high"),
    "limit of a made task": (TOP + "limit = 5", "has its own limit"),
    "limit of nothing": (TOP + 'dataset = "a/b-v0"\nlimit = 0', "limit of pointmaze-umaze is 0; give a number of"),
    "clip as text": (TOP + 'clip = "yes"', "clip is 'yes'; give true or false"),
    "no TOML": ("recipes = [iql]", "no TOML"),
    "unknown recipe": (
        'recipes = ["iqll"]\ntasks = ["reach"]',
        "recipes: unknown recipe 'iqll'; did you mean 'iql'?",
    ),
    "unknown task": ('recipes = ["sac"]\ntasks = ["rech"]', "tasks: unknown task 'rech'; did you mean 'reach'?"),
    "text for a list": ('recipes = "sac"\ntasks = ["reach"]', "recipes is 'sac'; give a non-empty list of names"),
    "empty list": ('recipes = ["sac"]\ntasks = []', "tasks is []; give a non-empty list of names"),
    "number for a name": ('recipes = ["sac", 1]\ntasks = ["reach"]', "recipes holds 1; give names"),
    "recipe twice": ('recipes = ["sac", "sac"]\ntasks = ["reach"]', "recipe 'sac' is there 2 times"),
    "scale": ('recipes = ["sac"]\ntasks = ["reach"]\nscale = "smal"', "scale is 'smal'; did you mean 'small'?"),
    "seeds": (TOP + "seeds = 0", "seeds is 0; it must be a whole number of at least 1"),
    "seeds with a point": (TOP + "seeds = 2.5", "seeds is 2.5; it must be a whole number"),
    "seed0": (TOP + "seed0 = -1", "seed0 is -1; it must be a whole number of at least 0"),
    "out": (TOP + "out = 3", "out is 3; give the path of a folder"),
    "no table": (TOP + "set = 3", "set is 3; it must be a table, [set]"),
    "setting": (
        TOP + "[set]\nagent.learning_rat = 1",
        "[set]: no recipe here has a setting 'agent.learning_rat'; did",
    ),
    "value": (TOP + '[set]\nagent.learning_rate = "fast"', "[set]: agent.learning_rate takes a number, got 'fast'"),
    "range": (TOP + "[set]\nagent.discount = 1.5", "discount is 1.5; it must lie in [0, 1]"),
    "steps": (TOP + "[set]\noffline.steps = 1001", "iql on pointmaze-umaze: offline.steps=1001 does not"),
    "name twice": (TOP + '[set]\nagent.discount = 1\n"agent.discount" = 1', "[set]: agent.discount is there twice"),
    "other recipe": (
        TOP + "[recipe.iqll.set]\nnum_envs = 2",
        "[recipe.iqll]: no recipe 'iqll' in this study; did you",
    ),
    "other table": (TOP + "[recipe.iql.sett]\nnum_envs = 2", "[recipe.iql]: unknown key 'sett'; did you mean 'set'?"),
    "own setting": (TOP + "[recipe.iql.set]\nagent.critics = 2", "[recipe.iql.set]: recipe 'iql' has no setting"),
    "axis of one": (
        TOP + "[over]\nagent.expectile = [0.7]",
        "agent.expectile is no setting of wsrl; write it under [",
    ),
    "axis of none": (TOP + "[over]\nagent.expectil = [0.7]", "[over]: no recipe here has a setting 'agent.expectil'"),
    "no values": (TOP + "[recipe.iql.over]\nagent.expectile = []", "agent.expectile is []; give a non-empty list"),
    "one value": (TOP + "[over]\nagent.polyak = 0.1", "[over]: agent.polyak is 0.1; give a non-empty list of values"),
    "value twice": (TOP + "[over]\nagent.polyak = [0.1, 0.1]", "[over]: agent.polyak holds 0.1 twice"),
    "zero twice": (TOP + "[over]\nagent.polyak = [0.0, 0.0]", "[over]: agent.polyak holds 0.0 twice"),
    "axis value": (TOP + "[over]\nagent.polyak = [0.1, 2.0]", "[over]: agent.polyak is 2.0; it must lie in [0, 1]"),
    "infinite": (
        TOP + "[over]\nreward_scale = [1.0, inf]",
        "[over]: reward_scale holds inf; every value must be fin",
    ),
    "static axis": (TOP + "[over]\noffline.steps = [500, 1001]", "offline.steps=1001: offline.steps=1001 does not"),
    "set and varied": (
        TOP + "[set]\nagent.polyak = 0.1\n[over]\nagent.polyak = [0.1]",
        "[study]: agent.polyak is both set and varied (over); drop one",
    ),
    "deep lists": (
        TOP + f"[over]\nagent.polyak = {'[' * 5000}{']' * 5000}",
        "lists or tables lie too deep in each other",
    ),
    "deep name": (
        TOP + f"[set]\n{'.'.join('a' * 900)} = 1",
        "[set]: a.a.a.a.a.... is too deep; setting names have at",
    ),
    "400 digits": (TOP + f"[set]\nagent.polyak = {'9' * 400}", "agent.polyak is 9999"),
    "5000 digits": (TOP + f"[set]\nagent.polyak = {'9' * 5000}", "no TOML (Exceeds the limit"),
    "more seeds than keys": (TOP + "seed0 = 4294967290", "the last of 8 seeds must be at most 4294967295"),
    "one dataset, two tasks": (
        'dataset = "a/b-v0"\nrecipes = ["iql"]\ntasks = ["pointmaze-umaze", "pointmaze-large"]',
        "dataset is one for 2 tasks; write a table [dataset]",
    ),
    "dataset of no task": (
        TOP + '[dataset]\npointmaze = "a/b-v0"',
        "dataset: no task 'pointmaze' in this study; did",
    ),
    "dataset is a number": (TOP + "dataset = 3", "dataset of pointmaze-umaze is 3; give a Minari id"),
    "dataset not there": (TOP + 'dataset = "no/such-v0"', "dataset: dataset 'no/such-v0' is not in"),
    "no dataset": ('recipes = ["bc"]\ntasks = ["reach"]', "tasks: task 'reach' has no dataset; collect one"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_what_cannot_run_before_any_work(case, tmp_path, monkeypatch, minari_root):
    monkeypatch.chdir(tmp_path)
    text, message = BAD[case]
    path = write(tmp_path, text)
    with pytest.raises(O2OError) as error:
        run.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]
    assert not (minari_root / "purejaxo2o").exists()


def test_axes_are_anybodys_numbers():
    over = {"agent.polyak": np.array([0.25, 0.5]), "agent.hidden": [np.array([8, 8]), [4]]}
    (member,) = plan(o2o.Study(recipes=["sac"], tasks=["reach"], scale="small", over=over))
    assert member.over == {"agent.polyak": (0.25, 0.5), "agent.hidden": ((8, 8), (4,))}


BAD_PYTHON = {
    "no study": ("x = 1", "study is None; the file must define study = o2o.Study("),
    "its mistake": ("x = 1\ny = [][2]", "IndexError in line 2: list index out of range; correct the file"),
    "not Python": ("x = = 1", "SyntaxError"),
    "ours": ("import purejaxo2o as o2o\no2o.task('rech')", "unknown task 'rech'; did you mean 'reach'?"),
    "members": (
        "import purejaxo2o as o2o\nstudy = o2o.Study(recipes=['iqll'], tasks=['reach'])",
        "did you mean 'iql'",
    ),
}


@pytest.mark.parametrize("case", BAD_PYTHON)
def test_refuses_python_files_that_make_no_study(case, tmp_path):
    text, message = BAD_PYTHON[case]
    path = write(tmp_path, text, "study.py")
    with pytest.raises(O2OError) as error:
        run.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["missing.toml", "missing.py", "study.json"])
def test_refuses_files_that_are_no_study_files(name, tmp_path):
    with pytest.raises(O2OError, match=r"(does not exist|neither \.toml nor \.py); give"):
        run.load(tmp_path / name)


def test_names_must_do_as_folders():
    with pytest.raises(O2OError, match="task name 'report' cannot be a folder"):
        plan(small(tasks=[o2o.Task(name="report", env=task().env, eval_env=task().env)]))
    slashes = o2o.Task(name="a/b", env=task().env, eval_env=task().env)
    assert plan(small(tasks=[slashes]))[0].folder == "a-b/swept"


# What comes out


def test_results_are_the_sweeps_in_the_order_of_the_study(finished):
    outcome, out = finished
    assert outcome.failed == {}
    assert list(outcome.results) == ["slope"]
    assert list(outcome.results["slope"]) == LABELS
    assert {result.scores.shape for result in outcome.results["slope"].values()} == {(2, 3)}
    recipe = o2o.replace(SWEPT, {"offline.segments": 2})
    wanted = o2o.sweep(recipe, task(), dataset(), seeds=2, over={"agent.learning_rate": RATES}, progress=False)
    for index in range(2):
        found = outcome.results["slope"][LABELS[index]]
        for name in ("scores", "returns", "env_steps", "finite"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name)[index])
        assert isinstance(found.scores, np.ndarray)
    assert (out / "slope" / "swept" / "results.npz").exists()
    assert load_config(out / "slope" / "bc")["recipe"] == "bc"
    record = json.loads((out / "study.json").read_text())
    assert (record["seeds"], record["seed0"]) == (2, 0)
    assert record["members"]["slope/swept"]["over"] == {"agent.learning_rate": RATES}
    assert record["members"]["slope/bc"]["settings"]["offline.segments"] == 2


def test_later_seeds_are_those_of_a_longer_study(tmp_path, finished):
    run.run(small(seeds=1, seed0=1, recipes=[tiny("bc")[0]], recipe={}), out=tmp_path / "out", progress=False)
    keys = load_config(tmp_path / "out" / "slope" / "bc")["keys"]
    assert keys == load_config(finished[1] / "slope" / "bc")["keys"][1:]
    assert len(seed_keys(2)) == 2


def test_every_dataset_is_loaded_once_and_only_where_it_is_used(finished, tmp_path, monkeypatch):
    loaded, used = [], []
    result = o2o.fit(seed_keys(1)[0], tiny("bc")[0], task(), dataset(), progress=False)
    monkeypatch.setattr(run, "dataset", lambda task: loaded.append(task.name) or f"rows of {task.name}")
    monkeypatch.setattr(run, "sweep", lambda recipe, task, data, **_: used.append(data) or result)
    tasks = ["pointmaze-umaze", "pointmaze-large"]
    run.run(o2o.Study(recipes=["sac", "iql", "bc"], tasks=tasks, scale="small"), out=tmp_path / "out", progress=False)
    assert loaded == tasks
    assert used == [x for name in tasks for x in (None, f"rows of {name}", f"rows of {name}")]


class Stop(Watch):
    """Interrupts at a segment of a member, as Ctrl-C would."""

    def __init__(self, member, segment):
        self.at, self.segment = member, segment

    def meter(self, index):
        return Interrupt(self.segment) if index == self.at else False


class Interrupt(Meter):
    def __init__(self, segment):
        self.at = segment

    def segment(self, *, done, **_):
        if done == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("member", "segment"), [(0, 1), (1, 1)])
def test_resumes_bit_for_bit(finished, tmp_path, member, segment):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run.run(small(), out=out, progress=Stop(member, segment))
    assert (out / "slope" / "bc").exists() == (member == 1)
    same(run.run(small(), out=out, resume=True, progress=False), finished[0])


def test_a_finished_study_is_read_back_and_may_grow(finished, tmp_path):
    out = tmp_path / "out"
    one = run.run(small(recipes=[tiny("bc")[0]], recipe={}), out=out, progress=False)
    both = run.run(small(), out=out, resume=True, progress=False)
    same(both, finished[0])
    assert list(one.results["slope"]) == ["bc"]


def test_refuses_a_folder_with_runs_or_with_another_study(finished):
    _, out = finished
    with pytest.raises(O2OError, match="already holds runs; choose another, or resume them"):
        run.run(small(), out=out, progress=False)
    before = (out / "study.json").read_text()
    for changes, message in [
        ({"seeds": 3}, "its seeds is 2, not 3"),
        ({"recipe": {}}, "its slope/swept: over is {'agent.learning_rate': "),
        ({"set": {"offline.segments": 4}}, "its slope/swept: offline.segments is 2, not 4"),
    ]:
        with pytest.raises(O2OError, match="holds another study") as error:
            run.run(small(**changes), out=out, resume=True, progress=False)
        assert message in str(error.value)
    assert (out / "study.json").read_text() == before


def spoil(out):
    """Something in the way of the first member, seen only when its turn comes."""
    (out / "slope" / "swept").mkdir(parents=True)
    (out / "slope" / "swept" / "notes.txt").touch()


def test_one_failing_member_leaves_the_others(finished, tmp_path, capsys):
    out = tmp_path / "out"
    spoil(out)
    outcome = run.run(small(), out=out, resume=True)
    assert list(outcome.failed) == [("slope", "swept")]
    assert "holds no run" in outcome.failed["slope", "swept"]
    assert list(outcome.results["slope"]) == ["bc"]
    np.testing.assert_array_equal(outcome.results["slope"]["bc"].scores, finished[0].results["slope"]["bc"].scores)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("swept · slope failed: output folder")
    assert any(line.startswith("bc · slope [1/2] offline: ") for line in lines)


# What is shown


class Console:
    """A terminal of fixed size that keeps what is drawn."""

    def __init__(self, height=40):
        self.text = io.StringIO()
        self.console = rich.console.Console(
            file=self.text, width=110, height=height, force_terminal=True, color_system=None, legacy_windows=False
        )
        self.table = LiveTable(plan(small()), self.console)

    def rows(self):
        """The cells of every row as drawn now."""
        with self.console.capture() as capture:
            self.console.print(self.table._render())
        lines = [line.split("  ") for line in capture.get().splitlines()]
        return [[cell.strip() for cell in line if cell.strip()] for line in lines if "".join(line).strip()]


def test_the_table_keeps_up():
    shown = Console()
    table = shown.table
    assert shown.rows()[0][:6] == ["task", "recipe", "state", "segments", "score", "not finite"]
    assert shown.rows()[2:] == [["slope", "swept", "waiting"], ["slope", "bc", "waiting"]]
    table.begin(0)
    assert shown.rows()[2][:3] == ["slope", "swept", "loading data"]
    meter = table.meter(0)
    meter.start(6, "swept · slope")
    meter.compiling("offline")
    assert shown.rows()[2][2:4] == ["compiling offline", "0/6"]
    meter.compiled("offline", 3.0)
    assert shown.rows()[2][2:4] == ["running offline", "0/6"]
    meter.segment(phase="offline", done=2, steps=4000, seconds=2.0, score=np.array([10.0, 20.0, np.nan]))
    row = shown.rows()[2]
    assert row[2:7] == ["running offline", "2/6", "15.0", "1", "2,000"]
    assert row[-1] == "8.0 s"  # four more segments of two seconds each
    meter.close()
    table.finished(0, np.array([[30.0, np.nan], [50.0, np.nan]]))
    assert shown.rows()[2][2:7] == ["done", "6/6", "40.0", "2", "2,000"]
    table.begin(1)
    table.failed(1, "the device has [4 GiB]")
    assert shown.rows()[3][2] == "failed"
    assert shown.rows()[-1] == ["bc · slope failed: the device has [4 GiB]"]


def test_the_table_learns_of_parts():
    row = LiveTable(plan(small()), Console().console).meter(0)
    row.start(6, "")
    row.segment(phase="offline", done=3, steps=1, seconds=1.0, score=1.0)
    row.expect(12)
    assert row.cells()[3] == "3/12"


def test_a_low_terminal_shows_the_rows_around_the_running_one():
    shown = Console(height=9)  # room for one row
    shown.table.begin(1)
    assert [row[1] for row in shown.rows()[2:-1]] == ["bc"]
    assert shown.rows()[-1] == ["rows 2 to 2 of 2"]


def test_the_table_is_drawn_while_a_study_runs(tmp_path, finished):
    shown = Console()
    same(run.run(small(), out=tmp_path / "out", progress=shown.table), finished[0])
    text = shown.text.getvalue()
    assert "waiting" in text
    assert ["done" in line for line in text.splitlines() if "slope" in line][-2:] == [True, True]


def test_lines_where_there_is_no_terminal():
    file = io.StringIO()
    with watch(plan(small()), file) as lines:
        lines.begin(0)
        lines.meter(0).start(6, "swept · slope")
        lines.meter(0).compiling("offline")
        lines.failed(1, "no data")
    assert file.getvalue().splitlines() == ["swept · slope [0/6] offline: compiling", "bc · slope failed: no data"]


# The command


def test_the_command_ends_with_a_report(tmp_path, capsys):
    path, out = write(tmp_path, PYTHON, "two.py"), tmp_path / "out"
    command = ["study", str(path), "--out", str(out), "--seeds", "2"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["method"], row["seeds"]) for row in found["tasks"]["slope"]] == [(label, 2) for label in LABELS]
    assert (found["failed"], found["out"]) == ([], str(out))
    assert {p.name for p in (out / "report" / "slope").iterdir()} == {"curves.png", "table.md", "figures.json"}
    assert main(command) == 2
    assert "already holds runs" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("slope\n")
    assert "before switch" in text
    assert LABELS[0] in text


def test_the_command_reports_what_is_left_after_a_failure(tmp_path, capsys):
    path, out = write(tmp_path, PYTHON, "two.py"), tmp_path / "out"
    spoil(out)
    command = ["study", str(path), "--out", str(out), "--seeds", "2", "--resume"]
    assert main([*command, "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in found["tasks"]["slope"]] == ["bc"]
    [failed] = found["failed"]
    assert (failed["task"], failed["recipe"]) == ("slope", "swept")
    assert main(command) == 2
    assert "swept on slope failed: output folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("study STUDY --seed0 -1", "seed0 is -1; it must be a whole number of at least 0"),
        ("study STUDY --seeds 0", "seeds is 0; it must be a whole number of at least 1"),
        ("study no.toml", "study file no.toml does not exist"),
        ("study iql", "study file iql is neither .toml nor .py"),
        ("sweep STUDY reach", "is a file; a study is run by: purejaxo2o study study.toml"),
        ("sweep iql reach", "needs at least one --over"),
    ],
)
def test_the_command_refuses_by_name(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, TOP)
    assert main(arguments.replace("STUDY", "study.toml").split()) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
