"""The events of a prediction: a piece of text, progress, the stages of a tool call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from lmstudio_integrations.protocol.envelopes import SerializedError
from lmstudio_integrations.protocol.history import ToolCallRequest

__all__ = [
    "Event",
    "Fragment",
    "LoadProgress",
    "PromptProgress",
    "QueueProgress",
    "TokenLogProb",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallFailed",
    "ToolCallName",
    "ToolCallStart",
    "fragment_tokens",
    "token_count",
]

_MAX_EXACT = 2**53
"""Above this, JSON numbers are not exact."""


@dataclass(frozen=True, slots=True)
class TokenLogProb:
    """A token with its log probability.

    Example:
        ```python
        from lmstudio_integrations import Client

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        result = model.respond("Why is the sky blue?", config={"logProbs": 1})  # candidates for each token
        first = result.log_probs[0]
        print(first.text, first.log_prob, [candidate.text for candidate in first.candidates])
        #> Air ... ['Air']
        ```

    ``id`` and ``log_prob`` are ``None`` if the server omits them. ``candidates`` are the tokens that the model
    considered at this place, likeliest first, without candidates of their own.
    """

    text: str
    id: int | None = None
    log_prob: float | None = None
    candidates: tuple[TokenLogProb, ...] = ()


class Fragment:
    """A piece of the model's output, often one token; ``str(fragment)`` is its text.

    Example:
        ```python
        from lmstudio_integrations import Client

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        fragments = list(model.respond_stream("How many r are in strawberry?"))
        print("".join(fragment.content for fragment in fragments if fragment.is_visible))
        #> There are three.
        print("".join(fragment.content for fragment in fragments if fragment.is_reasoning))
        #> I count them: r, r, r.
        ```

    ``reasoning_type`` is ``"none"`` for the answer itself, ``"reasoning"`` for the model's reasoning, and
    ``"reasoningStartTag"`` or ``"reasoningEndTag"`` for the literal tags around them. ``is_structural`` marks text that
    belongs to the template rather than to the answer. ``tokens`` holds ids and log probabilities if they were asked
    for.
    """

    __slots__ = ("_data", "content")

    content: str

    def __init__(self, data: dict[str, Any]) -> None:
        content = data["content"]
        if type(content) is not str:
            raise TypeError(f"content is {type(content).__name__}")
        self.content = content
        self._data = data

    @property
    def tokens_count(self) -> int:
        """How many tokens the piece has, 1 if the server does not report it."""
        return fragment_tokens(self._data)

    @property
    def contains_drafted(self) -> bool:
        """Whether a draft model predicted part of it."""
        return bool(self._data.get("containsDrafted", False))

    @property
    def reasoning_type(self) -> str:
        """``none``, ``reasoning``, ``reasoningStartTag``, ``reasoningEndTag``, or a newer value of the server."""
        return str(self._data.get("reasoningType") or "none")

    @property
    def is_structural(self) -> bool:
        """Whether it belongs to the template."""
        return bool(self._data.get("isStructural", False))

    @property
    def is_visible(self) -> bool:
        """Whether it is part of the answer: neither reasoning nor structure."""
        return self.reasoning_type == "none" and not self.is_structural

    @property
    def is_reasoning(self) -> bool:
        """Whether it is part of the model's reasoning (its tags are not).

        Guess: a type that a newer server adds is reasoning; as part of the answer it would be wrong for certain.
        """
        return self.reasoning_type not in ("none", "reasoningStartTag", "reasoningEndTag")

    @property
    def tokens(self) -> list[TokenLogProb]:
        """The tokens of the piece with their log probabilities, if they were asked for."""
        return list(_token_log_probs(self._data.get("tokens")))

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        return f"Fragment({self.content!r}, reasoning_type={self.reasoning_type!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fragment) and self._data == other._data

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equality by content, and the content is a mutable mapping


@dataclass(frozen=True, slots=True)
class PromptProgress:
    """How much of the prompt has been processed: ``progress`` 0.0 to 1.0.

    Example:
        ```python
        from lmstudio_integrations import Client, PromptProgress

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        for event in model.respond_stream("Why is the sky blue?").events():
            if isinstance(event, PromptProgress):
                print(event.progress, event.processed_tokens, "of", event.total_tokens)
        #> 0.0 0 of ...
        #> ...
        #> 1.0 ... of ...
        ```

    The counts are tokens, ``None`` from older servers. ``cached_tokens`` are those that the server found in its cache.
    """

    progress: float
    cached_tokens: int | None = None
    total_tokens: int | None = None
    processed_tokens: int | None = None
    unprocessed_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """The request waits at the server behind others: ``queued`` of them wait. ``status``: what the model does now.

    Example:
        ```python
        from lmstudio_integrations import Client, QueueProgress

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        for event in model.respond_stream("Why is the sky blue?").events():
            if isinstance(event, QueueProgress):
                print(f"{event.queued} requests wait, the model is {event.status}")
        ```
    """

    queued: int
    status: str = ""


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How much of a model has been loaded before the prediction can start: ``progress`` 0.0 to 1.0.

    Example:
        ```python
        from lmstudio_integrations import Client, LoadProgress

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        for event in model.respond_stream("Why is the sky blue?").events():
            if isinstance(event, LoadProgress):
                print(f"loading {event.progress:.0%}")
        #> loading 0%
        #> ...
        #> loading 100%
        ```
    """

    progress: float
    identifier: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model started tool call number ``index`` (0, 1, … in one prediction).

    Every call starts with this event and ends with ``ToolCallEnd`` or ``ToolCallFailed``, unless the prediction ends
    within it.

    ``id`` is the server's, or a new one if the server gives none or one that the conversation has already.

    Example:
        ```python
        from lmstudio_integrations import Client, ToolCallArguments, ToolCallEnd, ToolCallName, ToolCallStart

        tool = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
        model = Client().llm.just_in_time("qwen/qwen3-4b")
        for event in model.respond_stream("How warm is it in Oslo?", tools=[tool]).events():
            if isinstance(event, ToolCallStart):
                print(event.index, end=" ")
            elif isinstance(event, ToolCallName):
                print(event.name, end=" ")
            elif isinstance(event, ToolCallArguments):
                print(event.content, end="")
            elif isinstance(event, ToolCallEnd):
                print(" =>", event.tool_call.arguments)
        #> 0 get_weather {"city":"Oslo"} => {'city': 'Oslo'}
        ```
    """

    index: int
    id: str


@dataclass(frozen=True, slots=True)
class ToolCallName:
    """The tool's own name, also if the server changed it. It comes once for each call, before its arguments.

    Example:
        ```python
        from lmstudio_integrations import ToolCallName

        event = ToolCallName(index=0, name="get_weather")  # one of respond_stream(...).events(), see ToolCallStart
        ```
    """

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """A piece of the arguments' text. The joined pieces of an ended call are strict JSON for its arguments.

    Example:
        ```python
        from lmstudio_integrations import ToolCallArguments

        event = ToolCallArguments(index=0, content='{"ci')  # one of respond_stream(...).events(), see ToolCallStart
        ```
    """

    index: int
    content: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The complete call, its arguments parsed; ``raw_content`` is the text as the model wrote it.

    Example:
        ```python
        from lmstudio_integrations import Client, ToolCallEnd

        tool = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
        model = Client().llm.just_in_time("qwen/qwen3-4b")
        for event in model.respond_stream("How warm is it in Oslo?", tools=[tool]).events():
            if isinstance(event, ToolCallEnd):
                print(event.tool_call.name, event.tool_call.arguments)
        #> get_weather {'city': 'Oslo'}
        ```
    """

    index: int
    tool_call: ToolCallRequest
    raw_content: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallFailed:
    """The model wrote something that LM Studio could not parse: the error, name and arguments so far, the raw text.

    Example:
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator, FailedToolCall, Reply

        with Emulator() as server, Client(server.url) as client:
            server.script(Reply(failed_tool_call=FailedToolCall("get_weather", '{"city": Os')))
            result = client.llm.just_in_time("emulator/chat").respond("How warm is it in Oslo?")
            for failed in result.failed_tool_calls:
                print(failed.name, failed.arguments, failed.error.title)
            #> get_weather {"city": Os Failed to parse tool call: ...
        ```
    """

    index: int
    error: SerializedError
    name: str | None = None
    arguments: str = ""
    raw_content: str | None = None
    id: str = ""


