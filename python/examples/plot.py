# %% [markdown]
# GFLOP/s over m of a product with weights (n, k), beside NumPy's. Cells for Jupyter or VS Code; as a program:
# python plot.py [gflops.png]

# %%
from __future__ import annotations

import sys
import time
from typing import Any, Callable

import numpy as np

import gemmsmith as gs

N, K = 1024, 1024
ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256]


# %%
def seconds(call: Callable[[], object], budget: float = 0.05) -> float:
    """The median of one call."""
    times: list[float] = []
    end = time.perf_counter() + budget
    while time.perf_counter() < end or len(times) < 3:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


# %%
def measure() -> dict[str, list[float]]:
    """In turns, so that both meet the same machine."""
    rng = np.random.default_rng(0)
    b = rng.random((N, K), "f4")  # as models store it
    g = gs.Gemm(n=N, k=K, layout="nt")
    g.prepare(ROWS)
    found: dict[str, list[float]] = {"gemmsmith": [], "NumPy": []}
    for m in ROWS:
        a, out = rng.random((m, K), "f4"), np.empty((m, N), "f4")
        calls: dict[str, Callable[[], Any]] = {
            "gemmsmith": lambda: g(a, b, out=out), "NumPy": lambda: np.matmul(a, b.T, out=out)}
        for name, call in calls.items():
            found[name].append(2e-9 * m * N * K / seconds(call))
    return found


# %%
def plot(found: dict[str, list[float]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, values in found.items():
        axes.plot(ROWS, values, marker="o", label=name)
    axes.set(xscale="log", xlabel="m", ylabel="GFLOP/s", title=f"f32, n={N}, k={K}, weights stored (n, k)")
    axes.set_xticks(ROWS, [str(m) for m in ROWS])
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


# %%
if __name__ == "__main__":
    plot(measure(), sys.argv[1] if len(sys.argv) > 1 else "gflops.png")
