"""The examples run, and they and the package are typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gemmsmith as gs
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NEEDS = {"digits": "sklearn", "llama_block": "numpy", "plot": "matplotlib"}


@pytest.mark.parametrize("name", NEEDS)
def test_examples_run(name: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed")
    found = {**os.environ, "PYTHONPATH": str(Path(gs.__file__).parents[1])}  # from another folder, too
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], cwd=tmp_path, capture_output=True, text=True, env=found)
    assert done.returncode == 0, done.stdout + done.stderr
    if name == "plot":
        assert (tmp_path / "gflops.png").read_bytes()[:4] == b"\x89PNG"


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(NEEDS)


def test_types_hold(tmp_path: Path) -> None:
    package = Path(gs.__file__).parent
    assert (package / "py.typed").exists() and (package / "_core.pyi").exists()
    # An installed one mypy finds by itself, and follows.
    installed = "site-packages" in package.parts
    files = [] if installed else [str(path) for path in package.glob("*.py") if path.stem != "torch"]
    found = {} if installed else {"MYPYPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--cache-dir", str(tmp_path), *files, str(EXAMPLES)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **found})
    assert done.returncode == 0, done.stdout


def test_the_page_is_made_of_the_docstrings() -> None:
    tool = Path(__file__).parents[2] / "tools/python_docs.py"
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
