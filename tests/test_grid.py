"""The axes of a sweep: whoever's numbers, each name and value once, counted before anything is made of them."""

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import task

import purejaxo2o as o2o
from purejaxo2o.cli.main import main
from purejaxo2o.disk import checkpoint
from purejaxo2o.drive import grid
from purejaxo2o.drive.sweep import seed_keys
from purejaxo2o.types import O2OError

KEYS = seed_keys(2)
RECIPE = o2o.recipe("wsrl", task(), "small")


def axes(over, recipe=RECIPE):
    return dict(grid.make(recipe, KEYS, over).axes)


@pytest.mark.parametrize("array", [np.array, jnp.array, tuple, lambda x: [np.float32(v) for v in x]])
def test_axes_of_any_kind_of_number(array):
    found = axes({"*.learning_rate": array([0.25, 0.5])})["*.learning_rate"]
    assert found == (0.25, 0.5)
    assert {type(x) for x in found} == {float}


def test_axes_of_static_settings():
    found = axes({"agent.hidden": np.array([[8, 8], [16, 16]]), "agent.critics": np.arange(2, 4)})
    assert found["agent.hidden"] == ((8, 8), (16, 16))
    assert found["agent.critics"] == (2, 3)
    assert axes({"agent.hidden": [[8, 8], np.array([4])]})["agent.hidden"] == ((8, 8), (4,))
    assert set(axes({"phase.online.updates": [1, 2]})) == {"online.updates", "seed"}


BAD = {
    "two spellings": (
        {"online.updates": [1], "phase.online.updates": [2]},
        r"over has online\.updates twice, also as",
    ),
    "nothing in float32": ({"agent.polyak": [0.1, 1e-60]}, r"agent\.polyak is 1e-60, 0 as float32"),
    "infinite in float32": ({"reward_scale": [1.0, 1e308]}, r"reward_scale is 1e\+308, infinite as float32"),
    "400 digits": ({"reward_scale": [10**400]}, r"reward_scale is 1000.*; it must be a finite number"),
    "5000 digits": ({"reward_scale": [10**5000]}, r"reward_scale is a number of thousands of digits; it must be a"),
    "flags": ({"agent.polyak": [True]}, r"every value must be a finite number"),
    "equal in float32": ({"agent.polyak": [0.1, 0.1 + 1e-12]}, r"give each value once"),
    "equal sizes": ({"agent.critics": [2, 2.0]}, r"give each value once"),
    "no order": ({"agent.polyak": {0.1, 0.2}}, r"give a non-empty list of numbers"),
    "a number": ({"agent.polyak": np.float32(1)}, r"give a non-empty list of numbers"),
    "no size": (
        {"agent.critics": [2, None]},
        r"agent\.critics takes a whole number, got None \(agent\.critics is static",
    ),
    "numbers for flags": ({"agent.layer_norm": [1, 0]}, r"agent\.layer_norm takes True or False, got 1"),
    "a list": ([1], r"over is \[1\]; give a dictionary of lists"),
    "a number for a name": ({1: [1]}, r"has no setting 1; known: "),
    "a billion values": (
        {"agent.polyak": range(10**9)},
        r"2,000,000,000 lanes \(1,000,000,000 agent\.polyak x 2 seed\)",
    ),
    "ten billion lanes": (
        {
            f"*.{x}": np.linspace(0.1, 0.9, 99)
            for x in ("polyak", "discount", "cql_weight", "target_gap", "learning_rate")
        },
        r"19,019,800,998 lanes .*, at most 100,000 will do",
    ),
    "programs": ({"agent.critics": range(1, 100), "agent.cql_actions": range(1, 100)}, r"over makes 9,801 programs"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_axes(case):
    over, message = BAD[case]
    with pytest.raises(O2OError, match=message) as error:
        axes(over)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_numbers_go_together_in_every_lane():
    family = o2o.recipe("famo2o", task(), "small")
    with pytest.raises(O2OError, match=r"agent\.spread is 3\.0, agent\.temperature 2\.0; .*make the spread smaller"):
        axes({"agent.temperature": [2.0, 11.0]}, family)
    assert axes({"agent.temperature": [2.0, 11.0], "agent.spread": [1.0, 1.5]}, family)


@pytest.mark.parametrize("count", [10**11, 2**31 + 8, 10**400, 0, -1, 2.5, True, "3", None])
def test_seeds_are_counted_before_their_keys_are_made(count):
    with pytest.raises(O2OError, match=r"^seeds is .*; it must be at least 1 and at most 1,000,000"):
        seed_keys(count)
    assert len(seed_keys(np.int64(3))) == 3


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", 10**400])
def test_counts_of_other_things(value):
    for name, check in (
        ("width", lambda x: grid.lane_count("width", x)),
        ("save_every", checkpoint.check_every),
        ("episodes", lambda x: o2o.evaluate(None, None, None, episodes=x)),
    ):
        with pytest.raises(O2OError, match=rf"^{name} is "):
            check(value)
    assert type(grid.lane_count("chunk", np.int64(3))) is type(checkpoint.check_every(jnp.int32(3))) is int


def test_the_shell_refuses_them_with_one_seed_too(capsys, tmp_path):
    for flag in ("width", "chunk"):
        command = f"train sac reach --scale small --seeds 1 --{flag} 0 --out {tmp_path}/run"
        assert main(command.split()) == 2
        assert capsys.readouterr().err.startswith(f"error: --{flag} is 0; it must be at least 1")
    command = f"sweep sac reach --set agent.polyak=0.1 --over agent.polyak=0.1,0.2 --out {tmp_path}/run"
    assert main(command.split()) == 2
    assert capsys.readouterr().err == "error: agent.polyak is both set (--set) and varied (--over); drop one\n"
    assert not list(tmp_path.iterdir())
