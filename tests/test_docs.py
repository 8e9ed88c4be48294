"""What the README shows works, and what it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"<!-- test -->\s*```python\n(.*?)```", re.DOTALL)


def readme():
    if not README.exists():
        pytest.skip("there is no README.md beside the tests (an installed copy)")
    return README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_marked_code_runs(tmp_path, monkeypatch):
    blocks = BLOCK.findall(readme())
    if not blocks:
        pytest.skip("README.md marks no python block with <!-- test -->")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    for block in blocks:  # later ones may build on earlier ones
        exec(compile(block, str(README), "exec"), names)


def test_named_make_targets_exist():
    # In code only: "make" is also a word.
    code = re.findall(r"`([^`\n]+)`|^```[a-z]*\n(.*?)^```", readme(), re.DOTALL | re.MULTILINE)
    lines = [line.strip() for pair in code for text in pair for line in text.splitlines()]
    named = {t for line in lines if (m := re.match(r"(?:\$ )?make ((?:[a-z-]+ ?)+)", line)) for t in m[1].split()}
    if not named:
        pytest.skip("README.md names no make target")
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= known
