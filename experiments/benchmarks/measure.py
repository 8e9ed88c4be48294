"""Timing: compile apart, one call a sample, programs in turns, best of several rounds.

A shared machine only ever slows a program down, so the best of several samples is the least disturbed one; and
programs that are compared run in turns, so that a slow minute hits them all. Compilation never falls into a sample,
and the persistent compilation cache is off.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from experiments.benchmarks.turns import turn
from purejaxo2o.drive.programs import compiler_options

ROUNDS = 3


@dataclass(frozen=True)
class Program:
    """A compiled function with its arguments: calling it waits for the result."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    compile_seconds: float

    def __call__(self) -> Any:
        return jax.block_until_ready(self.call(*self.arguments))

    @property
    def memory(self) -> int | None:
        """Bytes that the program takes at its peak beside its arguments, by XLA's own account."""
        found = self.call.memory_analysis()  # type: ignore[attr-defined]
        if found is None:
            return None
        return int(found.output_size_in_bytes + found.temp_size_in_bytes - found.alias_size_in_bytes)


def build(function: Callable[..., Any], *arguments: Any, plain: bool = False) -> Program:
    """Trace, lower and compile `function` for `arguments`, as `fit` and `sweep` do; plain: as `jax.jit` does."""
    options: Any = {} if plain else compiler_options(jax.default_backend())
    began = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile(compiler_options=options)
    return Program(compiled, arguments, time.perf_counter() - began)


def seconds(call: Callable[[], Any]) -> float:
    """Wall seconds of one call, its result ready."""
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def race(programs: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS, *, warm: bool = True) -> dict[str, float]:
    """Best wall seconds of one call of each, run in turns `rounds` times after one call that does not count."""
    with turn():
        if warm:
            for program in programs.values():
                seconds(program)
        samples = [{name: seconds(program) for name, program in programs.items()} for _ in range(rounds)]
    return {name: min(sample[name] for sample in samples) for name in programs}
