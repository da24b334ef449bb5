"""JSON text as it travels: compact, always the same for the same message, and nothing that JSON does not know."""

import json
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import WireModel

__all__ = ["decode", "encode"]


def _encoder(default: Callable[[object], str] | None) -> Callable[[object], str]:
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default).encode


_COMPACT = _encoder(None)


def encode(message: object, default: Callable[[object], str] | None = None) -> str:
    """Compact JSON, keys in the order given: the same message always makes the same text.

    ``default`` turns an object that is not JSON into text, or raises ``TypeError``.

    Raises:
        LMStudioValueError: NaN, an infinity, a lone surrogate or something that JSON cannot hold; names its path.
    """
    plain = message.to_wire() if isinstance(message, WireModel) else message
    try:
        text = (_COMPACT if default is None else _encoder(default))(plain)
        text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        problem = _find_unserializable(plain, default or _refuse)
        raise LMStudioValueError(problem or f"This cannot be written as JSON: {error}") from None
    return text


def _refuse(value: object) -> str:
    raise TypeError(f"{type(value).__name__} is not JSON")


def decode(frame: str | bytes) -> Any:
    """The JSON document of a frame.

    Raises:
        ValueError: it is none.
    """
    try:
        return from_json(frame, allow_inf_nan=False)
    except (ValueError, TypeError):  # TypeError: text with a lone surrogate
        # JavaScript may cut a pair of surrogates in two and escape the halves, which the fast parser refuses.
        return _slow_decode(frame)


def _slow_decode(frame: str | bytes) -> Any:
    try:
        return json.loads(frame, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _find_unserializable(
    value: Any, default: Callable[[object], str], path: str = "$", parents: tuple[int, ...] = ()
) -> str | None:
    """The path and the kind of the first value that JSON cannot represent and ``default`` refuses."""
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, float):
        return None if value - value == 0 else f"{path}: {value!r} is not a number that JSON knows"
    if isinstance(value, str):
        return _surrogate(value, path)
    if id(value) in parents:
        return f"{path}: contains itself"
    parents = (*parents, id(value))
    if len(parents) > 200:
        return f"{path}: nested too deeply"
    if isinstance(value, dict):
        keys = (_problem_of_key(key, path) for key in value)
        items = (_find_unserializable(item, default, f"{path}.{key}", parents) for key, item in value.items())
        return next(filter(None, (problem for pair in zip(keys, items, strict=True) for problem in pair)), None)
    if isinstance(value, list | tuple):
        found = (_find_unserializable(item, default, f"{path}[{index}]", parents) for index, item in enumerate(value))
        return next(filter(None, found), None)
    try:
        default(value)
    except TypeError as error:
        return f"{path}: {error}"
    return None


def _problem_of_key(key: Any, path: str) -> str | None:
    if isinstance(key, str):
        return _surrogate(key, f"{path} (key)")
    if key is None or isinstance(key, int | float):  # the encoder makes text of these
        return None
    return f"{path}: a key of type {type(key).__name__} is not JSON"


def _surrogate(text: str, path: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"{path}: the text has half a character (a lone surrogate) at position {error.start}"
    return None
