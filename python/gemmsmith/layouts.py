"""Layouts of operands and scales: casts to 8-bit floats, scales for bulk copies, groups padded to whole tiles.

On the device of the arrays; what is not given is made by the library that made the input. docs/layouts.md has the
definitions. All raise InvalidArgument for other dtypes, shapes and strides than they say, before anything is written.
"""

from __future__ import annotations

from typing import Any

from . import _core

__all__ = [
    "align", "ceil_div", "get_k_alignment_for_contiguous_layout", "get_m_alignment_for_contiguous_layout",
    "get_mn_major_tma_aligned_packed_ue8m0_tensor", "get_mn_major_tma_aligned_tensor", "get_tma_aligned_size",
    "pad_groups", "padded_rows", "per_block_cast_to_fp8", "per_channel_cast_to_fp8", "per_token_cast_to_fp8",
    "unpad_groups",
]  # fmt: skip


def ceil_div(x: int, y: int) -> int:
    """x / y, rounded up."""
    return -(-x // y)


def align(x: int, alignment: int) -> int:
    """The next multiple of `alignment`."""
    return ceil_div(x, alignment) * alignment


def get_tma_aligned_size(elements: int, dtype: Any) -> int:
    """The least stride, in elements, that a line of `elements` can have for bulk copies: a multiple of 16 bytes."""
    return _core.tma_aligned_size(elements, dtype)


def get_m_alignment_for_contiguous_layout() -> int:
    """Of rows of groups that share a launch: 128."""
    return _core.M_ALIGNMENT


def get_k_alignment_for_contiguous_layout() -> int:
    """Of groups along k: 128."""
    return _core.K_ALIGNMENT


def per_token_cast_to_fp8(
    x: Any, out: Any = None, scales: Any = None, *, dtype: Any = "e4m3", use_ue8m0: bool = False,
    least_amax: float = 1e-4, stream: Any = None,
) -> tuple[Any, Any]:
    """x (m, k), or a stack of such, as 8-bit floats and f32 scales (m, k / 128), one for 1 x 128 elements.

    scale = max(amax, least_amax) / the dtype's largest number, out = x * (1 / scale). `use_ue8m0` rounds scales up to
    powers of two; s32 `scales` (m, k / 512) that are given get four such exponents in each. `out` says the dtype.
    """
    return _core.cast_to_fp8("token", x, out, scales, dtype, use_ue8m0, least_amax, stream)


def per_block_cast_to_fp8(
    x: Any, out: Any = None, scales: Any = None, *, dtype: Any = "e4m3", use_ue8m0: bool = False,
    least_amax: float = 1e-4, stream: Any = None,
) -> tuple[Any, Any]:
    """The same with one scale for 128 x 128 elements, (m / 128, k / 128): of weights."""
    return _core.cast_to_fp8("block", x, out, scales, dtype, use_ue8m0, least_amax, stream)


def per_channel_cast_to_fp8(
    x: Any, out: Any = None, scales: Any = None, *, dtype: Any = "e4m3", use_ue8m0: bool = False,
    least_amax: float = 1e-4, stream: Any = None,
) -> tuple[Any, Any]:
    """The same with one f32 scale for 128 x 1 elements, (m / 128, k): of products along m."""
    return _core.cast_to_fp8("channel", x, out, scales, dtype, use_ue8m0, least_amax, stream)


def get_mn_major_tma_aligned_tensor(
    scales: Any, out: Any = None, *, gran_mn: int = 1, mn: int = 0, stream: Any = None
) -> Any:
    """A copy of f32 scales (rows, steps), or a stack of such, with rows next to each other and a stride for bulk copies.

    gran_mn  each of `scales` stands for so many rows: there are `mn` of them, or gran_mn for each row of `scales`.
    out      of any strides.
    """
    return _core.mn_major_scales(scales, out, gran_mn, mn, False, stream)


def get_mn_major_tma_aligned_packed_ue8m0_tensor(
    scales: Any, out: Any = None, *, gran_mn: int = 1, mn: int = 0, stream: Any = None
) -> Any:
    """The same, rounded up to powers of two and packed: s32 (rows, steps / 4), a byte for each exponent."""
    return _core.mn_major_scales(scales, out, gran_mn, mn, True, stream)


def padded_rows(rows: int, groups: int, alignment: int = 128) -> int:
    """Rows that pad_groups must have room for, whatever the groups' sizes."""
    return _core.padded_rows(rows, groups, alignment)


def pad_groups(
    rows: Any, counts: Any, out: Any = None, *, indices: Any = None, ends: Any = None, alignment: int = 128,
    stream: Any = None,
) -> tuple[Any, Any, Any]:
    """Copies rows (m, n) in groups, one after the other, to where each group begins at a multiple of `alignment`.

    counts   s32 (groups), on the device: how many rows each group has. No call waits for it.
    out      (at least padded_rows(m, groups), n). Rows of padding become 0.
    indices  s32 (rows of out): the group of each row, -1 of padding. It is grouped_gemm's `index`.
    ends     s32 (groups): where each group's own rows end in `out`.

    Returns out, indices and ends.
    """
    return _core.pad_groups(rows, counts, out, indices, ends, alignment, stream)


def unpad_groups(padded: Any, counts: Any, out: Any, *, alignment: int = 128, stream: Any = None) -> Any:
    """The way back: copies the groups' own rows to `out` (m, n). Rows that are in no group stay as they are."""
    return _core.unpad_groups(padded, counts, out, alignment, stream)
