"""Narrow data: one mediocre driver of the maze, with little noise, so that most actions are unknown everywhere.

What papers on offline learning fear (Fujimoto & Gu 2021, section 3; Wu et al. 2022, section 3): the values of actions
that the data lack are guesses, a policy that maximises them finds the guesses that are too high, and no experience
corrects them. `mixed` data, of which a quarter are random actions, hold nearly every action in nearly every place.
"""

import jax

import purejaxo2o as o2o
from purejaxo2o.data.collect import collect, noisy
from purejaxo2o.data.waypoint import waypoint_policy
from purejaxo2o.envs.maze import PointMaze

ROWS, LANES = 10_000, 10


def slow_driver(task: o2o.Task) -> o2o.Store:
    """A slow driver's episodes: two in five reach the goal in time, and the force is a tenth of what it may be."""
    env = task.env
    assert isinstance(env, PointMaze)
    driver = noisy(waypoint_policy(env, gain=3.0, damping=2.0), sigma=0.1)
    return collect(env, driver, jax.random.key(0), steps=ROWS, num_envs=LANES)
