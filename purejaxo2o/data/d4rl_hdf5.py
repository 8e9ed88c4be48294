"""D4RL's own files: one `.hdf5` with a stream of rows, from before Minari (`Farama-Foundation/D4RL`).

`observations`, `actions`, `rewards`, `terminals`, mostly `timeouts`, sometimes `next_observations`. The successor of
a row is the next row only inside a trajectory; D4RL's own loader looks no closer. Here:

- With `next_observations` every successor is the true one. Otherwise the row of a time-out has none: it is dropped,
  the row before it ends the trajectory (truncated), and its successor is true. So is the last row of the file.
- Without `next_observations` a terminal row's successor is unknown, and is not the next trajectory's start, which
  D4RL gives: the row's own observation stands in. No value depends on it; a learned model must leave such rows out.
- Files without `timeouts` (of v0) are cut where `next_observations` shows a jump, else at the environment's time
  limit, counted from each trajectory's own start: 1000 steps in HalfCheetah, which never terminates. Where it is
  truncated is in the rows from then on; nobody has to count to 1000 again (a trajectory may well have 999 rows).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from purejaxo2o.data import scores
from purejaxo2o.data.checks import flags
from purejaxo2o.data.d4rl_names import Published, published
from purejaxo2o.data.hdf5 import column, opened, readable, working
from purejaxo2o.data.limits import check_regular, check_size
from purejaxo2o.data.reading import DatasetInfo, Reading, allocate
from purejaxo2o.loop.store import Store
from purejaxo2o.types import O2OError, Space, Spaces, Transition

REQUIRED = ("observations", "actions", "rewards", "terminals")
VECTORS = ("observations", "actions", "next_observations")
JUMP = 1e-6
"""Two observations farther apart are not the same (the distance that IQL's loader takes)."""


def check_exists(path: str) -> None:
    """Raise `O2OError` unless there is such a file, and it is an ordinary one."""
    try:
        there = Path(path).exists()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        raise O2OError(f"there is no file {path!r}; download one of D4RL's first (d4rl/infos.py lists them)")
    check_regular(f"file {path}", Path(path))


def load(path: str, *, limit: int | None = None, clip: bool = False) -> Store:
    """A file as a full store, in time order, checked. Arguments and errors as `read`."""
    return read(path, limit=limit, clip=clip).store()


def read(path: str, *, limit: int | None = None, clip: bool = False) -> Reading:
    """The rows of a file, before their values are checked.

    limit: time limit in steps, of the environment, and of a file without `timeouts` and `next_observations`; by
        default what D4RL says of a file of this name (`d4rl_names`).
    clip: accept actions outside of [-1, 1], where D4RL's environments clip them.
    Raises `O2OError` for a file that is missing, damaged or of another layout, for arrays that do not fit together,
    for a jump that is no end of a trajectory, and where ends are not marked and no limit is known."""
    stream = _stream(Path(path))
    count, known = len(stream["rewards"]), published(path)
    known = known._replace(limit=limit or known.limit)
    terminal, timeout = _ends(path, stream, known.limit)
    terminal_or_timeout = terminal | timeout
    has_next = "next_observations" in stream
    open_end = not terminal_or_timeout[-1]
    keep = np.ones(count, bool)
    truncated = timeout & ~terminal
    if has_next:
        truncated[-1] |= open_end
    else:
        keep = ~truncated
        keep[-1] &= not open_end
        # What came before a row that is dropped is the end now, unless it is one already.
        truncated = np.append(~keep[1:], False) & ~terminal_or_timeout
    kept = np.flatnonzero(keep)
    if not len(kept):
        raise O2OError(f"file {path} has no row with a successor; it needs trajectories of two rows at least")
    info = _info(path, stream, len(kept), int((terminal | truncated)[kept].sum()), known)
    info.metadata["time_outs_dropped"] = not has_next
    data = _rows(stream, kept, terminal, truncated, info.spaces)
    if clip:
        np.clip(data.action, -1.0, 1.0, out=data.action)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return Reading(info, data, lambda row: f"file {path}, row {kept[row]}")


def _stream(path: Path) -> dict[str, np.ndarray]:
    """The file's arrays by name, checked for presence, place, size and length, before they are read."""
    check_exists(str(path))
    where = f"file {path}"
    with opened(where, path) as file:
        named = {name: column(where, file, name) for name in (*REQUIRED, "timeouts", "next_observations")}
        there = {name: array for name, array in named.items() if array is not None}
        missing = [name for name in REQUIRED if name not in there]
        if missing:
            layout = ", ".join(REQUIRED)
            raise O2OError(f"file {path} has no {', '.join(missing)}; it is not in D4RL's layout ({layout})")
        _check_shapes(path, there)
        size = sum(working(array) for array in there.values())
        check_size(
            where, stored=path.stat().st_size, declared=size, needed=3 * size
        )  # raw, and as rows with both obs
        with readable(where):
            stream: dict[str, np.ndarray] = {name: np.asarray(array[()]) for name, array in there.items()}
    # Some files have rewards [N, 1].
    return {name: x.reshape((len(x), -1) if name in VECTORS else len(x)) for name, x in stream.items()}


def _check_shapes(path: Path, stream: dict[str, Any]) -> None:
    """Raise `O2OError` unless flags and rewards are `[N]`, observations and actions `[N, ...]`."""
    count = stream["rewards"].shape[0] if stream["rewards"].ndim else 0
    if not count:
        raise O2OError(f"file {path} holds no rows; download it again")
    for name, array in stream.items():
        if array.shape[:1] != (count,):
            raise O2OError(
                f"file {path}: {name} is {list(array.shape)}, there are {count} rewards; download it again"
            )
        if array.ndim == 4 and array.dtype == np.uint8:
            raise O2OError(f"file {path}: {name} are images {list(array.shape[1:])}; keep them in a Minari dataset")
        if name not in VECTORS and array.size != count:
            raise O2OError(
                f"file {path}: {name} is {list(array.shape)}; only one number a row can be loaded, convert it"
            )
    after = stream.get("next_observations")
    if after is not None and _width(after) != _width(stream["observations"]):
        raise O2OError(f"file {path}: next_observations is of another shape than observations; drop it from the file")


def _width(array: Any) -> int:
    return math.prod(array.shape[1:])


def _ends(path: str, stream: dict[str, np.ndarray], limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are terminal, and at which time ran out, `[N]` bool each."""
    where, count = f"file {path}", len(stream["rewards"])
    terminal = flags(where, "terminals", stream["terminals"])
    jump = None
    if "next_observations" in stream:
        difference = np.abs(stream["next_observations"][:-1] - stream["observations"][1:])
        jump = np.append(difference.max(axis=1, initial=0.0) > JUMP, False)
    if "timeouts" in stream:
        timeout = flags(where, "timeouts", stream["timeouts"])
        unmarked = np.flatnonzero(jump & ~terminal & ~timeout) if jump is not None else []
        if len(unmarked):
            raise O2OError(
                f"file {path}, row {unmarked[0]}: the next row is not its successor, yet neither terminals nor "
                f"timeouts end the trajectory here ({len(unmarked)} such rows): flags are shifted or missing; drop "
                "timeouts from the file, then ends are taken from next_observations"
            )
        return terminal, timeout
    if jump is not None:
        return terminal, jump & ~terminal
    if limit is None:
        raise O2OError(
            f"file {path} has no timeouts, and no time limit is known for it",
            python="pass limit= or add timeouts",
            shell="give --limit STEPS or add timeouts",
        )
    # Steps since the last terminal row, a trajectory's first being 0.
    starts = np.where(np.append(True, terminal[:-1]), np.arange(count), 0)
    step = np.arange(count) - np.maximum.accumulate(starts)
    return terminal, (step % limit == limit - 1) & ~terminal


def _rows(
    stream: dict[str, np.ndarray], kept: np.ndarray, terminal: np.ndarray, truncated: np.ndarray, spaces: Spaces
) -> Transition:
    data: Any = allocate(len(kept), spaces)
    observation = stream["observations"]
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is reported with its place
        data.obs[:] = observation[kept]
        data.action[:] = stream["actions"][kept]
        data.reward[:] = stream["rewards"][kept]
        if "next_observations" in stream:
            data.next_obs[:] = stream["next_observations"][kept]
        else:
            data.next_obs[:] = observation[np.where(terminal[kept], kept, kept + 1)]
    data.terminated[:], data.truncated[:] = terminal[kept], truncated[kept]
    return data


def _info(path: str, stream: dict[str, np.ndarray], steps: int, episodes: int, known: Published) -> DatasetInfo:
    env_id = known.env_id
    spaces = Spaces(Space(stream["observations"].shape[1:]), Space(stream["actions"].shape[1:]))
    return DatasetInfo(
        id=path,
        path=Path(path),
        spaces=spaces,
        episodes=episodes,
        steps=steps,
        env_id=env_id,
        env_spec=EnvSpec(env_id, max_episode_steps=known.limit) if env_id else None,
        reference=scores.reference(known.id),
        metadata={"description": "a file in D4RL's layout", "requirements": ["mujoco-py"]},
    )
