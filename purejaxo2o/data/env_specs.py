"""The environment that a dataset declares, read as data: nothing is imported and nothing is made.

Gymnasium's own `EnvSpec` names code twice: its id may be `module:name`, its entry point always is. Whoever wrote the
file chose both. So an id must be a plain one, and the class behind an entry point is used only if the caller has
imported its module already (`loaded_entry`).
"""

import re
import sys
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from purejaxo2o.data.fields import parsed, short, whole
from purejaxo2o.types import O2OError

LONGEST = 2**31 - 1
"""Steps; a larger time limit is no number that a program can count to."""
ID = re.compile(r"[\w.-]+(/[\w.-]+)*")
NAMES_A_FILE = re.compile(r"(^|_)(file|filename|path|dir|directory|folder|url)$|_xml$|^xml")
LOOKS_LIKE_A_FILE = re.compile(r"[/\\:\0]|^~|\.[A-Za-z]\w{1,5}$")


def read_spec(where: str, text: Any) -> EnvSpec:
    """The environment that the metadata field `where` declares: Gymnasium's JSON, as text or as an object.

    Fields that this Gymnasium does not know are left out. Raises `O2OError` for anything that is no such JSON, and
    for an id that names a module to import."""
    fields = _object(where, text)
    env_id, limit, entry = (fields.get(name) for name in ("id", "max_episode_steps", "entry_point"))
    if not isinstance(env_id, str) or not ID.fullmatch(env_id):
        raise O2OError(f"{where} has the id {short(env_id)}; a dataset may name a registered environment only")
    if not (limit is None or (whole(limit) and 1 <= limit <= LONGEST)):
        raise O2OError(f"{where}: max_episode_steps is {short(limit)}, no number of steps; correct or drop it")
    if not (entry is None or isinstance(entry, str)):
        raise O2OError(f"{where}: entry_point is {short(entry)}, no text like 'module:Class'; correct or drop it")
    wrappers = fields.get("additional_wrappers") or []
    if not isinstance(wrappers, list):
        raise O2OError(f"{where}: additional_wrappers is {short(wrappers)}, no list; correct or drop it")
    try:
        return EnvSpec(
            env_id,
            entry,
            max_episode_steps=limit,
            kwargs=_arguments(where, fields.get("kwargs")),
            additional_wrappers=tuple(_wrapper(where, wrapper) for wrapper in wrappers),
        )
    except gym.error.Error as error:
        raise O2OError(f"{where} has the id {short(env_id)}, which is none of Gymnasium's form ({error})") from None


def loaded_entry(spec: EnvSpec) -> type[gym.Env] | None:
    """The environment class that `spec` names, if the caller has imported its module; None otherwise.

    Imports nothing. A module that is imported for another reason (`os`) gives nothing either: only subclasses of
    `gymnasium.Env` are environments, no wrappers, and no functions that make one."""
    if not isinstance(spec.entry_point, str):
        return None
    module, _, name = spec.entry_point.partition(":")
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    made = isinstance(found, type) and issubclass(found, gym.Env) and not issubclass(found, gym.Wrapper)
    return found if made else None


def check_arguments(where: str, arguments: dict[str, Any]) -> None:
    """Raise `O2OError` where a constructor's argument out of a file names another file or code.

    A path in metadata would make the environment open what the author of the file chose (`xml_file`)."""
    for name, value in arguments.items():
        texts = list(_texts(value))
        if any(LOOKS_LIKE_A_FILE.search(text) for text in texts) or (texts and NAMES_A_FILE.search(name)):
            raise O2OError(
                f"{where} asks for {short(name)}={short(value)}: a dataset may not choose files or modules to "
                "load; make that environment yourself and pass it: env="
            )


def _object(where: str, text: Any) -> dict[str, Any]:
    fields = parsed(where, text) if isinstance(text, str) else text
    if not isinstance(fields, dict):
        raise O2OError(f"{where} is {short(fields)}, no environment's specification; correct or drop it")
    return fields


def _arguments(where: str, arguments: Any) -> dict[str, Any]:
    if not (arguments is None or isinstance(arguments, dict)):
        raise O2OError(f"{where}: kwargs is {short(arguments)}, no object; correct or drop it")
    return dict(arguments or {})


def _wrapper(where: str, fields: Any) -> WrapperSpec:
    if not (isinstance(fields, dict) and isinstance(fields.get("name"), str)):
        raise O2OError(f"{where}: the wrapper {short(fields)} has no name; correct or drop it")
    return WrapperSpec(fields["name"], str(fields.get("entry_point")), _arguments(where, fields.get("kwargs")))


def _texts(value: Any) -> Any:
    """Every text within lists and objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in (*value, *value.values()):
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
