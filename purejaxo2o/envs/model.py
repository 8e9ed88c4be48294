"""MuJoCo models for MJX, from gymnasium's own XML files; those that it would simulate otherwise are refused."""

import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import io
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import jax
import numpy as np

from purejaxo2o.types import O2OError

PHYSICS = {"mujoco>=3.5": 1.0, "mujoco<=3.4": 0.5}
"""Engine versions that can be equalled, and what that makes of every contact margin.

Two geoms' margins add up since MuJoCo 3.5; before, the larger one counted. Where all are equal, half of each is
therefore the older engine. Minari's `mujoco/*` data and D4RL's were recorded with the older."""
ITERATIONS = 10
"""Solver iterations, and steps of its line search: the models' 100 and 50 give the same, several times slower."""
SUPPORTED = {("PLANE", "SPHERE"), ("PLANE", "CAPSULE"), ("SPHERE", "SPHERE"), ("SPHERE", "CAPSULE")}
SUPPORTED |= {("CAPSULE", "CAPSULE"), ("SPHERE", "BOX"), ("CAPSULE", "BOX")}
"""Pairs of shapes that collide as in C, some by functions of our own (`physics.py`). Not planes with boxes nor boxes
with each other, whose margins MJX ignores, nor cylinders."""

BURIED = -1000.0
"""Height in metres of a wall that is not there."""
_WALL = "wall_"


class Model(NamedTuple):
    """A compiled model, as arrays of the host, so that it belongs to no trace and no device."""

    mjx: Any  # mujoco.mjx.Model
    blank: Any  # mujoco.mjx.Data of the initial pose
    timestep: float  # s
    control: np.ndarray  # [nu, 2] lowest and highest control
    bodies: tuple[str, ...]  # names by id
    walls: tuple[int, ...]  # ids of the boxes that `load` added

    def body(self, name: str) -> int:
        """The id of a body. Raises `O2OError` for a name that the model has not."""
        if name not in self.bodies:
            raise O2OError(f"the model has no body {name!r}; its bodies: {', '.join(filter(None, self.bodies))}")
        return self.bodies.index(name)


def mujoco() -> Any:
    """The package, imported at first use."""
    return importlib.import_module("mujoco")


def mjx() -> Any:
    """The package, imported at first use, without the lines that it prints about an optional one."""
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module("mujoco.mjx")


def mjx_source(name: str) -> Any:
    """A module of MJX's that it does not export: its colliders and its quaternions are not public."""
    mjx()
    return importlib.import_module(f"mujoco.mjx._src.{name}")


class Walls(NamedTuple):
    """Boxes that `load` adds to a model's world, to be moved while it runs."""

    number: int
    size: tuple[float, float, float]  # m, half of each side
    contacts: int  # kept of all that there can be, the deepest ones


_LOADED: dict[Path, str] = {}
"""Digests of the files that models were loaded from: `load` keeps a model by the name of its file."""


@functools.lru_cache
def load(xml_file: str, physics: str, walls: Walls | None = None) -> Model:
    """The model in `xml_file`: a name in gymnasium's assets, or a path starting with `/`, `~` or `.`.

    Raises `O2OError` for a missing file, installed versions that do not fit together, and a model that MJX would
    not simulate as MuJoCo does."""
    check_versions(mujoco().__version__, importlib.metadata.version("mujoco-mjx"))
    path = _path(xml_file)
    digest = _digest(path)
    model = _compiled(path, walls)
    contacts = _check(path.name, physics, model)
    contacts = contacts if walls is None else min(contacts, walls.contacts)
    model.geom_margin *= PHYSICS[physics]
    model.opt.iterations = model.opt.ls_iterations = ITERATIONS
    model.opt.jacobian = mujoco().mjtJacobian.mjJAC_DENSE  # MJX's choice would depend on the platform
    with jax.ensure_compile_time_eval():
        put: Any = mjx().put_model(model, impl="jax")
        blank: Any = mjx().make_data(model, impl="jax")
    if blank._impl.ncon != contacts:  # MJX looks for limits among the custom numbers, and at wrong places
        raise O2OError(
            f"{path.name}: MJX keeps {blank._impl.ncon} of {contacts} contacts; remove max_contact_points and "
            "max_geom_pairs from its <custom> numbers"
        )
    put, blank = jax.tree.map(np.asarray, (put, blank))
    bodies = tuple(model.body(i).name for i in range(model.nbody))
    added = tuple(model.geom(f"{_WALL}{i}").id for i in range(walls.number if walls else 0))
    _LOADED.setdefault(path, digest)
    return Model(put, blank, float(model.opt.timestep), model.actuator_ctrlrange.copy(), bodies, added)


