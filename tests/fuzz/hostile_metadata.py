"""Cases of `metadata.json`: texts that are none, counts and spaces that lie, environments that are code."""

import json
import shutil
from pathlib import Path
from typing import Any

from spoiling import REFUSED, SAME, case, metadata, text

EVIL = {
    "os:system": {"command": "touch MARKER"},
    "subprocess:call": {"args": ["touch", "MARKER"]},
    "subprocess:check_output": {"args": "touch MARKER", "shell": True},
    "os:mkdir": {"path": "MARKER"},
    "os:popen": {"cmd": "touch MARKER"},
    "io:open": {"file": "MARKER", "mode": "w"},
    "builtins:eval": {"source": "open('MARKER', 'w')"},
    "pathlib:Path.touch": {"self": "MARKER"},
    "evil_module:make": {"path": "MARKER"},
    "shutil:rmtree": {"path": "MARKER"},
}
"""Entry points that do something, with their arguments; `evil_module` writes the marker when it is imported."""
MODULE = "evil_module"
SPEC: dict[str, Any] = {
    "id": "Evil-v0",
    "entry_point": None,
    "reward_threshold": None,
    "nondeterministic": False,
    "max_episode_steps": 10,
    "order_enforce": True,
    "disable_env_checker": True,
    "kwargs": {},
    "additional_wrappers": [],
    "vector_entry_point": None,
}


def spec(**changes: Any) -> str:
    return json.dumps(SPEC | changes)


def wrapper(entry_point: str, kwargs: Any) -> dict[str, Any]:
    return {"name": "Evil", "entry_point": entry_point, "kwargs": kwargs}


def _acting() -> None:
    """Metadata that name code."""
    for entry, kwargs in EVIL.items():
        evil = spec(entry_point=entry, kwargs=kwargs)
        case(
            "minari",
            f"no spaces, {entry}",
            metadata({"env_spec": evil}, ("action_space", "observation_space")),
            REFUSED,
        )
    evil = spec(entry_point="os:system", kwargs=EVIL["os:system"])
    for name in ("action_space", "observation_space"):
        case("minari", f"no {name}, os:system", metadata({"env_spec": evil}, (name,)), REFUSED)
        case("minari", f"{name} null, os:system", metadata({"env_spec": evil, name: None}), REFUSED)
    case("minari", "spaces, os:system", metadata({"env_spec": evil}), SAME)
    case("minari", "eval_env_spec, os:system", metadata({"env_spec": evil, "eval_env_spec": evil}), SAME)
    module = spec(id=f"{MODULE}:Evil-v0")
    case("minari", "an id with a module", metadata({"env_spec": module}), SAME)
    case("minari", "an id with a module, no spaces", metadata({"env_spec": module}, ("action_space",)), REFUSED)
    case("minari", "eval_env_spec, an id with a module", metadata({"eval_env_spec": module}), SAME)
    for real in ("Pendulum-v1", "Hopper-v5"):
        wrapped = [wrapper("os:system", EVIL["os:system"]), wrapper(f"{MODULE}:make", {"path": "MARKER"})]
        case("minari", f"{real}, wrappers", metadata({"env_spec": spec(id=real, additional_wrappers=wrapped)}), SAME)
        harmless = [wrapper("os:system", EVIL["os:system"]) | {"name": "ClipAction"}]
        changed = metadata({"env_spec": spec(id=real, additional_wrappers=harmless)})
        case("minari", f"{real}, a wrapper that calls itself harmless", changed, SAME)
        case("minari", f"{real}, entry point", metadata({"env_spec": spec(id=real, entry_point="os:system")}), SAME)
        changed = metadata({"env_spec": spec(id=real, vector_entry_point="os:system")})
        case("minari", f"{real}, vector entry point", changed, SAME)
        changed = metadata({"env_spec": spec(id=real, kwargs={"render_mode": "human"})})
        case("minari", f"{real}, a window", changed, SAME)
    for name in ("Hopper-v5", "Humanoid-v5", "Swimmer-v4"):
        changed = metadata({"env_spec": spec(id=name, kwargs={"xml_file": "MARKER.xml"})})
        case("minari", f"{name}, xml_file", changed, SAME)
    case("minari", "Hopper-v5, xml_file that is there", _model, SAME)
    changed = metadata(
        {"action_space": json.dumps({"type": "Box", "dtype": "__import__('os').system('touch MARKER')"})}
    )
    case("minari", "a type that is code", changed, REFUSED)
    changed = metadata({"action_space": "cos\nsystem\n(S'touch MARKER'\ntR."})
    case("minari", "a pickle as a space", changed, REFUSED)
    case(
        "minari",
        "a namespace's metadata",
        lambda d: (d.parents[1] / "namespace_metadata.json").write_text("[[["),
        SAME,
    )


