"""Arguments of a tool call while they stream: only text that can still become strict JSON is handed out. Pure.

Models write calls in several dialects (single quotes, trailing commas, comments, Python's literals), and LM Studio
parses them leniently. The joined pieces must be strict JSON all the same, equal to the parsed arguments. So a piece is
held back as long as it may prove wrong, and at the end the text is completed from the parsed arguments. Takes linear
time: what was handed out is not read again.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from lmstudio_integrations.protocol.json_text import decode

__all__ = ["StreamedArguments"]

_SPACE = " \t\n\r"
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_LITERALS = {"true": True, "false": False, "null": None}
_FIRST_HALF = re.compile(r"\\u[dD][89abAB]")
_ESCAPES = '"\\/bfnrt'


class StreamedArguments:
    """The arguments of one call.

    ``feed`` returns what may be handed out of the text so far: always a prefix of a strict JSON object. ``complete``
    returns what is missing at the end, so that the joined text parses to the arguments.

    Example:
        ```python
        import json

        from lmstudio_integrations.client.streamed_json import StreamedArguments

        arguments = StreamedArguments()
        pieces = [arguments.feed('{"city": "Os'), arguments.feed("lo',}")]
        pieces.append(arguments.complete({"city": "Oslo"}))
        print(json.loads("".join(pieces)))
        #> {'city': 'Oslo'}
        ```

    If the arguments contradict what was handed out (a value was corrected), the members follow once more: the last one
    of a name counts. A member that is not in the arguments cannot be taken back.
    """

    def __init__(self) -> None:
        self._text = ""  # what has not been handed out, up to the piece with which that ended
        self._rest: list[str] = []  # the pieces after that
        self._position = 0  # within `_text`: read so far
        self._shown: list[str] = []
        self._stack: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []  # for each open object: the key whose value is being read
        self._expect = "object"
        self._stopped = False
        self._string: list[str] = []  # the string that is being read, as far as it was handed out

    def feed(self, text: str) -> str:
        """Add a piece of the model's text; returns the piece that may be handed out, often the same."""
        if self._stopped:
            self._rest.append(text)
            return ""
        self._text += text
        while self._step():
            pass
        shown, self._text, self._position = self._text[: self._position], self._text[self._position :], 0
        self._shown.append(shown)
        return shown

    def complete(self, arguments: dict[str, Any]) -> str:
        """What has to follow so that the joined text is strict JSON for ``arguments``."""
        shown = "".join(self._shown)
        for candidate in ("".join([self._text, *self._rest]), *self._candidates(arguments)):
            if _is_json_of(shown + candidate, arguments):
                return candidate
        return self._override(arguments)

    def _candidates(self, arguments: dict[str, Any]) -> list[str]:
        """Endings made from the arguments, following the containers that are open."""
        if not self._stack:
            return [_dumps(arguments)]
        values: list[Any] = [arguments]
        for depth, container in enumerate(self._stack[:-1]):
            value = values[-1]
            key = self._keys[depth]
            try:
                values.append(value[key] if isinstance(container, dict) else value[len(container)])
            except (KeyError, IndexError, TypeError):
                return []
        ending = self._ending(len(self._stack) - 1, values, innermost=True)
        if ending is None:
            return []
        for depth in range(len(self._stack) - 2, -1, -1):
            outer = self._ending(depth, values, innermost=False)
            if outer is None:
                return []
            ending += outer
        return [ending]

    def _override(self, arguments: dict[str, Any]) -> str:
        """Closes what is open in any way, then gives all members again."""
        if not self._stack:
            return _dumps(arguments)
        closing = {"string": '"', "colon": ": null", "value": "null"}.get(self._expect, "")
        if len(self._stack) > 1 and self._expect == "key":
            closing = '"": null'
        closing += "".join("}" if isinstance(container, dict) else "]" for container in reversed(self._stack[1:]))
        members = _dumps(arguments)[1:]
        separate = len(self._stack) > 1 or self._expect not in ("first_key", "key")
        if members == "}" and self._expect == "key" and len(self._stack) == 1:
            return '"": null}'
        return closing + (", " if separate and members != "}" else "") + members

    def _ending(self, depth: int, values: list[Any], *, innermost: bool) -> str | None:
        """What closes the container at ``depth``: the rest of its half-read member, missing members, the bracket."""
        container, value = self._stack[depth], values[depth]
        if isinstance(container, dict) and isinstance(value, dict):
            return self._end_object(set(container), self._keys[depth], value, innermost=innermost)
        if isinstance(container, list) and isinstance(value, list):
            return self._end_array(len(container), value, innermost=innermost)
        return None

    def _end_object(self, done: set[str], key: str | None, value: dict[str, Any], *, innermost: bool) -> str | None:
        separate = bool(done)
        rest: str | None = ""
        if not innermost:
            done.add(str(key))
            separate = True
        elif self._expect in ("colon", "value", "string"):
            if key not in value:
                return None
            rest = self._rest_of_value(value[key])
            done.add(str(key))
            separate = True
        elif self._expect == "key":  # the comma was handed out
            separate = False
        members = [f"{_dumps(name)}: {_dumps(item)}" for name, item in value.items() if name not in done]
        return None if rest is None else f"{rest}{', ' if separate and members else ''}{', '.join(members)}}}"

    def _end_array(self, count: int, value: list[Any], *, innermost: bool) -> str | None:
        separate = bool(count)
        rest: str | None = ""
        if not innermost:
            count += 1
            separate = True
        elif self._expect == "string":
            rest = self._rest_of_value(value[count]) if count < len(value) else None
            count += 1
            separate = True
        elif self._expect == "value":  # the comma was handed out
            separate = False
        items = [_dumps(item) for item in value[count:]]
        return None if rest is None else f"{rest}{', ' if separate and items else ''}{', '.join(items)}]"

    def _rest_of_value(self, value: Any) -> str | None:
        """What completes the value that is being read, if it can become ``value``."""
        if self._expect == "string":
            return _string_tail("".join(self._string), value)
        return f"{':' if self._expect == 'colon' else ''}{_dumps(value)}"

    # The scanner: `_position` only moves over complete tokens, and within strings over complete characters.

    def _step(self) -> bool:
        """Read one token; ``False`` if that needs more text, or if the text is not strict JSON from here on."""
        start = self._position
        while start < len(self._text) and self._text[start] in _SPACE and self._expect != "string":
            start += 1
        if start == len(self._text):
            return False
        read = getattr(self, f"_read_{self._expect}")
        end: int | None = read(start)
        if end is None:
            return False
        self._position = end
        return True

    def _stop(self) -> int | None:
        """What follows is not strict JSON, or the last bracket, which is the end."""
        self._stopped = True
        return None

    def _read_object(self, start: int) -> int | None:
        if self._text[start] != "{":
            return self._stop()
        self._open({})
        return start + 1

    def _open(self, container: dict[str, Any] | list[Any]) -> None:
        self._stack.append(container)
        self._keys.append(None)
        self._expect = "first_key" if isinstance(container, dict) else "first_value"

    def _read_first_key(self, start: int) -> int | None:
        return self._close(start) if self._text[start] == "}" else self._read_key(start)

    def _read_first_value(self, start: int) -> int | None:
        return self._close(start) if self._text[start] == "]" else self._read_value(start)

    def _read_key(self, start: int) -> int | None:
        if self._text[start] != '"':
            return self._stop()
        end = _string_end(self._text, start)
        if end is None:
            return None
        key = _loads(self._text[start:end])
        if not isinstance(key, str):
            return self._stop()
        self._keys[-1] = key
        self._expect = "colon"
        return end

    def _read_colon(self, start: int) -> int | None:
        if self._text[start] != ":":
            return self._stop()
        self._expect = "value"
        return start + 1

    def _read_value(self, start: int) -> int | None:
        first = self._text[start]
        if first == '"':
            self._string = []
            self._expect = "string"
            return start + 1
        if first in "{[":
            self._open({} if first == "{" else [])
            return start + 1
        return self._read_scalar(start)

    def _read_scalar(self, start: int) -> int | None:
        end = start
        while end < len(self._text) and self._text[end] not in ",]} \t\n\r":
            end += 1
        word = self._text[start:end]
        if end == len(self._text):  # it may go on
            return None
        if word in _LITERALS:
            value: Any = _LITERALS[word]
        elif _NUMBER.fullmatch(word):
            value = _loads(word)
        else:
            return self._stop()
        self._add(value)
        return end

    def _read_string(self, start: int) -> int | None:
        """Move over complete characters of a string value; escapes are complete or held back."""
        text, position, escape = self._text, start, -1
        while position < len(text):
            character = text[position]
            if character == '"':
                self._add("".join(self._string) + str(_loads(f'"{text[start:position]}"')))
                return position + 1
            if character == "\\":
                length = 6 if text[position + 1 : position + 2] == "u" else 2
                if position + length > len(text):
                    break
                if text[position + 1] not in _ESCAPES and _loads(f'"{text[position : position + length]}"') is None:
                    self._advance(start, position, escape)
                    return self._stop()
                escape, position = position, position + length
            elif character < " ":
                self._advance(start, position, escape)
                return self._stop()
            else:
                position += 1
        self._advance(start, position, escape)
        return None

    def _advance(self, start: int, end: int, escape: int) -> None:
        """Hand out a part of a string; ``escape`` is its last. Half of a pair of escapes waits for the other half."""
        if escape == end - 6 and _FIRST_HALF.match(self._text, escape):
            end = escape
        self._string.append(str(_loads(f'"{self._text[start:end]}"')))
        self._position = end

    def _read_comma(self, start: int) -> int | None:
        """After a value: the end of the container, or a comma with what must follow it."""
        character = self._text[start]
        inside_object = isinstance(self._stack[-1], dict)
        if character == ("}" if inside_object else "]"):
            return self._close(start)
        if character != ",":
            return self._stop()
        following = start + 1
        while following < len(self._text) and self._text[following] in _SPACE:
            following += 1
        if following == len(self._text):
            return None  # a trailing comma is not JSON
        if inside_object:
            if self._text[following] != '"':
                return self._stop()
            end = _string_end(self._text, following)
            if end is None:
                return None
            self._expect = "key"
            return start + 1
        if self._text[following] == "]":
            return self._stop()
        if self._text[following] not in '"{[-0123456789tfn':
            return self._stop()
        self._expect = "value"
        return start + 1

    def _add(self, value: Any) -> None:
        container = self._stack[-1]
        if isinstance(container, dict):
            container[str(self._keys[-1])] = value
        else:
            container.append(value)
        self._expect = "comma"

    def _close(self, start: int) -> int | None:
        if len(self._stack) == 1:
            return self._stop()  # held back, so that the arguments can still be corrected
        value = self._stack.pop()
        self._keys.pop()
        self._add(value)
        return start + 1


def _dumps(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:  # a number that no double can hold; JSON has none
        return json.dumps(_without_infinity(value), ensure_ascii=False)


def _without_infinity(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_infinity(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_infinity(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _string_end(text: str, start: int) -> int | None:
    """Where the string that begins at ``start`` ends, behind its quote; ``None`` if it has not ended."""
    position = start + 1
    while position < len(text):
        if text[position] == '"':
            return position + 1
        position += 2 if text[position] == "\\" else 1
    return None


def _string_tail(partial: str, value: Any) -> str | None:
    """What completes a string of which ``partial`` was handed out, with its closing quote."""
    if not isinstance(value, str) or not value.startswith(partial):
        return None
    return json.dumps(value[len(partial) :], ensure_ascii=False)[1:]


def _loads(text: str) -> Any:
    """The value of strict JSON text; ``None`` for anything else."""
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None


def _is_json_of(text: str, arguments: dict[str, Any]) -> bool:
    try:
        return bool(decode(text) == arguments)
    except ValueError:
        return False
