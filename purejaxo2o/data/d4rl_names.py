"""D4RL's published files by their names: which dataset each is, its environment and time limit.

Facts of `Farama-Foundation/D4RL` (`d4rl/infos.py` and the registrations of its environments). Many files are not
called as the dataset that they hold, `mini_kitchen_microwave_kettle_light_slider-v0` is `kitchen-complete-v0`; a file
that was renamed to its dataset's id is found as well.
"""

import re
from pathlib import Path
from typing import NamedTuple

from purejaxo2o.data.scores import RECORDINGS

SUFFIXES = (".hdf5", ".h5")
"""Names that end so are files in D4RL's layout, all other datasets are Minari ids."""
HANDS = ("pen", "hammer", "door", "relocate")


class Published(NamedTuple):
    """What D4RL says about one of its files."""

    id: str  # D4RL's, `hopper-medium-v2`; without a version where the file's name has none
    limit: int | None  # of an episode in steps
    env_id: str | None  # Gymnasium's environment of the same observations and actions


def is_file(name: str) -> bool:
    """Whether the name of a dataset is that of a file in D4RL's layout."""
    return name.endswith(SUFFIXES)


def published(path: str) -> Published:
    """What is known by the name of the file; of one that is not D4RL's, its own name alone."""
    stem = Path(path).stem
    found = FILES.get(stem.lower(), stem.replace("_", "-").lower())
    domain = RECORDINGS.sub("", found, count=1)
    limit = (LONG if "-longhorizon" in found else LIMITS).get(domain)
    places = (limit for start, limit in PLACES.items() if re.match(start, found))
    return Published(found, limit or next(places, None), ENVIRONMENTS.get(domain))


ROBOTS = ("HalfCheetah", "Hopper", "Walker2d", "Ant")
LIMITS: dict[str, int] = {
    **{f"{maker}{robot.lower()}": 1000 for robot in ROBOTS for maker in ("", "bullet-")},
    **{"pen": 100, "hammer": 200, "door": 200, "relocate": 200, "kitchen": 280},
}
"""By the domain, which is the beginning of an id."""
LONG = {"pen": 200, "hammer": 600, "door": 300, "relocate": 500}
"""Of the hands with more time, which have the files of the others."""
PLACES: dict[str, int] = {
    r"antmaze-(eval-)?umaze": 700,
    r"antmaze-(eval-)?(medium|large)": 1000,
    r"(bullet-)?maze2d-open": 150,
    r"maze2d-umaze(-dense)?-v0": 150,
    r"maze2d-medium(-dense)?-v0": 250,
    r"maze2d-large(-dense)?-v0": 600,
    r"(bullet-)?maze2d-(eval-)?umaze": 300,
    r"(bullet-)?maze2d-(eval-)?medium": 600,
    r"(bullet-)?maze2d-(eval-)?large": 800,
    r"flow-ring": 500,
    r"flow-merge": 750,
    r"carla-lane": 250,
    r"carla-town": 1000,
    r"minigrid-fourrooms": 50,
}
"""By the beginning of an id, the first that fits."""
ENVIRONMENTS: dict[str, str] = {
    **{robot.lower(): f"{robot}-v2" for robot in ROBOTS},
    **{hand: f"AdroitHand{hand.title()}-v1" for hand in HANDS},
}
"""By the domain, where D4RL's observations are those of an environment of today; its mazes and kitchen show more."""


def _files() -> dict[str, str]:
    """Ids of the files that are not called like them, by the name in small letters without its ending."""
    found = {
        "mini_kitchen_microwave_kettle_light_slider-v0": "kitchen-complete-v0",
        "kitchen_microwave_kettle_light_slider-v0": "kitchen-partial-v0",
        "kitchen_microwave_kettle_bottomburner_light-v0": "kitchen-mixed-v0",
        "walker_mixed": "walker2d-medium-replay-v0",
        "minigrid4rooms": "minigrid-fourrooms-v0",
        "minigrid4rooms_random": "minigrid-fourrooms-random-v0",
        "carla_lane_follow_flat-v0": "carla-lane-v0",
        "carla_lane_follow-v0": "carla-lane-v0",
        "carla_town_subsamp_flat-v0": "carla-town-v0",
        "carla_town_flat-v0": "carla-town-full-v0",
        "maze2d-open-sparse": "maze2d-open-v0",
        "maze2d-open-dense": "maze2d-open-dense-v0",
        "bullet-maze2d-open-sparse": "bullet-maze2d-open-v0",
    }
    for robot in ("halfcheetah", "hopper", "ant"):
        found[f"{robot}_mixed"] = f"{robot}-medium-replay-v0"
    for hand in HANDS:
        found[f"{hand}-v0_demos_clipped"] = f"{hand}-human-v0"
        found[f"{hand}-v0_expert_clipped"] = f"{hand}-expert-v0"
        found[f"{hand}-demos-v0-bc-combined"] = f"{hand}-cloned-v0"
    for flow in ("flow-ring", "flow-merge"):
        found[f"{flow}-v0-random"], found[f"{flow}-v0-idm"] = f"{flow}-random-v0", f"{flow}-controller-v0"
    for size in ("umaze", "medium", "large"):
        found[f"bullet-maze2d-{size}-sparse"] = f"bullet-maze2d-{size}-v0"
        found[f"maze2d-{size}-dense"] = f"maze2d-{size}-dense-v0"
        for version, suffix in (("v0", ""), ("v1", "-v1")):
            found[f"maze2d-{size}-sparse{suffix}"] = f"maze2d-{size}-{version}"
        found[f"maze2d-eval-{size}-sparse-v1"] = f"maze2d-eval-{size}-v1"
    return found | _ant_mazes()


def _ant_mazes() -> dict[str, str]:
    """Files of AntMaze; in the smallest maze a fixed start and goal are `umaze`, many are `umaze-diverse`."""
    sizes = {
        "umaze": {"v0": "u-maze", "v1": "umaze", "v2": "u-maze"},
        "medium": {"v0": "big-maze", "v1": "medium", "v2": "big-maze"},
        "large": {"v0": "hardest-maze", "v1": "large", "v2": "hardest-maze"},
    }
    found = {}
    for size, names in sizes.items():
        plain, many = ("umaze", "umaze-diverse") if size == "umaze" else (f"{size}-play", f"{size}-diverse")
        for kind, starts, goals in ((plain, size != "umaze", False), (many, True, True)):
            ending = f"multistart_{starts}_multigoal_{goals}_sparse".lower()
            for version, name in names.items():
                fixed = "_fixed" if version == "v2" else ""
                found[f"ant_maze_{name}_noisy_{ending}{fixed}"] = f"antmaze-{kind}-{version}"
            ending = f"multistart_true_multigoal_{goals}_sparse".lower()
            found[f"ant_maze_{size}_eval_noisy_{ending}"] = f"antmaze-eval-{kind}-v0"
    return found


FILES = _files()
"""File name in small letters, without its ending -> D4RL's id."""
