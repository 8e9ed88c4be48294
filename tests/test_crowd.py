"""Many devices, many processes, little memory: the lanes of a sweep are dealt out, and nothing else changes."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o.disk.folder import claim, describe
from purejaxo2o.disk.results import load_results
from purejaxo2o.drive import memory
from purejaxo2o.drive.fit import Watch
from purejaxo2o.drive.lanes import Lanes
from purejaxo2o.drive.programs import Programs
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.types import O2OError

HERE = Path(__file__).parent
ROUNDING = 1e-5
"""Of another width, on parameters of order one and returns of order one."""


def start(*arguments):
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def answer(process):
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.mark.slow
def test_eight_devices(tmp_path):
    found = answer(start(HERE / "crowd.py", "devices", tmp_path / "run"))
    assert found["devices"] == found["shards"] == 8
    assert found["bitwise"]
    assert found["resumed"]
    assert 0 <= found["distance"] <= ROUNDING
    assert found["programs"] == 9  # the start, boundary and segment of three phases, two kinds of agents judged
    assert found["collectives"] == []


@pytest.mark.slow
def test_two_processes_share_a_sweep(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    both = [start(HERE / "crowd.py", "process", tmp_path / "run", port, index) for index in range(2)]
    assert [answer(process)["lanes"] for process in both] == [3, 3]
    joined = load_results(tmp_path / "run")
    over = {"agent.expectile": [0.6, 0.9]}
    alone = o2o.sweep(*tiny("iql"), seeds=3, over=over, width=1, progress=False)
    np.testing.assert_array_equal(joined.scores, alone.scores)
    assert joined.axes == alone.axes
    picture = o2o.report({"iql": joined.select({"agent.expectile": 0.9})}, tmp_path / "report")
    assert picture.exists()


@pytest.mark.slow
def test_a_sweep_goes_on_on_other_devices(tmp_path):
    found = answer(start(HERE / "crowd.py", "moved", tmp_path / "run"))
    assert found.pop("policies") == 3  # the lanes that only fill the devices are none
    assert len(found) == 6
    for name, distance in found.items():
        assert 0 <= distance <= (ROUNDING if name.endswith("2") else 0), found


@pytest.mark.slow
def test_two_processes_are_refused_together(tmp_path):
    """One of them looks into the folder; neither trains or writes."""
    out = tmp_path / "run"
    recipe, task, data = tiny("iql")
    claim(out, describe(seed_keys(1)[0], recipe, task, data), resume=False)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    both = [start(HERE / "crowd.py", "process", out, port, index) for index in range(2)]
    lines = {answer(process)["refused"] for process in both}
    assert lines == {f"output folder {out} already holds a run; choose another, or resume it (--resume)"}
    assert [path.name for path in out.iterdir()] == ["config.json"]


# -- memory ------------------------------------------------------------------------------------------------


class Notes:
    """A meter that keeps what is noted."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def _nothing(self, *arguments, **settings):
        pass

    start = expect = compiling = compiled = segment = close = _nothing


def brief():
    """Tiny IQL from its online phase on: half the programs to compile."""
    recipe, task, data = tiny("iql")
    return dataclasses.replace(recipe, phases=recipe.phases[1:]), task, data


def need(seeds, **settings):
    """The estimate for so many lanes of it."""
    recipe, task, data = brief()
    programs = Programs(seed_keys(seeds), recipe, task, data, Lanes(seeds, seeds))
    programs.compile_after(0, Watch())
    return memory.estimate(programs, **{"saving": False, **settings})


def test_the_estimate_counts_what_there_is():
    recipe, _, data = brief()
    two, four = need(2), need(4)
    assert two.dataset == four.dataset == sum(x.nbytes for x in (*data.data[:6], data.size, data.head))
    row = sum(np.prod(x.shape[1:]) * x.dtype.itemsize for x in data.data[:6])
    assert four.stores - two.stores == 2 * recipe.capacity * row
    assert four.learners == 2 * two.learners
    assert need(2, saving=True).total - two.total == two.lanes_alone
    assert "for 4 lanes: dataset" in str(four)


