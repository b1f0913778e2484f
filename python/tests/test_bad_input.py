"""What cannot be right is refused before anything is computed, with a message that says what was given."""

from __future__ import annotations

import ctypes
import pickle
from typing import Any, Callable

import gemmsmith as gs
import numpy as np
import pytest
from arrays import F32, poisoned


def a(shape: tuple[int, ...] = (4, 6), dtype: Any = F32) -> Any:
    return np.ones(shape, dtype)


def read_only() -> Any:
    array = np.empty((4, 5), F32)
    array.flags.writeable = False
    return array


def within() -> Any:
    memory = np.ones(64, F32)
    x = memory[:24].reshape(4, 6)
    return gs.gemm(x, a((6, 5)), out=memory[4:24].reshape(4, 5))


def part_of_c() -> Any:
    memory = np.ones((5, 5), F32)
    return gs.gemm(a(), a((6, 5)), c=memory[:4], out=memory[1:])


def dead_capsule() -> Any:
    capsule = np.ones((4, 6), F32).__dlpack__()
    gs.gemm(capsule, a((6, 5)))
    return gs.gemm(capsule, a((6, 5)))


class OnDevice:
    """An array that says it is elsewhere."""

    def __init__(self, kind: int, index: int = 0, shape: tuple[int, ...] = (4, 6)) -> None:
        self.kind = kind, index
        self.array = np.ones(shape, F32)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind

    def __dlpack__(self, **_: Any) -> Any:
        capsule = self.array.__dlpack__()
        name = ctypes.c_char_p(b"dltensor")
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        tensor = ctypes.cast(get(capsule, name), ctypes.POINTER(ctypes.c_int32))
        tensor[2], tensor[3] = self.kind  # behind the pointer to the data
        return capsule


class SaysDevice:
    """An array whose __dlpack_device__ is no good."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def __dlpack_device__(self) -> Any:
        return self.device

    def __dlpack__(self, **_: Any) -> Any:
        return np.ones((4, 6), F32).__dlpack__()


class Interface:
    """An array by __array_interface__ alone."""

    dtype = F32
    memory = np.ones(24, F32)

    def __init__(self, shape: Any = (4, 6), **changed: Any) -> None:
        self.__array_interface__ = {"shape": shape, "data": (self.memory.ctypes.data, False), "typestr": "<f4"} | changed


def released() -> Any:
    memory = memoryview(bytearray(96)).cast("B").cast("f", (4, 6))
    memory.release()
    return memory


def strided(*strides: int) -> Any:
    return np.lib.stride_tricks.as_strided(np.zeros(64, F32), (4, 5), strides)


class Lies:
    """Whose __dlpack__ gives no capsule."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **_: Any) -> Any:
        return "no capsule"


