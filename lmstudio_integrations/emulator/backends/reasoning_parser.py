"""Divides a text into answer and reasoning, at the strings of ``reasoningParsing``. Pure; fed with events.

Observed in lmstudio-js's heavy tests ("should support reasoning content parsing"): the strings are found anywhere, also
in the middle of a fragment or across several; each is a fragment of its own; a fragment is divided at them and is
otherwise left as it is.
"""

from __future__ import annotations

from lmstudio_integrations.emulator.backends.limits import beginning_at_end
from lmstudio_integrations.emulator.backends.reply_events import Event, ReasoningType, Text

__all__ = ["ReasoningParser"]


class ReasoningParser:
    """Converts events. Text that may be the beginning of one of the strings is held back until that is decided.

    Events of a reply's own ``reasoning`` are returned unchanged. The tokens of a divided fragment count with its
    first part. Guess: reasoning may begin anywhere in the answer, and more than once.

    Args:
        start: The string before the reasoning; empty switches the parser off, as ``end`` does.
        end: The string after it.
    """

    def __init__(self, start: str, end: str) -> None:
        self._start = start
        self._end = end
        self._inside = False
        self._held: list[Text] = []

    def feed(self, event: Event) -> list[Event]:
        """The events that can be sent after this one."""
        if not isinstance(event, Text) or event.kind != "none":
            return [*self.finish(), event]
        if not self._start or not self._end:
            return [event]
        self._held.append(event)
        out: list[Event] = []
        while (at := self._text().find(self._wanted())) >= 0:
            out += self._take(at, self._kind())
            # One fragment, also if the string was divided between several.
            tag = self._take(len(self._wanted()), "none")
            kind: ReasoningType = "reasoningEndTag" if self._inside else "reasoningStartTag"
            out.append(Text(self._wanted(), sum(part.count for part in tag), kind))
            self._inside = not self._inside
        undecided = beginning_at_end(self._text(), [self._wanted()])
        if undecided == 0:
            out += self._take(len(self._text()), self._kind())
        else:
            # Only complete fragments go out, so that none is divided for a string that does not come.
            while self._held and len(self._text()) - len(self._held[0].content) >= undecided:
                out.append(Text(self._held[0].content, self._held[0].count, self._kind()))
                del self._held[0]
        return out

    def finish(self) -> list[Event]:
        """The text that was held back. Called when the answer ends, or continues with something else than text."""
        return list(self._take(len(self._text()), self._kind()))

    def _text(self) -> str:
        return "".join(part.content for part in self._held)

    def _wanted(self) -> str:
        return self._end if self._inside else self._start

    def _kind(self) -> ReasoningType:
        return "reasoning" if self._inside else "none"

    def _take(self, length: int, kind: ReasoningType) -> list[Text]:
        """The first characters of what is held, by fragments."""
        out: list[Text] = []
        while self._held and length >= len(self._held[0].content):
            part = self._held.pop(0)
            length -= len(part.content)
            out.append(Text(part.content, part.count, kind))
        if length:
            part = self._held[0]
            out.append(Text(part.content[:length], part.count, kind))
            self._held[0] = Text(part.content[length:], 0)
        return out
