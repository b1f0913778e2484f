"""DeepGEMM's names for what gemmsmith does: products into d of 8-bit floats with scales and of bf16, dense and in groups.

An 8-bit operand is a pair of the array and its f32 scales. The letters say how both are stored: for n as (m, k) and
(k, n), for t transposed. So b is (n, k) for nt, with scales (n / 128, k / 128) or (n, k / 128), and (k, n) for nn, with
scales (k / 128, n / 128) or (k / 128, n); a is (m, k) with (m, k / 128). With groups all of b's shapes begin with groups.
Scales may have any strides, and are not cast: those of get_mn_major_tma_aligned_tensor are fine, plain ones too.

Not here, because there are no such kernels: 4-bit floats (fp8_fp4_*), products with scales packed as UE8M0, attention
(mqa_logits, einsum), mega MoE, fp8_gemm_nt_skip_head_mid, tf32_hc_prenorm_gemm, cublaslt_gemm_*. Nor arguments that would
be ignored: recipe, compiled_dims, disable_ue8m0_cast, gran_k, ensure_zero_padding; nor set_tc_util, set_pdl (overlap= of
gemmsmith.gemm) and set_mk_alignment_for_contiguous_layout. What is not listed below is gemmsmith.layouts'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import _core, layouts
from .layouts import (
    align,
    ceil_div,
    get_k_alignment_for_contiguous_layout,
    get_m_alignment_for_contiguous_layout,
    get_mn_major_tma_aligned_packed_ue8m0_tensor,
    get_mn_major_tma_aligned_tensor,
)

__all__ = [
    "align", "bf16_gemm_nn", "bf16_gemm_nt", "bf16_gemm_tn", "bf16_gemm_tt", "ceil_div",
    "fp8_gemm_nn", "fp8_gemm_nt", "fp8_gemm_tn", "fp8_gemm_tt",
    "get_k_alignment_for_contiguous_layout", "get_m_alignment_for_contiguous_layout",
    "get_mk_alignment_for_contiguous_layout", "get_mn_major_tma_aligned_packed_ue8m0_tensor",
    "get_mn_major_tma_aligned_tensor", "get_num_sms", "get_tma_aligned_size",
    "k_grouped_bf16_gemm_tn_contiguous", "k_grouped_fp8_gemm_nt_contiguous", "k_grouped_fp8_gemm_tn_contiguous",
    "m_grouped_bf16_gemm_nn_contiguous", "m_grouped_bf16_gemm_nt_contiguous", "m_grouped_bf16_gemm_nt_masked",
    "m_grouped_fp8_gemm_nn_contiguous", "m_grouped_fp8_gemm_nt_contiguous", "m_grouped_fp8_gemm_nt_masked",
    "per_block_cast_to_fp8", "per_channel_cast_to_fp8", "per_token_cast_to_fp8", "set_num_sms",
]  # fmt: skip

Scaled = tuple[Any, Any]


def _stored(array: Any, letter: str) -> Any:
    """As (m, k) or (k, n), or a stack of such."""
    return array if letter == "n" else array.swapaxes(-1, -2)


def _bf16(layout: str) -> Callable[..., None]:
    a_letter, b_letter = layout[0], layout[1]

    def gemm(a: Any, b: Any, d: Any, c: Any = None) -> None:
        """d = a @ b + c, of bf16; d is bf16 or f32."""
        _core.gemm(_stored(a, a_letter), _stored(b, b_letter), d, c=c)

    gemm.__name__ = gemm.__qualname__ = f"bf16_gemm_{layout}"
    return gemm


def _fp8(layout: str) -> Callable[..., None]:
    a_letter, b_letter = layout[0], layout[1]

    def gemm(a: Scaled, b: Scaled, d: Any, c: Any = None) -> None:
        """d = (a * scales of a) @ (b * scales of b) + c, of e4m3 or e5m2; d is bf16 or f32."""
        (x, scale_a), (y, scale_b) = a, b
        _core.gemm(
            _stored(x, a_letter), _stored(y, b_letter), d, c=c,
            scale_a=_stored(scale_a, a_letter), scale_b=_by_columns(scale_b, b_letter),
        )  # fmt: skip

    gemm.__name__ = gemm.__qualname__ = f"fp8_gemm_{layout}"
    return gemm


bf16_gemm_nn, bf16_gemm_nt, bf16_gemm_tn, bf16_gemm_tt = (_bf16(layout) for layout in ("nn", "nt", "tn", "tt"))
fp8_gemm_nn, fp8_gemm_nt, fp8_gemm_tn, fp8_gemm_tt = (_fp8(layout) for layout in ("nn", "nt", "tn", "tt"))


def _by_columns(scales: Any, letter: str) -> Any:
    """Of b, as gemmsmith takes them: (columns, steps of k)."""
    return _stored(scales, "t" if letter == "n" else "n")


def _owners(grouped_layout: Any, use_psum_layout: bool) -> dict[str, Any]:
    return {"ends" if use_psum_layout else "index": grouped_layout}


def _m_grouped_bf16(letter: str) -> Callable[..., None]:
    def gemm(
        a: Any, b: Any, d: Any, grouped_layout: Any, *, use_psum_layout: bool = False,
        expected_m_for_psum_layout: int | None = None,
    ) -> None:
        """d (m, n) = each row of a (m, k) by the b of its group, of bf16; d is bf16 or f32.

        grouped_layout  the group of each row, -1 for none; with use_psum_layout where each group's rows end. The rows
        between two groups then count as the later one's, and what is in no group stays as it is.
        """
        _core.grouped_gemm(
            a, _stored(b, letter), d, **_owners(grouped_layout, use_psum_layout),
            expected_m=expected_m_for_psum_layout or 0,
        )  # fmt: skip

    gemm.__name__ = gemm.__qualname__ = f"m_grouped_bf16_gemm_n{letter}_contiguous"
    return gemm


def _m_grouped_fp8(letter: str) -> Callable[..., None]:
    def gemm(
        a: Scaled, b: Scaled, d: Any, grouped_layout: Any, *, use_psum_layout: bool = False,
        expected_m_for_psum_layout: int | None = None,
    ) -> None:
        """As m_grouped_bf16_gemm_*_contiguous, of e4m3 or e5m2 with their scales."""
        (x, scale_a), (y, scale_b) = a, b
        _core.grouped_gemm(
            x, _stored(y, letter), d, scale_a=scale_a, scale_b=_by_columns(scale_b, letter),
            **_owners(grouped_layout, use_psum_layout), expected_m=expected_m_for_psum_layout or 0,
        )  # fmt: skip

    gemm.__name__ = gemm.__qualname__ = f"m_grouped_fp8_gemm_n{letter}_contiguous"
    return gemm


m_grouped_bf16_gemm_nn_contiguous, m_grouped_bf16_gemm_nt_contiguous = _m_grouped_bf16("n"), _m_grouped_bf16("t")
m_grouped_fp8_gemm_nn_contiguous, m_grouped_fp8_gemm_nt_contiguous = _m_grouped_fp8("n"), _m_grouped_fp8("t")


def m_grouped_bf16_gemm_nt_masked(a: Any, b: Any, d: Any, masked_m: Any, expected_m: int) -> None:
    """d (groups, m, n) = a (groups, m, k) by b (groups, n, k), the first masked_m rows of each group."""
    _core.grouped_gemm(a, _stored(b, "t"), d, counts=masked_m, expected_m=expected_m)


def m_grouped_fp8_gemm_nt_masked(a: Scaled, b: Scaled, d: Any, masked_m: Any, expected_m: int) -> None:
    """As m_grouped_bf16_gemm_nt_masked, of e4m3 or e5m2; a's scales are (groups, m, k / 128)."""
    (x, scale_a), (y, scale_b) = a, b
    _core.grouped_gemm(
        x, _stored(y, "t"), d, counts=masked_m, scale_a=scale_a, scale_b=scale_b, expected_m=expected_m
    )


