"""Ends an answer before the model would: token limits and stop strings. No I/O; its input is a reply's events."""

from __future__ import annotations

from collections.abc import Sequence

from lmstudio_integrations.emulator.backends import fake_tokenizer
from lmstudio_integrations.emulator.backends.reply_events import (
    CallArguments,
    CallEnd,
    CallFailed,
    CallName,
    CallStart,
    Event,
    Text,
)
from lmstudio_integrations.emulator.replies import raw_call


class Limits:
    """Cuts a stream of events.

    ``feed`` returns what can be sent now. Once ``stop_reason`` is set, the stream has ended. Visible text that
    could be the beginning of a stop string is held back until that is decided; the stop string itself is
    never sent. ``generated`` counts the tokens so far. Guess: stop strings are looked for in the visible
    answer only, not in the reasoning.

    Args:
        max_tokens: of reasoning, answer and tool calls together; ``None`` for no limit.
        room: tokens left in the context; ``None`` if an overflow does not stop the answer.
        stop_strings: not empty ones.
    """

    def __init__(self, max_tokens: int | None, room: int | None, stop_strings: Sequence[str]) -> None:
        candidates = [(max_tokens, "maxPredictedTokensReached"), (room, "contextLengthReached")]
        known = [(limit, reason) for limit, reason in candidates if limit is not None]
        self._limit: int | None = None
        self._reason = ""
        if known:
            self._limit, self._reason = min(known)
        self._stops = tuple(stop_strings)
        self._held: list[Text] = []
        self.generated: int = 0
        self._call: CallStart | None = None
        self._call_name: str | None = None
        self._call_arguments = ""
        self.stop_reason: str | None = None
        self.stop_string: str | None = None

    def feed(self, event: Event) -> list[Event]:
        """What can be sent of this event and of the text that was held back."""
        if isinstance(event, Text) and event.kind == "none":
            fitting = self._fit(event)
            out: list[Event] = [] if fitting is None else self._visible(fitting)
        elif isinstance(event, Text):
            fitting = self._fit(event)
            out = [*self._flush(), *([] if fitting is None else [fitting])]
        else:
            out = [*self._flush(), *self._call_event(event)]
        return out

    def finish(self, *, end_of_sequence: bool = False) -> list[Event]:
        """The text that was held back; called at the end of the stream. An answer that just fits its limit ended by it.

        ``end_of_sequence``: the answer ended by itself, with a token of its own. Observed in lmstudio-js's heavy tests:
        it counts, for the statistics and for the limit.
        """
        if end_of_sequence and (self._limit is None or self.generated < self._limit):
            self.generated += 1
        if self.stop_reason is None and self._limit is not None and self.generated >= self._limit > 0:
            self.stop_reason = self._reason
        return self._flush()

    def _fit(self, event: Text) -> Text | None:
        """The part of a text that the limit still allows; sets the stop reason if that is not all of it."""
        if self._limit is None or self.generated + event.count <= self._limit:
            self.generated += event.count
            return event
        room = self._limit - self.generated
        self.generated = self._limit
        self.stop_reason = self._reason
        if room <= 0:
            return None
        return Text("".join(fake_tokenizer.pieces(event.content)[:room]), room, event.kind)

    def _call_event(self, event: Event) -> list[Event]:
        """Tool calls count as tokens, too; one that the limit cuts is a failed one."""
        if isinstance(event, CallStart):
            self._call, self._call_name, self._call_arguments = event, None, ""
        elif isinstance(event, CallName):
            self._call_name = event.name
        elif isinstance(event, CallArguments):
            self._call_arguments += event.content
        elif isinstance(event, CallEnd | CallFailed):
            self._call = None
            return [event]
        if self._limit is not None and self.generated + event.count > self._limit and self._call is not None:
            self.stop_reason = self._reason
            started = [event] if isinstance(event, CallStart) else []
            # Guess: LM Studio reports a tool call that the token limit cut off as one that it could not read.
            error = {"title": "Failed to parse tool call: the output ended before the call did"}
            return [*started, CallFailed(error, raw_call(self._call_name, self._call_arguments))]
        self.generated += event.count
        return [event]

    def _visible(self, event: Text) -> list[Event]:
        if not self._stops:
            return [event]
        self._held.append(event)
        text = "".join(part.content for part in self._held)
        found = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            at, self.stop_string = min(found, key=lambda pair: (pair[0], -len(pair[1])))
            self.stop_reason = "stopStringFound"
            out = _split(self._held, at)[0]
            # Observed in lmstudio-js's heavy tests: the tokens of the stop string do not count.
            self.generated -= sum(part.count for part in self._held) - sum(part.count for part in out)
            self._held = []
            return list(out)
        out, self._held = _split(self._held, len(text) - beginning_at_end(text, self._stops), divide=False)
        return list(out)

    def _flush(self) -> list[Event]:
        out, self._held = self._held, []
        return list(out)


def beginning_at_end(text: str, wanted: Sequence[str]) -> int:
    """The length of the longest end of ``text`` with which one of the ``wanted`` texts begins; 0 if there is none."""
    for length in range(min(len(text), max(map(len, wanted)) - 1), 0, -1):
        end = text[-length:]
        if any(each.startswith(end) for each in wanted):
            return length
    return 0


def _split(parts: list[Text], at: int, *, divide: bool = True) -> tuple[list[Text], list[Text]]:
    """The parts up to character ``at``, and the rest; a part across the border is divided, or left in the rest."""
    before: list[Text] = []
    for place, part in enumerate(parts):
        if at < len(part.content) or (at == 0 and not part.content):
            if at and divide:
                head = part.content[:at]
                before.append(Text(head, min(part.count, max(1, fake_tokenizer.count(head))), part.kind))
            return before, parts[place:]
        at -= len(part.content)
        before.append(part)
    return before, []