Event = (
    Fragment
    | PromptProgress
    | LoadProgress
    | QueueProgress
    | ToolCallStart
    | ToolCallName
    | ToolCallArguments
    | ToolCallEnd
    | ToolCallFailed
)


def _token_log_probs(tokens: Any) -> Iterator[TokenLogProb]:
    """The tokens in LM Studio's form; what is no token is left out."""
    for token in tokens if isinstance(tokens, list) else ():
        if isinstance(token, dict) and isinstance(token.get("text"), str):
            log_prob = token.get("logProb")
            yield TokenLogProb(
                text=token["text"],
                id=token_count(token.get("id")),
                log_prob=float(log_prob) if isinstance(log_prob, int | float) and abs(log_prob) < _MAX_EXACT else None,
                candidates=tuple(_token_log_probs(token.get("candidates"))),
            )


def token_count(value: Any) -> int | None:
    """A number of tokens, or ``None`` for anything else."""
    return int(value) if isinstance(value, int | float) and abs(value) < _MAX_EXACT else None


def fragment_tokens(fragment: dict[str, Any]) -> int:
    """The tokens of a fragment, 1 if the server does not report it."""
    count = fragment.get("tokensCount", 1)
    if type(count) is int:
        return count
    known = token_count(count)
    return 1 if known is None else known
