"""One decision for all processes of `jax.distributed`: what one of them refuses, all refuse, before any work."""

import itertools
import json
from collections.abc import Callable
from typing import TypeVar

import jax
from orbax.checkpoint import multihost

from purejaxo2o.types import O2OError

T = TypeVar("T")
PATIENCE = 600
"""Seconds that a process waits for the others to decide."""
_calls = itertools.count()  # the same for all processes, which come here equally often


def agreed(check: Callable[[], T]) -> T:
    """What `check` returns here, once it has returned in every process.

    Raises the `O2OError` of `check`, here or in another process, the same one in all of them; and one for a process
    that says nothing for `PATIENCE` seconds."""
    if jax.process_count() == 1 or not multihost.is_jax_distributed_client_initialized():
        return check()
    refusal, found = "", None
    try:
        found = check()
    except O2OError as error:
        refusal = str(error)
    if first := next(filter(None, _exchanged(refusal)), ""):
        raise O2OError(first)
    return found  # type: ignore[return-value]


def _exchanged(text: str) -> list[str]:
    """The texts of all processes. JAX's own store is used: it needs no device."""
    client, call = multihost.get_jax_distributed_client(), next(_calls)
    client.key_value_set(f"purejaxo2o/agreed/{call}/{jax.process_index()}", json.dumps(text))
    found = []
    for index in range(jax.process_count()):
        try:
            said = client.blocking_key_value_get(f"purejaxo2o/agreed/{call}/{index}", PATIENCE * 1000)
        except jax.errors.JaxRuntimeError as error:
            raise O2OError(
                f"process {index} of {jax.process_count()} has said nothing for {PATIENCE} s "
                f"({str(error).splitlines()[0][:100]}); end all processes and start them again"
            ) from None
        found.append(json.loads(said))
    return found
