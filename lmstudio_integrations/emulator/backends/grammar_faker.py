"""A short text that a regular expression or a GBNF grammar accepts. Deterministic; understands the common cases.

Both are parsed to the same small tree. Of alternatives the first is taken, unless it leads back to itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_CLASSES = {"d": "7", "w": "e", "s": " ", "D": "e", "W": "-", "S": "e"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_PREFERRED = "emulatdr7A0 -_"


class GrammarError(ValueError):
    """The expression cannot be read."""


@dataclass(frozen=True)
class _Choice:
    branches: tuple[tuple[_Item, ...], ...]


@dataclass(frozen=True)
class _Item:
    """Some text, a choice or the name of a rule, at least ``least`` times."""

    what: str | _Choice
    least: int = 1
    rule: bool = False


def from_regex(pattern: str) -> str:
    """A short text in which ``re.search`` finds the pattern.

    Raises:
        GrammarError: the pattern uses something that is not understood here.
    """
    text = _expand(_Reader(pattern, regex=True).choice(), {}, ())
    try:
        fits = re.search(pattern, text)
    except re.error as error:
        raise GrammarError(f"not a regular expression: {error}") from None
    if not fits:
        raise GrammarError(f"no text could be made for the pattern {pattern!r}")
    return text


def from_gbnf(grammar: str) -> str:
    """A text that the grammar's rule ``root`` accepts.

    Raises:
        GrammarError: no rule ``root``, an unknown rule, or something that is not understood here.
    """
    rules: dict[str, _Choice] = {}
    plain = re.sub(r'("(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\])|#[^\n]*', lambda found: found[1] or "", grammar)
    parts = re.split(r"^\s*([\w-]+)\s*::=", plain, flags=re.MULTILINE)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        rules[name] = _Reader(body.strip(), regex=False).choice()
    if "root" not in rules:
        raise GrammarError("the grammar has no rule called root")
    return _expand(rules["root"], rules, ("root",))


def _expand(choice: _Choice, rules: Mapping[str, _Choice], inside: tuple[str, ...]) -> str:
    """``inside`` names the rules that are being expanded: the shortest text never needs one inside itself."""
    problem: GrammarError | None = None
    for branch in choice.branches:
        try:
            return "".join(_expand_item(item, rules, inside) for item in branch)
        except GrammarError as error:
            problem = error
    raise problem or GrammarError("an empty choice")


def _expand_item(item: _Item, rules: Mapping[str, _Choice], inside: tuple[str, ...]) -> str:
    if item.least == 0:
        return ""
    if isinstance(item.what, _Choice):
        text = _expand(item.what, rules, inside)
    elif item.rule:
        if item.what not in rules:
            raise GrammarError(f"the rule {item.what!r} is not defined")
        if item.what in inside:
            raise GrammarError(f"the rule {item.what!r} has no end")
        text = _expand(rules[item.what], rules, (*inside, item.what))
    else:
        text = item.what
    return text * item.least


class _Reader:
    def __init__(self, text: str, *, regex: bool) -> None:
        self._text = text
        self._regex = regex
        self._at = 0

    def choice(self, end: str = "") -> _Choice:
        """Branches up to the closing bracket or the end of the text."""
        branches: list[tuple[_Item, ...]] = []
        branch: list[_Item] = []
        while self._more(end):
            mark = self._next()
            if mark == "|":
                branches.append(tuple(branch))
                branch = []
            elif not self._regex and mark.isspace():
                continue
            elif not (self._regex and mark in "^$"):
                branch.append(self._repeated(self._atom(mark)))
        branches.append(tuple(branch))
        return _Choice(tuple(branches))

    def _more(self, end: str) -> bool:
        if self._at >= len(self._text):
            if end:
                raise GrammarError(f"a {end!r} is missing")
            return False
        if end and self._text[self._at] == end:
            self._at += 1
            return False
        return True

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise GrammarError("the expression ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _atom(self, mark: str) -> _Item:
        if mark == "(":
            if self._regex and self._text.startswith("?", self._at):
                self._group_options()
            return _Item(self.choice(")"))
        if mark == "[":
            return _Item(self._class())
        read: Callable[[str], _Item] = self._regex_atom if self._regex else self._gbnf_atom
        return read(mark)

    def _regex_atom(self, mark: str) -> _Item:
        if mark == "\\":
            escaped = self._next()
            if escaped in "bBAZ":
                return _Item("", 0)
            return _Item(_CLASSES.get(escaped) or _ESCAPES.get(escaped, escaped))
        return _Item("e" if mark == "." else mark)

    def _gbnf_atom(self, mark: str) -> _Item:
        if mark == '"':
            text = ""
            while (mark := self._next()) != '"':
                text += self._escape() if mark == "\\" else mark
            return _Item(text)
        if mark == ".":
            return _Item("e")
        if found := re.compile(r"[\w-]+").match(self._text, self._at - 1):
            self._at = found.end()
            return _Item(found[0], rule=True)
        raise GrammarError(f"{mark!r} is not understood")

    def _group_options(self) -> None:
        found = re.compile(r"\?(?::|P<\w+>)").match(self._text, self._at)
        if found is None:
            raise GrammarError("this kind of group is not understood")
        self._at = found.end()

    def _escape(self) -> str:
        mark = self._next()
        if mark in "xuU":
            length = {"x": 2, "u": 4, "U": 8}[mark]
            digits = self._text[self._at : self._at + length]
            self._at += length
            try:
                return chr(int(digits, 16))
            except (ValueError, OverflowError):
                raise GrammarError(f"expected {length} hexadecimal digits of a character, got {digits!r}") from None
        return _ESCAPES.get(mark, mark)

    def _class(self) -> str:
        """One character of a class like ``[a-z0-9_]`` or ``[^"]``."""
        negated = self._text.startswith("^", self._at)
        self._at += negated
        ranges: list[tuple[str, str]] = []
        first = True
        while (mark := self._next()) != "]" or first:
            first = False
            if mark == "\\" and self._text[self._at : self._at + 1] in _CLASSES:
                ranges.append((_CLASSES[self._next()],) * 2)
                continue
            low = self._escape() if mark == "\\" else mark
            high = low
            if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
                self._at += 1
                mark = self._next()
                high = self._escape() if mark == "\\" else mark
            ranges.append((low, high))
        candidates: tuple[str, ...] = (*_PREFERRED, *(low for low, _ in ranges), *map(chr, range(33, 127)))
        for candidate in candidates:
            if any(low <= candidate <= high for low, high in ranges) != negated:
                return candidate
        raise GrammarError("a class without characters")

    def _repeated(self, item: _Item) -> _Item:
        found = re.compile(r"(?:([?*+])|\{(\d+)(?:,\d*)?\})\??").match(self._text, self._at)
        if found is None:
            return item
        self._at = found.end()
        least = {"?": 0, "*": 0, "+": 1}[found[1]] if found[1] else int(found[2])
        return _Item(item.what, least, item.rule)
