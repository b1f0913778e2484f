"""GEMM kernels forged at run time for the shape at hand.

>>> import gemmsmith as gs
>>> c = gs.gemm(a, b)                          # a @ b, for arrays of NumPy, torch, CuPy, JAX
>>> g = gs.Gemm(n=4096, k=4096, layout="nt")   # planned once; g(a, b, out=c)

grouped_gemm is a product for each of several groups; gemmsmith.layouts has casts to 8-bit floats and their scales.
Epilogue, compile, explain, show_code, tune, profile, evaluate, devices, doctor, cache, results and jit are the rest;
docs/python.md shows them.
"""

from typing import TYPE_CHECKING, Any

from ._core import (
    BoundGemm,
    Epilogue,
    Gemm,
    Kernel,
    PackedWeight,
    Problem,
    Value,
    builtin_shapes,
    configure,
    gemm,
    get_num_sms,
    grouped_gemm,
    jit,
    set_num_sms,
)
from ._core import version as __version__
from .errors import (
    Cancelled,
    CompileError,
    DeviceError,
    DTypeError,
    Error,
    InternalError,
    InvalidArgument,
    IoError,
    NotFound,
    OutOfMemory,
    Unsupported,
)

if TYPE_CHECKING:
    from . import cache as cache
    from . import layouts as layouts
    from . import results as results
    from .ahead import (
        compile,
        devices,
        doctor,
        epilogue_names,
        evaluate,
        explain,
        kernels,
        predict_config,
        profile,
        record_performance,
        show_code,
        tune,
    )

# Read when first asked for, so that importing the package is quick.
_LATER = (
    "compile",
    "devices",
    "doctor",
    "epilogue_names",
    "evaluate",
    "explain",
    "kernels",
    "predict_config",
    "profile",
    "record_performance",
    "show_code",
    "tune",
)


def __getattr__(name: str) -> Any:
    import importlib

    if name in ("cache", "layouts", "results"):
        return importlib.import_module("." + name, __name__)
    if name in _LATER:
        return getattr(importlib.import_module(".ahead", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "BoundGemm",
    "Cancelled",
    "CompileError",
    "DTypeError",
    "DeviceError",
    "Epilogue",
    "Error",
    "Gemm",
    "InternalError",
    "InvalidArgument",
    "IoError",
    "Kernel",
    "NotFound",
    "OutOfMemory",
    "PackedWeight",
    "Problem",
    "Unsupported",
    "Value",
    "__version__",
    "builtin_shapes",
    "cache",
    "compile",
    "configure",
    "devices",
    "doctor",
    "epilogue_names",
    "evaluate",
    "explain",
    "gemm",
    "get_num_sms",
    "grouped_gemm",
    "jit",
    "kernels",
    "layouts",
    "predict_config",
    "profile",
    "record_performance",
    "results",
    "set_num_sms",
    "show_code",
    "tune",
]