def check_unchanged(xml_file: str) -> None:
    """Raise `O2OError` if a file is another than when its model was first loaded: programs go on with that one."""
    path, now = _path(xml_file), _digest(_path(xml_file))
    if _LOADED.get(path, now) != now:
        raise O2OError(f"{path} has changed since it was loaded; give it another name, or start Python anew")


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def check_versions(mujoco: str, mjx: str) -> None:
    """Raise `O2OError` unless both packages are of one line, 3.17 or later but below 4."""
    lines = [tuple(int(part) for part in version.split(".")[:2]) for version in (mujoco, mjx)]
    if lines[0] != lines[1] or not (3, 17) <= lines[0] < (4, 0):
        raise O2OError(
            f"mujoco {mujoco} with mujoco-mjx {mjx} is not the physics that the twins were checked against; "
            "install both from one line: mujoco>=3.17,<4 and mujoco-mjx>=3.17,<4"
        )


def _path(xml_file: str) -> Path:
    if xml_file.startswith((".", "/", "~")):
        path = Path(xml_file).expanduser()
    else:
        spec = importlib.util.find_spec("gymnasium")  # found, not imported
        if spec is None or not spec.submodule_search_locations:
            raise O2OError(f"xml_file={xml_file!r} is one of gymnasium's; install gymnasium")
        path = Path(spec.submodule_search_locations[0]) / "envs" / "mujoco" / "assets" / xml_file
    if not path.is_file():
        raise O2OError(f"xml_file={xml_file!r} is not there ({path}); give one of gymnasium's files or a path")
    return path


def _compiled(path: Path, walls: Walls | None) -> Any:
    """`mujoco.MjModel`, without the log file that MuJoCo writes about a deprecated word in one of them."""
    handler = mujoco().get_mju_user_warning()
    mujoco().set_mju_user_warning(lambda message: None)
    try:
        if walls is None:
            return mujoco().MjModel.from_xml_path(str(path))
        return mujoco().MjModel.from_xml_string(_walled(path.read_text(), walls))
    except ValueError as error:
        raise O2OError(f"{path} is no MuJoCo model ({' '.join(str(error).split())}); repair it") from error
    finally:
        mujoco().set_mju_user_warning(handler)


def _walled(xml: str, walls: Walls) -> str:
    """The model with boxes in its world, and no custom numbers but MJX's limit on contacts."""
    root = ElementTree.fromstring(xml)
    for custom in root.findall("custom"):
        root.remove(custom)
    limit = {"name": "max_contact_points", "data": str(walls.contacts)}
    ElementTree.SubElement(ElementTree.SubElement(root, "custom"), "numeric", limit)
    world = root.find("worldbody")
    assert world is not None
    for i in range(walls.number):
        shape = {"name": f"{_WALL}{i}", "type": "box", "size": " ".join(map(str, walls.size)), "pos": f"0 0 {BURIED}"}
        ElementTree.SubElement(world, "geom", shape | {"contype": "1", "conaffinity": "1"})
    return ElementTree.tostring(root, encoding="unicode")


def _check(name: str, physics: str, model: Any) -> int:
    """The number of contacts that there can be at once. `O2OError` where MJX would differ from MuJoCo."""
    driver = mjx_source("collision_driver")
    pairs, contacts = [(int(a), int(b)) for a, b, _ in driver.geom_pairs(model)], 0
    for pair in pairs:
        shapes = tuple(mujoco().mjtGeom(model.geom_type[geom]).name.removeprefix("mjGEOM_") for geom in pair)
        contacts += 2 if shapes in (("PLANE", "CAPSULE"), ("CAPSULE", "BOX")) else 1
        if shapes not in SUPPORTED:
            raise O2OError(
                f"{name}: MJX does not collide {' with '.join(shapes).lower()} as MuJoCo does; give a model of "
                "planes, spheres and capsules"
            )
    if physics == "mujoco<=3.4" and len({float(model.geom_margin[geom]) for pair in pairs for geom in pair}) > 1:
        raise O2OError(f"{name} has contact margins of several sizes; physics='mujoco<=3.4' needs one for all")
    kinds, integrators, solvers = mujoco().mjtJoint, mujoco().mjtIntegrator, mujoco().mjtSolver
    if kinds.mjJNT_BALL in model.jnt_type or kinds.mjJNT_FREE in model.jnt_type[1:]:
        raise O2OError(f"{name} has ball joints or several free ones; give a model with at most one, free, the first")
    if model.opt.integrator not in (integrators.mjINT_EULER, integrators.mjINT_RK4):
        raise O2OError(f"{name} asks for {integrators(model.opt.integrator).name}; give it Euler or RK4")
    if model.opt.solver != solvers.mjSOL_NEWTON:
        raise O2OError(f"{name} asks for {solvers(model.opt.solver).name}, which MJX has not; give it Newton")
    return contacts