def test_a_sweep_too_large_is_cut_into_parts(tmp_path):
    notes = Notes()
    limit = need(3, saving=True).total + 100
    cut = o2o.sweep(*brief(), seeds=8, memory_limit=limit, out=tmp_path / "run", progress=notes)
    parts = len(list((tmp_path / "run").glob("part-*")))
    assert 3 <= parts <= 4  # of at most three lanes
    assert any(note.startswith(f"8 lanes in {parts} parts") for note in notes.notes)
    whole = o2o.sweep(*brief(), seeds=8, progress=False)
    np.testing.assert_allclose(cut.scores, whole.scores, atol=1e-2)


def test_what_cannot_fit_is_refused_with_what_would():
    recipe, task, data = brief()
    limit = need(5).total
    with pytest.raises(
        O2OError, match=r"for 8 lanes: .*; there are .*: the largest number of lanes that fits is about 5"
    ):
        o2o.sweep(recipe, task, data, seeds=8, chunk=8, memory_limit=limit, progress=False)
    one = need(1)
    with pytest.raises(O2OError, match=r"for 1 lane: .*: the largest store_rows that fits is about \d+"):
        o2o.sweep(recipe, task, data, seeds=8, memory_limit=one.total - one.stores // 2, progress=False)
    with pytest.raises(O2OError, match=r"memory_limit is -1; give a positive number of bytes"):
        o2o.fit(seed_keys(1)[0], recipe, task, data, memory_limit=-1, progress=False)


MEASURE = """
import sys; sys.path.insert(0, {here!r})
import dataclasses, json, jax, conftest
import jax.numpy as jnp
from pathlib import Path
import purejaxo2o as o2o
from purejaxo2o.data.collect import collect, random_policy
from purejaxo2o.tasks import make
from purejaxo2o.types import Space, pytree
from tiny import Slope, tiny

@pytree
class Wide(Slope):
    # A robot's worth of observation: a row is large, so that few steps fill a store.
    obs_space = Space(shape=(100,))

    def reset(self, key):
        state, obs = super().reset(key)
        return state, jnp.repeat(obs, 100)

    def step(self, state, action, key):
        state, step = super().step(state, action, key)
        return state, step._replace(obs=jnp.repeat(step.obs, 100))

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

class Meter:
    # From the moment that all is compiled, the kernel keeps the peak.
    def note(self, text):
        if "lanes in" in text:
            Path("/proc/self/clear_refs").write_text("5")
            self.before = status("VmRSS")
    def nothing(self, *a, **k): pass
    start = expect = compiling = compiled = segment = close = nothing

from purejaxo2o.drive import memory
real = memory.estimate
def estimate(*a, **k):
    global need
    need = real(*a, **k)
    return need
memory.estimate = estimate
recipe, task, data = tiny("iql")
task = make("wide", Wide(), domain="toy")
data = collect(task.env, random_policy(task.env.action_space), jax.random.key(1), steps=80, num_envs=10)
recipe = o2o.replace(recipe, {{"online.steps": {steps}, "online.segments": 4, "online.updates": 0}})
recipe = dataclasses.replace(recipe, phases=recipe.phases[1:])
meter = Meter()
result = o2o.sweep(recipe, task, data, seeds=8, progress=meter, out={out!r}, width={width})
jax.block_until_ready(result.run.store)
print(json.dumps({{"estimate": need.total - need.dataset, "measured": status("VmHWM") - meter.before}}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel keeps no peak to compare with")
@pytest.mark.parametrize("width", [1, 8])
def test_the_estimate_is_what_is_measured(width, tmp_path):
    """Within a fifth of the peak of a process that fills stores of 160 MB in all."""
    code = MEASURE.format(here=str(HERE), steps=24_000, width=width, out=str(tmp_path / "run"))
    found = answer(start("-c", code))
    assert found["measured"] > 100e6
    assert abs(found["estimate"] / found["measured"] - 1) <= 0.2, found
