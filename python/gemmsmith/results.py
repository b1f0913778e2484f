"""What was evaluated and measured, kept for each architecture (docs/results.md).

`fingerprint`: of the architecture, or its first digits; list has them. `directory`: another one than that of this
process' settings. What this process timed last may not be there yet: it is saved after a while, and at the end."""

from __future__ import annotations

import os

from . import _core
from .cache import _seconds
from .tables import Record, Table


def list(directory: str = "") -> Table:
    """The architectures that there are results of."""
    shown = ("fingerprint", "storage", "results", "tunings", "hits", "misses", "architecture")
    return Table(_core.results_list(directory), shown=shown)


def show(fingerprint: str, directory: str = "") -> Table:
    """What the command line's evaluate predicted for one architecture. Raises NotFound."""
    shown = ("g", "m", "n", "k", "input_dtype", "output_dtype", "latency_us", "tile", "loop_order", "partition", "mode")
    return Table(_core.results_show(fingerprint, False, directory), shown=shown)


def timings(fingerprint: str, directory: str = "") -> Table:
    """Every timing of every config on one device, those found wrong, and what tunings chose. Raises NotFound."""
    rows = _core.results_show(fingerprint, True, directory)
    return Table(rows, shown=("problem", "config", "times_us", "m_from", "m_to", "wrong"))


def export(fingerprint: str, path: str | os.PathLike[str], compress: bool = False, directory: str = "") -> None:
    """Writes all of one architecture into one document, with `compress` as zstd."""
    _core.results_export(fingerprint, os.fspath(path), compress, directory)


def load(path: str | os.PathLike[str], directory: str = "") -> Record:
    """Adds what such a document has and is not here, or is older here; says how many."""
    return Record(_core.results_import(os.fspath(path), directory))


def prune(
    max_age: float | str | None = None,
    max_entries: int | None = None,
    fingerprint: str = "",
    dry_run: bool = False,
    directory: str = "",
) -> Record:
    """Removes what was not used for so long ("90d"), then those unused longest until `max_entries` are left."""
    age = None if max_age is None else _seconds(max_age)
    return Record(_core.results_prune(age, max_entries, fingerprint, dry_run, directory))
