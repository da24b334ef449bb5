"""Validators of JSON values, as strict as those of LM Studio's server.

A shape is a function ``shape(value, path)`` that returns ``None`` if the value is valid, else the problem as text. It
distinguishes an absent key from ``null`` and a number from a boolean, because LM Studio answers the one and only warns
of the other. Unknown keys are allowed: LM Studio strips them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

Shape = Callable[[Any, str], str | None]

_LARGEST = sys.float_info.max
"""JavaScript reads a larger number as infinite, an integer too."""


def anything(value: Any, path: str) -> str | None:
    """Any JSON value."""
    return None


def boolean(value: Any, path: str) -> str | None:
    """``true`` or ``false``."""
    return None if isinstance(value, bool) else f"{path}: expected a boolean, received {_kind(value)}"


def text(*, minimum: int = 0, maximum: int | None = None, choices: tuple[str, ...] = (), pattern: str = "") -> Shape:
    """A string; lengths in UTF-16 code units as JavaScript counts them would differ only beyond the BMP."""
    expression = re.compile(pattern) if pattern else None

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, str):
            return f"{path}: expected a string, received {_kind(value)}"
        if len(value) < minimum or (maximum is not None and len(value) > maximum):
            return f"{path}: expected {minimum} to {maximum} characters, received {len(value)}"
        if choices and value not in choices:
            return f"{path}: expected one of {', '.join(choices)}, received {value!r}"
        if expression is not None and not expression.search(value):
            return f"{path}: {value!r} does not match {pattern}"
        return None

    return check


def number(*, minimum: float | None = None, maximum: float | None = None, whole: bool = False) -> Shape:
    """A finite number, with bounds that are themselves allowed; ``whole`` takes ``2.0`` like JavaScript does."""

    def check(value: Any, path: str) -> str | None:
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if not right or not -_LARGEST <= value <= _LARGEST:
            return f"{path}: expected a number, received {_kind(value)}"
        if whole and value != int(value):
            return f"{path}: expected an integer, received {value}"
        if minimum is not None and value < minimum:
            return f"{path}: expected at least {minimum}, received {value}"
        if maximum is not None and value > maximum:
            return f"{path}: expected at most {maximum}, received {value}"
        return None

    return check


def integer(*, minimum: int | None = None, maximum: int | None = None) -> Shape:
    """A whole number."""
    return number(minimum=minimum, maximum=maximum, whole=True)


def constant(expected: Any) -> Shape:
    """Exactly this value."""

    def check(value: Any, path: str) -> str | None:
        same = type(value) is type(expected) and value == expected
        return None if same else f"{path}: expected {expected!r}, received {value!r:.60}"

    return check


def nullable(shape: Shape) -> Shape:
    """``null`` or the shape."""
    return lambda value, path: None if value is None else shape(value, path)


def array(item: Shape) -> Shape:
    """A list whose items all fit."""

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, list):
            return f"{path}: expected an array, received {_kind(value)}"
        for place, entry in enumerate(value):
            if problem := item(entry, f"{path}[{place}]"):
                return problem
        return None

    return check


def dictionary(item: Shape) -> Shape:
    """An object with any keys, whose values all fit."""

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, dict):
            return f"{path}: expected an object, received {_kind(value)}"
        for key, entry in value.items():
            if problem := item(entry, f"{path}.{key}"):
                return problem
        return None

    return check


def record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object: ``required`` keys must be there, ``optional`` ones may be absent but never ``null`` by that alone."""
    maybe = dict(optional or {})

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, dict):
            return f"{path}: expected an object, received {_kind(value)}"
        for key, shape in required.items():
            if key not in value:
                return f"{path}.{key}: required, but absent"
            if problem := shape(value[key], f"{path}.{key}"):
                return problem
        for key, shape in maybe.items():
            if key in value and (problem := shape(value[key], f"{path}.{key}")):
                return problem
        return None

    return check


def tagged(key: str, shapes: Mapping[str, Shape]) -> Shape:
    """An object whose ``key`` says which of the shapes it must have."""

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, dict):
            return f"{path}: expected an object, received {_kind(value)}"
        tag = value.get(key)
        shape = shapes.get(tag) if isinstance(tag, str) else None
        if shape is None:
            return f"{path}.{key}: expected one of {', '.join(shapes)}, received {tag!r:.60}"
        return shape(value, path)

    return check


def one_of(*shapes: Shape) -> Shape:
    """Any of the shapes; the problem is that of the last one."""

    def check(value: Any, path: str) -> str | None:
        problem: str | None = None
        for shape in shapes:
            if (problem := shape(value, path)) is None:
                return None
        return problem

    return check


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}.get(
        type(value), type(value).__name__
    )