def _model(data: Path) -> None:
    import gymnasium

    source = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "hopper.xml"
    shutil.copy(source, data.parents[3] / "model.xml")
    metadata({"env_spec": spec(id="Hopper-v5", kwargs={"xml_file": str(data.parents[3] / "model.xml")})})(data)


DEEP = "[" * 100_000
HUGE = 10**12
TEXTS = {
    "empty": b"",
    "[]": b"[]",
    "null": b"null",
    "a text": b'"text"',
    "a number": b"7",
    "{}": b"{}",
    "NaN": b"NaN",
    "deep": DEEP.encode(),
    "deep objects": b'{"a":' * 50_000,
    "digits": b'{"total_steps": ' + b"9" * 5_000 + b"}",
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "NUL": b"\x00" * 100,
    "a surrogate": b'{"data_format": "\\ud800"}',
}
COUNTS = (HUGE, 10**9, 10**40, -1, 0, 1, 4, 1.5, 3.0, "3", True, None, [3], {}, float("nan"), float("inf"))
ODD = (None, 5, -1, 1e999, True, "", "x", "line\nbreak", "\x1b[31m", "x" * 2_000, [], [1], {}, {"a": {"b": []}})
BOX = {"type": "Box", "dtype": "float32", "shape": [1], "low": [-1.0], "high": [1.0]}


def nested(depth: int) -> str:
    """A dictionary of dictionaries."""
    return '{"type":"Dict","subspaces":{"a":' * depth + json.dumps(BOX) + "}}" * depth


BOXES: dict[str, Any] = {
    "shape huge": BOX | {"shape": [HUGE]},
    "shape [10**6, 10**6]": BOX | {"shape": [10**6, 10**6], "low": -1.0, "high": 1.0},
    "shape negative": BOX | {"shape": [-1]},
    "shape text": BOX | {"shape": "1"},
    "shape none": BOX | {"shape": None},
    "shape []": BOX | {"shape": [], "low": -1.0, "high": 1.0},
    "shape [0]": BOX | {"shape": [0], "low": [], "high": []},
    "shape 70 axes": BOX | {"shape": [1] * 70},
    "bounds NaN": BOX | {"low": [float("nan")]},
    "bounds reversed": BOX | {"low": [1.0], "high": [-1.0]},
    "bounds equal": BOX | {"low": [1.0]},
    "bounds infinite": BOX | {"low": [-float("inf")]},
    "bounds 1e308": BOX | {"low": [-1e308], "high": [1e308]},
    "bounds text": BOX | {"low": ["a"]},
    "bounds missing": {k: v for k, v in BOX.items() if k != "low"},
    "dtype object": BOX | {"dtype": "O"},
    "dtype text": BOX | {"dtype": "S8"},
    "dtype long": BOX | {"dtype": "S2000000000"},
    "dtype none": BOX | {"dtype": None},
    "dtype complex": BOX | {"dtype": "complex64"},
    "dtype int8": BOX | {"dtype": "int8"},
    "type unknown": BOX | {"type": "os:system"},
    "type list": BOX | {"type": ["Box"]},
    "discrete 0": {"type": "Discrete", "n": 0, "start": 0, "dtype": "int64"},
    "discrete huge": {"type": "Discrete", "n": HUGE, "start": 0, "dtype": "int64"},
    "discrete 10**40": {"type": "Discrete", "n": 10**40, "start": 0, "dtype": "int64"},
    "discrete text": {"type": "Discrete", "n": "3", "start": 0, "dtype": "int64"},
    "binary": {"type": "MultiBinary", "n": [HUGE]},
    "multi": {"type": "MultiDiscrete", "nvec": [0], "start": [0], "dtype": "int64"},
    "text": {"type": "Text", "max_length": HUGE, "min_length": 0, "charset": "ab"},
    "tuple": {"type": "Tuple", "subspaces": [BOX, BOX]},
    "dict of nothing": {"type": "Dict", "subspaces": {}},
    "dict of a list": {"type": "Dict", "subspaces": [BOX]},
    "dict of odd names": {"type": "Dict", "subspaces": {"../../x": BOX, "": BOX, "/": BOX}},
    "graph": {"type": "Graph"},
    "a list": [BOX],
    "nothing": None,
    "a number": 5,
}


