"""Epilogues from Python functions: the same as by name, and what NumPy computes, on the CPU and on emulated GPUs."""

from __future__ import annotations

import math
from typing import Any, Callable

import gemmsmith as gs
import numpy as np
import pytest
from arrays import F32, poisoned, random, wide

# By name, and by a function that means the same.
SAME: dict[str, Callable[..., Any]] = {
    "bias": lambda x, bias: x + bias,
    "bias+relu": lambda x, bias: (x + bias).relu(),
    "relu": lambda x: (x < 0).select(0, x),
    "bias_m+gelu": lambda x, bias_m: (bias_m + x).gelu(),
    "gelu": lambda x: 0.5 * x * (1 + (x * 0.707106781186547524).erf()),
    "gelu_tanh": lambda x: x.gelu_tanh(),
    "silu": lambda x: x / (1 + (-x).exp()),
    "sigmoid": lambda x: (1 + (-x).exp()).recip(),
    "tanh": lambda x: x.tanh(),
    "residual+tanh": lambda x, residual: (x + residual).tanh(),
    "bias+swiglu": lambda x, paired, bias, paired_bias: (x + bias).swiglu(paired + paired_bias),
    "scale_column+swiglu": lambda x, paired, scale_column, paired_scale_column: (x * scale_column).swiglu(
        paired * paired_scale_column),
    "scale+scale_row+scale_block": lambda x, scalar, scale_row, scale_block: x * scalar * scale_row * scale_block,
    "amax_row+d_scale+quantise_e4m3": lambda x, d_scale: {"out": (x * d_scale).round_to("e4m3"), "amax_row": x},
    "amax_column+d_scale_row": lambda x, d_scale_row: {"amax_column": x, "out": x * d_scale_row},
    "amax_block+d_scale_column": lambda x, d_scale_column: {"out": x * d_scale_column, "amax_block": (x, (1, 128))},
    "d_scale_block+quantise_s8": lambda x, d_scale_block=(1, 128): (x * d_scale_block).round_to(np.int8),
}


@pytest.mark.parametrize("name", SAME)
def test_a_function_is_the_chain_that_means_the_same(name: str) -> None:
    named, traced = gs.Epilogue(name), gs.Epilogue(SAME[name])
    assert traced.text == named.text and traced == named and hash(traced) == hash(named)
    assert (traced.inputs, traced.outputs) == (named.inputs, named.outputs)
    problem = {"m": 64, "n": 128, "k": 64, "layout": "nt"}
    assert gs.Problem(**problem, epilogue=traced) == gs.Problem(**problem, epilogue=named)


# A function, the same of NumPy's f64, and what it reads.
FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "arithmetic": (lambda x, bias: -(x - 2) / (3 + abs(bias)) + 1 - x * 0.25, lambda x, bias: -(x - 2) / (3 + abs(bias)) + 1 - x / 4),
    "functions": (lambda x, bias_m: (x * x + 1).log() + (x * x + 0.5).sqrt() * (bias_m * bias_m + 1).rsqrt() + x.minimum(bias_m),
                  lambda x, bias_m: np.log(x * x + 1) + np.sqrt(x * x + 0.5) / np.sqrt(bias_m * bias_m + 1) + np.minimum(x, bias_m)),
    "conditions": (lambda x, residual: ((x < residual) & ~(x <= -1.0) | (residual > 2)).select(x.maximum(0.5), residual.fma(2, x)),
                   lambda x, residual: np.where((x < residual) & ~(x <= -1) | (residual > 2), np.maximum(x, 0.5), residual * 2 + x)),
    "places": (lambda x, row, column, slope=0.5: (column <= row).select(x, (row + 2 * column).to_f32() * slope),
               lambda x, row, column: np.where(column <= row, x, (row + 2 * column) * 0.5)),
    "rounding": (lambda x: round(x * 4) / 4 + (x * 8).to_s32() + (x == 0).select(1, 2) + (x != x).select(0, 1.0),
                 lambda x: np.round(x * 4) / 4 + np.trunc(x * 8) + np.where(x == 0, 1, 2) + 1),
    "numpy's numbers": (lambda x, scalar: np.float32(2) * x + x * np.int64(3) - scalar, lambda x, scalar: 5 * x - scalar),
}
GIVEN = {"bias": (23,), "bias_m": (9,), "residual": (9, 23)}


@pytest.mark.parametrize("name, device", [*((name, "cpu") for name in FUNCTIONS), ("functions", "emulator:sm_80"),
                                          ("places", "emulator:sm_80")])
