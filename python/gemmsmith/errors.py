"""Every exception of the package is an Error, and the built-in exception that fits besides."""

from __future__ import annotations


class Error(Exception):
    """What was asked, what the limit is (`message`), and what to do about it (`remedy`)."""

    message: str
    remedy: str

    def __init__(self, message: str = "", remedy: str = "") -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.remedy), self.__dict__


class InvalidArgument(Error, ValueError):
    """Something that can never work: shapes that do not match, memory that overlaps, an unknown name."""


class DTypeError(Error, TypeError):
    """No array, or an array of elements that no kernel takes."""


class Unsupported(Error, NotImplementedError):
    """Valid, but no kernel, target or device here can do it."""


class NotFound(Error, LookupError):
    """A file, library, kernel or device that was named does not exist."""


class CompileError(Error, RuntimeError):
    """A compiler rejected a kernel. `log` is the compiler's own words, `source_path` where the source was saved."""

    log: str = ""
    source_path: str = ""


class DeviceError(Error, RuntimeError):
    """The driver or device reported a failure."""


class OutOfMemory(Error, MemoryError):
    """Memory of the host, of the device, or of a capped pool is used up."""


class IoError(Error, OSError):
    """A file could not be read or written."""

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class Cancelled(Error):
    """The caller cancelled the operation."""


class InternalError(Error, RuntimeError):
    """A broken promise of gemmsmith itself; please report it."""
