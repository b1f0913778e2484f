"""Weights that are packed, calls that are bound, and devices that arrays are copied to."""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any

import gemmsmith as gs
import numpy as np
import pytest
from arrays import BF16, F16, F32, F64, FLOATS, S8, check_product, poisoned, random


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize("dtype", [*FLOATS, F64, S8], ids=str)
def test_a_packed_weight_stands_for_b(rng: Any, dtype: Any, layout: str) -> None:
    types = "s8,s8,s32" if dtype == S8 else dtype
    g = gs.Gemm(n=33, k=40, dtype=types, layout=layout)
    b = random(rng, (33, 40) if layout[1] == "t" else (40, 33), dtype)
    weight = b.copy()
    packed = g.pack(weight)
    del weight
    assert isinstance(packed, gs.PackedWeight) and packed.shape == (40, 33) and "(40, 33, " in repr(packed)
    assert packed.nbytes >= b.nbytes and packed.dtype in repr(packed)
    plain = b.T if layout[1] == "t" else b
    for m in (1, 7, 50):
        a = random(rng, (40, m) if layout[0] == "t" else (m, 40), dtype)
        x = a.T if layout[0] == "t" else a
        out = poisoned((m, 33), np.dtype("i4") if dtype == S8 else dtype)
        assert g(a, packed, out) is out
        check_product(out, x, plain)
        check_product(gs.gemm(x, packed), x, plain)


def test_stacks_share_a_packed_weight(rng: Any) -> None:
    b = random(rng, (20, 30), F32)
    packed = gs.Gemm(30, 20).pack(b)
    for shape in ((3, 7, 20), (2, 3, 7, 20), (20,)):
        a = random(rng, shape, F32)
        check_product(gs.gemm(a, packed), a, b)
    a = random(rng, (4, 3, 2, 7, 20), F32).transpose(2, 0, 1, 3, 4)
    check_product(gs.gemm(a, packed), a, b)
    bias = random(rng, (30,), F32)
    np.testing.assert_allclose(gs.gemm(a, packed, bias=bias), a @ b + bias, atol=1e-5)


def test_what_is_read_as_it_comes_is_not_packed(rng: Any) -> None:
    narrow = random(rng, (20, 3), F32)
    assert gs.Gemm(3, 20).pack(narrow) is narrow
    b = random(rng, (20, 30), F32)
    assert gs.Gemm(30, 20, device="emulator:sm_80").pack(b) is b


def test_a_bound_call_is_the_call(rng: Any) -> None:
    a, b, out = random(rng, (5, 40), F32), random(rng, (24, 40), F32), poisoned((5, 24), F32)
    bias, residual = random(rng, (24,), F32), random(rng, (5, 24), F32)
    for epilogue, more in (("", {}), ("bias+relu", {"bias": bias}), ("residual", {"residual": residual}), ("", {"c": residual})):
        g = gs.Gemm(24, 40, layout="nt", epilogue=epilogue or None, alpha=0.5)
        for weight in (b, g.pack(b)):
            call = g.bind(a, weight, out, **more)
            for _ in range(2):  # of what the arrays hold now
                a[:] = random(rng, a.shape, F32)
                out[:] = np.nan
                assert call() is out
                assert np.array_equal(out, g(a, weight, **more))


@pytest.mark.parametrize("dtype", [F32, F16, *([BF16] if BF16 is not None else [])], ids=str)
def test_a_bound_call_keeps_its_arrays(rng: Any, dtype: Any) -> None:
    g = gs.Gemm(16, 16, dtype)
    a, b = random(rng, (16, 16), dtype), random(rng, (16, 16), dtype)
    expected = g(a, b).astype(F32)
    call = g.bind(a.copy(), b.copy(), poisoned((16, 16), dtype))
    del g
    gc.collect()
    rubbish = [np.full((16, 16), 7, dtype) for _ in range(200)]
    assert np.array_equal(call().astype(F32), expected) and len(rubbish) == 200
    references = sys.getrefcount(a)
    del call
    bound = gs.Gemm(16, 16, dtype).bind(a, b, poisoned((16, 16), dtype))
    assert sys.getrefcount(a) > references
    del bound
    assert sys.getrefcount(a) == references


