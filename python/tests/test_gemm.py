"""Products against NumPy's in float64, over dtypes, layouts, strides, batches and epilogues."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

import gemmsmith as gs
import numpy as np
import pytest
from arrays import BF16, F16, F32, F64, FLOATS, S8, S32, U8, check, check_product, poisoned, random, wide

PAIRS = [*itertools.product(FLOATS, FLOATS), (F64, F64), *itertools.product([S8, U8], [S8, U8])]
SIZES = [(1, 1, 1), (1, 7, 3), (5, 1, 9), (16, 16, 16), (17, 23, 31), (64, 48, 100), (3, 130, 2)]


def result_type(a: Any, b: Any) -> Any:
    return S32 if a in (S8, U8) else a if a == b else F32


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("m, n, k", SIZES)
@pytest.mark.parametrize("types", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_a_product_is_that_of_float64(rng: Any, types: Any, m: int, n: int, k: int, layout: str) -> None:
    a = random(rng, (k, m) if layout[0] == "t" else (m, k), types[0])
    b = random(rng, (n, k) if layout[1] == "t" else (k, n), types[1])
    a, b = (a.T if layout[0] == "t" else a), (b.T if layout[1] == "t" else b)
    c = gs.gemm(a, b)
    assert type(c) is np.ndarray and c.dtype == result_type(*types)
    check_product(c, a, b)
    out = poisoned((m, n), c.dtype)
    assert gs.gemm(a, b, out) is out
    assert np.array_equal(out, c)


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("dtype", [*FLOATS, F64], ids=str)
def test_a_planned_gemm_takes_arrays_as_they_are_stored(rng: Any, dtype: Any, layout: str) -> None:
    g = gs.Gemm(n=24, k=40, dtype=dtype, layout=layout)
    g.prepare(range(1, 9))
    assert (g.n, g.k, g.layout, g.device) == (24, 40, layout, "cpu") and layout in repr(g)
    b = random(rng, (24, 40) if layout[1] == "t" else (40, 24), dtype)
    for m in (1, 5, 8, 33):
        a = random(rng, (40, m) if layout[0] == "t" else (m, 40), dtype)
        out = poisoned((m, 24), dtype)
        assert g(a, b, out=out) is out
        check_product(out, a.T if layout[0] == "t" else a, b.T if layout[1] == "t" else b)
        assert np.array_equal(g(a, b), out)


def test_what_is_prepared_needs_no_kernel_more(rng: Any) -> None:
    g = gs.Gemm(n=56, k=72)
    g.prepare(m=range(1, 65))
    before = len(gs.kernels())
    b = random(rng, (72, 56), F32)
    for m in range(1, 65):
        g(random(rng, (m, 72), F32), b)
    assert len(gs.kernels()) == before


STACKS = [
    ((3, 4, 5), (3, 5, 6)), ((3, 4, 5), (5, 6)), ((4, 5), (3, 5, 6)), ((1, 4, 5), (3, 5, 6)), ((3, 4, 5), (1, 5, 6)),
    ((2, 3, 4, 5), (2, 3, 5, 6)), ((2, 1, 4, 5), (3, 5, 6)), ((2, 3, 4, 5), (5, 6)), ((2, 1, 3, 4, 5), (7, 1, 5, 6)),
    ((0, 4, 5), (0, 5, 6)), ((2, 0, 4, 5), (5, 6)), ((5,), (5, 6)), ((4, 5), (5,)), ((5,), (5,)), ((3, 4, 5), (5,)),
    ((5,), (3, 5, 6)), ((1, 1, 4, 5), (1, 1, 5, 6)),
]


@pytest.mark.parametrize("a_shape, b_shape", STACKS, ids=str)
@pytest.mark.parametrize("dtype", [F32, F64, S8], ids=str)
def test_stacks_and_vectors_are_broadcast_as_by_matmul(rng: Any, dtype: Any, a_shape: Any, b_shape: Any) -> None:
    a, b = random(rng, a_shape, dtype), random(rng, b_shape, dtype)
    c = gs.gemm(a, b)
    expected = np.matmul(wide(a), wide(b))
    assert c.shape == expected.shape
    check(c, expected, np.matmul(abs(wide(a)), abs(wide(b))), 5, {F32: F32, F64: F64, S8: S32}[dtype])
    if c.shape:
        out = poisoned(c.shape, c.dtype)
        assert gs.gemm(a, b, out=out) is out and np.array_equal(out, c)


def test_stacks_of_any_strides(rng: Any) -> None:
    a = random(rng, (4, 3, 2, 6, 5), F32).transpose(2, 0, 1, 3, 4)
    b = random(rng, (3, 4, 7, 5), F32).transpose(1, 0, 3, 2)
    out = poisoned((4, 2, 3, 6, 9), F32).transpose(1, 0, 2, 3, 4)[..., 1:8]
    check_product(gs.gemm(a, b, out=out), a, b)
    residual = random(rng, out.shape, F32)
    check(gs.gemm(a, b, residual=residual, epilogue="residual"), wide(a) @ wide(b) + residual,
          abs(wide(a)) @ abs(wide(b)) + abs(residual), 5)


def test_memory_of_ctypes_and_buffers_is_read_as_it_lies(rng: Any) -> None:
    a, b = random(rng, (4, 6), F32), random(rng, (6, 5), F32)
    x = (ctypes.c_float * 6 * 4).from_buffer_copy(a)
    c = gs.gemm(x, memoryview(b).toreadonly())
    assert isinstance(c, memoryview) and np.array_equal(c, gs.gemm(a, b))
    out = (ctypes.c_float * 5 * 4)()
    assert gs.gemm(x, b, out=out) is out and np.array_equal(out, c)


@pytest.mark.parametrize("m, n, k", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
@pytest.mark.parametrize("dtype", [F32, F64, S8], ids=str)
def test_empty_matrices_are_legal(m: int, n: int, k: int, dtype: Any) -> None:
    c = gs.gemm(np.ones((m, k), dtype), np.ones((k, n), dtype))
    assert c.shape == (m, n) and not c.any()
    out = poisoned((m, n), c.dtype)
    gs.gemm(np.ones((m, k), dtype), np.ones((k, n), dtype), out=out)
    assert not out.any()


@pytest.mark.parametrize("dtype", [F32, F64, *([BF16] if BF16 is not None else [])], ids=str)
@pytest.mark.parametrize("alpha, beta", [(2.0, None), (1, 1), (0.5, -2.0), (1.0, 0.0)])
def test_alpha_and_beta(rng: Any, dtype: Any, alpha: Any, beta: Any) -> None:
    a, b, c = (random(rng, shape, dtype) for shape in ((9, 20), (20, 13), (9, 13)))
    result = gs.gemm(a, b, c=c, alpha=alpha, beta=beta)
    factor = 1 if beta is None else beta
    magnitude = abs(alpha) * (abs(wide(a)) @ abs(wide(b))) + abs(factor) * abs(wide(c))
    check(result, alpha * (wide(a) @ wide(b)) + factor * wide(c), magnitude, 20, F64 if dtype == F64 else F32)
    if beta:
        into = c.copy()
        assert np.array_equal(gs.gemm(a, b, out=into, alpha=alpha, beta=beta), result)
        assert np.array_equal(gs.gemm(a, b, out=c, c=c, alpha=np.float64(alpha), beta=np.array([beta], "f8")), result)


def gelu(x: Any) -> Any:
    from math import erf

    return x / 2 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


EPILOGUES = {
    "bias": lambda x, e: x + e["bias"], "bias+relu": lambda x, e: np.maximum(x + e["bias"], 0),
    "bias+gelu": lambda x, e: gelu(x + e["bias"]), "bias_m": lambda x, e: x + e["bias_m"][:, None],
    "residual": lambda x, e: x + e["residual"], "scale_row": lambda x, e: x * e["scale_row"][:, None],
    "scale_column": lambda x, e: x * e["scale_column"], "bias+silu": lambda x, e: (x + e["bias"]) / (1 + np.exp(-x - e["bias"])),
    "scale": lambda x, e: x * e["scalar"],
}


@pytest.mark.parametrize("name", EPILOGUES)
@pytest.mark.parametrize("m, n", [(8, 16), (5, 33)])
def test_epilogues_read_what_is_given(rng: Any, name: str, m: int, n: int) -> None:
    k = 12
    a, b = random(rng, (m, k), F32), random(rng, (k, n), F32)
    given: dict[str, Any] = {
        "bias": random(rng, (n,), F32), "bias_m": random(rng, (m,), F32), "residual": random(rng, (m, n), F32),
        "scale_row": random(rng, (m,), F32), "scale_column": random(rng, (n,), F32), "scalar": 0.75,
    }
    names = {"scalar"} if name == "scale" else set(name.split("+"))
    used = {key: value for key, value in given.items() if key in names}
    expected = EPILOGUES[name](wide(a) @ wide(b), given)
    for epilogue in (name, gs.Epilogue(name)):
        np.testing.assert_allclose(gs.gemm(a, b, epilogue=epilogue, **used), expected, atol=2e-5)
    np.testing.assert_allclose(gs.Gemm(n, k, epilogue=name)(a, b, **used), expected, atol=2e-5)


def test_a_bias_alone_is_added(rng: Any) -> None:
    a, b, bias = random(rng, (3, 4), F32), random(rng, (4, 5), F32), random(rng, (5,), F32)
    np.testing.assert_allclose(gs.gemm(a, b, bias=bias), a @ b + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["f32", "float32", np.float32, np.dtype("f4"), "f16", np.float16])
def test_the_dtype_of_the_result_has_many_names(rng: Any, dtype: Any) -> None:
    a, b = random(rng, (6, 8), F16), random(rng, (8, 7), F16)
    c = gs.gemm(a, b, dtype=dtype)
    assert c.dtype == (F16 if "16" in str(dtype) else F32)
    check_product(c, a, b)


def test_epilogues_and_problems_are_values() -> None:
    assert gs.Epilogue("bias+gelu") == gs.Epilogue("bias+gelu") != gs.Epilogue("gelu")
    assert gs.Problem(1, 2, 3) == gs.Problem(1, 2, 3, "f32") != gs.Problem(1, 2, 4)
    assert len({gs.Problem(1, 2, 3), gs.Problem(1, 2, 3), gs.Epilogue("gelu"), gs.Epilogue("gelu")}) == 2
    assert "bf16" in repr(gs.Problem(16, 32, 64, "bf16", "nt"))
