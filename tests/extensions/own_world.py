"""An environment and data of one's own: a corridor whose wind is a number, and rows as NumPy arrays."""

import jax
import jax.numpy as jnp
import numpy as np

import purejaxo2o as o2o


@o2o.pytree
class Corridor:
    """From somewhere on the left to 1 on the right; the wind blows against it."""

    wind: float = 0.05
    name: str = o2o.static(default="corridor")
    horizon: int = o2o.static(default=10)

    @property
    def obs_space(self):
        return o2o.Space(shape=(2,))

    @property
    def action_space(self):
        return o2o.Space(shape=(1,))

    @property
    def pooled_resets(self):
        return False

    def reset(self, key):
        state = (jax.random.uniform(key, minval=-1.0, maxval=0.0), jnp.int32(0))
        return state, self.observe(state)

    def observe(self, state):
        return jnp.stack([state[0], 1.0])

    def step(self, state, action, key):
        place = jnp.clip(state[0] + 0.3 * action[0] - self.wind, -1.0, 1.0)
        state, there = (place, state[1] + 1), place > 0.9
        late = (state[1] >= self.horizon) & ~there
        return state, o2o.Step(self.observe(state), there.astype(jnp.float32), there, late, {"success": there})


def task() -> o2o.Task:
    return o2o.Task(name="corridor", env=Corridor(), eval_env=Corridor(), score_low=0.0, score_high=1.0)


def rows(episodes: int = 20, length: int = 5, seed: int = 0) -> o2o.Transition:
    """Walks to the right, cut off after five steps."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-1.0, -0.5, (episodes, 1)) + 0.2 * np.arange(length + 1)
    obs = np.stack([place, np.ones_like(place)], axis=-1)
    last = np.zeros((episodes, length), bool)
    last[:, -1] = True
    return o2o.Transition(
        obs=obs[:, :-1].reshape(-1, 2),
        action=np.full((episodes * length, 1), 0.8),
        reward=np.zeros(episodes * length),
        next_obs=obs[:, 1:].reshape(-1, 2),
        terminated=np.zeros(episodes * length, bool),
        truncated=last.reshape(-1),
    )
