"""What a phase changes of its agent: `{"stage": "online", "learning_rate": 1e-4}`."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from purejaxo2o.values import kinds, plain


@jax.tree_util.register_pytree_with_keys_class
class Changes(Mapping[str, Any]):
    """Settings by name, in alphabetical order. Numbers are leaves, which may be traced and swept; what decides shapes
    or structure is part of the tree's structure. Which is which, the agent's fields say (`bound_to`)."""

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        """Until an agent is known, floats and arrays are taken for numbers."""
        given = {name: x if getattr(x, "shape", ()) else plain(x) for name, x in (given or {}).items()}
        numbers = {name for name, value in given.items() if isinstance(value, float | jax.Array)}
        self._fill(given, numbers)

    def _fill(self, given: Mapping[str, Any], numbers: set[str]) -> None:
        self._numbers = {name: given[name] for name in sorted(numbers)}
        self._fixed = {name: given[name] for name in sorted(given.keys() - numbers)}

    def bound_to(self, agent: Any) -> "Changes":
        """The same, with what the agent's class declares as a number for a leaf."""
        known = kinds(type(agent))
        wanted = {name for name in self if (not known[name].fixed if name in known else name in self._numbers)}
        if wanted == self._numbers.keys():
            return self
        made = object.__new__(Changes)
        made._fill(self, wanted)
        return made

    def __getitem__(self, name: str) -> Any:
        return self._numbers[name] if name in self._numbers else self._fixed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted([*self._numbers, *self._fixed]))

    def __len__(self) -> int:
        return len(self._numbers) + len(self._fixed)

    def __repr__(self) -> str:
        return repr(dict(self))

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], Any]:
        """Of the numbers; the rest has to be hashable."""
        children = [(jax.tree_util.DictKey(name), value) for name, value in self._numbers.items()]
        return children, (tuple(self._numbers), tuple(self._fixed.items()))

    @classmethod
    def tree_unflatten(cls, aux: Any, leaves: Any) -> "Changes":
        names, fixed = aux
        made = object.__new__(cls)
        made._numbers, made._fixed = dict(zip(names, leaves, strict=True)), dict(fixed)
        return made


def as_changes(given: Any) -> Any:
    """A dictionary as `Changes`, anything else as it is."""
    return Changes(given) if isinstance(given, Mapping) and not isinstance(given, Changes) else given