def k_grouped_bf16_gemm_tn_contiguous(
    a: Any, b: Any, d: Any, ks_cpu: Sequence[int], grouped_layout: Any, c: Any = None
) -> None:
    """d (groups, m, n) = c + a.T @ b for each group of rows of a (k, m) and b (k, n); d is f32 or bf16.

    grouped_layout  s32 on the device: how many rows each group has, as ks_cpu says on the host.
    """
    if len(ks_cpu) != d.shape[0]:
        _refuse(ks_cpu, d)
    ends = grouped_layout.cumsum(0, dtype=grouped_layout.dtype)
    _core.grouped_gemm(_stored(a, "t"), b, d, ends=ends, c=c)


def _refuse(ks_cpu: Sequence[int], d: Any) -> None:
    from .errors import InvalidArgument

    raise InvalidArgument(f"k-grouped gemm: ks_cpu has {len(ks_cpu)} groups, d is {tuple(d.shape)}")


def _k_grouped_fp8(d: Any, ks_cpu: Sequence[int], c: Any, part: Callable[[int, int], tuple[Any, Any, Any, Any]]) -> None:
    """A product for each group; part(first, k) has its operands, as (m, k) and (k, n), and their scales."""
    if len(ks_cpu) != d.shape[0]:
        _refuse(ks_cpu, d)
    if any(k % 128 for k in ks_cpu):
        from .errors import InvalidArgument

        raise InvalidArgument(f"k-grouped gemm: ks_cpu is {list(ks_cpu)}", "pad each group to a multiple of 128")
    first = 0
    for group, k in enumerate(ks_cpu):
        a, b, scale_a, scale_b = part(first, k)
        of_c = None if c is None else c[group]
        _core.gemm(a, b, d[group], c=of_c, scale_a=scale_a, scale_b=scale_b)
        first += k


