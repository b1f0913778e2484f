"""GEMM kernels forged at run time for the shape at hand: gemm, Gemm, and what they are made of (docs/python.md)."""

from ._core import Epilogue, Gemm, __version__, configure, gemm
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

__all__ = [
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
    "NotFound",
    "OutOfMemory",
    "Unsupported",
    "__version__",
    "configure",
    "gemm",
]
