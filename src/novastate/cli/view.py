"""How the command prints: aligned columns for people, one JSON value for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

__all__ = ["as_json", "columns", "pairs", "plain", "show"]


def plain(value: Any) -> Any:
    """*value* as JSON knows it."""
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def as_json(value: Any) -> str:
    """*value* as one JSON text."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%SZ}"
    value = plain(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def columns(rows: Sequence[Mapping[str, Any]], empty: str = "none") -> str:
    """Rows of the same keys as a table; *empty* where there is none."""
    if not rows:
        return empty
    heads = list(rows[0])
    cells = [[_cell(row[head]) for head in heads] for row in rows]
    widths = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    lines = [heads, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def pairs(facts: Mapping[str, Any]) -> str:
    """One fact a line."""
    width = max(map(len, facts), default=0)
    return "\n".join(f"{name.ljust(width)}  {_cell(value)}" for name, value in facts.items())


def show(rows: Sequence[Mapping[str, Any]], *, json_wanted: bool, empty: str = "none") -> None:
    """Prints *rows* in the form that is wanted."""
    print(as_json(rows) if json_wanted else columns(rows, empty))
