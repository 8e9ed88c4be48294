"""Memory that runs out although nothing foresaw it: one line with a remedy, and no folder without a checkpoint."""

import sys

import jax
import pytest

from purejaxo2o.cli.main import main
from purejaxo2o.drive import memory
from purejaxo2o.drive.programs import Programs
from purejaxo2o.types import O2OError

GONE = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 70368744177664 bytes.\nmore lines")


def raising(*_, **__):
    raise GONE


def test_the_command_ends_in_one_line_and_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("purejaxo2o.cli.main.cache_compilations", lambda: None)
    monkeypatch.setattr(Programs, "compile_after", lambda *_: None)
    monkeypatch.setattr(memory, "estimate", lambda *_, **__: "")
    monkeypatch.setattr(memory, "refuse_if_too_large", lambda *_: None)
    monkeypatch.setattr(sys.modules["purejaxo2o.drive.fit"], "drive", raising)
    command = (
        "train sac reach --scale small --seeds 1 --out run --set online.steps=40 online.segments=4 agent.hidden=(8,)"
    )
    assert main(command.split()) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(
        "error: memory ran out (RESOURCE_EXHAUSTED: Out of memory allocating 70368744177664 bytes."
    )
    assert line.endswith(
        "(--width 1, --chunk 1), or smaller minibatches or stores (--set PHASE.batch_size=N store_rows=N)"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [GONE, MemoryError()])
def test_what_has_a_checkpoint_stays(error, tmp_path):
    saved = tmp_path / "run" / "checkpoints" / "1" / "data"

    def work():
        with memory.enough(tmp_path / "run"):
            saved.parent.mkdir(parents=True)
            saved.touch()
            raise error

    with pytest.raises(O2OError, match=r"memory ran out .*sweep with width=1"):
        work()
    assert saved.exists()


def test_other_errors_stay_what_they_are():
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), memory.enough():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
