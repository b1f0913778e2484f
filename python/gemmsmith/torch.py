"""gemmsmith in PyTorch: torch.ops.gemmsmith.gemm, for torch.compile and export too, and Linear for inference.

>>> import gemmsmith.torch
>>> torch.ops.gemmsmith.gemm(a, b, bias=bias, epilogue="bias+gelu")
>>> model.fc = gemmsmith.torch.Linear.of(model.fc)
"""

from __future__ import annotations

from typing import Any, Optional

import torch

from . import _core

__all__ = ["Linear", "gemm"]


@torch.library.custom_op("gemmsmith::gemm", mutates_args=())
def gemm(
    a: torch.Tensor,
    b: torch.Tensor,
    bias: Optional[torch.Tensor] = None,
    residual: Optional[torch.Tensor] = None,
    epilogue: str = "",
    alpha: float = 1.0,
    dtype: Optional[torch.dtype] = None,
) -> torch.Tensor:
    """epilogue(alpha * a @ b), as gemmsmith.gemm; for inference: it has no gradient."""
    out = a.new_empty(_shape(a, b, epilogue), dtype=_dtype(a, b, dtype), requires_grad=False)
    _core.gemm(
        a.detach(),
        b.detach(),
        out,
        alpha=alpha,
        epilogue=epilogue or None,
        bias=None if bias is None else bias.detach(),
        residual=None if residual is None else residual.detach(),
    )
    return out


def _dtype(a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype | None) -> torch.dtype:
    if dtype is not None:
        return dtype
    if not a.dtype.is_floating_point:
        return torch.int32
    return a.dtype if a.dtype == b.dtype else torch.float32


def _shape(a: torch.Tensor, b: torch.Tensor, epilogue: str) -> list[Any]:
    """As numpy.matmul; sizes may be symbols."""
    batch = list(torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
    paired = bool(epilogue) and _core.Epilogue(epilogue).pairs_columns
    columns = b.shape[-1] // 2 if paired else b.shape[-1]
    return batch + ([a.shape[-2]] if a.ndim > 1 else []) + ([columns] if b.ndim > 1 else [])


@gemm.register_fake
def _(
    a: torch.Tensor,
    b: torch.Tensor,
    bias: Optional[torch.Tensor] = None,
    residual: Optional[torch.Tensor] = None,
    epilogue: str = "",
    alpha: float = 1.0,
    dtype: Optional[torch.dtype] = None,
) -> torch.Tensor:
    return a.new_empty(_shape(a, b, epilogue), dtype=_dtype(a, b, dtype))


class Linear(torch.nn.Linear):
    """torch.nn.Linear by gemmsmith, in inference. `activation`: names that follow the bias, such as "gelu"."""

    activation: str = ""

    @classmethod
    def of(cls, linear: torch.nn.Linear, activation: str = "") -> Linear:
        """One that shares the weight and bias of `linear`."""
        made = cls.__new__(cls)
        torch.nn.Module.__init__(made)
        made.in_features, made.out_features = linear.in_features, linear.out_features
        made.weight, made.bias = linear.weight, linear.bias
        made.activation = activation
        return made.train(linear.training)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and (input.requires_grad or self.weight.requires_grad) and self.training:
            from .errors import Unsupported

            raise Unsupported("gemmsmith.torch.Linear has no gradient", "call eval(), or train with torch.nn.Linear")
        chain = "+".join(name for name in ("bias" if self.bias is not None else "", self.activation) if name)
        rows = input.reshape(-1, self.in_features)  # (m, in), so that a stack is one product
        out: torch.Tensor = torch.ops.gemmsmith.gemm(rows, self.weight.t(), self.bias, None, chain)
        return out.reshape(*input.shape[:-1], self.out_features)
