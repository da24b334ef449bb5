"""Checks of what a test passes to the emulator: each mistake is an error at the call, with what was expected.

A check is a function ``check(place, value)``; ``place`` names the argument in the error ("Reply(pace=…)").
"""

from __future__ import annotations

import difflib
import inspect
import json
import math
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from lmstudio_integrations.emulator.threadsafe_event import ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioValueError

Check = Callable[[str, Any], None]


def unexpected(place: str, expected: str, value: object, advice: str = "") -> LMStudioValueError:
    """The error: what was expected, what came, and what to do."""
    kind = "" if value is None else f" ({type(value).__name__})"
    return LMStudioValueError(f"{place}: expected {expected}, got {value!r:.80}{kind}{advice and f': {advice}'}")


def check_name(what: str, name: object, known: Collection[str]) -> None:
    """Raise ``LMStudioValueError`` with the nearest right name for a wrong one."""
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known) or 'none'}"
        raise LMStudioValueError(f"there is no {what} {name!r:.80}: {hint}")


def check_all(owner: str, checks: Mapping[str, Check], values: Mapping[str, Any]) -> None:
    """Check the values that have a check."""
    for name, check in checks.items():
        if name in values:
            check(f"{owner}({name}=…)", values[name])


# --- checks


def flag(place: str, value: Any) -> None:
    """``True`` or ``False``."""
    if not isinstance(value, bool):
        raise unexpected(place, "True or False", value)


def text(place: str, value: Any) -> None:
    """A string, which may be empty."""
    if not isinstance(value, str):
        raise unexpected(
            place, "a text (str)", value, "convert it with str(…)" if isinstance(value, int | float) else ""
        )


def nonempty_text(place: str, value: Any) -> None:
    """A string with at least one character."""
    if not isinstance(value, str) or not value:
        raise unexpected(place, "a text (str) that is not empty", value)


def texts(place: str, value: Any) -> None:
    """A sequence of strings, but no string."""
    if isinstance(value, str):
        raise unexpected(place, "a list of texts", value, "put the text in a list")
    if not isinstance(value, Sequence):
        raise unexpected(place, "a list of texts", value)
    for number, item in enumerate(value):
        text(f"{place}[{number}]", item)


def number(minimum: float = 0, maximum: float = math.inf, *, whole: bool = False, above: bool = False) -> Check:
    """A finite number within bounds; ``above``: more than the minimum."""
    kind = "a whole number" if whole else "a number"
    words = f"{kind} {'above' if above else 'from'} {minimum}{'' if math.isinf(maximum) else f' to {maximum}'}"

    def check(place: str, value: Any) -> None:
        right = isinstance(value, int) if whole else isinstance(value, int | float) and abs(value) <= sys.float_info.max
        if isinstance(value, bool) or not right or not minimum <= value <= maximum or (above and value == minimum):
            raise unexpected(place, words, value)

    return check


def numbers(minimum: float = -math.inf, maximum: float = math.inf, *, whole: bool = False) -> Check:
    """A sequence of numbers, not empty."""
    check_item = number(minimum, maximum, whole=whole) if math.isfinite(minimum) else _finite

    def check(place: str, value: Any) -> None:
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
            raise unexpected(place, "a list of numbers", value)
        if not len(value):
            raise unexpected(place, "a list of at least one number", value)
        for position, item in enumerate(value):
            check_item(f"{place}[{position}]", item)

    return check


def _finite(place: str, value: Any) -> None:
    try:  # numbers of numpy are welcome
        right = not isinstance(value, str | bool) and math.isfinite(value)
    except (TypeError, OverflowError):
        right = False
    if not right:
        raise unexpected(place, "a finite number", value)


vector = numbers()
shares = numbers(0.0, 1.0)


def choice(*choices: str) -> Check:
    """One of these strings; the error names the nearest."""

    def check(place: str, value: Any) -> None:
        if not isinstance(value, str) or value not in choices:
            near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else ""
            raise unexpected(place, f"one of {', '.join(map(repr, choices))}", value, hint)

    return check