def test_functions_compute_what_numpy_does(request: Any, rng: Any, name: str, device: str) -> None:
    if device != "cpu":
        request.getfixturevalue("nvrtc")
    function, expected = FUNCTIONS[name]
    epilogue = gs.Epilogue(function)
    # Products that are exact, so that all agree on what is rounded.
    a, b = rng.integers(-2, 3, (9, 8)).astype(F32), rng.integers(-2, 3, (8, 23)).astype(F32) / 8
    given = {key: rng.integers(-9, 9, GIVEN[key]).astype(F32) / 4 for key in epilogue.inputs if key in GIVEN}
    given |= {"scalar": 0.75} if "scalar" in epilogue.inputs else {}
    places = {"row": np.arange(9)[:, None], "column": np.arange(23)[None, :]}
    of_element = {"bias_m": lambda v: v[:, None]}
    values = {key: of_element.get(key, lambda v: v)(given[key]) if key in given else places[key] for key in epilogue.inputs}
    out = poisoned((9, 23), F32)
    gs.Gemm(23, 8, device=device, epilogue=epilogue)(a, b, out, **given)
    product = wide(a) @ wide(b)
    np.testing.assert_allclose(out, expected(product, **values), rtol=3e-6, atol=3e-6)
    i, j = int(rng.integers(9)), int(rng.integers(23))
    one = {key: float(np.broadcast_to(value, (9, 23))[i, j]) if key not in places else int(np.broadcast_to(value, (9, 23))[i, j])
           for key, value in values.items()}
    assert math.isclose(epilogue.evaluate(product[i, j], **one)["out"], out[i, j], rel_tol=2e-6, abs_tol=2e-6)


def test_maxima_come_with_the_result(rng: Any) -> None:
    epilogue = gs.Epilogue(lambda x, bias: {"out": (x + bias).relu(), "amax_row": x, "amax_block": (x + bias, (2, 8))})
    assert epilogue.outputs == ["out", "amax_row", "amax_block"]
    a, b, bias = random(rng, (6, 5), F32), random(rng, (5, 16), F32), random(rng, (16,), F32)
    rows, blocks = poisoned((6,), F32), poisoned((3, 2), F32)
    out = gs.gemm(a, b, epilogue=epilogue, bias=bias, amax_row=rows, amax_block=blocks)
    x = wide(a) @ wide(b)
    np.testing.assert_allclose(out, np.maximum(x + bias, 0), atol=1e-5)
    np.testing.assert_allclose(rows, abs(x).max(1), atol=1e-5)
    np.testing.assert_allclose(blocks, abs(x + bias).reshape(3, 2, 2, 8).max((1, 3)), atol=1e-5)


def test_an_epilogue_outlives_its_name() -> None:
    g = gs.Gemm(8, 8, epilogue=gs.Epilogue(lambda x: x.relu()))
    others = [gs.Epilogue(lambda x, bias, i=i: x + bias * i) for i in range(50)]  # take what was freed
    assert len(others) == 50 and (g(np.ones((2, 8), F32), -np.ones((8, 8), F32)) == 0).all()


def branch(x: Any) -> Any:
    return x if x > 0 else 0


def fails(x: Any) -> Any:
    raise KeyError("mine")


V, T = ValueError, TypeError
BAD: dict[str, tuple[type[Exception], str, Any]] = {
    "if": (T, r"select\(x, y\)", branch),
    "and": (T, "in place of and", lambda x: (x > 0 and x < 1).select(x, 0)),
    "a chained comparison": (T, "neither true nor false", lambda x: (0 < x < 1).select(x, 0)),
    "max": (T, "maximum", lambda x: max(x, 0)),
    "an unknown input": (V, '"basis" is no input: there are paired, bias', lambda x, basis: x + basis),
    "a default of an input": (V, '"bias" has a default', lambda x, bias=1: x + bias),
    "a block that is none": (V, "rows and columns", lambda x, scale_block="wide": x),
    "no parameters": (V, "takes nothing", lambda: 1),
    "any parameters": (V, r"\* or \*\*", lambda *x: x[0]),
    "nothing returned": (T, "NoneType", lambda x: None),
    "no out": (V, 'without "out"', lambda x: {"amax_row": x}),
    "an unknown output": (V, 'returned a "amax"', lambda x: {"out": x, "amax": x}),
    "a condition returned": (V, "f32", lambda x: x < 0),
    "a large whole number": (V, "32 bits", lambda x: x * 2**40),
    "and of numbers": (V, r"and\(f32, f32\)", lambda x: x & x),
    "text": (T, "str", lambda x: x + "1"),
    "True": (T, "bool", lambda x: x * True),
    "an unknown dtype": (V, "not to f64", lambda x: x.round_to("f64")),
    "more than it can hold": (V, "1000", lambda x: sum((x * i for i in range(2, 1200)), x)),
    "what the function raises": (KeyError, "mine", fails),
    "no function": (T, "int", 3),
}


@pytest.mark.parametrize("case", BAD)
def test_functions_that_cannot_be_traced_are_refused(case: str) -> None:
    kind, text, function = BAD[case]
    with pytest.raises(kind, match=text):
        gs.Epilogue(function)


def test_names_and_elements_are_told() -> None:
    assert {"bias", "swiglu"} <= set(gs.epilogue_names().column("name"))
    assert gs.Epilogue("bias+swiglu").inputs == ["paired", "bias", "paired_bias"]
    assert gs.Epilogue("relu").evaluate(-2.0) == {"out": 0.0}
    with pytest.raises(ValueError, match="reads bias"):
        gs.Epilogue("bias").evaluate(1.0)
    with pytest.raises(ValueError, match="does not read"):
        gs.Epilogue("relu").evaluate(1.0, bias=2.0)
