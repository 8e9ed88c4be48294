"""One full update of every agent against the NumPy reference, in float64 and float32.

States start from random parameters and random optimiser moments, so that comparing the moments afterwards
compares the gradients. The reference draws nothing: `noise_of` repeats the agents' key schedule.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref
import reference_family
import reference_flow
import reference_h2o
import reference_moorl
import reference_off2on
import reference_td3
import reference_uni_o4
import reference_weighted
from jax.flatten_util import ravel_pytree
from tiny import UNOPTIMISED

from purejaxo2o.agents.awac import AWAC
from purejaxo2o.agents.bc import BC
from purejaxo2o.agents.bppo import BPPO
from purejaxo2o.agents.cal_ql import CalQL
from purejaxo2o.agents.cql import CQL
from purejaxo2o.agents.delayed import Delayed
from purejaxo2o.agents.edac import EDAC
from purejaxo2o.agents.famo2o import FamAWAC, FamO2O
from purejaxo2o.agents.fql import FQL
from purejaxo2o.agents.h2o import H2O
from purejaxo2o.agents.iql import IQL
from purejaxo2o.agents.moorl import MOORL
from purejaxo2o.agents.off2on import Off2On
from purejaxo2o.agents.pex import PEX
from purejaxo2o.agents.proto import PROTO
from purejaxo2o.agents.qc import QC
from purejaxo2o.agents.rebrac import ReBRAC
from purejaxo2o.agents.ro2o import RO2O
from purejaxo2o.agents.sac import SAC
from purejaxo2o.agents.so2 import SO2
from purejaxo2o.agents.spot import SPOT
from purejaxo2o.agents.td3 import TD3
from purejaxo2o.agents.td3_bc import TD3BC
from purejaxo2o.agents.uni_o4 import UniO4
from purejaxo2o.types import Space, Spaces, Transition

B, OBS, ACT, CHOICES = 8, 5, 2, 3
BOX = Spaces(Space(shape=(OBS,)), Space(shape=(ACT,)))
DISCRETE = Spaces(Space(shape=(OBS,)), Space(n=CHOICES, dtype="int32"))
NETS: dict[str, Any] = {"hidden": (16, 16), "actor_hidden": (16, 16)}
RATES: dict[str, Any] = {"learning_rate": 1e-2, "discount": 0.97}
SOFT: dict[str, Any] = NETS | RATES | {"polyak": 0.1, "actor_learning_rate": 3e-3, "temperature_learning_rate": 2e-2}
TWIN: dict[str, Any] = NETS | RATES | {"polyak": 0.1, "actor_learning_rate": 3e-3, "smoothing_noise": 0.4}
FLOW: dict[str, Any] = NETS | RATES | {"polyak": 0.1, "flow_steps": 3}
NEAR: dict[str, Any] = {
    "value_weight": 3.0,
    "value_radius": 0.3,
    "pull_weight": 2.0,
    "pull_radius": 0.4,
    "policy_weight": 0.5,
    "policy_radius": 0.2,
    "uncertainty_decay": 0.2,
}
BPPO_FIT = reference_uni_o4.fit_update
QUIRKS: dict[str, Any] = {"polyak": 0.1, "delay": 2, "nonnegative": True, "timeouts": "end", "log_std": "tanh"}
QUIRKS |= {"critic_hidden": (12,)}
MODEL: dict[str, Any] = {"polyak": 0.1, "members": 3, "models": 2, "model_hidden": (12,), "diversity_weight": 0.4}
FEW: dict[str, Any] = {"cql_actions": 3, "cql_weight": 5.0, "backup_entropy": False}
CODE: dict[str, Any] = {
    "critics": 4,
    "subset_with_replacement": True,
    "temperature_form": "softplus",
    "temperature_on": "next_obs",
    "actor_batch": "all",
    "layer_norm": True,
    "shared_head": True,
    "resting": "coast",
}
"""What WSRL's code does and its paper does not say, among more."""


@dataclasses.dataclass(frozen=True)
class Case:
    """An agent, its reference update, and the number of minibatches of one update and of their rows."""

    agent: Any
    update: Callable[..., Any]
    minibatches: int = 1
    spaces: Spaces = BOX
    rows: int = B


