"""Updates a second of every agent, for 1 to 64 seeds, as a share of what the device's matrix products allow.

A million synthetic rows (11 observations, 3 actions) shared by all seeds; one jitted scan samples minibatches of 256
and calls `agent.update`; 2 x 256 hidden units, float32 unless told otherwise. Three programs run in turns: the
updates, bare products of 256 x 256 x 256, and the bare products of the same update (`products.bare`, with ensembles
and seeds batched or one after another and, on a CPU, with either choice of XLA's options, whichever is fastest; for
several seeds the limit is the better of theirs and one seed's). Shares are ratios of the best of each. A minibatch is
one update: with `updates` > 1 one call learns from that many.
"""

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import arithmetic, products, turns
from experiments.benchmarks.measure import Program, build, race, seconds
from experiments.benchmarks.rows import Row, missing, row
from purejaxo2o import agents
from purejaxo2o.loop import store
from purejaxo2o.loop.store import Store
from purejaxo2o.types import Array, Space, Spaces, Transition

SPACES = Spaces(Space(shape=(11,)), Space(shape=(3,)))
ROWS = 1_000_000
BATCH = 256
SEEDS = (1, 4, 16, 64)
SAMPLE_SECONDS = {"cpu": 0.7, "gpu": 0.15}
LONGEST_SECONDS = 20.0

ENSEMBLE: dict[str, Any] = {"critics": 10, "target_critics": 2, "layer_norm": True, "actor_reduction": "mean"}
WSRL: dict[str, Any] = {
    "critics": 10,
    "subset_with_replacement": True,
    "layer_norm": True,
    "actor_layer_norm": True,
    "temperature_form": "softplus",
    "temperature_on": "next_obs",
    "actor_batch": "all",
}


@dataclass(frozen=True)
class Case:
    """An agent by name (skipped where the library has none) with settings, and minibatches per call."""

    name: str
    agent: str
    settings: dict[str, Any] = field(default_factory=dict)
    updates: int = 1
    headline: str = ""


CASES = (
    Case("iql", "IQL", headline="IQL updates"),
    Case("cal_ql, 10 actions a source", "CalQL", {"cql_actions": 10}, headline="Cal-QL updates, 10 actions a source"),
    Case("sac", "SAC"),
    Case("sac, 10 critics", "SAC", ENSEMBLE, headline="SAC updates, 10 critics"),
    Case("sac, 10 critics, 20 minibatches (RLPD)", "SAC", ENSEMBLE, 20),
    Case("sac, 10 critics, 4 minibatches (WSRL)", "SAC", WSRL, 4),
    Case("td3", "TD3", {}, 2, headline="TD3 updates"),
    Case("td3_bc", "TD3BC", {}, 2),
)


def names() -> list[str]:
    """Of all cases."""
    return [case.name for case in CASES]


def rows(
    *, quick: bool = False, wanted: list[str] | None = None, seeds: tuple[int, ...] = SEEDS, count: int = ROWS
) -> list[Row]:
    """One row per case and number of seeds. wanted: names of cases, None for all."""
    dataset = synthetic(2_000 if quick else count)
    sample_seconds = SAMPLE_SECONDS.get(jax.default_backend(), 0.15) / (5 if quick else 1)
    found = []
    for case in CASES:
        if wanted is not None and case.name not in wanted:
            continue
        print(f"updates: {case.name}", file=sys.stderr, flush=True)
        if not hasattr(agents, case.agent):
            found.append(missing("updates", case.name, "updates/s", f"the library has no agent {case.agent}"))
            continue
        found += measure(case, dataset, seeds[:1] if quick else seeds, sample_seconds)
    return found


def synthetic(count: int) -> Store:
    """Rows of noise; every 100th ends a trajectory. `return_to_go` lies below what any critic says."""
    keys = jax.random.split(jax.random.key(0), 4)
    obs = jax.random.normal(keys[0], (count + 1, *SPACES.obs.shape))
    last = jnp.arange(count) % 100 == 99
    return store.from_transitions(
        Transition(
            obs=obs[:-1],
            action=jax.random.uniform(keys[1], (count, *SPACES.action.shape), minval=-1.0, maxval=1.0),
            reward=jax.random.normal(keys[2], (count,)),
            next_obs=obs[1:],
            terminated=last & jax.random.bernoulli(keys[3], 0.5, (count,)),
            truncated=last,
            extras={"return_to_go": jnp.full((count,), -1.0)},
        )
    )


