"""Threads, forks, Ctrl-C, leaks, and what importing costs others."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gemmsmith as gs
import numpy as np
import pytest
from arrays import F32, check_product, random


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In an interpreter of its own, where every warning is an error and CPython looks closer."""
    modes = ["-X", "dev", "-W", "error", "-W", "ignore:This process:DeprecationWarning"]  # a fork beside threads
    return subprocess.run([sys.executable, *modes, "-c", code], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment})


def resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


WIDE, WEIGHT = gs.Gemm(16, 8), np.ones((8, 16), F32)
CALLS: dict[str, Any] = {
    "gemm": lambda a, b, out: gs.gemm(a, b),
    "out": lambda a, b, out: gs.gemm(a, b, out=out),
    "epilogue": lambda a, b, out: gs.gemm(a, b, bias=out[0], epilogue="bias+relu"),
    "stack": lambda a, b, out: gs.gemm(a[None, None], b),
    "groups": lambda a, b, out: gs.grouped_gemm(a, b[None], ends=np.array([5], "i4")),
    "layouts": lambda a, b, out: gs.layouts.get_mn_major_tma_aligned_tensor(a),
    "bound": lambda a, b, out: gs.Gemm(8, 8).bind(a, b, out)(),
    "packed": lambda a, b, out: gs.gemm(a, WIDE.pack(WEIGHT)),
    "dlpack": lambda a, b, out: gs.gemm(a.__dlpack__(), b, out=out),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_leave_nothing_behind(name: str) -> None:
    a, b, out = np.ones((8, 8), F32), np.ones((8, 8), F32), np.ones((8, 8), F32)
    call = CALLS[name]
    count = {"gemm": 100_000, "out": 100_000, "bound": 2000, "packed": 2000}.get(name, 20_000)
    for _ in range(2000):
        call(a, b, out)
    references, before = sys.getrefcount(a), resident_kib()
    for _ in range(count):
        call(a, b, out)
    assert sys.getrefcount(a) == references
    assert resident_kib() - before < 1024


def test_refused_calls_leave_nothing_behind() -> None:
    a, b = np.ones((8, 8), F32), np.ones((7, 8), F32)

    def refused() -> None:
        with pytest.raises(gs.InvalidArgument):
            gs.gemm(a, b)

    for _ in range(500):
        refused()
    before = resident_kib()
    for _ in range(5000):
        refused()
    assert resident_kib() - before < 1024 and sys.getrefcount(a) < 10


def test_threads_plan_and_compute_side_by_side(rng: Any) -> None:
    failures: list[BaseException] = []
    operands = [(random(rng, (m, 24), F32), random(rng, (24, n), F32)) for m in range(1, 9) for n in (5, 16, 33)]

    def work(order: list[int]) -> None:
        try:
            for i in order:
                a, b = operands[i % len(operands)]
                check_product(gs.gemm(a, b), a, b)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=([int(x) for x in rng.permutation(200)],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_other_threads_run_during_a_product() -> None:
    a = np.ones((1200, 1200), F32)
    turns, over = [0], threading.Event()

    def count() -> None:
        while not over.is_set():
            turns[0] += 1
            time.sleep(0)  # lets go of the interpreter, which the main thread does in products alone

    counter = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        counter.start()
        before = turns[0]
        for _ in range(3):
            gs.gemm(a, a)
        assert turns[0] > before
    finally:
        over.set()
        sys.setswitchinterval(interval)
        counter.join()


def test_a_forked_child_computes() -> None:
    a = np.ones((300, 300), F32)
    gs.gemm(a, a)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.all(gs.gemm(a, a) == 300) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_children_compute_that_are_forked_while_threads_do() -> None:
    done = run("""
import gemmsmith as gs, numpy as np, os, threading
a = np.ones((300, 300), "f4")
over = threading.Event()
def work():
    while not over.is_set():
        gs.gemm(a, a)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for m in range(1, 9):
    if os.fork() == 0:  # one shape that is planned, one that is not
        os._exit(0 if np.all(gs.gemm(a, a) == 300) and np.all(gs.gemm(a[:m], a) == 300) else 1)
    assert os.wait()[1] == 0, m
over.set()
for thread in threads: thread.join()
""")
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_a_forked_child_is_told_that_cuda_is_lost() -> None:
    done = run("""
import os, sys
sys.path.insert(0, %r)
import gemmsmith as gs, numpy as np
from test_bad_input import OnDevice
def refused():
    try:
        gs.gemm(OnDevice(2), np.ones((6, 5), 'f4'))
    except gs.Error as error:
        return type(error).__name__ + str(error)
assert refused().startswith('InvalidArgument')
if os.fork() == 0:
    text = refused()
    os._exit(7 if text.startswith('DeviceError') and 'fork' in text and 'spawn' in text else 1)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
""" % os.path.dirname(__file__))
    assert done.returncode == 7, done.stderr


def interrupted(code: str, after: float) -> None:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "interrupted\n"), errors


def test_ctrl_c_ends_a_tuning() -> None:
    interrupted("""
import gemmsmith as gs
print("begun", flush=True)
try:
    gs.tune((512, 512, 512), device="cpu", budget=300, m_range=(1, 4096))
except KeyboardInterrupt:
    print("interrupted")
""", 0.5)


def test_ctrl_c_ends_compiles_and_leaves_the_cache_sound(nvrtc: None) -> None:
    interrupted("""
import gemmsmith as gs
shapes = [(128, 64 * n, 512, dtype) for n in range(1, 60) for dtype in ("bf16", "f16", "f32")]
print("begun", flush=True)
try:
    for arch in ("sm_90a", "sm_80", "sm_86", "sm_89", "sm_100a", "sm_75", "sm_120a"):
        gs.compile(shapes, arch=arch, jobs=2)
except KeyboardInterrupt:
    assert not gs.cache.verify().broken
    print("interrupted")
""", 0.5)


def test_ctrl_c_ends_the_compile_of_a_first_call(tmp_path: Path) -> None:
    if not any(row["item"] == "nvcc" and row["status"] == "ok" for row in gs.doctor()):
        pytest.skip("no nvcc")
    done = run("""
import os, signal, threading, time
import gemmsmith as gs, numpy as np
def send():
    for _ in range(20_000):
        if gs.cache.stats().misses:
            break
        time.sleep(1e-3)
    os.kill(os.getpid(), signal.SIGINT)
gs.configure(compiler="nvcc")  # takes seconds
g = gs.Gemm(512, 64, "f16", device="emulator:sm_90a")
threading.Thread(target=send).start()
try:
    g(np.ones((1, 64), "f2"), np.ones((64, 512), "f2"))
except KeyboardInterrupt:
    assert gs.cache.stats().compiles == 0 and not gs.cache.verify().broken
    print("interrupted")
""", GEMMSMITH_CACHE_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_importing_is_light_and_imports_no_numpy() -> None:
    done = run("""
import sys, time
begin = time.process_time()
import gemmsmith
print(time.process_time() - begin)
assert not {"numpy", "torch", "dataclasses", "json", "html"} & set(sys.modules), sorted(sys.modules)
""")
    assert done.returncode == 0, done.stderr


def test_without_numpy_buffers_are_multiplied() -> None:
    done = run("""
import array, sys
import gemmsmith as gs
a = memoryview(array.array("f", range(6))).cast("B").cast("f", (2, 3))
b = memoryview(array.array("f", [1.0] * 12)).cast("B").cast("f", (3, 4))
c = gs.gemm(a, b)
assert c.shape == (2, 4) and c.tolist() == [[3.0] * 4, [12.0] * 4], c.tolist()
assert "numpy" not in sys.modules
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", [
    "import gemmsmith as gs, numpy as np, atexit\natexit.register(lambda: gs.gemm(np.ones((2, 2), 'f4'), np.ones((2, 2), 'f4')))",
    "import gemmsmith as gs, numpy as np, threading\na = np.ones((500, 500), 'f4')\n"
    "threading.Thread(target=lambda: [gs.gemm(a, a) for _ in range(10000)], daemon=True).start()\ngs.gemm(a, a)",
    "import gemmsmith as gs, numpy as np, threading, time\ndef plan(n):\n  while True:\n    n += 1\n"
    "    gs.gemm(np.ones((n % 300 + 1, 64), 'f4'), np.ones((64, n % 50 + 1), 'f4'))\n"
    "for n in range(4): threading.Thread(target=plan, args=(17 * n,), daemon=True).start()\ntime.sleep(.1)",
    "import gemmsmith as gs, threading, time\nthreading.Thread(target=lambda: gs.tune((256, 256, 256), device='cpu', "
    "budget=60, m_range=(1, 4096)), daemon=True).start()\ntime.sleep(.3)",
    "import gemmsmith as gs\ng = gs.Gemm(4, 4)\nclass Late:\n  def __del__(self): g.prepare(3)\nlate = Late()",
], ids=["atexit", "a thread that goes on", "threads that plan", "a tuning", "a destructor"])
def test_the_end_of_the_interpreter_is_orderly(code: str) -> None:
    done = run(code)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_a_second_interpreter_computes_or_is_refused_and_leaves_the_first_alone() -> None:
    done = run("""
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = '''
try:
    import gemmsmith as gs
except ImportError as error:
    assert "interpreter" in str(error), error
else:
    x = memoryview(bytes(96)).cast("f", (4, 6))
    assert not any(gs.gemm(x, memoryview(bytes(120)).cast("f", (6, 5))).tobytes())
'''
import gemmsmith as gs
for _ in range(3):
    other = interpreters.create()
    failed = interpreters.run_string(other, code)
    assert failed is None, failed
    interpreters.destroy(other)
x = memoryview(bytes(144)).cast("f", (6, 6))
assert not any(gs.gemm(x, x).tobytes())
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("make", [lambda: gs.Problem(4, 5, 6, "bf16"), lambda: gs.Epilogue("bias+gelu"), lambda: gs.Gemm(5, 6)],
                         ids=["Problem", "Epilogue", "Gemm"])
def test_values_are_copied_as_themselves_and_do_not_travel(make: Any) -> None:
    value = make()
    assert copy.copy(value) is value and copy.deepcopy({"it": value})["it"] is value
    references = sys.getrefcount(value)
    for _ in range(10):
        copy.copy(value)
    assert sys.getrefcount(value) == references
    with pytest.raises(TypeError, match=f"cannot pickle .*{type(value).__name__}"):
        pickle.dumps(value)


def test_the_command_line_ends_with_its_reader() -> None:
    process = subprocess.Popen([sys.executable, "-m", "gemmsmith", "devices"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == (b"", -signal.SIGPIPE)
    process.stderr.close()