def optional(inner: Check) -> Check:
    """``None``, or what the other check accepts."""

    def check(place: str, value: Any) -> None:
        if value is not None:
            inner(place, value)

    return check


def by_text(values: str, check_value: Check) -> Check:
    """A dictionary from texts to what the other check accepts, or a function from a text to it."""

    def check(place: str, value: Any) -> None:
        if callable(value):
            function("a text")(place, value)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                text(f"{place}: a key", key)
                check_value(f"{place}[{key!r:.40}]", item)
        else:
            raise unexpected(place, f"a dictionary from texts to {values}, or a function from a text to them", value)

    return check


def instances(example: str, *expected: type) -> Check:
    """A sequence of objects of these classes."""
    name = " or ".join(kind.__name__ for kind in expected)

    def check(place: str, value: Any) -> None:
        if isinstance(value, expected):
            raise unexpected(place, f"a list of {name}", value, "put it in a list")
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            raise unexpected(place, f"a list of {name}", value, f"write [{example}]")
        if not isinstance(value, Sequence):
            raise unexpected(place, f"a list of {name}", value, "make a list of it with list(…)")
        for position, item in enumerate(value):
            if not isinstance(item, expected):
                raise unexpected(f"{place}[{position}]", name, item, f"write {example}")

    return check


def event(place: str, value: Any) -> None:
    """An event that another thread can set."""
    if not isinstance(value, ThreadsafeEvent | threading.Event):
        raise unexpected(
            place, "a threading.Event or a ThreadsafeEvent", value, "the emulator waits for it in a thread of its own"
        )


def json_object(place: str, value: Any) -> None:
    """A dictionary that JSON can express."""
    if not isinstance(value, Mapping):
        raise unexpected(place, "a dictionary", value)
    if wrong := [key for key in value if not isinstance(key, str)]:
        raise unexpected(place, "texts as keys", wrong[0])
    json_value(place, dict(value))


def json_value(place: str, value: Any) -> None:
    """What JSON can express."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise LMStudioValueError(
            f"{place}: expected values that JSON can express (texts, finite numbers, True, False, None, lists, "
            f"dictionaries), got {value!r:.80}: {error}"
        ) from None


def error_description(place: str, value: Any) -> None:
    """The title of an error, or an error object with a title."""
    if isinstance(value, str):
        nonempty_text(place, value)
        return
    if not isinstance(value, Mapping):
        raise unexpected(place, "the title of an error, or a dictionary with a title", value)
    json_object(place, value)
    if not isinstance(value.get("title"), str):
        raise unexpected(place, 'a dictionary with a "title" (str)', value)


def function(parameter: str) -> Check:
    """A function that can be called with one argument."""

    def check(place: str, value: Any) -> None:
        if not callable(value):
            raise unexpected(place, f"a function of one argument ({parameter})", value)
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):  # a built-in one
            return
        try:
            signature.bind(None)
        except TypeError:
            raise unexpected(
                place, f"a function of one argument ({parameter})", value, f"its signature is {signature}"
            ) from None

    return check


def condition(place: str, value: Any) -> None:
    """A function without arguments."""
    if not callable(value):
        raise unexpected(place, "a function without arguments", value, "write lambda: …")


def unique_json_object(place: str, given: str, advice: str = "") -> dict[str, Any]:
    """The JSON object in a text, whose keys are all different."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in members]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise LMStudioValueError(f"{place}: the key {twice!r} occurs twice in one JSON object: {given!r:.80}")
        return dict(members)

    try:
        parsed = json.loads(given, object_pairs_hook=pairs, parse_constant=_refuse_constant)
    except LMStudioValueError:
        raise
    except (ValueError, RecursionError) as error:
        raise LMStudioValueError(f"{place}: {given!r:.80} is not JSON ({error}){advice and f': {advice}'}") from None
    if not isinstance(parsed, dict):
        raise unexpected(place, "a JSON object", parsed, "its members are the tool's arguments")
    return parsed


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
