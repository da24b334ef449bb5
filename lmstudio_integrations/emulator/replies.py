"""Scripted replies: the exact answers to the next predictions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lmstudio_integrations.emulator.argument_checks import (
    Check,
    check_all,
    choice,
    error_description,
    event,
    flag,
    instances,
    json_object,
    nonempty_text,
    number,
    optional,
    shares,
    text,
    texts,
    unexpected,
    unique_json_object,
)
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
from lmstudio_integrations.emulator.errors import error_object
from lmstudio_integrations.emulator.threadsafe_event import ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioValueError

_ARGUMENT_TOKENS = 4

STOP_REASONS = (
    "eosFound",
    "toolCalls",
    "stopStringFound",
    "maxPredictedTokensReached",
    "contextLengthReached",
    "userStopped",
    "modelUnloaded",
    "failed",
)


@dataclass(frozen=True)
class ToolCall:
    """A tool call that the model makes.

    Example:
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator, Reply, ToolCall

        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return "4 degrees"

        with Emulator() as server, Client(server.url) as client:
            server.script(Reply(tool_calls=[ToolCall("get_weather", {"city": "Oslo"})]), Reply("It is 4 degrees."))
            print(client.llm.just_in_time("emulator/chat").act("How warm is it in Oslo?", [get_weather]))
            #> It is 4 degrees.
        ```

    Args:
        name: The tool's name.
        arguments: A dictionary, or the exact JSON text to stream; the packet that ends the call has it parsed.
        id: ``"auto"`` numbers the calls (``"100000000"``…), ``None`` sends none, anything else is sent as it is.
        brief: Omit the optional packets (name and argument fragments).
        fragments: The exact argument fragments; by default a few tokens each.
        unoffered: Allow a call of a tool that the request does not offer, as small models make them. Without it, the
            prediction fails with the names of the offered tools.

    Raises:
        LMStudioValueError: The name is empty, the arguments cannot be expressed as a JSON object, or a value has the
            wrong type.
    """

    name: str
    arguments: Mapping[str, Any] | str | None = None
    id: str | None = "auto"
    brief: bool = False
    fragments: Sequence[str] | None = None
    unoffered: bool = False

    def __post_init__(self) -> None:
        check_all("ToolCall", _TOOL_CALL, vars(self))
        if isinstance(self.arguments, str):
            unique_json_object(
                "ToolCall(arguments=…)",
                self.arguments,
                "use FailedToolCall for a call that LM Studio cannot parse, and fragments for text that differs from "
                "the parsed call",
            )
        if self.brief and self.fragments is not None:
            raise LMStudioValueError("ToolCall: expected brief or fragments, got both: brief sends no fragments")

    @property
    def text(self) -> str:
        """The arguments as the model writes them."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments or {}), ensure_ascii=False, separators=(",", ":"))

    @property
    def parsed(self) -> dict[str, Any] | None:
        """The arguments as ``toolCallGenerationEnd`` carries them; ``None`` leaves the key out."""
        if self.arguments is None:
            return None
        return json.loads(self.arguments) if isinstance(self.arguments, str) else dict(self.arguments)


@dataclass(frozen=True)
class FailedToolCall:
    """A tool call that LM Studio cannot parse: ``toolCallGenerationFailed`` with ``raw_content`` and an error.

    Example:
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator, FailedToolCall, Reply

        with Emulator() as server, Client(server.url) as client:
            server.script(Reply(failed_tool_call=FailedToolCall("get_weather", '{"city": Os')))
            result = client.llm.just_in_time("emulator/chat").respond("How warm is it in Oslo?")
            print(result.failed_tool_calls[0].name)
            #> get_weather
        ```

    ``name`` and ``arguments`` are streamed first, if given; ``error`` is a title or an error object.

    Raises:
        LMStudioValueError: A value has the wrong type.
    """

    name: str | None = None
    arguments: str = ""
    error: str | Mapping[str, Any] = "Failed to parse tool call: the arguments are not valid JSON"
    raw_content: str | None = None
    id: str | None = "auto"

    def __post_init__(self) -> None:
        check_all("FailedToolCall", _FAILED_TOOL_CALL, vars(self))


@dataclass(frozen=True)
class Reply:
    """The answer to one prediction.

    Example: Text, reasoning and token counts
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator, Reply

        with Emulator() as server, Client(server.url) as client:
            server.script(Reply("Three.", reasoning="r, r, r", prompt_tokens=40, cached_tokens=30))
            result = client.llm.just_in_time("emulator/chat").respond("How many r are in strawberry?")
            print(result.content, result.reasoning, result.usage.prompt_tokens, result.usage.cached_tokens)
            #> Three. r, r, r 40 30
        ```

    Example: An error after two fragments
        ```python
        from lmstudio_integrations import LMStudioServerError

        with Emulator() as server, Client(server.url) as client:
            server.script(Reply("One two three", error="The engine is out of memory", error_after=2))
            try:
                client.llm.just_in_time("emulator/chat").respond("Count.")
            except LMStudioServerError as error:
                print(repr(error.partial.content))
            #> 'One two'
        ```

    Args:
        text: The visible answer, split into word-like fragments that join to it exactly.
        fragments: The fragments themselves, instead of ``text``.
        reasoning: Sent before the answer, between a start tag and an end tag; not sent if the request switches
            thinking off.
        tool_calls: Sent after the text, one after the other; a ``FailedToolCall`` may be among them.
        failed_tool_call: One more, after ``tool_calls``.
        pace: Seconds before each fragment.
        prompt_tokens: The reported number of prompt tokens; ``None`` counts them.
        predicted_tokens: The reported number of generated tokens; ``None`` counts them, with the end-of-sequence token.
        drafted: The reported numbers of accepted and rejected tokens of a draft model, if the request names one.
        cached_tokens: The reported number of prompt tokens from the cache; ``None``: as many as earlier prompts of the
            instance have in common with this one.
        progress: The reported shares of prompt processing, 0.0 to 1.0.
        stop_reason: The reported stop reason; ``None``: the one that follows from the reply and the settings.
        error: A title or an error object: the channel ends with it, in place of the rest of the reply.
        error_after: How many packets are sent before the error. Each fragment counts, each reasoning tag, and each
            packet of a tool call; the packets of prompt processing do not.
        hold: Wait until this event is set, before the final packet or after ``hold_after`` packets.
        hold_after: How many packets are sent before the wait, counted as for ``error_after``. With 1, the first
            fragment is sent and the second waits. ``None``: all of them.

    Raises:
        LMStudioValueError: A value has the wrong type or is out of range, or two contradict each other.
    """

    text: str = ""
    fragments: Sequence[str] | None = None
    reasoning: str = ""
    tool_calls: Sequence[ToolCall | FailedToolCall] = ()
    failed_tool_call: FailedToolCall | None = None
    pace: float = 0.0
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    progress: Sequence[float] = (0.0, 0.5, 1.0)
    stop_reason: str | None = None
    error: str | Mapping[str, Any] | None = None
    error_after: int = 0
    hold: ThreadsafeEvent | threading.Event | None = None
    hold_after: int | None = None
    predicted_tokens: int | None = None
    drafted: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_all("Reply", _REPLY, vars(self))
        if self.text and self.fragments is not None:
            raise LMStudioValueError("Reply: expected text or fragments, got both: the fragments join to the text")
        if self.hold_after is not None and self.hold is None:
            raise LMStudioValueError(f"Reply(hold_after={self.hold_after}): expected an event in hold, too, got none")
        if self.error_after and self.error is None:
            raise LMStudioValueError(f"Reply(error_after={self.error_after}): expected an error, too, got none")
        if None not in (self.prompt_tokens, self.cached_tokens) and self.cached_tokens > self.prompt_tokens:  # type: ignore[operator]
            raise LMStudioValueError(
                f"Reply(cached_tokens={self.cached_tokens}): expected at most prompt_tokens={self.prompt_tokens}: the "
                "cached tokens are a part of the prompt's"
            )

    def events(
        self,
        reasoning_tags: tuple[str, str],
        *,
        thinking: bool,
        reasoning_budget: int | None,
        tool_call_ids: Iterator[str],
    ) -> Iterator[Event]:
        """The reply as events, before limits and stop strings are applied.

        Args:
            reasoning_tags: The texts of the start tag and the end tag around the reasoning.
            thinking: Whether the reasoning is sent.
            reasoning_budget: How many tokens of the reasoning are sent; ``None``: all.
            tool_call_ids: The ids for calls with ``id="auto"``.
        """
        if self.reasoning and thinking:
            start_tag, end_tag = reasoning_tags
            yield Text(start_tag, 1, "reasoningStartTag")
            for piece in fake_tokenizer.pieces(self.reasoning)[:reasoning_budget]:
                yield Text(piece, 1, "reasoning")
            yield Text(end_tag, 1, "reasoningEndTag")
        if self.fragments is None:
            for piece in fake_tokenizer.pieces(self.text):
                yield Text(piece, 1)
        else:
            for fragment in self.fragments:
                yield Text(fragment, fake_tokenizer.count(fragment))
        failed = (self.failed_tool_call,) if self.failed_tool_call is not None else ()
        for call in (*self.tool_calls, *failed):
            if isinstance(call, ToolCall):
                yield from _call_events(call, tool_call_ids)
            else:
                yield from _failure_events(call, tool_call_ids)


def _arguments(place: str, value: Any) -> None:
    if not isinstance(value, str):
        json_object(place, value)


_TOOL_CALL: dict[str, Check] = {
    "name": nonempty_text,
    "arguments": optional(_arguments),
    "id": optional(text),
    "brief": flag,
    "fragments": optional(texts),
    "unoffered": flag,
}
_FAILED_TOOL_CALL: dict[str, Check] = {
    "name": optional(nonempty_text),
    "arguments": text,
    "error": error_description,
    "raw_content": optional(text),
    "id": optional(text),
}


def _progress(place: str, value: Any) -> None:
    if value != () and value != []:  # none may be reported
        shares(place, value)


def _drafted(place: str, value: Any) -> None:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise unexpected(place, "a pair of the accepted and the rejected tokens", value)
    for count in value:
        number(whole=True)(place, count)


def _failed_call(place: str, value: Any) -> None:
    if not isinstance(value, FailedToolCall):
        raise unexpected(place, "a FailedToolCall", value)


_REPLY: dict[str, Check] = {
    "text": text,
    "fragments": optional(texts),
    "reasoning": text,
    "tool_calls": instances('ToolCall("name", {…})', ToolCall, FailedToolCall),
    "failed_tool_call": optional(_failed_call),
    "pace": number(),
    "prompt_tokens": optional(number(whole=True)),
    "cached_tokens": optional(number(whole=True)),
    "predicted_tokens": optional(number(whole=True)),
    "drafted": optional(_drafted),
    "progress": _progress,
    "stop_reason": optional(choice(*STOP_REASONS)),
    "error": optional(error_description),
    "error_after": number(whole=True),
    "hold": optional(event),
    "hold_after": optional(number(whole=True)),
}


def described(reply: Reply) -> str:
    """The call that makes the reply, without arguments that have their default; at most 300 characters."""
    given = (
        f"{one.name}={getattr(reply, one.name)!r}" for one in fields(reply) if getattr(reply, one.name) != one.default
    )
    words = f"Reply({', '.join(given)})"
    return words if len(words) <= 300 else f"{words[:299]}…"


def raw_call(name: str | None, arguments: str) -> str:
    """A tool call as the emulator's prompt template writes it."""
    return f'<tool_call>{{"name":{json.dumps(name, ensure_ascii=False)},"arguments":{arguments}}}</tool_call>'


def _call_events(call: ToolCall, ids: Iterator[str]) -> Iterator[Event]:
    identifier = next(ids) if call.id == "auto" else call.id
    arguments = call.text
    yield CallStart(identifier)
    if not call.brief:
        yield CallName(call.name)
        for part in argument_parts(arguments) if call.fragments is None else call.fragments:
            yield CallArguments(part)
    yield CallEnd(call.name, call.parsed, identifier, raw_call(call.name, arguments))


def _failure_events(call: FailedToolCall, ids: Iterator[str]) -> Iterator[Event]:
    yield CallStart(next(ids) if call.id == "auto" else call.id)
    if call.name is not None:
        yield CallName(call.name)
    for part in argument_parts(call.arguments):
        yield CallArguments(part)
    raw = raw_call(call.name, call.arguments) if call.raw_content is None else call.raw_content
    yield CallFailed(error_object(call.error), raw)


def argument_parts(arguments: str) -> list[str]:
    """The text of a call's arguments, a few tokens at a time."""
    parts = fake_tokenizer.pieces(arguments)
    return ["".join(parts[at : at + _ARGUMENT_TOKENS]) for at in range(0, len(parts), _ARGUMENT_TOKENS)]
