"""Every network of the library, behind flax.linen: policies, critic ensembles, value functions.

Modules are static (hashable settings) and made on the spot; parameters are plain nested dictionaries that the
agents own. Hidden blocks are Dense -> LayerNorm (optional) -> ReLU, or with `norm_place="after"` Dense -> ReLU ->
LayerNorm (ReBRAC; FQL with GELU for ReLU).

First weights, of every recipe: hidden layers and critics' heads Xavier-uniform with zero biases, as in RLPD; policy
heads Xavier-uniform with gain 0.01, so that actions start near the middle and log-stds near their offset (RLPD: gain
1). PyTorch's own default, which most torch code keeps, is U(+-1/sqrt(inputs)) for weights and biases: at width 256
our hidden weights are 1.7 times as large. IQL's and WSRL's code starts orthogonal, which needs a QR decomposition per
layer: batched over an ensemble it deadlocks XLA's CPU runtime on two cores (jax 0.10.2), and it is slow to compile on
accelerators.
"""

from collections.abc import Callable
from typing import Any, Literal

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from purejaxo2o.distributions import Categorical, CensoredNormal, ClippedNormal, Distribution, TanhNormal
from purejaxo2o.types import Array, O2OError, Space

Hidden = tuple[int, ...]
NormPlace = Literal["before", "after"]
"""Where LayerNorm stands, if there is one: before or after the activation."""
Activation = Literal["relu", "gelu", "tanh"]
"""GELU is flax's, the approximation by tanh."""
Std = Literal["state", "scaled", "global"]
"""What a policy's standard deviation depends on, see `Actor`."""
ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {"relu": nn.relu, "gelu": nn.gelu, "tanh": nn.tanh}

XAVIER = nn.initializers.xavier_uniform()
WIDE = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # gain sqrt 2, PPO codes' before tanh
SMALL = nn.initializers.variance_scaling(1e-4, "fan_avg", "uniform")  # policy heads start near zero (gain 0.01)