CASES = {
    "bc_mse": Case(BC(loss="mse", actor_hidden=(16, 16), **RATES), ref.bc_update, 2),
    "bc_nll": Case(BC(loss="nll", actor_hidden=(16, 16), **RATES), ref.bc_update, 2),
    "bc_discrete": Case(BC(actor_hidden=(16, 16), **RATES), ref.bc_update, 2, DISCRETE),
    "iql": Case(
        IQL(
            polyak=0.1,
            expectile=0.8,
            temperature=12.0,
            max_weight=20.0,
            actor_learning_rate=3e-3,
            **NETS,
            **RATES,
        ),
        ref.iql_update,
        2,
    ),
    "iql_discrete": Case(IQL(polyak=0.1, **NETS, **RATES), ref.iql_update, 1, DISCRETE),
    "sac": Case(SAC(**SOFT), ref.sac_update),
    "sac_rlpd": Case(
        SAC(
            critics=4,
            target_critics=2,
            layer_norm=True,
            actor_reduction="mean",
            target_entropy_scale=0.5,
            initial_temperature=0.3,
            **SOFT,
        ),
        ref.sac_update,
        3,
    ),
    "sac_wsrl": Case(
        SAC(
            critics=4,
            target_critics=2,
            subset_with_replacement=True,
            target_samples=3,
            backup_entropy=False,
            temperature_form="softplus",
            temperature_on="next_obs",
            actor_batch="all",
            layer_norm=True,
            actor_layer_norm=True,
            std="global",
            **SOFT,
        ),
        ref.sac_update,
        2,
    ),
    "sac_wsrl_code": Case(SAC(**CODE, **SOFT), ref.sac_update, 3),
    "sac_wsrl_code_alone": Case(SAC(**CODE, **SOFT), ref.sac_update),  # one minibatch: nothing rests
    "cql_wsrl_code": Case(CQL(penalty_critics=2, lagrange=True, **CODE, **SOFT, **FEW), ref.cql_update, 2),
    "cal_ql_scaled_std": Case(CalQL(std="scaled", **SOFT, **FEW), ref.cal_ql_update, 2),
    "edac_shared_head": Case(
        EDAC(critics=4, target_critics=4, diversity_weight=3.0, shared_head=True, **SOFT),
        reference_weighted.edac_update,
    ),
    "cql": Case(CQL(temperature_form="linear", cql_temperature=0.7, **SOFT, **FEW), ref.cql_update),
    "cql_lagrange": Case(
        CQL(lagrange=True, target_gap=0.6, target_samples=3, penalty_critics=2, critics=4, **SOFT, **FEW),
        ref.cql_update,
        2,
    ),
    "cql_plain_samples": Case(
        CQL(importance_sampling=False, penalty_critics=2, critics=4, **SOFT, **FEW), ref.cql_update
    ),
    "cal_ql": Case(CalQL(**SOFT, **FEW), ref.cal_ql_update),
    "cal_ql_lagrange": Case(CalQL(lagrange=True, **SOFT, **FEW), ref.cal_ql_update, 2),
    "cal_ql_softplus": Case(
        CalQL(lagrange=True, lagrange_form="softplus", target_samples=3, penalty_critics=2, critics=4, **SOFT, **FEW),
        ref.cal_ql_update,
        2,
    ),
    "td3": Case(TD3(**TWIN), reference_td3.td3_update, 2),
    "td3_bc": Case(TD3BC(alpha=1.5, bc_weight=0.8, bc_weight_end=0.3, **TWIN), reference_td3.td3_bc_update, 2),
    "td3_prompt": Case(TD3(prompt_targets=True, **TWIN), reference_td3.td3_update, 2),
    "td3_lagging": Case(TD3(lagging_target=True, delay=1, critics=3, **TWIN), reference_td3.td3_update, 2),
    "rebrac": Case(
        ReBRAC(actor_penalty=0.4, critic_penalty=0.7, actor_penalty_end=0.5, **TWIN), reference_td3.rebrac_update, 2
    ),
    "spot": Case(
        SPOT(support_weight=0.6, support_weight_end=0.3, density_samples=2, vae_hidden=(12, 12), **TWIN),
        reference_td3.spot_update,
        2,
    ),
    "spot_density": Case(
        SPOT(stage="density", vae_learning_rate=1e-2, vae_hidden=(12, 12), **TWIN),
        reference_td3.spot_density_update,
        2,
    ),
    "awac": Case(
        AWAC(temperature=0.4, max_weight=2.0, actor_learning_rate=3e-3, polyak=0.1, **NETS, **RATES),
        reference_weighted.awac_update,
        2,
    ),
    "awac_softmax": Case(
        AWAC(temperature=0.4, weighting="softmax", log_std_range=(-0.1, 0.2), polyak=0.1, **NETS, **RATES),
        reference_weighted.awac_update,
    ),
    "awac_discrete": Case(AWAC(polyak=0.1, **NETS, **RATES), reference_weighted.awac_update, 2, DISCRETE),
    "pex": Case(
        PEX(stage="expanded", expectile=0.8, temperature=2.0, selection_temperature=3.0, polyak=0.1, **NETS, **RATES),
        reference_weighted.pex_update,
        2,
    ),
    "pex_clipped": Case(
        PEX(stage="expanded", imitates="clipped", selection_temperature=3.0, polyak=0.1, **NETS, **RATES),
        reference_weighted.pex_update,
        2,
    ),
    "pex_offline": Case(PEX(polyak=0.1, **NETS, **RATES), ref.iql_update),
    "edac": Case(
        EDAC(critics=4, target_critics=4, diversity_weight=3.0, temperature_form="linear", **SOFT),
        reference_weighted.edac_update,
        2,
    ),
    "edac_max_backup": Case(
        EDAC(critics=4, target_critics=4, target_samples=3, max_backup=True, temperature_form="linear", **SOFT),
        reference_weighted.edac_update,
        2,
    ),
    "so2": Case(
        SO2(stage="perturbed", critics=4, target_critics=4, target_noise=0.5, temperature_form="linear", **SOFT),
        reference_weighted.so2_update,
        2,
    ),
    "h2o": Case(
        H2O(gap_weight=0.5, discriminator_hidden=(16, 16), samples=3, input_noise=0.3, real_fraction=0.5, **SOFT),
        reference_h2o.h2o_update,
        2,
    ),
    "h2o_code": Case(
        H2O(std="scaled", filled=1 / 11, discriminator_hidden=(16, 16), samples=3, real_fraction=0.5, **SOFT),
        reference_h2o.h2o_update,
        2,
    ),
    "moorl": Case(MOORL(meta_rate=0.3, source_probability=1.0, critics=3, **SOFT), reference_moorl.moorl_update, 2),
    "fql": Case(FQL(alpha=0.7, **FLOW), reference_flow.fql_update, 2),
    "fql_scaled": Case(
        FQL(alpha=0.7, normalise_q=True, target_reduction="min", layer_norm=False, **FLOW), reference_flow.fql_update
    ),
    "qc": Case(QC(chunk=3, samples=4, **FLOW), reference_flow.qc_update, 2),
    "qc_min": Case(QC(chunk=2, samples=4, target_reduction="min", **FLOW), reference_flow.qc_update),
    "qc_distilled": Case(QC(chunk=3, policy="distilled", alpha=0.7, **FLOW), reference_flow.qc_update, 2),
    "famo2o": Case(
        FamO2O(temperature=2.0, spread=1.5, actor_learning_rate=3e-3, polyak=0.1, **NETS, **RATES),
        reference_family.famo2o_update,
        2,
    ),
    "famo2o_adaptive": Case(
        FamO2O(stage="adaptive", temperature=9.0, spread=4.0, expectile=0.8, polyak=0.1, **NETS, **RATES),
        reference_family.famo2o_update,
        2,
    ),
    "famo2o_shared": Case(
        FamO2O(balancing="shared", temperature=2.0, spread=1.5, polyak=0.1, **NETS, **RATES),
        reference_family.famo2o_update,
        2,
    ),
    "famo2o_awac": Case(
        FamAWAC(temperature=2.0, spread=1.5, actor_learning_rate=3e-3, polyak=0.1, **NETS, **RATES),
        reference_family.fam_awac_update,
        2,
    ),
    "famo2o_awac_adaptive": Case(
        FamAWAC(stage="adaptive", temperature=4.0, spread=3.0, polyak=0.1, **NETS, **RATES),
        reference_family.fam_awac_update,
        2,
    ),
    "proto_offline": Case(
        PROTO(temperature=1.5, max_exponent=0.5, polyak=0.1, **NETS, **RATES),
        reference_family.proto_offline_update,
        2,
    ),
    "proto": Case(
        PROTO(stage="online", anchor_polyak=0.05, actor_learning_rate=3e-3, polyak=0.1, **NETS, **RATES),
        reference_family.proto_update,
        2,
    ),
    "proto_sparse": Case(
        PROTO(stage="online", target_critics=1, backup_entropy=False, trust_decay=0.1, **NETS, **RATES),
        reference_family.proto_update,
    ),
    "ro2o": Case(
        RO2O(critics=4, target_critics=4, temperature_form="linear", neighbours=3, **NEAR, **SOFT),
        reference_family.ro2o_update,
        2,
    ),
    "ro2o_mazes": Case(
        RO2O(critics=3, target_critics=3, pessimism="bound", bc_weight=2.0, neighbours=3, **NEAR, **SOFT),
        reference_family.ro2o_update,
        2,
    ),
    "ro2o_large_mazes": Case(
        RO2O(critics=3, target_critics=3, pessimism="policy", bc_weight=2.0, neighbours=3, **NEAR, **SOFT),
        reference_family.ro2o_update,
        2,
    ),
    "ro2o_online": Case(
        RO2O(critics=3, target_critics=3, stage="online", online_terms=False, neighbours=3, **NEAR, **SOFT),
        reference_family.ro2o_update,
    ),
    "off2on": Case(
        Off2On(stage="balanced", members=3, ratio_learning_rate=5e-3, ratio_hidden=(12, 12), **SOFT),
        reference_off2on.off2on_update,
        2,
        rows=3 * B,
    ),
    "off2on_offline": Case(
        Off2On(members=2, lagrange=True, ratio_hidden=(12, 12), **SOFT, **FEW),
        reference_off2on.off2on_offline_update,
        2,
    ),
    "bppo": Case(BPPO(polyak=0.1, value_learning_rate=3e-3, **NETS, **RATES), reference_uni_o4.fit_update, 2),
    "bppo_discrete": Case(BPPO(polyak=0.1, values="iql", **NETS, **RATES), reference_uni_o4.fit_update, 1, DISCRETE),
    "bppo_published": Case(BPPO(critics=1, value_learning_rate=3e-3, **QUIRKS, **NETS, **RATES), BPPO_FIT, 2),
    "bppo_two_critics": Case(BPPO(polyak=0.1, critics=2, **NETS, **RATES), BPPO_FIT, 2),
    "uni_o4_published": Case(UniO4(adam_eps=1e-3, **MODEL | QUIRKS, **NETS, **RATES), BPPO_FIT, 2),
    "uni_o4": Case(UniO4(expectile=0.8, **MODEL, **NETS, **RATES), reference_uni_o4.fit_update, 2),
    "uni_o4_detached": Case(UniO4(diversity="detached", **MODEL, **NETS, **RATES), reference_uni_o4.fit_update, 2),
    "uni_o4_discrete": Case(UniO4(**MODEL, **NETS, **RATES), reference_uni_o4.fit_update, 2, DISCRETE),
    "rebrac_relaxed": Case(ReBRAC(stage="relaxed", actor_penalty=0.4, **TWIN), reference_td3.rebrac_update, 4),
}