def _metadata() -> None:
    for name, content in TEXTS.items():
        case("minari", f"metadata {name}", text(content), REFUSED)
    for key in ("total_steps", "total_episodes"):
        for value in COUNTS:
            case("minari", f"{key} {value!r:.20}", metadata({key: value}), SAME)
        case("minari", f"no {key}", metadata(drop=(key,)), SAME)
    case("minari", "counts huge together", metadata({"total_steps": HUGE, "total_episodes": HUGE}), REFUSED)
    for key in ("data_format", "dataset_id", "minari_version", "env_spec", "jpeg_encoding"):
        for value in ODD:
            case("minari", f"{key} {value!r:.20}", metadata({key: value}), SAME)
    for key in ("ref_min_score", "requirements", "provenance", "description", "algorithm_name", "eval_env_spec"):
        for value in ODD:
            case("minari", f"{key} {value!r:.20}", metadata({key: value, "ref_max_score": 1.0}), SAME)
    for low, high in ((1, 0), (1, 1), (float("nan"), 1), (-1e999, 1e999), (10**400, 10**401), ("0", "1"), (True, 2)):
        changed = metadata({"ref_min_score": low, "ref_max_score": high})
        case("minari", f"reference {low!r:.20}, {high!r:.20}", changed, SAME)
    for which in ("action_space", "observation_space"):
        for name, space in BOXES.items():
            case("minari", f"{which}: {name}", metadata({which: json.dumps(space)}))
            if name in ("a list", "nothing", "a number", "shape huge"):
                case("minari", f"{which} as it is: {name}", metadata({which: space}), REFUSED)
        for depth in (2, 200, 3_000, 50_000):
            case("minari", f"{which} {depth} deep", metadata({which: nested(depth)}), REFUSED)


ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "Pendulum-v1": [
        *({"g": value} for value in ("abc", "", [1], None, True, [[]], {"a": 1}, 10**400, float("nan"), 1e308)),
        *({name: 1} for name in ("what", "name", "self", "id", "env", "given", "spec", "nothing", "", "a b", "é")),
        *({"max_episode_steps": value} for value in (5, "abc", -1, 10**12)),
        *({"physics": "x"}, {"disable_env_checker": "x"}, {"order_enforce": []}, {"vectorization_mode": "async"}),
        *({"screen_dim": -1}, {"render_mode": "nothing"}, {"render_mode": [1]}, {"options": {"a": {"b": []}}}),
    ],
    "CartPole-v1": [{"sutton_barto_reward": value} for value in ("abc", None, [1])],
    "FrozenLake-v1": [{"desc": value} for value in ("abc", ["SF", "FG"], [""], [["S"], ["G", "F"]], 5, ["FF", "F"])],
    "Hopper-v5": [
        *({"reset_noise_scale": value} for value in ("abc", [1], None, float("nan"), -1, 1e308)),
        *({"healthy_z_range": value} for value in ("abc", [1], ["a", "b"], None, [[1, 2], 3], 5)),
        *({"frame_skip": value} for value in (0, -1, 10**9, "abc", 1.5)),
        *({"physics": "mujoco<=3.4"}, {"max_episode_steps": 5}, {"what": 1}, {"name": 1}, {"self": 1}, {"env": []}),
    ],
    "PointMaze_UMaze-v3": [
        *({"maze_map": value} for value in ("abc", [], [[]], [[1, 1], [1]], [[1]], [[0]], [["x"]], [[None]], 5)),
        *({"reward_type": value} for value in ("abc", [1], None, 5)),
        *({"continuing_task": value} for value in ("abc", [1], None, 5)),
        *({"nothing": 1}, {"physics": "x"}, {"max_episode_steps": "x"}, {"name": 1}),
    ],
    "AntMaze_UMaze-v4": [{"maze_map": [[1] * 300] * 300}, {"use_contact_forces": "abc"}],
}
"""Arguments of constructors, of environments that are there, that are none."""


def _arguments() -> None:
    for name, found in ARGUMENTS.items():
        for kwargs in found:
            case("minari", f"{name}({kwargs!r:.60})", metadata({"env_spec": spec(id=name, kwargs=kwargs)}), SAME)


_acting()
_metadata()
_arguments()
