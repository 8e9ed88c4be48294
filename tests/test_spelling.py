"""Unknown names come with the one that was meant, or with a short list."""

import pytest
from tiny import task

import purejaxo2o as o2o
from purejaxo2o.loop import settings
from purejaxo2o.spelling import SYNONYMS, nearest
from purejaxo2o.types import O2OError

NAMES = tuple(settings.names(o2o.recipe("wsrl", task(), "small")))
MEANT = {
    "agent.lr": "agent.learning_rate",
    "agent.critic_lr": "agent.learning_rate",
    "agent.actor_lr": "agent.actor_learning_rate",
    "agent.policy_lr": "agent.actor_learning_rate",
    "agent.gamma": "agent.discount",
    "agent.tau": "agent.polyak",
    "agent.Discount": "agent.discount",
    "agent.disc": "agent.discount",
    "agent.hidden_dims": "agent.hidden",
    "agent.n_critics": "agent.critics",
    "agent.num_critics": "agent.critics",
    "agent.cql_alpha": "agent.cql_weight",
    "agent.alpha": "agent.initial_temperature",
    "online.batch": "online.batch_size",
    "online.batchsize": "online.batch_size",
    "online.utd": "online.updates",
    "onlin.steps": "online.steps",
    "learning_rate": "agent.learning_rate",
    "lr": "agent.learning_rate",
    "reward_scal": "reward_scale",
    "n_envs": "num_envs",
    "buffer_size": "store_rows",
}


@pytest.mark.parametrize("name", MEANT)
def test_what_is_meant_comes_first(name):
    assert nearest(name, NAMES).startswith(f"did you mean {MEANT[name]!r}")


def test_another_namespace():
    """Whose it is comes after what it is."""
    assert nearest("agent.steps", NAMES) == "did you mean 'online.steps' or 'warmup.steps' or 'offline.steps'?"
    both = "did you mean 'online.agent.learning_rate' or 'agent.learning_rate'?"
    assert nearest("offline.learning_rate", NAMES) == both
    assert nearest("online.num_envs", NAMES) == "did you mean 'num_envs'?"


def test_a_namespace_is_no_name():
    assert nearest("offline", NAMES).startswith("known: offline.act, offline.batch_size, ")
    assert nearest("agent.zzzz", NAMES).startswith("known: agent.")


@pytest.mark.parametrize("name", ["zzzz", "", "?" * 5000, "\n", "é", "agent.", ".", "agent"])
def test_lists_are_short(name):
    found = nearest(name, NAMES, "all: elsewhere")
    assert len(found) < 400
    assert found.endswith(" more (all: elsewhere)")
    assert len(nearest(name, [f"{i}{'x' * 200}" for i in range(5000)])) < 1000


def test_short_lists_are_whole():
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "known: "


def test_synonyms_are_those_of_names_that_exist():
    every = {
        name.rpartition(".")[2] for recipe in o2o.recipes() if recipe not in ("dqn", "hyq") for name in known(recipe)
    }
    for synonym, names in SYNONYMS.items():
        assert set(names) <= every, synonym
        assert synonym not in every or synonym == "alpha", synonym


def known(recipe):
    return settings.names(o2o.recipe(recipe, task(), "small"))


def test_replace_proposes():
    recipe = o2o.recipe("wsrl", task(), "small")
    with pytest.raises(O2OError, match=r"no setting 'agent\.lr'; did you mean 'agent\.learning_rate'\?$"):
        o2o.replace(recipe, {"agent.lr": 1e-3})
    with pytest.raises(
        O2OError, match=r"\.\.\. and [0-9]+ more \(all: purejaxo2o\.loop\.settings\.names\(recipe\)\)$"
    ) as error:
        o2o.replace(recipe, {"zzzz": 1})
    assert len(str(error.value)) < 400