FLOAT32 = ("bc_nll", "iql", "sac_rlpd", "cal_ql", "rebrac", "qc")
PRECISIONS = [(name, 64, 1e-8) for name in CASES] + [(name, 32, 1e-4) for name in FLOAT32]


def update(agent: Any, state: Any, batches: Transition, key: jax.Array) -> Any:
    return agent.update(state, batches, key)


run_update = jax.jit(update, compiler_options=UNOPTIMISED)


def batches_for(case: Case, seed: int = 0) -> Transition:
    """Random rows `[U, B, ...]`, float64, with terminations, truncations and rows that are both; `[U, B, h, ...]` for
    agents that learn from chunks."""
    rng = np.random.default_rng(seed)
    chunk = case.agent.chunk
    shape = (case.minibatches, case.rows) if chunk is None else (case.minibatches, case.rows, chunk)
    action: Any = rng.uniform(-0.95, 0.95, (*shape, ACT))
    if case.spaces.action.discrete:
        action = rng.integers(0, CHOICES, shape).astype(np.int32)
    terminated, truncated = np.zeros((2, *shape), bool)
    terminated[:, [0, 1]] = True
    truncated[:, [1, 2, 3]] = True
    obs, next_obs = rng.normal(size=(2, *shape, OBS))
    reward, return_to_go = rng.normal(size=(2, *shape))
    extras = {"return_to_go": return_to_go, "next_action": rng.uniform(-0.95, 0.95, (*shape, ACT))}
    if chunk is not None:  # ends anywhere, at the last step alone as well
        terminated, truncated = rng.random((2, *shape)) < 0.2
        terminated[:, 0], truncated[:, 0] = False, False
        terminated[:, 0, -1] = True
        ended = np.cumsum(terminated | truncated, axis=-1) > 0
        extras["valid"] = np.concatenate([np.ones((*shape[:2], 1), bool), ~ended[..., :-1]], axis=-1)
    rows: Any = (obs, action, reward, next_obs, terminated, truncated, extras)
    return Transition(*rows)