V, T, N = ValueError, TypeError, NotImplementedError
BAD: dict[str, tuple[type[Exception], list[str], Callable[[], Any]]] = {
    "inner sizes": (V, ["(4, 6)", "(5, 7)", "6 columns by 5 rows"], lambda: gs.gemm(a(), a((5, 7)))),
    "inner sizes of vectors": (V, ["(6,)", "(5,)"], lambda: gs.gemm(a((6,)), a((5,)))),
    "batches": (V, ["(2, 4, 6)", "(3, 6, 5)", "broadcast"], lambda: gs.gemm(a((2, 4, 6)), a((3, 6, 5)))),
    "a scalar": (V, ["a is a scalar"], lambda: gs.gemm(np.float32(2), a())),
    "another shape of out": (V, ["(4, 7)", "(4, 5)"], lambda: gs.gemm(a(), a((6, 5)), out=a((4, 7)))),
    "another rank of out": (V, ["(1, 4, 5)", "(4, 5)"], lambda: gs.gemm(a(), a((6, 5)), out=a((1, 4, 5)))),
    "another shape of c": (V, ["c is (4, 4)", "(4, 5)"], lambda: gs.gemm(a(), a((6, 5)), c=a((4, 4)))),
    "read-only out": (V, ["read-only"], lambda: gs.gemm(a(), a((6, 5)), out=read_only())),
    "bytes as out": (V, ["read-only"], lambda: gs.gemm(a((1, 1)), a((1, 1)), out=memoryview(bytes(4)).cast("f", (1, 1)))),
    "out over a": (V, ["overlaps"], within),
    "out over part of c": (V, ["overlaps part of c"], part_of_c),
    "negative strides": (V, ["negative strides", "(-6, 1)"], lambda: gs.gemm(a()[::-1], a((6, 5)))),
    "negative columns": (V, ["negative strides"], lambda: gs.gemm(a()[:, ::-1], a((6, 5)))),
    "no unit stride": (V, ["strides"], lambda: gs.gemm(a((8, 12))[::2, ::2], a((6, 5)))),
    "a stride that is no element": (V, ["stride of 5 bytes"], lambda: gs.gemm(
        np.lib.stride_tricks.as_strided(np.zeros(64, F32), (4, 6), (5, 4)), a((6, 5)))),
    "objects": (T, ["'O'", "a has"], lambda: gs.gemm(a(dtype=object), a((6, 5)))),
    "text": (T, ["a has"], lambda: gs.gemm(a(dtype="U3"), a((6, 5)))),
    "complex": (T, ["a has"], lambda: gs.gemm(a(dtype="c8"), a((6, 5)))),
    "int64": (T, ["'l'", "8 bytes"], lambda: gs.gemm(a(dtype="i8"), a((6, 5), "i8"))),
    "big-endian": (T, ["big-endian"], lambda: gs.gemm(a(dtype=">f4"), a((6, 5)))),
    "f32 by f64": (T, ["(4, 6) f32", "(6, 5) f64"], lambda: gs.gemm(a(), a((6, 5), "f8"))),
    "f32 by s8": (T, ["f32", "s8"], lambda: gs.gemm(a(), a((6, 5), "i1"))),
    "f64 into an f32 product": (T, ["out is (4, 5) f64"], lambda: gs.gemm(a(), a((6, 5)), out=a((4, 5), "f8"))),
    "a list": (T, ["a is a list", "no array"], lambda: gs.gemm([[1.0]], a((1, 1)))),
    "no array": (T, ["b is a dict"], lambda: gs.gemm(a(), {})),
    "no array as out": (T, ["out is a int"], lambda: gs.gemm(a(), a((6, 5)), out=5)),
    "a dead capsule": (V, ["used already"], dead_capsule),
    "no capsule": (V, ["DLPack capsule"], lambda: gs.gemm(Lies(), a((6, 5)))),
    "a device of another kind": (V, ["DLPack's type 10"], lambda: gs.gemm(OnDevice(10), a((6, 5)))),
    "arrays on two devices": (V, ["cuda:0", "cpu"], lambda: gs.gemm(OnDevice(2), a((6, 5)))),
    "arrays on two GPUs": (V, ["cuda:1", "cuda:0"], lambda: gs.gemm(OnDevice(2, 1), OnDevice(2, 0, (6, 4)))),
    "17 dimensions": (V, ["17 dimensions"], lambda: gs.gemm(a((1,) * 15 + (4, 6)), a((6, 5)))),
    "GPU 256": (V, ["a ", "GPU 256"], lambda: gs.gemm(SaysDevice((2, 256)), a((6, 5)))),
    "GPU -1": (V, ["a ", "GPU -1"], lambda: gs.gemm(SaysDevice((2, -1)), a((6, 5)))),
    "a device that is text": (TypeError, ["str"], lambda: gs.gemm(SaysDevice(("cpu", 0)), a((6, 5)))),
    "a device that is too much": (OverflowError, [""], lambda: gs.gemm(SaysDevice((1 << 70, 0)), a((6, 5)))),
    "no device": (TypeError, ["NoneType"], lambda: gs.gemm(SaysDevice(None), a((6, 5)))),
    "a negative extent": (V, ["(-4, 6)"], lambda: gs.gemm(Interface((-4, 6)), a((6, 5)))),
    "fewer strides than extents": (IndexError, ["range"], lambda: gs.gemm(Interface(strides=(24,)), a((6, 5)))),
    "an interface without data": (T, ["data"], lambda: gs.gemm(Interface(data=None), a((6, 5)))),
    "a big-endian interface": (T, ["big-endian"], lambda: gs.gemm(Interface(typestr=">f4"), a((6, 5)))),
    "memory that is released": (V, ["memoryview", "released"], lambda: gs.gemm(released(), a((6, 5)))),
    "None": (T, ["a is a NoneType"], lambda: gs.gemm(None, a((6, 5)))),
    "None as b": (T, ["b is a NoneType"], lambda: gs.Gemm(5, 6)(a(), None)),
    "truth values": (T, ["'?'"], lambda: gs.gemm(a(dtype="?"), a((6, 5), "?"))),
    "records": (T, ["T{f:x:}"], lambda: gs.gemm(a(dtype=[("x", "f4")]), a((6, 5)))),
    "dates": (T, ["datetime64"], lambda: gs.gemm(a(dtype="M8[s]"), a((6, 5)))),
    "a big-endian b": (T, ["b is big-endian"], lambda: gs.gemm(a(), a((6, 5), ">f4"))),
    "a big-endian out": (T, ["out is big-endian"], lambda: gs.gemm(a(), a((6, 5)), out=a((4, 5), ">f4"))),
    "a big-endian bias": (T, ["bias is big-endian"], lambda: gs.gemm(a(), a((6, 5)), bias=a((5,), ">f4"))),
    "objects as out": (T, ["out has", "'O'"], lambda: gs.gemm(a(), a((6, 5)), out=a((4, 5), object))),
    "out of one row": (V, ["overlap"], lambda: gs.gemm(a(), a((6, 5)), out=strided(0, 4))),
    "out of rows that overlap": (V, ["overlap"], lambda: gs.gemm(a(), a((6, 5)), out=strided(8, 4))),
    "an unknown epilogue": (V, ["frobnicate"], lambda: gs.gemm(a(), a((6, 5)), epilogue="frobnicate")),
    "an epilogue that is none": (T, ["epilogue is a int"], lambda: gs.gemm(a(), a((6, 5)), epilogue=3)),
    "a bias that is missing": (V, ["uses bias"], lambda: gs.gemm(a(), a((6, 5)), epilogue="bias")),
    "a bias that is not read": (V, ["bias is given"], lambda: gs.gemm(a(), a((6, 5)), epilogue="relu", bias=a((5,)))),
    "a residual without epilogue": (V, ["residual is given"], lambda: gs.gemm(a(), a((6, 5)), residual=a((4, 5)))),
    "a short bias": (V, ["bias"], lambda: gs.gemm(a(), a((6, 5)), bias=a((4,)))),
    "beta of nothing": (V, ["neither c nor out"], lambda: gs.gemm(a(), a((6, 5)), beta=1.0)),
    "an alpha of two": (V, ["alpha", "(2,)"], lambda: gs.gemm(a(), a((6, 5)), alpha=a((2,)))),
    "one scale of two": (V, ["scale_a"], lambda: gs.gemm(a(), a((6, 5)), scale_a=a((4, 1)))),
    "an unknown dtype": (T, ["f17", "bf16"], lambda: gs.gemm(a(), a((6, 5)), dtype="f17")),
    "an unknown compute mode": (V, ["fp7"], lambda: gs.gemm(a(), a((6, 5)), compute="fp7")),
    "a compute mode cut short": (V, ["\"i\""], lambda: gs.gemm(a(), a((6, 5)), compute="i")),
    "a stream that is none": (T, ["stream is a str"], lambda: gs.gemm(a(), a((6, 5)), stream="first")),
    "an unknown layout": (V, ["layout"], lambda: gs.Gemm(4, 5, layout="xy")),
    "an unknown device": (V, ["abacus"], lambda: gs.Gemm(4, 5, device="abacus")),
    "another b than planned": (V, ["n=5", "(6, 7)"], lambda: gs.Gemm(n=5, k=6)(a(), a((6, 7)))),
    "another dtype than planned": (T, ["f32 by f32", "f64"], lambda: gs.Gemm(n=5, k=6)(a(dtype="f8"), a((6, 5), "f8"))),
    "another out than planned": (T, ["out is (4, 5) f16"], lambda: gs.Gemm(n=5, k=6)(a(), a((6, 5)), a((4, 5), "f2"))),
    "a negative size": (V, ["-1"], lambda: gs.Problem(-1, 2, 3)),
    "no rows": (T, [""], lambda: gs.Gemm(4, 5).prepare("many")),
    "an unknown setting": (V, ["cash_dir"], lambda: gs.configure(cash_dir="x")),
    "a setting of another type": (T, ["cache_dir is a int"], lambda: gs.configure(cache_dir=5)),
    "a tile of another type": (T, ["block_m is a str"], lambda: gs.configure(block_m="large")),
    "an unknown arch": (V, ["sm_12"], lambda: gs.compile((1, 2, 3), arch="sm_12")),
    "nothing to compile for": (V, ["neither arch nor gpu"], lambda: gs.compile((1, 2, 3))),
    "shapes that are none": (V, ["shapes is a float"], lambda: gs.compile(2.5, arch="sm_90a")),
    "an unknown chip": (LookupError, ["nowhere.json"], lambda: gs.evaluate("nowhere.json", (1, 2, 3))),
    "a chip without cores": (V, ["num_cores"], lambda: gs.evaluate({"chip_type": "x"}, (1, 2, 3))),
    "an unknown effort": (V, ["tremendous"], lambda: gs.evaluate({"chip_type": "x", "num_cores": 1, "sram_kb": 64,
        "cube_m": 16, "cube_n": 16, "cube_k": 16, "tflops_int8": 1}, (16, 16, 16), effort="tremendous")),
    "an unknown kernel": (LookupError, ["ffff"], lambda: gs.cache.show("ffff")),
    "a size that is none": (V, ["many"], lambda: gs.cache.prune(max_size="many")),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_refused(case: str) -> None:
    kind, words, call = BAD[case]
    with pytest.raises(kind) as raised:
        call()
    for word in words:
        assert word in str(raised.value)
    if kind in (V, T) and case not in ("no rows", "a device that is text", "no device"):
        assert isinstance(raised.value, gs.Error)


def test_a_refused_call_leaves_out_alone() -> None:
    out = poisoned((4, 5), F32)
    for call in (lambda: gs.gemm(a(), a((6, 5), "f8"), out=out), lambda: gs.gemm(a(), a((5, 5)), out=out),
                 lambda: gs.gemm(a(), a((6, 5)), out=out, bias=a((4,)))):
        with pytest.raises(gs.Error):
            call()
    assert np.isnan(out).all()


def test_errors_are_one_hierarchy_and_travel_between_processes() -> None:
    kinds = {gs.InvalidArgument: ValueError, gs.DTypeError: TypeError, gs.Unsupported: NotImplementedError,
             gs.NotFound: LookupError, gs.CompileError: RuntimeError, gs.DeviceError: RuntimeError,
             gs.OutOfMemory: MemoryError, gs.IoError: OSError, gs.Cancelled: gs.Error, gs.InternalError: RuntimeError}
    for kind, builtin in kinds.items():
        error = kind("what", "remedy")
        assert isinstance(error, gs.Error) and isinstance(error, builtin)
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.message, again.remedy) == ("what; remedy", "what", "remedy")
    with pytest.raises(gs.InvalidArgument) as raised:
        gs.gemm(a()[::-1], a((6, 5)))
    assert raised.value.remedy in str(raised.value) and "copy" in raised.value.remedy


def test_a_compile_error_shows_the_source_line(nvrtc: None) -> None:
    with pytest.raises(gs.CompileError) as raised:
        gs.jit('extern "C" __global__ void Broken(float* x) { x[0] = nothing; }', "Broken", arch="sm_90a")
    assert "x[0] = nothing;" in str(raised.value) and "x[0] = nothing;" in raised.value.log
    assert raised.value.source_path
