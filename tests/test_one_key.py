"""What `train` and `fit` take as a key: one of `jax.random`'s, and what they say of anything else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny

import purejaxo2o as o2o
from purejaxo2o.types import O2OError

KEYS = jax.random.split(jax.random.key(0), 3)
WRONG = {
    "a seed": (5, r"key is 5; give jax\.random\.key\(5\)"),
    "NumPy's": (np.int64(5), r"give jax\.random\.key\(np\.int64\(5\)\)|give jax\.random\.key\(5\)"),
    "keys": (
        KEYS,
        r"key is an array of keys \(3,\); give one of them, or train all: o2o\.sweep\(\.\.\., seeds=keys\)",
    ),
    "old keys": (jax.random.key_data(KEYS), r"key is an array of keys \(3,\)"),
    "numbers": (jnp.arange(3), r"key is an array \(3,\) of int32; give one key, jax\.random\.key\(0\)"),
    "nothing": (None, r"key is None; give one key"),
}


@pytest.mark.parametrize("case", WRONG)
def test_train_takes_one_key(case):
    key, message = WRONG[case]
    with pytest.raises(O2OError, match=message) as error:
        o2o.train(key, *tiny("bc"))
    assert "\n" not in str(error.value)


def test_a_traced_number_is_no_key():
    with pytest.raises(O2OError, match=r"key is an array \(\) of int32"):
        jax.eval_shape(lambda key: o2o.train(key, *tiny("bc")), 5)


def test_fit_takes_one_key_or_a_number(tmp_path):
    with pytest.raises(O2OError, match=r"key is an array of keys \(3,\); give one of them"):
        o2o.fit(KEYS, *tiny("bc"), out=tmp_path / "run")
    assert not list(tmp_path.iterdir())