def measure(case: Case, dataset: Store, seeds: tuple[int, ...], sample_seconds: float) -> list[Row]:
    """Rows of one case, the numbers of seeds in rising order until one would take too long."""
    agent = getattr(agents, case.agent)(**case.settings)
    work = arithmetic.passes(agent, SPACES, batch=BATCH, updates=case.updates)
    bare, arguments, square_flops = products.square(2_000)
    square = build(bare, *arguments)
    speed = square_flops / min(seconds(square) for _ in range(2))  # a first guess, to size the samples
    flops = None if work is None else sum(each.flops() for each in work)
    steps = {count: max(1, round(sample_seconds * 0.7 * speed / ((flops or 1e9) * count))) for count in seeds}

    def built(count: int) -> dict[str, Program]:
        limits = {} if work is None else _limits(work, count, steps[count])
        return {"square": square, "update": build(*function(case, dataset, count, steps[count])), **limits}

    # Waiting for a turn with everything compiled leaves the machine to those who time.
    ahead = {count: built(count) for count in seeds} if turns.wanted() else {}
    found, best, slow = [], 0.0, False
    for count in seeds:
        if slow:
            reason = f"a sample at fewer seeds took over {LONGEST_SECONDS:.0f} s"
            found.append(missing("updates", case.name, "updates/s", reason, seeds=count))
            continue
        programs = ahead[count] if ahead else built(count)
        times = race(programs)
        slow = times["update"] * 4 > LONGEST_SECONDS
        rate = steps[count] * count / times["update"]
        shares = {}
        if flops is not None:
            reached = rate * flops
            limits = [steps[count] * count * flops / times[name] for name in programs if name.startswith("bare")]
            best = max(best, *limits)
            shares = {
                "mflop_per_update": flops / case.updates / 1e6,
                "gflops": reached / 1e9,
                "square_gflops": square_flops / times["square"] / 1e9,
                "same_shape_gflops": best / 1e9,
                "share_of_square_peak": reached * times["square"] / square_flops,
                "share_of_same_shape_peak": reached / best,
            }
        compile_seconds = programs["update"].compile_seconds
        more = _described(case, count) | shares
        found.append(row("updates", case.name, rate * case.updates, "updates/s", compile_seconds, **more))
    return found


def _described(case: Case, seeds: int) -> dict[str, Any]:
    """What was measured; several seeds' rates are sums."""
    found: dict[str, Any] = {"seeds": seeds, "agent": case.agent, "settings": case.settings}
    found |= {"updates_per_call": case.updates, "batch": BATCH, "hidden": [256, 256]}
    if case.headline and seeds == 1:
        found["headline"] = f"{case.headline}, one seed: share of the same bare matrix products"
    return found


def function(
    case: Case, dataset: Store, seeds: int, steps: int, *, unroll: int = 1, ready: bool = False
) -> tuple[Any, ...]:
    """`steps` calls of `agent.update` for each seed, sampling included: the function, then its arguments.

    unroll: iterations of the loop in one. ready: the same minibatch every time, drawn beforehand."""
    agent = getattr(agents, case.agent)(**case.settings)

    def draw(dataset: Store, key: Array) -> Transition:
        batches = store.sample(dataset, key, (case.updates, BATCH))
        return batches._replace(extras={name: batches.extras[name] for name in sorted(agent.needs)})

    def one(key: Array, dataset: Store) -> Any:
        key_init, key_run = jax.random.split(key)
        first = draw(dataset, key_run)

        def body(carry: Any, step: Array) -> tuple[Any, None]:
            state, sums = carry
            key_sample, key_update = jax.random.split(jax.random.fold_in(key_run, step))
            batches = first if ready else draw(dataset, key_sample)
            state, metrics = agent.update(state, batches, key_update)
            return (state, jax.tree.map(jnp.add, sums, metrics)), None

        state = agent.init(key_init, SPACES)
        shapes = jax.eval_shape(agent.update, state, first, key)[1]
        sums = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.scan(body, (state, sums), jnp.arange(steps), unroll=unroll)[0]

    keys = jax.random.split(jax.random.key(1), seeds)
    return (one, keys[0], dataset) if seeds == 1 else (jax.vmap(one, in_axes=(0, None)), keys, dataset)


def _limits(work: list[arithmetic.Pass], seeds: int, steps: int) -> dict[str, Program]:
    """The bare products: batched; for one seed also one after another where there is an ensemble; on a CPU compiled
    as our programs are and as `jax.jit` does, since the limit is the best that can be had."""
    ways = {"": False} | ({", plain": True} if jax.default_backend() == "cpu" else {})
    kinds = [True, False] if seeds == 1 and math.prod(each.members for each in work) > 1 else [True]
    found = {}
    for batched in kinds:
        bare, arguments = products.bare(work, steps, batched=batched, seeds=seeds)
        for way, plain in ways.items():
            found[f"bare {'batched' if batched else 'apart'}{way}"] = build(bare, *arguments, plain=plain)
    return found
