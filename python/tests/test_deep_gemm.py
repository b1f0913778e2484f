"""DeepGEMM's names, every one. There are no kernels of e4m3 for the CPU: what those names ask for is computed in f32."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gemmsmith as gs
import numpy as np
import pytest
from arrays import BF16, E4M3, F32, S32, check, poisoned, random, wide
from gemmsmith import _core, deep_gemm, layouts

pytestmark = pytest.mark.skipif(BF16 is None, reason="ml_dtypes is not installed")
M, N, K, GROUPS = 136, 256, 384, 3


def plain(x: Any, scales: Any, columns: bool = False) -> Any:
    """x (..., rows, k) times its scales, (..., rows, k / 128) or for b (..., rows / 128, k / 128), in f32."""
    rows = 128 if columns and scales.shape[-2] != x.shape[-2] else 1
    factors = scales.repeat(rows, -2).repeat(128, -1)[..., : x.shape[-2], : x.shape[-1]]
    assert factors.shape == x.shape, (factors.shape, x.shape)
    return x.astype(F32) * factors


@pytest.fixture
def in_f32(monkeypatch: Any) -> None:
    """Calls with scales multiply by them first; the library checks the shapes of the scales before it refuses e4m3."""

    def scaled(name: str) -> Callable[..., Any]:
        def call(a: Any, b: Any, out: Any, **given: Any) -> Any:
            if "scale_a" in given:
                with pytest.raises(gs.Unsupported, match="e4m3"):
                    getattr(_core, name)(a, b, out, **given)
                a = plain(a, given.pop("scale_a"))
                b = plain(b.swapaxes(-1, -2), given.pop("scale_b"), columns=True).swapaxes(-1, -2)
            return getattr(_core, name)(a, b, out, **given)

        return call

    monkeypatch.setattr(deep_gemm, "_core", SimpleNamespace(gemm=scaled("gemm"), grouped_gemm=scaled("grouped_gemm")))


class Operand:
    """Rows of k elements, bf16 or e4m3 with scales; `stored` as a letter says, with its scales beside it."""

    def __init__(self, rng: Any, shape: tuple[int, ...], fp8: bool, blocks: bool = False) -> None:
        x = random(rng, shape, BF16)
        self.fp8 = fp8
        if fp8:
            cast = layouts.per_block_cast_to_fp8 if blocks else layouts.per_token_cast_to_fp8
            self.array, self.scales = cast(x)
            self.wide = wide(plain(self.array, self.scales, columns=blocks))
        else:
            self.array, self.wide = x, wide(x)

    def stored(self, transposed: bool) -> Any:
        arrays = (self.array, self.scales) if self.fp8 else (self.array,)
        arrays = tuple(np.ascontiguousarray(x.swapaxes(-1, -2)) if transposed else x for x in arrays)
        return arrays if self.fp8 else arrays[0]


def close(result: Any, pairs: Any, added: Any = 0.0) -> None:
    """The sum of x @ y.T over pairs of what `wide` has, and of `added`."""
    total = sum(x @ y.swapaxes(-1, -2) for x, y in pairs) + added
    check(result, total, sum(abs(x) @ abs(y.swapaxes(-1, -2)) for x, y in pairs) + abs(added), K)


def dense(name: str, rng: Any) -> None:
    fp8, layout = name.startswith("fp8"), name[-2:]
    for blocks in (False, True):
        a, b = Operand(rng, (M, K), fp8), Operand(rng, (N, K), fp8, blocks)
        d, c = poisoned((M, N), F32), random(rng, (M, N), F32)
        call = getattr(deep_gemm, name)
        stored = a.stored(layout[0] == "t"), b.stored(layout[1] == "n")
        call(*stored, d)
        close(d, [(a.wide, b.wide)])
        call(*stored, d, c)
        close(d, [(a.wide, b.wide)], wide(c))


def contiguous(name: str, rng: Any) -> None:
    fp8, transposed = "fp8" in name, "_nn_" in name
    sizes = [100, 0, 128]
    a, b = Operand(rng, (256, K), fp8), Operand(rng, (GROUPS, N, K), fp8, blocks=True)
    index, ends = np.full(256, -1, S32), np.array([100, 100, 256], S32)  # as pad_groups makes them
    index[:100], index[128:] = 0, 2
    for say, given in ((index, {}), (ends, {"use_psum_layout": True, "expected_m_for_psum_layout": 90})):
        d = poisoned((256, N), BF16)
        getattr(deep_gemm, name)(a.stored(False), b.stored(transposed), d, say, **given)
        for group, start in ((0, 0), (2, 128)):
            rows = slice(start, start + sizes[group])
            close(d[rows], [(a.wide[rows], b.wide[group])])
        assert bool(given) != bool(np.isnan(d[100:128].astype(F32)).all())


def masked(name: str, rng: Any) -> None:
    fp8 = "fp8" in name
    a, b = Operand(rng, (GROUPS, M, K), fp8), Operand(rng, (GROUPS, N, K), fp8, blocks=True)
    d, counts = poisoned((GROUPS, M, N), BF16), np.array([5, 0, M], S32)
    getattr(deep_gemm, name)(a.stored(False), b.stored(False), d, counts, 40)
    for group, count in enumerate(counts):
        close(d[group, :count], [(a.wide[group, :count], b.wide[group])])
        assert np.isnan(d[group, count:].astype(F32)).all()


def along_k(name: str, rng: Any) -> None:
    fp8, flat = "fp8" in name, "_nt_" in name
    ks = [128, 0, 256]
    a, b = Operand(rng, (M, K), fp8), Operand(rng, (N, K), fp8)
    c = random(rng, (GROUPS, M, N), F32)
    cuts = [slice(sum(ks[:group]), sum(ks[: group + 1])) for group in range(GROUPS)]

    def in_pieces(x: Operand) -> Any:  # each group's matrix after the other
        return np.concatenate([x.array[:, cut].reshape(-1) for cut in cuts]), x.scales

    stored = (in_pieces(a), in_pieces(b)) if flat else (a.stored(True), b.stored(True))
    for given in (None, c):
        d = poisoned((GROUPS, M, N), F32)
        getattr(deep_gemm, name)(*stored, d, ks, np.array(ks, S32), given)
        for group, cut in enumerate(cuts):
            close(d[group], [(a.wide[:, cut], b.wide[:, cut])], 0.0 if given is None else wide(c[group]))
    with pytest.raises(gs.InvalidArgument, match="2 groups"):
        getattr(deep_gemm, name)(*stored, d, ks[:2], np.array(ks[:2], S32))
    if fp8:
        with pytest.raises(gs.InvalidArgument, match="multiple of 128"):
            getattr(deep_gemm, name)(*stored, d, [100, 28, 256], None)


def cast(name: str, rng: Any) -> None:
    x = random(rng, (130, 200), BF16)
    for made, same in zip(getattr(deep_gemm, name)(x, True), getattr(layouts, name)(x, use_ue8m0=True)):
        np.testing.assert_array_equal(made.astype(F32), same.astype(F32))


def of_layouts(name: str, rng: Any) -> None:
    assert getattr(deep_gemm, name) is getattr(layouts, name)


def number(name: str, rng: Any) -> None:
    assert deep_gemm.get_mk_alignment_for_contiguous_layout() == 128
    assert [deep_gemm.get_tma_aligned_size(5, size) for size in (1, 2, 4)] == [16, 8, 8]


CASES: dict[str, Callable[[str, Any], None]] = {
    **{f"{kind}_gemm_{layout}": dense for kind in ("bf16", "fp8") for layout in ("nn", "nt", "tn", "tt")},
    **{f"m_grouped_{kind}_gemm_{layout}_contiguous": contiguous for kind in ("bf16", "fp8") for layout in ("nn", "nt")},
    **{f"m_grouped_{kind}_gemm_nt_masked": masked for kind in ("bf16", "fp8")},
    **{f"k_grouped_{kind}_contiguous": along_k for kind in ("bf16_gemm_tn", "fp8_gemm_tn", "fp8_gemm_nt")},
    **{f"per_{kind}_cast_to_fp8": cast for kind in ("token", "block", "channel")},
    **dict.fromkeys(
        ["align", "ceil_div", "get_k_alignment_for_contiguous_layout", "get_m_alignment_for_contiguous_layout",
         "get_mn_major_tma_aligned_packed_ue8m0_tensor", "get_mn_major_tma_aligned_tensor"], of_layouts),
    **dict.fromkeys(["get_mk_alignment_for_contiguous_layout", "get_tma_aligned_size"], number),
}


@pytest.mark.parametrize("name", CASES)
def test_a_name_does_what_deep_gemms_does(rng: Any, in_f32: None, name: str) -> None:
    CASES[name](name, rng)


def test_the_number_of_sms_is_that_of_the_first_gpu(monkeypatch: Any) -> None:
    devices = [{"device": "cpu", "multiprocessors": 4}, {"device": "cuda:0", "multiprocessors": 132}]
    limits: list[int] = []
    monkeypatch.setattr(deep_gemm, "_core", SimpleNamespace(
        devices=lambda: devices, set_num_sms=limits.append, get_num_sms=lambda: limits[-1]))
    for given, wanted in ((100, 100), (0, 132)):
        deep_gemm.set_num_sms(given)
        assert deep_gemm.get_num_sms() == wanted
    monkeypatch.undo()
    if not any(row["device"].startswith("cuda:") for row in gs.devices()):
        for given in (0, 10):
            with pytest.raises(gs.Unsupported, match="no SMs"):
                deep_gemm.set_num_sms(given)


def test_no_name_is_left_out() -> None:
    assert {*CASES, "set_num_sms", "get_num_sms"} == set(deep_gemm.__all__)
    assert all(getattr(deep_gemm, name).__name__ == name for name in CASES if name != "get_mk_alignment_for_contiguous_layout")
