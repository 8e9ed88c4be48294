"""What the README shows works, and what it names exists: its code and its commands are run as they are written."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from purejaxo2o.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
MARKED = re.compile(r"<!-- test -->\s*```python\n(.*?)```", re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NETWORKS = '"agent.hidden=(8,8)" "agent.actor_hidden=(8,8)" eval_episodes=2'
OFFLINE = "offline.steps=20 offline.segments=1"
ONLINE = "warmup.steps=10 online.steps=20 online.segments=1"
LEVELS = 'agent.hidden=(16,16)" "agent.actor_hidden=(16,16)" online.segments=12 warmup.steps=200'
SHORTER = [
    # As they are written, these take minutes or hours. These, and only these, are made shorter.
    ("--seeds 8 --out runs/wsrl", f"--seeds 2 --out runs/wsrl --set {NETWORKS} {OFFLINE} {ONLINE}"),
    ("--seeds 8 --out runs/rlpd", f"--seeds 2 --out runs/rlpd --set {NETWORKS} {ONLINE} agent.critics=2"),
    ('(64,64),(256,256)"', f'(8,8),(4,4)" --seeds 1 --set eval_episodes=2 {OFFLINE}'),
    ("--episodes 200", "--episodes 2"),
    ("experiments/studies/small.toml", "short.toml"),
    ("--steps 100000", "--steps 1000"),
    ("gymnax/Pendulum-v1", "reach"),
    ("--policy all", f'--policy all --steps 300 --num-envs 5 --train-steps 2400 --seed 1 --set "{LEVELS}'),
    ("umaze --scale small --seeds 4", f"umaze --scale small --seeds 1 --set {NETWORKS} {OFFLINE} {ONLINE}"),
    ("evaluate runs/wsrl-pointmaze-umaze-small", "evaluate runs/wsrl-pointmaze-umaze-small --episodes 2"),
]
"""What is written, and what is run in its place."""


def readme():
    if not README.exists():
        pytest.skip("there is no README.md beside the tests (an installed copy)")
    return README.read_text(encoding="utf-8")


def pages():
    """Every page that shows commands, by its name."""
    readme()
    found = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("*.md"))}
    found |= {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("docs/**/*.md"))}
    for path in sorted(ROOT.glob("notebooks/*.py")):
        found[str(path.relative_to(ROOT))] = re.sub("^# ?", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found


def lines_of(text):
    """The lines of all blocks of commands, which are marked as such or begin with one of ours."""
    blocks = [
        body
        for language, body in FENCE.findall(text)
        if language in ("bash", "sh", "console") or (not language and body.startswith("purejaxo2o "))
    ]
    return [line for block in blocks for line in block.splitlines()]


def commands(text):
    """The words of every command, comments left out."""
    lines = lines_of(text)
    return [words for line in lines if (words := shlex.split(line.removeprefix("$ "), comments=True))]


def shortened(line):
    for written, run in SHORTER:
        line = line.replace(written, run)
    return line


@pytest.mark.slow
def test_the_marked_code_runs(tmp_path, monkeypatch):
    blocks = MARKED.findall(readme())
    if not blocks:
        pytest.skip("README.md marks no python block with <!-- test -->")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    for block in blocks:  # later ones may build on earlier ones
        exec(compile(block, str(README), "exec"), names)


def short_study():
    """The example of a study with a few steps of everything."""
    text = (ROOT / "experiments" / "studies" / "small.toml").read_text(encoding="utf-8")
    for name, number in {"steps": 40, "segments": 1, "seeds": 1, "eval_episodes": 2}.items():
        text = re.sub(rf"^((?:\w+\.)?{name}) = [\d_]+", rf"\1 = {number}", text, flags=re.MULTILINE)
    return text


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder to run commands in, with a small dataset of the task that they name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    assert main(["collect", "purejaxo2o/pointmaze-umaze/mixed-v0", "--steps", "2000"]) == 0
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(pages()) if README.exists() else [])
def test_every_command_runs_in_order(page, bench, capsys):
    if (ROOT / "experiments").is_dir():
        (bench / "short.toml").write_text(short_study())
    for line in lines_of(pages()[page]):
        words = shlex.split(shortened(line.removeprefix("$ ")), comments=True)
        if not words:
            continue
        capsys.readouterr()
        if words[0] == "purejaxo2o":
            try:
                code = main(words[1:])
            except SystemExit as end:  # --help
                code = end.code
            assert not code, f"{line}\n{capsys.readouterr().err}"
        elif words[0] == "make":
            run_dry(words)
        else:
            pytest.fail(f"no test runs {line!r}; teach this one to, or write a command of purejaxo2o")


def run_dry(words):
    """What `make` would do: the tests cannot run themselves."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_are_found_and_every_replacement_is_used():
    found = [" ".join(map(shlex.quote, words)) for text in pages().values() for words in commands(text)]
    assert any(line.startswith("purejaxo2o train") for line in found)
    written = "\n".join(line for text in pages().values() for line in lines_of(text))
    assert [old for old, _ in SHORTER if old not in written] == []


def test_runs_that_are_reported_have_been_trained():
    """Folders that a command reads are written by one before it, on every page."""
    for name, text in pages().items():
        made = set()
        for words in commands(text):
            if words[:2] == ["purejaxo2o", "train"] and "--dry-run" not in words:
                scale = words[words.index("--scale") + 1] if "--scale" in words else "paper"
                default = f"runs/{words[2]}-{words[3]}-{scale}"
                made.add(words[words.index("--out") + 1] if "--out" in words else default)
            if words[0] == "purejaxo2o" and words[1] in ("report", "evaluate", "render"):
                read = [word for word in words[2 : words.index("--out") if "--out" in words else None] if "/" in word]
                assert set(read) <= made, f"{name}: {' '.join(words)}"


def test_named_make_targets_exist():
    # In code only: "make" is also a word.
    code = re.findall(r"`([^`\n]+)`|^```[a-z]*\n(.*?)^```", readme(), re.DOTALL | re.MULTILINE)
    lines = [line.strip() for pair in code for text in pair for line in text.splitlines()]
    named = {t for line in lines if (m := re.match(r"(?:\$ )?make ((?:[a-z-]+ ?)+)", line)) for t in m[1].split()}
    if not named:
        pytest.skip("README.md names no make target")
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= known


def test_nothing_is_installed_by_a_name_that_no_registry_knows():
    for name, text in pages().items():
        wrong = re.findall(r"pip\W+install\W.*?[\"' ](purejaxo2o)\b(?!\.)", text)
        assert not wrong, f"{name}: purejaxo2o is not on the registry; install it from the checkout"
    assert os.environ["MPLBACKEND"] == "Agg"
