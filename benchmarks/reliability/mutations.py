"""Frames changed at random: bytes, values, members and order, all from one generator of random numbers."""

from __future__ import annotations

import json
import random
from typing import Any

__all__ = ["mutate", "mutate_value"]

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 2**70, "", "x", "\ud83d", "\x00", "__proto__", [], {}, [[]], [None],
    {"type": None}, {"type": "fragment"}, "success", "9" * 400, -0.0, 10**30,
)  # fmt: skip
_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-0", "1" * 5000, "0x10")
_LONG = 20_000
_DEEP = 2_000


def mutate(message: Any, rng: random.Random) -> bytes:
    """The message as JSON, with one to three changes in its structure, its text or its bytes."""
    changed = message
    for _ in range(rng.randrange(3)):
        changed = mutate_value(changed, rng)
    text = _dump(changed)
    if rng.random() < 0.1:
        text = _odd_number(text, rng)
    data = text.encode("utf-8", "surrogatepass")
    return _bytes(data, rng) if rng.random() < 0.35 else data


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        return "[" * _DEEP


def mutate_value(value: Any, rng: random.Random) -> Any:
    """One change somewhere within a JSON value."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        changed = dict(value)
        match rng.randrange(8):
            case 0:
                del changed[key]
            case 1:
                changed[f"{key}New"] = changed.pop(key)
            case 2:
                changed[rng.choice(("extra", "__proto__", "type", "error", "id"))] = rng.choice(_ODD)
            case 3:
                changed[key] = _large(rng)
            case 4:
                changed[key] = rng.choice(_ODD)
            case _:
                changed[key] = mutate_value(changed[key], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = rng.randrange(len(value))
        return [*value[:index], mutate_value(value[index], rng), *value[index + rng.randrange(2) :]]
    if isinstance(value, str) and value and rng.random() < 0.5:
        index = rng.randrange(len(value))
        return value[:index] + rng.choice(("\ud83d", "\x00", "👩‍🚀", "\\", '"', "")) + value[index + 1 :]
    return rng.choice(_ODD)


def _large(rng: random.Random) -> Any:
    """A long text, a long list, or one level within another many times."""
    match rng.randrange(3):
        case 0:
            return rng.choice(("x", "(", "漢", "context length 1 ")) * rng.randrange(1, _LONG)
        case 1:
            return [rng.choice(_ODD)] * rng.randrange(1, 2000)
        case _:
            nested: Any = 1
            for _ in range(rng.randrange(1, 400)):
                nested = {"a": nested} if rng.random() < 0.5 else [nested]
            return nested


def _odd_number(text: str, rng: random.Random) -> str:
    """A number, or something where a number was, that JSON does not have or that no type holds."""
    digits = [index for index, character in enumerate(text) if character.isdigit()]
    if not digits:
        return text
    index = rng.choice(digits)
    return text[:index] + rng.choice(_NUMBERS) + text[index + 1 :]


def _bytes(data: bytes, rng: random.Random) -> bytes:
    """Flipped, lost, doubled or cut bytes."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        if not changed:
            break
        index = rng.randrange(len(changed))
        match rng.randrange(6):
            case 0:
                changed[index] = rng.randrange(256)
            case 1:
                del changed[index]
            case 2:
                changed.insert(index, rng.randrange(256))
            case 3:
                del changed[index : index + rng.randrange(1, 40)]
            case 4:
                changed[index:index] = changed[index : index + rng.randrange(1, 40)]
            case _:
                del changed[index:]
    return bytes(changed)
