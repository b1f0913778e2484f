"""torch's arrays, operator and module, on the CPU."""

from __future__ import annotations

from typing import Any

import gemmsmith as gs
import numpy as np
import pytest
from arrays import EPSILON, F32, check

torch = pytest.importorskip("torch", reason="torch is not installed")
gemmsmith_torch = pytest.importorskip("gemmsmith.torch")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (2, 3, 5, 7), (7,)], ids=str)
def test_tensors_in_tensors_out(dtype: str, shape: Any) -> None:
    a, b = torch.rand(shape).to(getattr(torch, dtype)), torch.rand(9, 7).to(getattr(torch, dtype)).t()
    for c in (gs.gemm(a, b), torch.ops.gemmsmith.gemm(a, b)):
        assert isinstance(c, torch.Tensor) and c.dtype == a.dtype and c.shape == (*shape[:-1], 9)
        torch.testing.assert_close(c, a @ b)
    out = torch.full((*shape[:-1], 9), float("nan"), dtype=a.dtype)
    assert gs.gemm(a, b, out=out) is out
    torch.testing.assert_close(out, a @ b)


def test_integers_and_mixtures() -> None:
    a, b = torch.randint(-128, 127, (4, 8), dtype=torch.int8), torch.randint(0, 255, (8, 3), dtype=torch.uint8)
    assert torch.equal(gs.gemm(a, b), a.int() @ b.int())
    x = gs.gemm(torch.ones(2, 3), np.ones((3, 4), "f4"))
    assert isinstance(x, torch.Tensor) and torch.equal(x, torch.full((2, 4), 3.0))


def test_what_torch_does_not_give_out_is_refused_with_its_reason() -> None:
    weight = torch.ones(3, 3, requires_grad=True)
    with pytest.raises(gs.InvalidArgument, match="grad"):
        gs.gemm(weight, weight)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["", "gelu", "relu"])
def test_linear_is_torchs(bias: bool, activation: str) -> None:
    theirs = torch.nn.Linear(24, 40, bias=bias).eval()
    ours = gemmsmith_torch.Linear.of(theirs, activation)
    x = torch.rand(2, 3, 24)
    expected = theirs(x)
    if activation:
        expected = getattr(torch.nn.functional, activation)(expected)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)
    fresh = gemmsmith_torch.Linear(24, 40, bias=bias).eval()
    fresh.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(fresh(x), theirs(x), atol=1e-5, rtol=1e-5)
    with pytest.raises(gs.Unsupported, match="eval"):
        fresh.train()(x)


def test_the_operator_keeps_torchs_rules() -> None:
    a, b, bias = torch.rand(4, 6), torch.rand(6, 8), torch.rand(8)
    torch.library.opcheck(torch.ops.gemmsmith.gemm.default, (a, b),
                          test_utils=("test_schema", "test_faketensor"))
    torch.library.opcheck(torch.ops.gemmsmith.gemm.default, (a, b, bias, None, "bias+gelu"),
                          test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("epilogue, columns", [("bias", 8), ("swiglu", 4)])
def test_models_with_it_compile_and_export(epilogue: str, columns: int) -> None:
    class Model(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def forward(self, x: Any, w: Any, bias: Any) -> Any:
            given = bias if epilogue == "bias" else None
            return torch.ops.gemmsmith.gemm(x * 2, w, given, None, epilogue) + 1

    arguments = torch.rand(5, 6), torch.rand(6, 8), torch.rand(8)
    expected = Model()(*arguments)
    assert expected.shape == (5, columns)
    compiled = torch.compile(Model(), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*arguments), expected)
    exported = torch.export.export(Model(), arguments, dynamic_shapes=({0: torch.export.Dim("m", min=2)}, None, None))
    more = torch.rand(11, 6), *arguments[1:]
    torch.testing.assert_close(exported.module()(*more), Model()(*more))