def k_grouped_fp8_gemm_tn_contiguous(
    a: Scaled, b: Scaled, d: Any, ks_cpu: Sequence[int], grouped_layout: Any = None, c: Any = None
) -> None:
    """d (groups, m, n) = c + a.T @ b for each group of rows of a (k, m) and b (k, n), with scales (k / 128, m) and
    (k / 128, n): one launch for each group, by ks_cpu, multiples of 128. grouped_layout says the same, and is not read.
    """
    (x, scale_a), (y, scale_b) = a, b

    def part(first: int, k: int) -> tuple[Any, Any, Any, Any]:
        rows, steps = slice(first, first + k), slice(first // 128, (first + k) // 128)
        return _stored(x[rows], "t"), y[rows], _stored(scale_a[steps], "t"), _stored(scale_b[steps], "t")

    _k_grouped_fp8(d, ks_cpu, c, part)


def k_grouped_fp8_gemm_nt_contiguous(
    a: Scaled, b: Scaled, d: Any, ks_cpu: Sequence[int], grouped_layout: Any = None, c: Any = None
) -> None:
    """The same, with a and b of one dimension: group by group a matrix (m, k) or (n, k); scales (m, all k / 128) and
    (n, all k / 128).
    """
    (x, scale_a), (y, scale_b) = a, b
    m, n = d.shape[1], d.shape[2]

    def part(first: int, k: int) -> tuple[Any, Any, Any, Any]:
        steps = slice(first // 128, (first + k) // 128)
        matrices = [flat[first * rows : (first + k) * rows].reshape(rows, k) for flat, rows in ((x, m), (y, n))]
        return matrices[0], _stored(matrices[1], "t"), scale_a[:, steps], scale_b[:, steps]

    _k_grouped_fp8(d, ks_cpu, c, part)


def per_token_cast_to_fp8(x: Any, use_ue8m0: bool) -> Scaled:
    """x (m, k) as e4m3, and scales (m, k / 128)."""
    return layouts.per_token_cast_to_fp8(x, use_ue8m0=use_ue8m0)


def per_block_cast_to_fp8(x: Any, use_ue8m0: bool) -> Scaled:
    """x (n, k) as e4m3, and scales (n / 128, k / 128)."""
    return layouts.per_block_cast_to_fp8(x, use_ue8m0=use_ue8m0)


def per_channel_cast_to_fp8(x: Any, use_ue8m0: bool) -> Scaled:
    """x (k, m) as e4m3, and scales (k / 128, m)."""
    return layouts.per_channel_cast_to_fp8(x, use_ue8m0=use_ue8m0)


def get_tma_aligned_size(x: int, element_size: int) -> int:
    """The next multiple of 16 bytes, in elements of `element_size` bytes."""
    return align(x, 16 // element_size)


#: Both in one name, as newer versions have it.
get_mk_alignment_for_contiguous_layout = get_m_alignment_for_contiguous_layout


def set_num_sms(num_sms: int) -> None:
    """How many SMs of the first GPU products may fill; 0: all."""
    gpus = [row["multiprocessors"] for row in _core.devices() if row["device"].startswith("cuda:")]
    _core.set_num_sms(num_sms or max(gpus[:1], default=1))


def get_num_sms() -> int:
    """As set; all where none was."""
    return _core.get_num_sms()
