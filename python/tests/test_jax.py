"""JAX's arrays, on the CPU."""

from __future__ import annotations

from typing import Any

import gemmsmith as gs
import numpy as np
import pytest
from arrays import check_product

jax = pytest.importorskip("jax", reason="jax is not installed")


def operands(rng: np.random.Generator, dtype: str) -> tuple[Any, Any]:
    low, high = (0, 100) if dtype == "uint8" else (-100, 100) if dtype == "int8" else (-1, 1)
    return tuple(jax.numpy.asarray(rng.uniform(low, high, shape)).astype(dtype) for shape in ((9, 20), (20, 13)))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "uint8"])
def test_arrays_in_arrays_out(rng: np.random.Generator, dtype: str) -> None:
    a, b = operands(rng, dtype)
    for c in (gs.gemm(a, b), gs.Gemm(13, 20, (dtype, dtype, "int32" if "int" in dtype else dtype))(a, b)):
        assert isinstance(c, jax.Array) and c.dtype == ("int32" if "int" in dtype else dtype)
        check_product(np.asarray(c), np.asarray(a), np.asarray(b))


def test_the_first_operand_says_whose_the_result_is(rng: np.random.Generator) -> None:
    a, b = operands(rng, "float32")
    x, y = np.asarray(a), np.asarray(b)
    assert type(gs.gemm(x, b)) is np.ndarray and isinstance(gs.gemm(a, y), jax.Array)
    out = np.full((9, 13), np.nan, "f4")
    assert gs.gemm(a, b, out=out) is out
    check_product(out, x, y)


def test_epilogues_and_scalars_read_its_arrays(rng: np.random.Generator) -> None:
    a, b = operands(rng, "float32")
    bias = jax.numpy.arange(13, dtype="float32")
    c = gs.gemm(a, b, bias=bias, epilogue="bias+relu", alpha=jax.numpy.float32(2))
    np.testing.assert_allclose(c, np.maximum(2 * (np.asarray(a) @ np.asarray(b)) + np.asarray(bias), 0), atol=1e-4)


def test_what_cannot_be_written_or_is_not_there_is_refused() -> None:
    a, b = jax.numpy.ones((4, 6)), jax.numpy.ones((6, 5))
    out = jax.numpy.zeros((4, 5))
    with pytest.raises(gs.InvalidArgument, match="JAX"):
        gs.gemm(a, b, out=out)
    assert not out.any()
    for transform in (jax.jit, jax.vmap, lambda f: jax.grad(lambda x: f(x).sum())):
        with pytest.raises(gs.DTypeError, match="a is a .*Tracer.*pure_callback"):
            transform(lambda x: gs.gemm(x, b))(a)
