"""Processes that compile side by side and time in turns; the variants they measure. Nothing is timed here."""

import fcntl
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import arithmetic, kernels, rows, turns, variants

JOB = f"""
import os, sys, time
print("first")
print(os.environ["EXTRA"], {turns.LOCK!r} in os.environ)
if os.environ["EXTRA"] == "bad":
    sys.exit(3)
time.sleep(60 if os.environ["EXTRA"] == "slow" else 0)
"""


@pytest.fixture
def lock(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    monkeypatch.setenv(turns.LOCK, str(path))
    return path


def held(path):
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_turn_excludes_others_until_its_end(lock):
    assert not held(lock)
    with turns.turn():
        with turns.turn():  # once more inside is the same turn
            assert held(lock)
        assert held(lock)
    assert not held(lock)


def test_alone_there_are_no_turns(monkeypatch):
    monkeypatch.delenv(turns.LOCK, raising=False)
    assert not turns.wanted()
    with turns.turn():
        pass


def test_jobs_answer_with_their_last_line_or_none(tmp_path, monkeypatch, capsys):
    (tmp_path / "job.py").write_text(JOB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    jobs = {name: (["job"], {"EXTRA": name}) for name in ("good", "bad", "slow")}
    assert turns.run(jobs, 3, limit=5) == {"good": "good True", "bad": None, "slow": None}
    assert "bad failed (3)" in capsys.readouterr().err


def test_parts_of_a_section_are_joined(tmp_path, monkeypatch):
    """Each part is a process of its own; one that fails leaves a reason."""

    def run(jobs, at_once, *, limit):
        for name, (arguments, _) in jobs.items():
            if name != "updates: td3":
                out = arguments[arguments.index("--out") + 1]
                made = [rows.row("updates", arguments[arguments.index("--only") + 1], 1.0, "updates/s")]
                rows.write(Path(out), {"sections": {"updates": {"rows": made}}})

    monkeypatch.setattr(turns, "run", run)
    monkeypatch.setattr(command, "configure", lambda precision: None)
    path = tmp_path / "x.json"
    assert command.main(["updates", "--side-by-side", "2", "--out", str(path)]) == 0
    found = {row["name"]: row["value"] for row in json.loads(path.read_text())["sections"]["updates"]["rows"]}
    assert found.pop("updates: td3") is None
    assert set(found) == {case for case in command.PARTS["updates"]() if case != "td3"}
    assert set(found.values()) == {1.0}


def test_variants_are_measured_and_flags_of_a_gpu_left_out(monkeypatch):
    monkeypatch.setattr(variants, "VARIANTS", {name: variants.VARIANTS[name] for name in (variants.AS_IT_IS,)})
    [found] = variants.rows(quick=True)
    assert found["name"] == "iql: as it is"
    assert found["value"] > 0
    assert found["compile_s"] > 0
    assert "kernels_per_iteration" not in found  # a CPU lists none


def test_a_cpu_lists_no_kernels():
    assert kernels.kernels(lambda: jnp.ones(3) + 1) is None


def test_products_are_counted_through_loops_and_branches():
    def program(x, flag):
        x = jax.lax.scan(lambda c, _: (jnp.tanh(c @ x), None), x, length=5)[0]
        x = jax.lax.cond(flag, lambda x: x @ x @ x, lambda x: x, x)
        return jax.vmap(lambda row: x @ row)(x[:3])

    traced = jax.make_jaxpr(jax.jit(program))(jnp.ones((4, 4)), True)
    assert arithmetic.traced(traced) == 2 * (5 * 64 + 2 * 64 + 3 * 16)
