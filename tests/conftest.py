"""What every test runs under: compiled programs kept between runs, no dataset of the user's in reach, no screen."""

import gc
import os
from pathlib import Path

import jax
import pytest

from purejaxo2o.drive import kept

os.environ["MPLBACKEND"] = "Agg"

# Only saves time: most of a cold run is XLA compiling.
CACHE = os.environ.get("PUREJAXO2O_TEST_CACHE", str(Path.home() / ".cache" / "purejaxo2o" / "xla"))
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture(scope="session", autouse=True)
def minari_root(tmp_path_factory):
    """An empty folder for datasets, so that no test reads or writes the user's own."""
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        yield root


MAPPINGS, MOST = Path("/proc/self/maps"), 20_000
"""Every compiled program takes several memory mappings, of which Linux allows a process 65,530."""
STATM, HEAVY = Path("/proc/self/statm"), 3e9
"""Bytes: one process kept 18 GB of programs with fewer mappings than that, and there are two or more of them."""


@pytest.fixture(scope="module", autouse=True)
def programs_are_dropped():
    """A process tests many files, and would die of the programs that it keeps."""
    yield
    if not MAPPINGS.exists():
        return
    resident = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if resident > HEAVY or len(MAPPINGS.read_bytes().splitlines()) > MOST:
        jax.clear_caches()
        kept.forget()
        gc.collect()
