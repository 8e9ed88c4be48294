"""Other libraries at the same work, each in a virtual environment of its own under `.cache/peers` (made on demand).

A peer is a script that its environment's Python runs and that prints one JSON line (`peer_d3rlpy.py`, `peer_sbx.py`);
nothing of this library is imported there. Same networks, minibatch, sizes of the data; its fastest documented path
without logging. Ours is measured before and after it in the same run. What cannot be installed or run is a row that
says why.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import jax

import purejaxo2o as o2o
from experiments.benchmarks import updates
from experiments.benchmarks.measure import Program, build, seconds
from experiments.benchmarks.rows import ROOT, Row, missing, row
from purejaxo2o.train import init, segment

CACHE = ROOT / ".cache" / "peers"
INSTALL_SECONDS = 600
RUN_SECONDS = 300
REQUIREMENTS = {
    "d3rlpy": ["torch==2.13.0", "d3rlpy", "mujoco==3.17.0", "imageio"],
    "sbx": ["torch==2.13.0", "sbx-rl"],
}
OFFLINE = (
    updates.Case("IQL", "IQL"),
    updates.Case("CQL", "CQL", {"cql_actions": 10}),
    updates.Case("CalQL", "CalQL", {"cql_actions": 10}),
)
OFFLINE_ROWS = 100_000
ONLINE_STEPS = 2_000


class Failed(Exception):
    """A peer that could not be installed or run: why, in one line."""


def rows(*, quick: bool = False) -> list[Row]:
    """Ours against each peer: updates a second offline, steps a second online (one update a step)."""
    found = []
    dataset = updates.synthetic(1_000 if quick else OFFLINE_ROWS)
    for case in OFFLINE:
        steps = 2 if quick else 60 if case.name != "IQL" else 400
        ours = build(*updates.function(case, dataset, 1, steps))
        label, count = f"{case.name} offline", len(dataset.data.reward)
        found.append(_against("d3rlpy", label, "updates/s", ours, steps, rows=count))
        if quick:
            return found
    online = _online("iql")
    label = "fine-tuning on Pendulum, one update a step"
    found.append(_against("d3rlpy", f"IQL {label}", "steps/s", online, ONLINE_STEPS, rows=OFFLINE_ROWS))
    label = "online on Pendulum, one update a step"
    found.append(_against("sbx", f"SAC {label}", "steps/s", _online("sac"), ONLINE_STEPS))
    return found


def _against(peer: str, what: str, unit: str, ours: Program, steps: int, **arguments: Any) -> Row:
    """One row: our speed over the peer's, ours the better of before and after."""
    print(f"peers: {what} against {peer}", file=sys.stderr, flush=True)
    name = f"{what}, against {peer}"
    try:
        python = install(peer)
        before = min(seconds(ours) for _ in range(3))
        theirs = _run(python, peer, {"algorithm": what.split()[0], "what": what.split()[1], **arguments})
        after = min(seconds(ours) for _ in range(3))
    except Failed as error:
        return missing("peers", name, "x", str(error))
    rate = steps / min(before, after)
    figures = {f"our_{unit}": rate, f"their_{unit}": theirs["rate"], "their_versions": theirs["versions"]}
    headline = f"{what}: against {peer}"
    return row("peers", name, rate / theirs["rate"], "x", ours.compile_seconds, headline=headline, **figures)


def _online(name: str) -> Program:
    """One online segment on Pendulum with one update a step, 2 x 256 networks and minibatches of 256."""
    task = o2o.task("pendulum")
    recipe = o2o.recipe(name, task)
    changes: dict[str, Any] = {"online.steps": ONLINE_STEPS, "online.segments": 1}
    first = recipe.phases[0].name
    changes |= {f"{first}.segments": 1, f"{first}.steps": 200, "online.mix": "online"}
    recipe = o2o.replace(recipe, changes)
    run = jax.jit(lambda key: init(key, recipe, task))(jax.random.key(0))
    return build(lambda run: segment(run, recipe, task, None, phase=1), run)


def install(peer: str) -> Path:
    """The peer's Python; its environment is made on first use. Raises `Failed`."""
    folder = CACHE / peer
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    done = folder / "installed"
    if done.exists():
        return python
    print(f"peers: installing {peer} into {folder}", file=sys.stderr, flush=True)
    try:
        venv.create(folder, with_pip=True)
        for requirement in REQUIREMENTS[peer]:  # torch first: what asks for it then finds it there
            command = [str(python), "-m", "pip", "install", "--quiet", requirement]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(f"not installed: {_last_line(error)}") from None
    done.touch()
    return python


def _run(python: Path, peer: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What the peer's script printed last. Raises `Failed`."""
    script = Path(__file__).with_name(f"peer_{peer}.py")
    try:
        command = [str(python), str(script), json.dumps(arguments)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=RUN_SECONDS, cwd=CACHE)
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise Failed(f"did not run: {_last_line(error)}") from None


def _last_line(error: Exception) -> str:
    text = getattr(error, "stderr", None) or str(error)
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    return (text.strip().splitlines() or [type(error).__name__])[-1][:200]
