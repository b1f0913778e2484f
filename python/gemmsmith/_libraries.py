"""What the module asks of array libraries, by their own names. None is imported that is not there already."""

from __future__ import annotations

import sys
from typing import Any

_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def numpy_dtype(name: str) -> Any:
    """NumPy's dtype; those that it lacks are ml_dtypes'."""
    import numpy

    if name not in _ML_DTYPES:
        return numpy.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        from .errors import Unsupported

        raise Unsupported(
            f"NumPy has no {name}, which the result would be", "pip install ml_dtypes, or give dtype='f32'"
        ) from None
    return numpy.dtype(getattr(ml_dtypes, name))


def _package(array: Any) -> str:
    for kind in type(array).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in ("torch", "cupy"):
            return package
    return ""


# Formats of memoryview.cast.
_FORMATS = {"float32": "f", "float64": "d", "int8": "b", "uint8": "B", "int32": "i"}
_SIZES = {"f": 4, "d": 8, "b": 1, "B": 1, "i": 4}


def allocate(like: Any, shape: tuple[int, ...], name: str) -> Any:
    """An uninitialised array of the library that made `like`, on its device."""
    package = _package(like)
    if package == "torch":
        return like.new_empty(shape, dtype=getattr(sys.modules["torch"], name), requires_grad=False)
    if package == "cupy":
        cupy = sys.modules["cupy"]
        with like.device:
            return cupy.empty(shape, dtype=numpy_dtype(name))
    if hasattr(like, "__array_namespace__"):
        return like.__array_namespace__().empty(shape, dtype=numpy_dtype(name))
    if name not in _FORMATS or 0 in shape:
        import numpy

        return numpy.empty(shape, dtype=numpy_dtype(name))
    elements = 1
    for extent in shape:
        elements *= extent
    memory: Any = memoryview(bytearray(elements * _SIZES[_FORMATS[name]]))
    return memory.cast(_FORMATS[name], shape)


def bytes_of_torch(tensor: Any) -> Any:
    """A view of a tensor of 8-bit floats as one of bytes; None for another."""
    torch = sys.modules["torch"]
    return tensor.view(torch.uint8) if str(tensor.dtype).startswith("torch.float8_") else None


def transposed(array: Any, rows: int) -> Any:
    """A view of `array` (..., steps, at least `rows`) as (..., rows, steps)."""
    if isinstance(array, memoryview):
        import numpy

        array = numpy.asarray(array)
    return array[..., :rows].swapaxes(-1, -2)


def deliver(like: Any, result: Any) -> Any:
    """`result`, a NumPy array, as one of JAX, which cannot be written to."""
    return sys.modules["jax"].numpy.asarray(result)


def current_stream(array: Any, device: int) -> int:
    """What the array's library launches on now, as a CUstream; 0: the default stream."""
    package = _package(array)
    if package == "torch":
        return int(sys.modules["torch"].cuda.current_stream(device).cuda_stream)
    if package == "cupy":
        return int(sys.modules["cupy"].cuda.get_current_stream().ptr)
    return 0


def stream_handle(stream: Any) -> int:
    """The CUstream of an int or of a stream object of torch, CuPy or cuda-python."""
    if isinstance(stream, int):
        return stream
    for attribute in ("cuda_stream", "ptr", "handle"):
        if hasattr(stream, attribute):
            return int(getattr(stream, attribute))
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])
    from .errors import DTypeError

    raise DTypeError(f"stream is a {type(stream).__name__}", "give a handle, or a stream of torch or CuPy")
