"""Laws over any shapes, strides and dtypes."""

from __future__ import annotations

from typing import Any

import gemmsmith as gs
import numpy as np
from arrays import F16, F32, F64, FLOATS, S8, U8, check_product, poisoned, random
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
SIZE = st.integers(0, 40)


@st.composite
def matrices(draw: Any, rows: int, columns: int, dtype: Any, rng: Any) -> Any:
    """A view of a larger array: any offset, pitch and order that a kernel takes."""
    before, after, extra = draw(st.integers(0, 3)), draw(st.integers(0, 3)), draw(st.integers(0, 2))
    transposed = draw(st.booleans())
    shape = (columns, rows) if transposed else (rows, columns)
    whole = random(rng, (shape[0] + extra, shape[1] + before + after), dtype)
    part = whole[extra:, before : before + shape[1]]
    return part.T if transposed else part


@SETTINGS
@given(data=st.data())
def test_any_views_of_any_dtypes_make_the_product(data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    m, n, k = (data.draw(SIZE) for _ in range(3))
    types = data.draw(st.sampled_from([(x, y) for x in FLOATS for y in FLOATS] + [(F64, F64), (S8, U8), (U8, U8)]))
    a, b = data.draw(matrices(m, k, types[0], rng)), data.draw(matrices(k, n, types[1], rng))
    c = gs.gemm(a, b)
    check_product(c, a, b)
    whole = poisoned((m + 2, n + 3), c.dtype)
    out = whole[1 : m + 1, 2 : n + 2]
    gs.gemm(a, b, out=out)
    check_product(out, a, b)
    whole[1 : m + 1, 2 : n + 2] = poisoned((m, n), c.dtype)
    assert np.array_equal(whole, poisoned(whole.shape, c.dtype), equal_nan=c.dtype != np.dtype("i4")), "wrote elsewhere"


@SETTINGS
@given(data=st.data())
def test_any_broadcast_is_matmuls(data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    batch = data.draw(st.lists(st.integers(0, 3), max_size=3))
    shapes = []
    for rows, columns in ((3, 5), (5, 4)):
        own = [extent if data.draw(st.booleans()) else 1 for extent in batch]
        own = own[data.draw(st.integers(0, len(own))) :]
        shapes.append((*own, rows, columns))
    a, b = (random(rng, shape, F32) for shape in shapes)
    check_product(gs.gemm(a, b), a, b)


@SETTINGS
@given(m=SIZE, n=SIZE, k=SIZE, dtype=st.sampled_from([F32, F64, F16, S8]), seed=st.integers(0, 2**32 - 1))
def test_a_gemm_and_its_transpose_agree(m: int, n: int, k: int, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = random(rng, (m, k), dtype), random(rng, (k, n), dtype)
    np.testing.assert_allclose(
        gs.gemm(a, b).astype("f8"), gs.gemm(b.T, a.T).T.astype("f8"), rtol=2e-3 if dtype == F16 else 1e-5, atol=1e-3
    )
