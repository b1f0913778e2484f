"""The compiled kernels that are kept on disk. `directory`: another cache than that of this process' settings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from . import _core
from .errors import InvalidArgument
from .tables import Record, Table

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _bytes(size: int | str) -> int:
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", size, re.IGNORECASE)
    if match is None:
        raise InvalidArgument(f'"{size}" is no size', 'give bytes, or text such as "5GB"')
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _seconds(age: float | str) -> int:
    if isinstance(age, (int, float)):
        return int(age)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", age)
    if match is None:
        raise InvalidArgument(f'"{age}" is no age', 'give seconds, or text such as "30d", "12h"')
    return int(float(match[1]) * _SECONDS[match[2]])


def stats() -> Record:
    """Counters of this process and contents of its cache."""
    return Record(_core.cache_stats())


def list(directory: str = "") -> Table:
    """All kernels of the cache, in order of their keys."""
    return _table(_core.cache_list("", directory))


def search(text: str, directory: str = "") -> Table:
    """Those with `text` in key, name, problem, config, architecture or compiler."""
    return _table(_core.cache_list(text, directory))


def _table(rows: Any) -> Table:
    return Table(rows, f"{len(rows)} kernels", ("key", "kernel", "arch", "stored_bytes", "compile_ms", "uses", "config"))


def show(key: str, directory: str = "") -> Record:
    """All that is known of one kernel, by its key or the first digits of it. Raises NotFound."""
    return Record(_core.cache_show(key, directory))


def read(key: str, part: str = "cubin", directory: str = "") -> bytes:
    """One part of a kernel, "cubin" or "ptx", verified."""
    return _core.cache_read(key, part, directory)


def verify(repair: bool = False, directory: str = "") -> Record:
    """Reads and unpacks everything. `repair` sets broken entries aside."""
    return Record(_core.cache_verify(repair, directory))


def prune(
    max_size: int | str | None = None,
    max_kernels: int | None = None,
    max_age: float | str | None = None,
    dry_run: bool = False,
    directory: str = "",
) -> Record:
    """Removes what is too old, then those unused longest until the limits hold. prune(max_size="5GB", max_age="30d")"""
    size = None if max_size is None else _bytes(max_size)
    age = None if max_age is None else _seconds(max_age)
    return Record(_core.cache_prune(size, max_kernels, age, dry_run, directory))


def clear(directory: str = "") -> Record:
    """Removes every entry."""
    return Record(_core.cache_clear(directory))


def export(path: str | os.PathLike[str], level: int = 19, key_file: str = "", directory: str = "") -> Record:
    """Writes all kernels into one file for other machines, signed with `key_file` if it is given."""
    return Record(_core.cache_export(os.fspath(path), level, key_file, directory))


def load(path: str | os.PathLike[str], signers: Iterable[str] = (), directory: str = "") -> Record:
    """Takes the kernels of such a file; they must be signed by one of `signers`, if there are any."""
    return Record(_core.cache_import(os.fspath(path), [*signers], directory))


def read_bundle(path: str | os.PathLike[str], signers: Iterable[str] = ()) -> Table:
    """The kernels of such a file, all verified, with their signatures."""
    rows = _core.read_bundle(os.fspath(path), [*signers])
    return Table(rows, f"{len(rows)} kernels", ("key", "kernel", "arch", "stored_bytes", "raw_bytes", "signer"))


def make_signing_key(name: str | os.PathLike[str]) -> str:
    """Writes NAME.key, a secret for `key_file`, and NAME.pub for `signers`; returns the public key."""
    return _core.make_signing_key(os.fspath(name))
