"""What the functions that report return: rows that print as a table, in notebooks too, and that pandas takes."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, overload

_MOST_ROWS = 20


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)


class Table(Sequence[Mapping[str, Any]]):
    """Rows, each a dict. `title` says what of; `shown` which columns are printed, all are in the rows.

    pandas.DataFrame(table) has them all.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        title: str = "",
        shown: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.rows = list(rows)
        self.title = title
        self.notes = list(notes)
        self.columns = list(dict.fromkeys(name for row in self.rows for name in row))
        self.shown = [name for name in shown if name in self.columns] or self.columns

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[Any]:
        """One value for each row; None where a row lacks it."""
        return [row.get(name) for row in self.rows]

    def _cells(self) -> list[list[str]]:
        return [[_text(row.get(name, "")) for name in self.shown] for row in self.rows[:_MOST_ROWS]]

    def _more(self) -> list[str]:
        left = len(self.rows) - _MOST_ROWS
        return ([f"and {left} more"] if left > 0 else []) + self.notes

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(len(name), *(len(row[i]) for row in cells)) if cells else len(name)
                  for i, name in enumerate(self.shown)]
        lines = [self.title] if self.title else []
        for row in [list(self.shown), *cells] if cells else []:
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        return "\n".join(lines + self._more())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        body = "".join(row(cells, "td") for cells in self._cells())
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._more())
        return f"<table>{caption}{row(self.shown, 'th')}{body}</table>{notes}"


class Record(Mapping[str, Any]):
    """Named values that print as a small table."""

    def __init__(self, values: Mapping[str, Any], title: str = "") -> None:
        self._values = dict(values)
        self.title = title

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __str__(self) -> str:
        width = max((len(name) for name in self._values), default=0)
        lines = [self.title] if self.title else []
        return "\n".join(lines + [f"{name:{width}}  {_text(value)}" for name, value in self._values.items()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(_text(value))}</td></tr>"
            for name, value in self._values.items()
        )
        return f"<table>{rows}</table>"
