#!/usr/bin/env python3
"""What calls from Python cost, beside NumPy's and the library's own, as a table in Markdown.

Usage: PYTHONPATH=build/release/python build/python-tools/bin/python bench/python_bench.py [gemmsmith-bench]
The C++ row comes from `gemmsmith-bench`, by default build/release/gemmsmith-bench; without it it is left out.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORWARD = "overhead/forward/16"  # of bench/overhead_bench.cc


def nanoseconds(calls, budget=2.0):
    """The fastest of many short runs of each call, in turns."""
    best = {name: float("inf") for name in calls}
    counts = {}
    for name, call in calls.items():
        begin = time.perf_counter()
        call()
        counts[name] = max(1, int(2e-3 / max(time.perf_counter() - begin, 1e-7)))
    end = time.perf_counter() + budget * len(calls)
    while time.perf_counter() < end:
        for name, call in calls.items():
            turns = range(counts[name])
            begin = time.perf_counter()
            for _ in turns:
                call()
            best[name] = min(best[name], (time.perf_counter() - begin) / counts[name] * 1e9)
    return best


def forward(program):
    """Of JITWrapper::Forward at 16x16x16, by the C++ benchmark."""
    if not os.access(program, os.X_OK):
        return None
    done = subprocess.run([program, f"--benchmark_filter={FORWARD}", "--benchmark_format=json",
                           "--benchmark_repetitions=5"], capture_output=True, text=True)
    start = done.stdout.find("{")
    times = [row["real_time"] for row in json.loads(done.stdout[start:])["benchmarks"]
             if row["run_type"] == "iteration"] if start >= 0 else []
    return min(times, default=None)


def import_ms():
    code = ("import time\nb = time.perf_counter()\nimport gemmsmith\n"
            "e = time.perf_counter()\nimport sys\nprint(1e3 * (e - b), 'numpy' in sys.modules)")
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
            for _ in range(7)]
    assert {run[1] for run in runs} == {"False"}
    return min(float(run[0]) for run in runs)


def main():
    import_time = import_ms()
    import numpy as np

    import gemmsmith as gs

    a, b, out = (np.random.rand(16, 16).astype("f4") for _ in range(3))
    planned = gs.Gemm(16, 16)
    packed = planned.pack(b)
    small = nanoseconds({
        "Gemm.bind(a, b, out)()": planned.bind(a, b, out),
        "the same, b packed": planned.bind(a, packed, out),
        "gs.Gemm.__call__, b packed": lambda: planned(a, packed, out),
        "gs.Gemm.__call__, out given": lambda: planned(a, b, out),
        "gs.gemm(a, b)": lambda: gs.gemm(a, b),
        "numpy.matmul, out given": lambda: np.matmul(a, b, out=out),
        "numpy.matmul": lambda: np.matmul(a, b),
    })
    base = forward(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/gemmsmith-bench")
    print("| 16x16x16, f32 | ns | over C++ Forward, ns | of numpy.matmul |\n|---|---|---|---|")
    if base is not None:
        print(f"| C++ Forward | {base:.0f} | 0 | {base / small['numpy.matmul']:.2f} x |")
    for name, time_ns in small.items():
        over = f"{time_ns - base:.0f}" if base is not None else "-"
        print(f"| {name} | {time_ns:.0f} | {over} | {time_ns / small['numpy.matmul']:.2f} x |")

    x, y, z = (np.random.rand(1024, 1024).astype("f4") for _ in range(3))
    large = gs.Gemm(1024, 1024)
    big = nanoseconds({"gs.Gemm": lambda: large(x, y, z), "numpy.matmul": lambda: np.matmul(x, y, out=z)}, 5)
    print("\n| 1024x1024x1024, f32 | GFLOP/s | of numpy.matmul's time |\n|---|---|---|")
    for name, time_ns in big.items():
        print(f"| {name} | {2 * 1024**3 / time_ns:.0f} | {time_ns / big['numpy.matmul']:.2f} x |")
    print(f"\nimport gemmsmith: {import_time:.1f} ms, without NumPy")


if __name__ == "__main__":
    main()
