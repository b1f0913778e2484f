"""Random operands of any dtype, and how far a product of them may be off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gemmsmith as gs
import numpy as np
import pytest

try:
    import ml_dtypes

    BF16: Any = np.dtype(ml_dtypes.bfloat16)
    E4M3: Any = np.dtype(ml_dtypes.float8_e4m3fn)
    E5M2: Any = np.dtype(ml_dtypes.float8_e5m2)
except ImportError:
    BF16 = E4M3 = E5M2 = None

F32, F64, F16 = np.dtype("f4"), np.dtype("f8"), np.dtype("f2")
S8, U8, S32 = np.dtype("i1"), np.dtype("u1"), np.dtype("i4")
FLOATS = [F32, F16] + ([BF16] if BF16 is not None else [])
# Of what is added up, and of what is stored.
EPSILON = {F32: 2.0**-23, F64: 2.0**-52, F16: 2.0**-10, S32: 0.0} | ({BF16: 2.0**-7} if BF16 is not None else {})


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    if dtype in (S8, U8):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return rng.uniform(-1, 1, shape).astype(dtype)


def poisoned(shape: tuple[int, ...], dtype: Any) -> Any:
    return np.full(shape, 0x5A5A5A if dtype == S32 else np.nan, dtype=dtype)


def wide(array: Any) -> Any:
    return array.astype(np.float64)


def check(result: Any, expected: Any, magnitude: Any, k: int, accumulator: Any = F32) -> None:
    """|result - expected| is at most the error of k sums in the accumulator and of one rounding to the result."""
    assert result.shape == expected.shape
    bound = (k + 4) * EPSILON[accumulator] * magnitude + EPSILON[np.dtype(result.dtype)] * np.abs(expected)
    error = np.abs(wide(result) - expected)
    worst = np.max(error - bound, initial=-np.inf)
    assert np.all(error <= bound + 1e-30), f"beyond the bound by {worst}"


def check_product(result: Any, a: Any, b: Any) -> None:
    x, y = wide(a), wide(b)
    accumulator = F64 if a.dtype == F64 else S32 if a.dtype in (S8, U8) else F32
    check(result, np.matmul(x, y), np.matmul(np.abs(x), np.abs(y)), a.shape[-1], accumulator)


def check_refused(kind: type[Exception], words: list[str], call: Callable[[], Any]) -> None:
    """It raises this kind, and says all of `words`."""
    with pytest.raises(kind) as raised:
        call()
    for word in words:
        assert word in str(raised.value)


__all__ = ["BF16", "E4M3", "E5M2", "EPSILON", "F16", "F32", "F64", "FLOATS", "S32", "S8", "U8", "check", "check_product",
           "check_refused", "gs",
           "poisoned", "random", "wide"]
