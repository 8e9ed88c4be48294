"""How messages name things: values in short, and for an unknown name the one that was meant, or some that exist.

Names may be dotted, `agent.learning_rate`: the last part says what it is, the rest whose it is.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

SYNONYMS: dict[str, tuple[str, ...]] = {
    "alpha": ("temperature", "initial_temperature", "cql_weight"),
    "batch": ("batch_size",),
    "beta": ("temperature",),
    "bs": ("batch_size",),
    "buffer": ("store_rows",),
    "buffer_size": ("store_rows",),
    "capacity": ("store_rows",),
    "clip_eps": ("clip",),
    "clip_range": ("clip",),
    "cql_alpha": ("cql_weight",),
    "critic_lr": ("learning_rate",),
    "critic_learning_rate": ("learning_rate",),
    "depth": ("hidden",),
    "ensemble": ("critics",),
    "ensemble_size": ("critics", "members"),
    "ent_coef": ("entropy_weight", "initial_temperature"),
    "envs": ("num_envs",),
    "gae": ("gae_lambda",),
    "gamma": ("discount",),
    "hidden_dim": ("hidden",),
    "hidden_dims": ("hidden",),
    "hidden_size": ("hidden",),
    "hidden_sizes": ("hidden",),
    "lambda": ("gae_lambda", "temperature"),
    "layers": ("hidden",),
    "layernorm": ("layer_norm",),
    "lr": ("learning_rate",),
    "minibatch_size": ("batch_size",),
    "n_critics": ("critics",),
    "n_envs": ("num_envs",),
    "n_steps": ("rollout", "steps"),
    "net_arch": ("hidden",),
    "num_critics": ("critics",),
    "num_qs": ("critics",),
    "num_steps": ("steps", "rollout"),
    "num_updates": ("updates",),
    "policy_hidden": ("actor_hidden",),
    "policy_learning_rate": ("actor_learning_rate",),
    "policy_lr": ("actor_learning_rate",),
    "quantile": ("expectile",),
    "replay_ratio": ("updates",),
    "replay_size": ("store_rows",),
    "tau": ("polyak", "expectile"),
    "timesteps": ("steps",),
    "total_timesteps": ("steps",),
    "units": ("hidden",),
    "utd": ("updates",),
    "utd_ratio": ("updates",),
    "vf_coef": ("value_weight",),
}
"""What other libraries and papers call a setting (in lower case), and what it is called here."""
NEAR = 0.6
"""The least likeness of what is proposed; 1 is equality."""
MOST_NAMES, MOST_LETTERS = 10, 300
"""Of a list in a message."""


def nearest(name: Any, names: Iterable[str], more: str = "") -> str:
    """`did you mean 'a'?`, or, where nothing is like `name`, `known: a, b, c` with at most ten names or 300 letters.

    name: of any type; what is no text is like nothing. more: where all names are to be had, said where the list is
    cut."""
    name, known = (name if isinstance(name, str) else shown(name))[:200], sorted(map(str, names))
    if whole := [other for other in known if name and other.startswith(f"{name}.")]:
        return f"known: {_cut(whole, more)}"
    head, dot, tail = name.rpartition(".")
    meant = SYNONYMS.get(tail.lower(), ())
    alike = sorted(((_likeness(head, tail, meant, other), other) for other in known), key=_best_first)
    if alike and alike[0][0][0] >= NEAR:
        (tails, heads), first = alike[0]
        if heads >= NEAR or not (dot or "." in first):
            return f"did you mean {first!r}?"
        equal = [other for score, other in alike if score[0] == tails]
        return f"did you mean {' or '.join(map(repr, equal[:3]))}?"
    own = [other for other in known if dot and other.startswith(f"{head}.")]
    return f"known: {_cut(own or known, more)}"


def _best_first(scored: tuple[tuple[float, float], str]) -> tuple[float, int, int, str]:
    (tails, heads), name = scored
    odd = sum(not (letter.isalpha() or letter in "._") for letter in name)
    return -(tails + 0.1 * heads), name.count("."), odd, name


def _likeness(head: str, tail: str, meant: tuple[str, ...], other: str) -> tuple[float, float]:
    """Of the last parts, and of what is before them."""
    other_head, _, other_tail = other.rpartition(".")
    heads = 1.0 if head == other_head else _ratio(head, other_head)
    if other_tail in meant:
        return 1.0 - 0.01 * meant.index(other_tail), heads
    return _tail_likeness(tail.lower(), other_tail.lower()), heads


def _tail_likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    whole = _ratio(one, other)
    words, others = (set(x.replace("-", "_").split("_")) for x in (one, other))
    expanded = {word for x in words for y in SYNONYMS.get(x, (x,)) for word in y.split("_")}
    shared = len(expanded & others) / len(expanded | others)
    abbreviation = 0.75 if len(one) >= 3 and (other.startswith(one) or one in others) else 0.0
    return max(whole, shared, abbreviation)


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _cut(names: list[str], more: str) -> str:
    found, letters = [], 0
    for name in names:
        letters += len(name) + 2
        if len(found) == MOST_NAMES or (found and letters > MOST_LETTERS):
            break
        found.append(name if len(name) <= MOST_LETTERS else f"{name[:MOST_LETTERS]}...")
    text = ", ".join(found)
    if len(found) == len(names):
        return text
    return f"{text}, ... and {len(names) - len(found)} more" + (f" ({more})" if more else "")


def cut(text: str) -> str:
    """At most 100 characters of a text, for messages: the keys of a thousand lanes are no help in one."""
    return text if len(text) <= 100 else f"{text[:97]}..."


def shown(value: Any) -> str:
    """`repr` on one line of at most 60 characters, for messages."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no integer of more than 4300 digits
        text = "a number of thousands of digits"
    except Exception:  # somebody's own class
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:40]}...{text[-12:]}"
