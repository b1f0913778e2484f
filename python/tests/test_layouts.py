"""Casts, scales and padded groups against their definitions, and against what products make of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gemmsmith as gs
import numpy as np
import pytest
from arrays import BF16, E4M3, E5M2, F16, F32, S32, check_refused, poisoned, random
from gemmsmith import layouts

pytestmark = pytest.mark.skipif(E4M3 is None, reason="ml_dtypes is not installed")
CASTS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "token": (layouts.per_token_cast_to_fp8, 1, 128),
    "block": (layouts.per_block_cast_to_fp8, 128, 128),
    "channel": (layouts.per_channel_cast_to_fp8, 128, 1),
}


def spread(scales: Any, rows: int, columns: int, shape: Any) -> Any:
    """One for each element."""
    return scales.repeat(rows, -2).repeat(columns, -1)[..., : shape[-2], : shape[-1]]


def reference(x: Any, rows: int, columns: int, dtype: Any, powers: bool, least: float) -> tuple[Any, Any]:
    """scale = max(amax, least) / most, and x * (1 / scale) in f32."""
    padded = np.zeros((*x.shape[:-2], -x.shape[-2] // rows * -rows, -x.shape[-1] // columns * -columns), F32)
    padded[..., : x.shape[-2], : x.shape[-1]] = abs(x.astype(F32))
    blocks = padded.reshape(*x.shape[:-2], padded.shape[-2] // rows, rows, padded.shape[-1] // columns, columns)
    scales = np.maximum(blocks.max((-3, -1)), F32.type(least)) / F32.type(448 if dtype == E4M3 else 57344)
    if powers:
        scales = np.exp2(np.ceil(np.log2(scales.astype("f8")))).astype(F32)
    return (x.astype(F32) * (F32.type(1) / spread(scales, rows, columns, x.shape))).astype(dtype), scales


@pytest.mark.parametrize("powers, least", [(False, 1e-4), (True, 1e-4), (False, 2.0)])
@pytest.mark.parametrize("to", [E4M3, E5M2], ids=str)
@pytest.mark.parametrize("shape", [(256, 384), (3, 130, 200), (1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=str)
@pytest.mark.parametrize("name", CASTS)
def test_casts_are_as_defined(rng: Any, name: str, dtype: Any, shape: Any, to: Any, powers: bool, least: float) -> None:
    cast, rows, columns = CASTS[name]
    x = random(rng, shape, dtype)
    expected, factors = reference(x, rows, columns, to, powers, least)
    out, scales = cast(x, dtype=to, use_ue8m0=powers, least_amax=least)
    assert out.dtype == to and out.shape == shape and scales.dtype == F32
    np.testing.assert_array_equal(scales, factors)
    np.testing.assert_array_equal(out.astype(F32), expected.astype(F32))
    given = poisoned(factors.swapaxes(-1, -2).shape, F32).swapaxes(-1, -2)
    again = cast(x, np.empty(shape, to), given, use_ue8m0=powers, least_amax=least)
    assert again[1] is given and again[0].dtype == to, "out says the dtype"
    np.testing.assert_array_equal(given, factors)


@pytest.mark.parametrize("shape", [(5, 3), (128, 4), (2, 6, 9)], ids=str)
@pytest.mark.parametrize("gran_mn", [1, 128])
def test_scales_become_mn_major(rng: Any, shape: Any, gran_mn: int) -> None:
    scales = abs(random(rng, shape, F32)) + F32.type(0.01)
    wanted = scales.repeat(gran_mn, -2)
    for mn in (0, wanted.shape[-2] - gran_mn + 1):
        rows = mn or wanted.shape[-2]
        made = layouts.get_mn_major_tma_aligned_tensor(scales, gran_mn=gran_mn, mn=mn)
        np.testing.assert_array_equal(made, wanted[..., :rows, :])
        assert made.strides[-2] == 4 and made.strides[-1] == 4 * layouts.get_tma_aligned_size(rows, "f32")
        packed = layouts.get_mn_major_tma_aligned_packed_ue8m0_tensor(scales, gran_mn=gran_mn, mn=mn)
        assert packed.dtype == S32 and packed.shape[-1] == layouts.ceil_div(shape[-1], 4) and packed.strides[-2] == 4
        exponents = np.zeros((*packed.shape[:-1], 4 * packed.shape[-1]), "u1")
        exponents[..., : shape[-1]] = np.ceil(np.log2(wanted[..., :rows, :].astype("f8"))) + 127
        np.testing.assert_array_equal(np.ascontiguousarray(packed).view("u1"), exponents)
    out = poisoned(wanted.shape, F32)
    assert layouts.get_mn_major_tma_aligned_tensor(scales, out, gran_mn=gran_mn) is out
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("alignment", [1, 16, 128])
@pytest.mark.parametrize("dtype", [F32, BF16, E4M3], ids=str)
def test_padded_groups_are_what_products_take(rng: Any, dtype: Any, alignment: int) -> None:
    counts = np.array([int(rng.integers(1, 60)), 0, int(rng.integers(1, 60))], S32)
    total = int(counts.sum())
    x = random(rng, (total + 2, 24), dtype)  # two rows of no group
    out, indices, ends = layouts.pad_groups(x, counts, alignment=alignment)
    assert out.dtype == dtype and len(out) == layouts.padded_rows(total + 2, 3, alignment) == len(indices)
    starts = [0, layouts.align(int(counts[0]), alignment), layouts.align(int(counts[0]), alignment)]
    assert [*ends] == [start + count for start, count in zip(starts, counts)]
    own = np.concatenate([np.arange(start, start + count) for start, count in zip(starts, counts)])
    np.testing.assert_array_equal(out[own].astype(F32), x[:total].astype(F32))
    assert not np.delete(out, own, 0).astype(F32).any() and (np.delete(indices, own) == -1).all()
    assert [*indices[own]] == [0] * counts[0] + [2] * counts[2]
    back = np.zeros_like(x)
    assert layouts.unpad_groups(out, counts, back, alignment=alignment) is back
    np.testing.assert_array_equal(back[:total].astype(F32), x[:total].astype(F32))
    assert not back[total:].astype(F32).any()
    given = np.empty_like(out), np.empty_like(indices), np.empty_like(ends)
    made = layouts.pad_groups(x, counts, given[0], indices=given[1], ends=given[2], alignment=alignment)
    assert all(x is y for x, y in zip(made, given)) and np.array_equal(given[1], indices)
    if dtype != E4M3:
        b = random(rng, (3, 24, 8), dtype)
        d = gs.grouped_gemm(out, b, index=indices, dtype="f32")
        np.testing.assert_allclose(d[own], np.concatenate([x[: counts[0]].astype(F32) @ b[0].astype(F32),
                                                           x[counts[0] : total].astype(F32) @ b[2].astype(F32)]), atol=1e-4)


def test_the_arithmetic_of_alignments() -> None:
    assert [layouts.ceil_div(x, 4) for x in (0, 1, 4, 5)] == [0, 1, 1, 2] and layouts.align(130, 128) == 256
    assert layouts.get_tma_aligned_size(5, "f32") == 8 and layouts.get_tma_aligned_size(5, E4M3) == 16
    assert layouts.get_m_alignment_for_contiguous_layout() == 128 == layouts.get_k_alignment_for_contiguous_layout()
    assert layouts.padded_rows(100, 3) == 384 and layouts.padded_rows(100, 3, 1) == 100


def test_casts_pack_scales_where_they_are_asked_for(rng: Any) -> None:
    x = random(rng, (70, 1300), F32)
    out, scales = layouts.per_token_cast_to_fp8(x, use_ue8m0=True)
    packed = np.full((70, 3), -1, S32)
    np.testing.assert_array_equal(layouts.per_token_cast_to_fp8(x, scales=packed)[0].view("u1"), out.view("u1"))
    np.testing.assert_array_equal(packed, layouts.get_mn_major_tma_aligned_packed_ue8m0_tensor(scales))


class Fp8Tensor:
    """What torch's tensors of 8-bit floats are like where torch gives them out by no protocol."""

    __module__ = "torch"

    def __init__(self, array: Any) -> None:
        self.array, self.dtype = array, "torch.float8_e4m3fn"

    def view(self, dtype: str) -> Any:
        return self.array.view(dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("float8 types are not supported by dlpack")


def test_torchs_bytes_are_taken_where_it_gives_out_no_8_bit_floats(rng: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(uint8="u1"))
    x, given = random(rng, (4, 256), F32), np.zeros((8, 256), E4M3)[::2]
    layouts.per_token_cast_to_fp8(x, Fp8Tensor(given), np.zeros((4, 2), F32))
    np.testing.assert_array_equal(given.view("u1"), layouts.per_token_cast_to_fp8(x)[0].view("u1"))
    other = Fp8Tensor(given)
    other.dtype = "torch.complex32"
    with pytest.raises(gs.InvalidArgument, match="float8 types are not supported"):
        layouts.per_token_cast_to_fp8(x, other)


def test_torchs_tensors_become_torchs(rng: Any) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.from_numpy(random(rng, (4, 256), F32))
    out, scales = layouts.per_token_cast_to_fp8(x)
    assert out.dtype == torch.float8_e4m3fn and scales.dtype == torch.float32
    torch.testing.assert_close(out.float() * scales.repeat_interleave(128, 1), x, rtol=0.07, atol=1e-2)
    made = layouts.get_mn_major_tma_aligned_tensor(scales)
    assert made.stride() == (1, 4) and torch.equal(made, scales)


def ones(*shape: int, dtype: Any = F32) -> Any:
    return np.ones(shape, dtype)


V, T = ValueError, TypeError
BAD: dict[str, tuple[type[Exception], list[str], Callable[[], Any]]] = {
    "no matrix": (V, ["x is (5,) f32"], lambda: layouts.per_token_cast_to_fp8(ones(5))),
    "no array": (T, ["x is a int"], lambda: layouts.per_token_cast_to_fp8(5)),
    "a cast of f64": (V, ["x is f64"], lambda: layouts.per_block_cast_to_fp8(ones(4, 4, dtype="f8"))),
    "a cast to f16": (V, ["out is f16"], lambda: layouts.per_token_cast_to_fp8(ones(4, 4), dtype="f16")),
    "an unknown dtype": (T, ["e3m4"], lambda: layouts.per_token_cast_to_fp8(ones(4, 4), dtype="e3m4")),
    "another shape of out": (V, ["(4, 5)", "(4, 4)"],
                             lambda: layouts.per_token_cast_to_fp8(ones(4, 4), np.zeros((4, 5), E4M3))),
    "another shape of scales": (V, ["scales", "(4, 1)"],
                                lambda: layouts.per_token_cast_to_fp8(ones(4, 4), scales=ones(1, 4))),
    "a least_amax of nothing": (V, ["least_amax=0"], lambda: layouts.per_token_cast_to_fp8(ones(4, 4), least_amax=0.0)),
    "columns that lie apart": (V, ["stride"], lambda: layouts.per_token_cast_to_fp8(ones(8, 8)[:, ::2])),
    "scales of one dimension": (V, ["rank 1"], lambda: layouts.get_mn_major_tma_aligned_tensor(ones(4))),
    "scales of f16": (V, ["f16"], lambda: layouts.get_mn_major_tma_aligned_tensor(ones(4, 4, dtype=F16))),
    "rows that scales are not for": (V, ["4 rows of scales", "300 rows"],
                                     lambda: layouts.get_mn_major_tma_aligned_tensor(ones(4, 4), gran_mn=128, mn=300)),
    "counts of floats": (V, ["counts", "s32"], lambda: layouts.pad_groups(ones(4, 4), ones(2))),
    "counts of a matrix": (V, ["counts are (2, 2)"], lambda: layouts.pad_groups(ones(4, 4), ones(2, 2, dtype=S32))),
    "more rows than there are": (V, ["rows"], lambda: layouts.pad_groups(ones(4, 4), np.array([4, 1], S32))),
    "little room": (V, ["at least"], lambda: layouts.pad_groups(ones(4, 4), np.array([4], S32), ones(4, 4))),
    "no room at all": (T, ["out is a NoneType"],
                       lambda: layouts.unpad_groups(ones(128, 4), np.array([4], S32), None)),
    "an alignment of nothing": (V, ["aligned to 0"], lambda: layouts.padded_rows(4, 1, 0)),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_refused(case: str) -> None:
    check_refused(*BAD[case])


def test_what_casts_make_is_multiplied_with_its_scales(nvrtc: None, rng: Any) -> None:
    m, n, k = 64, 128, 256
    a, scale_a = layouts.per_token_cast_to_fp8(random(rng, (m, k), F32))
    b, scale_b = layouts.per_block_cast_to_fp8(random(rng, (n, k), F32))
    g = gs.Gemm(n, k, "e4m3,e4m3,f32", "nt", "emulator:sm_90a")
    d = g(a, b, poisoned((m, n), F32), scale_a=scale_a, scale_b=scale_b)
    x = a.astype("f8") * spread(scale_a, 1, 128, a.shape)
    y = b.astype("f8") * spread(scale_b, 128, 128, b.shape)
    # Sums of 8-bit products on sm_90 keep 13 bits behind the point of the largest.
    assert np.abs(d - x @ y.T).max() <= 2.0**-11 * (np.abs(x) @ np.abs(y).T).max()