class Convolution(nn.Module):
    """`[..., H, W, C] -> [..., H - 2, W - 2, 16]`: `nn.Conv` of 16 filters of 3 x 3 without padding, as one matrix
    product of patches. Convolutions within a loop are ten times slower on a CPU (43 ms against 4 ms for the gradient
    on 128 images of 10 x 10 x 4)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        rows, columns, channels = x.shape[-3:]
        kernel = self.param("kernel", XAVIER, (3, 3, channels, 16), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (16,), jnp.float32)
        shifted = [x[..., i : rows - 2 + i, j : columns - 2 + j, :] for i in range(3) for j in range(3)]
        return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, 16) + bias


def check_example(x: Array) -> None:
    """Raises `O2OError` for what is neither a vector `[n]` nor an image `[H, W, C]` of uint8."""
    if x.dtype == jnp.uint8:
        if x.ndim != 3 or min(x.shape[:2]) < 3:
            raise O2OError(
                f"observations are {x.shape} of uint8; give images (height, width, channels) of at least 3 x 3, or "
                "vectors of floats"
            )
    elif x.ndim != 1:
        raise O2OError(
            f"observations are {x.shape} of {x.dtype}; flatten them into vectors (n,), or give images as uint8 "
            "(height, width, channels)"
        )


def check_action(space: Space) -> None:
    """Boxes are vectors. Raises `O2OError` for others."""
    if not space.discrete and len(space.shape) != 1:
        raise O2OError(f"actions are {space}; flatten them into vectors (n,)")


def beside(*parts: Array) -> Array:
    """`[..., n + m + ...]` of vectors `[..., n]`, `[..., m]`, ... of the same rows. Raises `O2OError` for images."""
    if any(x.dtype == jnp.uint8 for x in parts):
        raise O2OError(
            "this agent takes observations and actions into one network, which images do not go into; use bc or ppo, "
            "iql or awac for images with discrete actions, or a task with vectors"
        )
    if len({x.shape[:-1] for x in parts}) > 1 or not parts[0].ndim:
        raise O2OError(
            f"observations and actions are {', '.join(str(x.shape) for x in parts)}; flatten them into vectors of "
            "the same rows"
        )
    return jnp.concatenate(parts, axis=-1)


class MLP(nn.Module):
    """`[..., in] -> [..., out]`; `out=None` returns the last hidden layer. Images `[..., H, W, C]`, told by uint8, go
    through one convolution first (16 filters of 3 x 3 and ReLU, MinAtar's network: Young & Tian 2019, arXiv
    1903.03176). Their numbers are taken as they are, for a grid's codes say more than a camera's brightness."""

    hidden: Hidden
    out: int | None = None
    layer_norm: bool = False
    norm_place: NormPlace = "before"
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        # Without a bias LayerNorm(relu(W x)) depends on the direction of x alone: ReBRAC's code starts at 0.1.
        blind = self.layer_norm and self.norm_place == "after" and self.activation == "relu"
        bias = nn.initializers.constant(0.1 if blind else 0.0)
        activate = ACTIVATIONS[self.activation]
        if self.is_initializing():
            check_example(x)
        if x.dtype == jnp.uint8:
            x = nn.relu(Convolution()(x.astype(jnp.float32)))
            x = x.reshape(*x.shape[:-3], -1)
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=WIDE if self.activation == "tanh" else XAVIER, bias_init=bias)(x)
            if self.layer_norm and self.norm_place == "before":
                x = nn.LayerNorm()(x)
            x = activate(x)
            if self.layer_norm and self.norm_place == "after":
                x = nn.LayerNorm()(x)
        if self.out is not None:
            x = nn.Dense(self.out, kernel_init=XAVIER)(x)
        return x


class Actor(nn.Module):
    """A policy head over an MLP: `obs [..., O] -> distribution`.

    kind: "tanh" a squashed Gaussian; "clipped" a Gaussian around `tanh(mean)` with an uncorrected density;
        "unbounded" the same around the mean itself; "censored" like that, with the probability of what was clipped.
    std: "state" a function of the observation; "scaled" the same times a trained scalar, which starts at 1, plus
        another, which starts at -1 (the std at 0.37; Cal-QL's and H2O's code); "global" one free vector. `log_std` is
        clipped to `log_std_range`. Discrete action spaces give a categorical, whatever `kind`.
    """

    action_space: Space
    hidden: Hidden
    kind: Literal["tanh", "clipped", "unbounded", "censored"] = "tanh"
    std: Std = "state"
    log_std_range: tuple[float, float] = (-20.0, 2.0)
    layer_norm: bool = False
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, obs: Array) -> Distribution:
        x = MLP(self.hidden, layer_norm=self.layer_norm, activation=self.activation)(obs)
        if self.action_space.n is not None:
            return Categorical(nn.Dense(self.action_space.n, kernel_init=SMALL, name="logits")(x))
        check_action(self.action_space)
        size = self.action_space.size
        mean = nn.Dense(size, kernel_init=SMALL, name="mean")(x)
        if self.std == "global":
            log_std = jnp.broadcast_to(self.param("log_std", nn.initializers.zeros, (size,), jnp.float32), mean.shape)
        else:
            log_std = nn.Dense(size, kernel_init=SMALL, name="log_std")(x)
        if self.std == "scaled":
            scale = self.param("log_std_scale", nn.initializers.ones, (), jnp.float32)
            log_std = scale * log_std + self.param("log_std_offset", nn.initializers.constant(-1.0), (), jnp.float32)
        log_std = jnp.clip(log_std, *self.log_std_range)
        if self.kind == "tanh":
            return TanhNormal(mean, log_std)
        if self.kind == "censored":
            return CensoredNormal(mean, log_std)
        return ClippedNormal(jnp.tanh(mean) if self.kind == "clipped" else mean, log_std)


class DeterministicActor(nn.Module):
    """`obs [..., O] -> action [..., A]` in the box: `tanh` of an MLP (TD3)."""

    size: int
    hidden: Hidden

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        return jnp.tanh(nn.Dense(self.size, kernel_init=SMALL, name="mean")(MLP(self.hidden)(obs)))


class Critic(nn.Module):
    """`Q(s, a)`: `[..., O], [..., A] -> [...]` for boxes; for discrete actions the value of the given one."""

    action_space: Space
    hidden: Hidden
    layer_norm: bool = False
    norm_place: NormPlace = "before"
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, obs: Array, action: Array) -> Array:
        block = (self.layer_norm, self.norm_place, self.activation)
        if self.action_space.n is not None:
            q = MLP(self.hidden, self.action_space.n, *block)(obs)
            chex.assert_equal_shape([q[..., 0], action])
            return jnp.take_along_axis(q, action[..., None], axis=-1)[..., 0]
        mlp = MLP(self.hidden, 1, *block)
        return mlp(beside(obs, action))[..., 0]


HEAD = "head"
"""Under this name stand the parameters of an output layer that all members of an ensemble share."""


def mapped(module: type[nn.Module], members: int) -> Any:
    """`members` modules in one, with parameters of their own along a leading axis; all see the same inputs."""
    shared: Any = None
    return nn.vmap(
        module, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=shared, axis_size=members
    )


class OneHead(nn.Module):
    """Critics for boxes that differ in their hidden layers alone: `[..., O], [..., A] -> [members, ...]`."""

    members: int
    hidden: Hidden
    layer_norm: bool = False
    norm_place: NormPlace = "before"
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, obs: Array, action: Array) -> Array:
        hidden = mapped(MLP, self.members)
        block = (self.layer_norm, self.norm_place, self.activation)
        x = hidden(self.hidden, None, *block, name="MLP_0")(beside(obs, action))
        return nn.Dense(1, kernel_init=XAVIER, name=HEAD)(x)[..., 0]


def ensemble(
    action_space: Space,
    hidden: Hidden,
    members: int,
    layer_norm: bool = False,
    norm_place: NormPlace = "before",
    activation: Activation = "relu",
    shared_head: bool = False,
) -> nn.Module:
    """`members` critics, mapped over their parameters: `(obs, action) -> [members, ...]`.

    The leading axis of every parameter leaf is the member, but for an output layer that all share (`shared_head`, for
    boxes). Evaluating a subset of members is calling the module made for that many with the parameters of `pick`."""
    if shared_head:
        return OneHead(members, hidden, layer_norm, norm_place, activation)
    return mapped(Critic, members)(action_space, hidden, layer_norm, norm_place, activation)


def pick(critic: Any, members: Any) -> Any:
    """The parameters of some members of an ensemble, by index `[n]` or slice; a shared output layer goes along."""
    return {name: part if name == HEAD else jax.tree.map(lambda x: x[members], part) for name, part in critic.items()}


class Value(nn.Module):
    """`V(s)`: `[..., O] -> [...]`."""

    hidden: Hidden
    layer_norm: bool = False
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        return MLP(self.hidden, 1, self.layer_norm, activation=self.activation)(obs)[..., 0]


def apply(module: nn.Module, params: Any, *inputs: Array) -> Any:
    """The module's output for given parameters."""
    return module.apply({"params": params}, *inputs)


def action_space_of(actor: dict[str, Any]) -> Space:
    """The action space that a policy's parameters were made for (agents keep no copy of it)."""
    if "logits" in actor:
        return Space(n=actor["logits"]["kernel"].shape[-1], dtype="int32")
    return Space(shape=(actor["mean"]["kernel"].shape[-1],))


def q_values(
    critic: Any,
    obs: Array,
    action: Array,
    hidden: Hidden,
    layer_norm: bool = False,
    norm_place: NormPlace = "before",
    activation: Activation = "relu",
) -> Array:
    """`[n, ...]` values of given actions under the `n` members whose parameters are given."""
    space = Space(shape=action.shape[-1:])
    if jnp.issubdtype(action.dtype, jnp.integer):
        space = Space(n=critic["MLP_0"][f"Dense_{len(hidden)}"]["bias"].shape[-1], dtype="int32")
    members = jax.tree.leaves(critic["MLP_0"])[0].shape[0]
    network = ensemble(space, hidden, members, layer_norm, norm_place, activation, HEAD in critic)
    return apply(network, critic, obs, action)