def cast(tree: Any, dtype: Any) -> Any:
    """Floating-point leaves as JAX arrays of `dtype`, the others as they are."""

    def leaf(x: Any) -> Any:
        return jnp.asarray(x, dtype) if np.issubdtype(np.asarray(x).dtype, np.floating) else jnp.asarray(x)

    return jax.tree.map(leaf, tree)


def random_state(case: Case, dtype: Any, seed: int = 1) -> Any:
    """A state of `init`'s structure with random parameters, and moments as after a few steps."""
    rng = np.random.default_rng(seed)

    def leaf(path: Any, x: Any) -> Any:
        name = jax.tree_util.keystr(path)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return np.full(x.shape, 3, x.dtype)
        if ".nu" in name or ".scale" in name:
            return rng.uniform(0.01, 0.1, x.shape)
        return rng.normal(size=x.shape) * (0.1 if ".mu" in name else 0.3)

    shapes = jax.eval_shape(lambda key: case.agent.init(key, case.spaces), jax.random.key(0))
    return cast(jax.tree_util.tree_map_with_path(leaf, shapes), dtype)


def to_reference(state: Any) -> dict[str, Any]:
    def field(name: str) -> Any:
        value = jax.tree.map(np.asarray, getattr(state, name))
        return ref.Adam(int(np.max(value.count)), value.mu, value.nu) if name.endswith("_opt") else value

    return {f.name: field(f.name) for f in dataclasses.fields(state) if not f.metadata.get("static")}


