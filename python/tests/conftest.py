"""Every test has a cache of its own; what a machine lacks skips tests with the reason."""

from __future__ import annotations

import os
import tempfile

# Before the library reads its environment, which it does once.
_home = tempfile.TemporaryDirectory(prefix="gemmsmith-python-")
os.environ["GEMMSMITH_CACHE_DIR"] = _home.name

import gemmsmith as gs  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Other numbers in each run; the seed is in the failure's captured output."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def nvrtc() -> None:
    row = next(row for row in gs.doctor() if row["item"] == "NVRTC")
    if row["status"] != "ok":
        pytest.skip("no NVRTC: " + row["remedy"])
