"""DeepGEMM's names for what gemmsmith does: dense products into d, of 8-bit floats with scales, and of bf16.

An 8-bit operand is a pair of the array and its f32 scales: a's (m, k / 128); b's (n / 128, k / 128), or (n, k / 128).
The letters say how a and b are stored: n as (m, k) and (k, n), t transposed; b is given as it is stored, (n, k) for nt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _core

__all__ = [
    "bf16_gemm_nn", "bf16_gemm_nt", "bf16_gemm_tn", "bf16_gemm_tt",
    "fp8_gemm_nn", "fp8_gemm_nt", "fp8_gemm_tn", "fp8_gemm_tt",
]  # fmt: skip

Scaled = tuple[Any, Any]


def _stored(array: Any, letter: str) -> Any:
    """As (m, k) or (k, n)."""
    if letter == "n":
        return array
    return array.t() if type(array).__module__.partition(".")[0] == "torch" else array.T


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
        _core.gemm(_stored(x, a_letter), _stored(y, b_letter), d, c=c, scale_a=scale_a, scale_b=scale_b)

    gemm.__name__ = gemm.__qualname__ = f"fp8_gemm_{layout}"
    return gemm


bf16_gemm_nn, bf16_gemm_nt, bf16_gemm_tn, bf16_gemm_tt = (_bf16(layout) for layout in ("nn", "nt", "tn", "tt"))
fp8_gemm_nn, fp8_gemm_nt, fp8_gemm_tn, fp8_gemm_tt = (_fp8(layout) for layout in ("nn", "nt", "tn", "tt"))
