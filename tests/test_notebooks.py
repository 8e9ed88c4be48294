"""The notebooks run as they are, and equal the sources they are kept as."""

from pathlib import Path

import jax
import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (pip install -e '.[dev]')")
jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed (pip install -e '.[dev]')")

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("*.py"))
PICTURES = {"quickstart": {"dataset.png", "curve.png", "policy.png"}}


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_there_are_notebooks():
    assert {path.stem for path in SOURCES} == set(PICTURES)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_equals_its_source(source):
    notebook = jupytext.read(source.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(source)), "run `make notebooks`"
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit notebooks without outputs"


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_runs_and_shows_its_pictures(source, tmp_path, monkeypatch):
    monkeypatch.setenv("PUREJAXO2O_NOTEBOOK_FAST", "1")
    if jax.config.jax_compilation_cache_dir:  # the kernel is another process
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    notebook = jupytext.read(source.with_suffix(".ipynb"))
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    found = {path.name: path.read_bytes()[:8] for path in tmp_path.glob("*/*.png")}
    assert set(found) == PICTURES[source.stem]
    assert set(found.values()) == {b"\x89PNG\r\n\x1a\n"}
    shown = [out for cell in notebook.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(shown) == len(found)