def subset_of(agent: Any, key: jax.Array) -> Any:
    if agent.subset_with_replacement:
        return np.asarray(jax.random.randint(key, (agent.target_critics,), 0, agent.critics))
    if agent.target_critics == agent.critics:
        return np.arange(agent.critics)
    return np.asarray(jax.random.permutation(key, agent.critics))[: agent.target_critics]


def penalty_noise(agent: Any, key: jax.Array) -> dict[str, Any]:
    key_random, key_current, key_next, key_members = jax.random.split(key, 4)
    shape, n = (agent.cql_actions, B, ACT), agent.penalty_critics
    members = jax.random.randint(key_members, (n or 1,), 0, agent.critics)
    return {
        "random": np.asarray(jax.random.uniform(key_random, shape, minval=-1.0, maxval=1.0)),
        "current": np.asarray(jax.random.normal(key_current, shape)),
        "next": np.asarray(jax.random.normal(key_next, shape)),
        "members": np.arange(agent.critics) if n is None else np.asarray(members),
    }


def noise_of(agent: Any, minibatches: int, key: jax.Array) -> Any:
    """All that `agent` draws in one update with `key`; None for those that draw nothing."""
    if isinstance(agent, MOORL):
        key_source, key_steps = jax.random.split(key)
        steps = [soft_noise(agent, 1, k, B // 2) for k in jax.random.split(key_steps, minibatches)]
        return {"from_data": bool(jax.random.bernoulli(key_source, agent.source_probability)), "steps": steps}
    if isinstance(agent, Off2On) and agent.stage == "balanced":
        keys = [jax.random.split(k) for k in jax.random.split(key, minibatches)]
        return [{"next": normal(k[0], B, ACT), "own": normal(k[1], B, ACT)} for k in keys]
    if isinstance(agent, Off2On):
        return [soft_noise(agent, minibatches, k) for k in jax.random.split(key, agent.members)]
    if isinstance(agent, SAC):
        return soft_noise(agent, minibatches, key)
    draws = {
        Delayed: twin_noise,
        FamAWAC: fam_awac_noise,
        AWAC: awac_noise,
        PEX: pex_noise,
        FamO2O: family_noise,
        PROTO: proto_noise,
    }
    draws |= {FQL: flow_noise, UniO4: uni_o4_noise}
    for kind, draw in draws.items():
        if isinstance(agent, kind):
            return [draw(agent, k) for k in jax.random.split(key, minibatches)]
    return None


def normal(key: jax.Array, *shape: int) -> Any:
    return np.asarray(jax.random.normal(key, shape))


def twin_noise(agent: Any, key: jax.Array) -> dict[str, Any]:
    """Of TD3 and what is like it."""
    latent = (getattr(agent, "density_samples", 1), B, 2 * ACT)
    if getattr(agent, "stage", "policy") == "density":
        return {"latent": normal(key, *latent)}
    key_target, key_actor = jax.random.split(key)
    return {"target": normal(key_target, B, ACT), "latent": normal(key_actor, *latent)}


def awac_noise(agent: Any, key: jax.Array) -> dict[str, Any]:
    keys = dict(zip(("next", "own"), jax.random.split(key), strict=True))
    if agent is CASES["awac_discrete"].agent:
        return {name: np.asarray(jax.random.gumbel(k, (B, CHOICES))) for name, k in keys.items()}
    return {name: normal(k, B, ACT) for name, k in keys.items()}


def pex_noise(agent: Any, key: jax.Array) -> Any:
    key_sample, key_choice, _ = jax.random.split(key, 3)
    return {"sample": normal(key_sample, B, ACT), "choice": np.asarray(jax.random.gumbel(key_choice, (B, 2)))}


def uni_o4_noise(agent: Any, key: jax.Array) -> Any:
    return normal(key, agent.members, B, ACT)


def flow_noise(agent: Any, key: jax.Array) -> Any:
    """Of FQL and Q-chunking."""
    key_next, key_flow, key_actor = jax.random.split(key, 3)
    key_noise, key_time = jax.random.split(key_flow)
    size = ACT * (agent.chunk or 1)
    several = (agent.samples,) if getattr(agent, "policy", "distilled") == "best_of_n" else ()
    return {
        "next": normal(key_next, B, *several, size),
        "flow": normal(key_noise, B, size),
        "time": np.asarray(jax.random.uniform(key_time, (B, 1))),
        "own": normal(key_actor, B, size),
    }


def family_noise(agent: Any, key: jax.Array) -> dict[str, Any]:
    """Of FamO2O."""
    key_family, key_balance = jax.random.split(key)
    key_choice, key_action = jax.random.split(key_balance)
    uniform = np.asarray(jax.random.uniform(key_family, (B, 1), minval=-1.0, maxval=1.0))
    family = normal(key_family, B, 1) if agent.stage == "adaptive" else uniform
    return {"family": family, "choice": normal(key_choice, B, 1), "action": normal(key_action, B, ACT)}


def fam_awac_noise(agent: Any, key: jax.Array) -> dict[str, Any]:
    key_family, key_balance = jax.random.split(key)
    key_choice, key_action = jax.random.split(key_balance)
    key_next, key_value = jax.random.split(key_family)
    key_row = jax.random.fold_in(key_value, 1)
    uniform = np.asarray(jax.random.uniform(key_row, (B, 1), minval=-1.0, maxval=1.0))
    rows = {
        "family": normal(key_row, B, 1) if agent.stage == "adaptive" else uniform,
        "choice": normal(key_choice, B, 1),
    }
    return rows | {
        "action": normal(key_action, B, ACT),
        "next": normal(key_next, B, ACT),
        "own": normal(key_value, B, ACT),
    }


def proto_noise(agent: Any, key: jax.Array) -> dict[str, Any]:
    key_next, key_actor = jax.random.split(key)
    key_action, key_member = jax.random.split(key_next)
    one = np.asarray(jax.random.randint(key_member, (1,), 0, 2))
    members = one if agent.target_critics == 1 else np.arange(2)
    return {"next": normal(key_action, B, ACT), "members": members, "actor": normal(key_actor, B, ACT)}


def soft_noise(agent: Any, minibatches: int, key: jax.Array, size: int = B) -> dict[str, Any]:
    """Of SAC and its descendants; `size`: rows of a minibatch."""
    key_critic, key_actor, key_temperature = jax.random.split(key, 3)
    steps = []
    for k in jax.random.split(key_critic, minibatches):
        if isinstance(agent, H2O):
            steps.append(h2o_noise(agent, k))
            continue
        key_target, key_subset, key_penalty = jax.random.split(k, 3)
        target = np.asarray(jax.random.normal(key_target, (agent.target_samples, size, ACT)))
        steps.append({"target": target, "subset": subset_of(agent, key_subset)})
        if isinstance(agent, SO2):
            key_sample, key_noise = jax.random.split(key_target)
            steps[-1] |= {"sample": normal(key_sample, B, ACT), "perturbation": normal(key_noise, B, ACT)}
        if isinstance(agent, CQL):
            steps[-1]["penalty"] = penalty_noise(agent, key_penalty)
        if isinstance(agent, RO2O):
            steps[-1] |= ro2o_noise(agent, key_target, key_penalty)
    rows = size * minibatches if agent.actor_batch == "all" else size
    actor, temperature = (np.asarray(jax.random.normal(k, (rows, ACT))) for k in (key_actor, key_temperature))
    return {"critic": steps, "actor": actor, "temperature": temperature, "near": near_noise(agent, key_actor)}


def near_noise(agent: Any, key_actor: jax.Array) -> Any:
    """Around what states RO2O's policy is made smooth."""
    shape = (getattr(agent, "neighbours", 1), 1, OBS)
    return np.asarray(jax.random.uniform(jax.random.fold_in(key_actor, 1), shape, minval=-1.0, maxval=1.0))


def ro2o_noise(agent: Any, key_target: jax.Array, key_penalty: jax.Array) -> dict[str, Any]:
    key_value, key_pull, key_action = jax.random.split(key_penalty, 3)
    shape = (agent.neighbours, 1, OBS)
    value, pull = (np.asarray(jax.random.uniform(k, shape, minval=-1.0, maxval=1.0)) for k in (key_value, key_pull))
    noise = {"value": value, "pull": pull, "own": normal(key_action, agent.neighbours, B, ACT)}
    return noise | ({"next": normal(key_target, B, ACT)} if agent.pessimism != "minimum" else {})


def h2o_noise(agent: Any, key: jax.Array) -> dict[str, Any]:
    key_target, _, key_blur, key_next = jax.random.split(key, 4)
    blur = [normal(k, B, size) for k, size in zip(jax.random.split(key_blur, 3), (OBS, ACT, OBS), strict=True)]
    simulated = B - round(agent.real_fraction * B)
    near = normal(key_next, agent.samples, simulated, OBS)
    return {"target": normal(key_target, 1, B, ACT), "blur": blur, "near": near}


def assert_states_match(state: Any, expected: dict[str, Any], tolerance: float) -> None:
    for name, tree in expected.items():
        got = getattr(state, name)
        if name.endswith("_opt"):
            assert (got.count == tree.steps).all()
            got, tree = (got.mu, got.nu), (tree.mu, tree.nu)
        for path, leaf in jax.tree_util.tree_leaves_with_path(got):
            want: Any = tree
            for step in path:
                want = want[step.idx if hasattr(step, "idx") else step.key]
            where = f"{name}{jax.tree_util.keystr(path)}"
            np.testing.assert_allclose(leaf, want, rtol=tolerance, atol=tolerance * 0.1, err_msg=where)


@pytest.mark.parametrize(("name", "bits", "tolerance"), PRECISIONS)
def test_update_matches_the_reference(name: str, bits: int, tolerance: float) -> None:
    case = CASES[name]
    with jax.enable_x64(bits == 64):
        dtype = jnp.float64 if bits == 64 else jnp.float32
        batches, state, key = batches_for(case), random_state(case, dtype), jax.random.key(7)
        noise = None if name == "pex_offline" else noise_of(case.agent, case.minibatches, key)
        expected, losses = case.update(case.agent, to_reference(state), batches, *(() if noise is None else (noise,)))
        got, metrics = run_update(case.agent, state, cast(batches, dtype), key)
        assert all(x.dtype != jnp.float32 for x in jax.tree.leaves(got)) or bits == 32
    assert_states_match(got, expected, tolerance)
    for metric in losses.keys() & metrics.keys():
        np.testing.assert_allclose(metrics[metric], losses[metric], rtol=tolerance, err_msg=metric)
    assert {"actor_loss", "critic_loss", "value_loss"} & losses.keys() <= metrics.keys()


BOOTSTRAPPING = (
    *("iql", "sac", "cql", "cal_ql", "td3_bc", "rebrac", "spot", "awac", "pex", "edac", "edac_max_backup", "so2"),
    *("famo2o", "famo2o_awac", "proto", "ro2o", "ro2o_mazes", "fql", "h2o", "moorl", "off2on", "off2on_offline"),
    *("bppo", "uni_o4"),
)


@pytest.mark.parametrize("name", BOOTSTRAPPING)
def test_truncated_rows_bootstrap_and_terminated_rows_do_not(name: str) -> None:
    case = CASES[name]
    # Penalties look at `next_obs` and at ends of every row; weight 0 leaves the TD error alone.
    terms = ("cql_weight", "critic_penalty", "gap_weight", "ratio_power")
    weights = [name for name in terms if hasattr(case.agent, name)]
    agent = dataclasses.replace(case.agent, **dict.fromkeys(weights, 0.0))
    batches, key = batches_for(case), jax.random.key(7)
    none = np.zeros_like(batches.terminated)
    batches = batches._replace(terminated=none, truncated=none)
    flag, elsewhere = np.array(none), np.array(batches.next_obs)
    flag[:, 0], elsewhere[:, 0] = True, 3.0

    def critic(**changes: Any) -> Any:
        rows = cast(batches._replace(**changes), jnp.float64)
        return ravel_pytree(run_update(agent, state, rows, key)[0].critic)[0]

    with jax.enable_x64(True):
        state = random_state(case, jnp.float64)
        assert (critic(truncated=flag) == critic()).all()
        assert (critic(truncated=flag, next_obs=elsewhere) != critic(truncated=flag)).any()
        assert (critic(terminated=flag, next_obs=elsewhere) == critic(terminated=flag)).all()
        assert (critic(terminated=flag, truncated=flag) == critic(terminated=flag)).all()


def test_reference_gradients_match_finite_differences() -> None:
    rng = np.random.default_rng(3)
    x, a, g = rng.normal(size=(4, 3)), rng.uniform(-0.9, 0.9, (2, 4, 2)), rng.normal(size=4)

    def layer(members: tuple[int, ...], rows: int, columns: int) -> dict[str, Any]:
        return {
            "kernel": rng.normal(size=(*members, rows, columns)),
            "bias": rng.normal(size=(*members, columns)),
        }

    norm = {"scale": rng.normal(size=(3, 6)), "bias": rng.normal(size=(3, 6))}
    params = {
        "critic": {"MLP_0": {"Dense_0": layer((3,), 5, 6), "LayerNorm_0": norm, "Dense_1": layer((3,), 6, 1)}},
        "actor": {"MLP_0": {"Dense_0": layer((), 3, 6)}, "mean": layer((), 6, 2), "log_std": layer((), 6, 2)},
        "raw": rng.normal(size=()),
    }

    def loss(p: Any) -> ref.Var:
        action, log_prob = ref.draw(p["actor"], x, a)
        q = ref.critic(p["critic"], x, action)  # [3, 2, 4]
        bounded = ref.floor_at(q[np.array([0, 0, 2])], g)
        parts = [q.min(0).mean(), q.max(1).sum() * 0.1, (ref.logsumexp(bounded - log_prob, 1) * 0.3).mean()]
        return ref.concat([part.reshape(1) for part in parts], 0).sum() + ref.softplus(p["raw"]) * log_prob.mean()

    _, grads = ref.gradient(loss, params)
    flat, rebuild = jax.tree.flatten(params)
    for i, (leaf, grad) in enumerate(zip(flat, jax.tree.leaves(grads), strict=True)):
        direction = rng.normal(size=leaf.shape)

        def at(t: float, i: int = i, direction: Any = direction) -> float:
            moved = [v + t * direction if j == i else v for j, v in enumerate(flat)]
            return float(loss(jax.tree.unflatten(rebuild, moved)).value)

        slope = (at(1e-6) - at(-1e-6)) / 2e-6
        np.testing.assert_allclose((grad * direction).sum(), slope, rtol=1e-5, atol=1e-8)