def test_threads_run_one_bound_call(rng: Any) -> None:
    a, b, out = random(rng, (64, 64), F32), random(rng, (64, 64), F32), poisoned((64, 64), F32)
    call = gs.Gemm(64, 64).bind(a, b, out)
    threads = [threading.Thread(target=lambda: [call() for _ in range(200)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_product(out, a, b)


def test_stacks_of_one_step_are_bound(rng: Any) -> None:
    a, b = random(rng, (2, 3, 5, 8), F32), random(rng, (8, 6), F32)
    call = gs.Gemm(6, 8).bind(a, b, poisoned((2, 3, 5, 6), F32))
    check_product(call(), a, b)


@pytest.mark.parametrize("layout, device", [("nn", "emulator:sm_80"), ("nt", "emulator:sm_90a")])
def test_an_emulated_device_takes_arrays_of_the_host(nvrtc: None, rng: Any, layout: str, device: str) -> None:
    m, n, k = 40, 24, 48
    b = random(rng, (n, k) if layout[1] == "t" else (k, n), F16)
    plain = b.T if layout[1] == "t" else b
    g = gs.Gemm(n, k, "f16,f16,f32", layout, device)
    a = random(rng, (m, k), F16)
    wider = poisoned((m, n + 9), F32)
    assert g(a, b, wider[:, 4:-5]) is not None
    check_product(wider[:, 4:-5], a, plain)
    assert np.isnan(wider[:, :4]).all() and np.isnan(wider[:, -5:]).all()
    into = random(rng, (m, n), F32)
    expected = np.matmul(a.astype(F64), plain.astype(F64)) * 2 + into
    rows = poisoned((m,), F32)
    summed = gs.Gemm(n, k, "f16,f16,f32", layout, device, alpha=2, beta=1, epilogue="amax_row")
    summed(a, b, into, c=into, amax_row=rows)
    np.testing.assert_allclose(into, expected, atol=1e-4)
    assert np.array_equal(rows, abs(into).max(1))


V, T, N = ValueError, TypeError, NotImplementedError
A, B, OUT = np.ones((4, 20), F32), np.ones((20, 30), F32), np.empty((4, 30), F32)
BAD: dict[str, tuple[type[Exception], str, Any]] = {
    "another out": (V, r"\(4, 29\)", lambda: gs.Gemm(30, 20).bind(A, B, np.empty((4, 29), F32))),
    "out over a": (V, "overlaps", lambda: gs.Gemm(20, 20).bind(A, np.ones((20, 20), F32), A)),
    "stacks of two steps": (V, "bind each", lambda: gs.Gemm(30, 20).bind(
        np.ones((2, 3, 4, 20), F32), B, np.empty((3, 2, 4, 30), F32).transpose(1, 0, 2, 3))),
    "tf32": (N, "tf32", lambda: gs.Gemm(30, 20, compute="tf32").bind(A, B, OUT)),
    "an emulated device": (N, "emulated", lambda: gs.Gemm(30, 20, device="emulator:sm_80").bind(A, B, OUT)),
    "a weight of another shape": (V, "k=20, n=30", lambda: gs.Gemm(30, 20).pack(B.T)),
    "a weight of another dtype": (T, "f64", lambda: gs.Gemm(30, 20).pack(B.astype(F64))),
    "a packed weight for another Gemm": (V, "k=20, n=31", lambda: gs.Gemm(31, 20)(A, gs.Gemm(30, 20).pack(B))),
    "a packed weight elsewhere": (V, "pack it again", lambda: gs.Gemm(30, 20, device="emulator:sm_80")(A, gs.Gemm(30, 20).pack(B))),
    "a packed weight as a": (T, "PackedWeight", lambda: gs.gemm(gs.Gemm(30, 20).pack(B), B)),
    "out over a on an emulated device": (V, "overlaps", lambda: gs.Gemm(20, 20, device="emulator:sm_80")(A, np.ones((20, 20), F32), A)),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_bound_or_packed_is_refused(case: str) -> None:
    kind, text, call = BAD[case]
    with pytest.raises(kind, match=text):
        call()
