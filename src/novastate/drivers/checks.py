"""Validators of the fields that drivers tell and are told: no number that is none, no bool for a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from novastate.errors import InvalidField

__all__ = ["MOST", "flag", "name", "number", "text", "whole"]

#: More than any size, and far from what 64 bits do not hold.
MOST = 1 << 62


def whole(least: int, most: int = MOST) -> Callable[[Any, Any, Any], None]:
    """A whole number from *least* to *most*."""
    end = f", {least} or more" if most == MOST else f" from {least} to {most}"

    def check(_: object, attribute: Any, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidField(attribute.name, value, f"must be a whole number{end}")

    return check


def number(least: float, most: float = float(1 << 52)) -> Callable[[Any, Any, Any], None]:
    """A finite number from *least* to *most*."""

    def check(_: object, attribute: Any, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:  # NaN is not
            raise InvalidField(attribute.name, value, f"must be a finite number of at least {least:g}")

    return check


def flag(_: object, attribute: Any, value: Any) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise InvalidField(attribute.name, value, "must be True or False")


def text(_: object, attribute: Any, value: Any) -> None:
    """Text, which may be empty."""
    if not isinstance(value, str):
        raise InvalidField(attribute.name, value, "must be text")


def name(_: object, attribute: Any, value: Any) -> None:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidField(attribute.name, value, "must be a name, and not be empty")
