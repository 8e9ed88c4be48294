"""What the world of a shell does to the command line: streams closed or full, odd paths, users without a home."""

import io
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from purejaxo2o.cli import terminal
from purejaxo2o.cli.main import main
from purejaxo2o.data import places
from purejaxo2o.types import O2OError

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@pytest.fixture
def say_to(monkeypatch):
    """`say_to(stdout=..., stderr=...)`: the streams of the process are these."""

    def replace(**streams):
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)

    return replace


@needs_full
@pytest.mark.parametrize("command", ["list tasks", "list tasks --json", "--version", "list --help", "list nothing"])
def test_a_full_output_is_one_line(command, say_to):
    errors = io.StringIO()
    with FULL.open("w") as full:
        say_to(stdout=full, stderr=errors)
        if command == "list nothing":
            with pytest.raises(SystemExit):
                main(command.split())
            return
        assert main(command.split()) == 2
    assert (
        errors.getvalue()
        == "error: cannot write (No space left on device); make room, or send the output elsewhere\n"
    )


@needs_full
def test_nobody_can_be_told_where_both_are_full(say_to):
    with FULL.open("w") as out, FULL.open("w") as errors:
        say_to(stdout=out, stderr=errors)
        assert main(["list", "tasks"]) == 2
        assert main(["train", "sac", "rech"]) == 2


@pytest.mark.parametrize("command", ["list tasks", "list tasks --json", "list --help"])
def test_a_reader_that_stops_ends_the_command_in_silence(command, say_to):
    errors = io.StringIO()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        say_to(stdout=stream, stderr=errors)
        assert main(command.split()) == terminal.PIPE_CLOSED
    assert errors.getvalue() == ""


def test_closed_streams_swallow_what_is_written(say_to, capsys):
    say_to(stdout=None, stderr=None)
    assert main(["list", "tasks"]) == 0
    assert main(["train", "sac", "rech"]) == 2
    assert os.fstat(1)
    assert sys.stdout is not None


def test_characters_that_a_terminal_lacks_become_escapes(say_to, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # room for a table, whose rule they are
    written = io.BytesIO()
    say_to(stdout=io.TextIOWrapper(written, encoding="ascii"))
    assert main(["list", "tasks"]) == 0
    assert b"pointmaze-umaze" in written.getvalue()
    assert b"\\u2500" in written.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "code"), [("> /dev/full", 2), (">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("| true", 141)]
)
def test_as_in_a_shell(redirection, code, tmp_path):
    line = f"set -o pipefail; {sys.executable} -m purejaxo2o list --json {redirection}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


# Paths


LONG = "a" * 300
OUTPUTS = {
    "a file": ("FILE", "is no folder; choose another"),
    "below a file": ("FILE/x/y", "lies below FILE, which is no folder"),
    "a device": ("/dev/null", "is no folder"),
    "below a device": ("/dev/null/x", "lies below /dev/null"),
    "too long": (LONG, "has a name of more than 255 bytes"),
    "too long below": (f"new/{LONG}/x", "has a name of more than 255 bytes"),
    "NUL": ("a\0b", "is no path"),
    "not UTF-8": ("\udcff", "is not UTF-8"),
    "somebody's": ("other", "is not empty and holds no run"),
    "a dangling link": ("link", "is no folder"),
}
COMMANDS = [
    "train sac reach --out",
    "sweep sac reach --over agent.polyak=0.1,0.2 --out",
    "study study.toml --out",
    "inspect test/none-v0 --out",
    "report run --out",
    "render run --out",
    "collect reach --id a/b --policy all --train-dir",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "study.toml").write_text('recipes = ["sac"]\ntasks = ["reach"]\n')
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", OUTPUTS)
def test_outputs_that_cannot_be(case, command, here, capsys):
    path, message = OUTPUTS[case]
    verb = command.split()[0]
    if (case == "somebody's" and verb not in ("train", "sweep", "study")) or (
        verb == "render" and case in ("a file", "a dangling link")
    ):
        pytest.skip("this command may write there")
    before = sorted(here.rglob("*"))
    assert main([*command.split(), path]) == 2
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert line.startswith("error: ")
    if verb == "render" and case.endswith("a device"):
        message = "is no regular file" if case == "a device" else "folder /dev/null is no folder"
    assert message in line
    assert len(line) < 500
    assert (printed.out, sorted(here.rglob("*"))) == ("", before)


def test_a_study_says_so_of_its_own_folder(here, capsys):
    (here / "study.toml").write_text('recipes = ["sac"]\ntasks = ["reach"]\nout = "FILE/x"\n')
    assert main(["study", "study.toml"]) == 2
    assert "study.toml: out FILE/x lies below FILE" in capsys.readouterr().err


@pytest.mark.parametrize("name", [LONG, f"{LONG}.toml", "FILE", "FILE/x", "/dev/null", "other", ""])
@pytest.mark.parametrize(
    "command", ["evaluate", "report", "render", "inspect", "train bc", "sweep bc reach --over", "study"]
)
def test_inputs_that_are_not_there(name, command, here, capsys):
    assert main([*command.split(), name]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_folder_that_goes_away_is_one_line(here, capsys, monkeypatch):
    def gone(self):
        raise FileNotFoundError(2, "No such file or directory", "run/records.npz.tmp")

    monkeypatch.setattr("purejaxo2o.cli.listing.List.run", gone)
    assert main(["list"]) == 2
    assert capsys.readouterr().err.startswith("error: cannot use 'run/records.npz.tmp' (No such file or directory)")


def test_mistakes_of_ours_are_not_hidden(monkeypatch):
    def wrong(self):
        raise KeyError("a bug")

    monkeypatch.setattr("purejaxo2o.cli.listing.List.run", wrong)
    with pytest.raises(KeyError):
        main(["list"])


# A user without a home


@pytest.fixture
def homeless(monkeypatch):
    """As in a container that runs under a number which no user has."""

    def nobody(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", places.PROGRAMS, places.DATASETS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


def test_without_a_home_only_what_needs_one_asks(homeless, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert places.programs() is None
    for command in ("list tasks", "list datasets", "train sac reach --dry-run"):
        assert main(command.split()) == 0, capsys.readouterr().err
    capsys.readouterr()
    for command in (
        "inspect purejaxo2o/pointmaze-umaze/mixed-v0",
        "train bc test/no-v0",
        "collect reach --id test/b-v0",
    ):
        assert main(command.split()) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line == (
            "error: this user has no home folder to keep datasets in; set MINARI_DATASETS_PATH to a folder for them"
        )
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_named_need_no_home(homeless, tmp_path, monkeypatch):
    monkeypatch.setenv(places.PROGRAMS, str(tmp_path / "programs"))
    monkeypatch.setenv(places.DATASETS, str(tmp_path / "data"))
    assert (places.programs(), places.datasets()) == (tmp_path / "programs", tmp_path / "data")


def test_with_a_home_folders_are_below_it(monkeypatch, tmp_path):
    for name in (places.PROGRAMS, places.DATASETS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.programs() == tmp_path / ".cache" / "purejaxo2o" / "xla"
    assert places.datasets() == tmp_path / ".minari" / "datasets"
    monkeypatch.setenv("HOME", "relative")
    assert places.programs() is None
    with pytest.raises(O2OError, match="has no home folder"):
        places.datasets()
