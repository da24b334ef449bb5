"""What happens in a prediction, as values: a piece of text, progress, the stages of a tool call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lmstudio_integrations.protocol.envelopes import SerializedError
from lmstudio_integrations.protocol.history import ToolCallRequest

__all__ = [
    "Event",
    "Fragment",
    "LoadProgress",
    "PromptProgress",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallFailed",
    "ToolCallName",
    "ToolCallStart",
    "fragment_tokens",
    "token_count",
]

_MOST_TOKENS = 2**53


class Fragment:
    """A piece of the model's output, often one token; ``str(fragment)`` is its text.

    ``reasoning_type`` is ``"none"`` for the answer itself, ``"reasoning"`` for the model's thoughts, and
    ``"reasoningStartTag"`` or ``"reasoningEndTag"`` for the literal tags around them. ``is_structural`` marks text that
    belongs to the template rather than to the answer. ``tokens`` holds ids and log probabilities where they were asked
    for, in LM Studio's own form.
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
        """How many tokens the piece holds, 1 where the server does not say."""
        return fragment_tokens(self._data)

    @property
    def contains_drafted(self) -> bool:
        """Whether a draft model guessed part of it."""
        return bool(self._data.get("containsDrafted", False))

    @property
    def reasoning_type(self) -> str:
        """``none``, ``reasoning``, ``reasoningStartTag``, ``reasoningEndTag``, or what a newer server says."""
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
        """Whether it is part of the model's thoughts (their tags are not)."""
        return self.reasoning_type == "reasoning"

    @property
    def tokens(self) -> list[dict[str, Any]]:
        """The tokens with ``text``, ``id``, ``logProb`` and ``candidates``, where log probabilities were asked for."""
        tokens = self._data.get("tokens")
        return list(tokens) if isinstance(tokens, list) else []

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        return f"Fragment({self.content!r}, reasoning_type={self.reasoning_type!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fragment) and self._data == other._data

    __hash__ = None  # type: ignore[assignment]  # equality by content, and the content is a mutable mapping


@dataclass(frozen=True, slots=True)
class PromptProgress:
    """How much of the prompt has been read: ``progress`` 0.0 to 1.0, the rest in tokens, ``None`` from older servers.

    ``cached_tokens`` were known from before and not read again.
    """

    progress: float
    cached_tokens: int | None = None
    total_tokens: int | None = None
    processed_tokens: int | None = None
    unprocessed_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How much of a model has been loaded before the prediction can begin: ``progress`` 0.0 to 1.0."""

    progress: float
    identifier: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model began tool call number ``index`` (0, 1, … in one prediction); ``id`` where the server gives one."""

    index: int
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallName:
    """The name of the tool is known. Some servers leave this event out."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """A piece of the arguments' JSON text. Some servers leave these events out."""

    index: int
    content: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The whole call, its arguments parsed; ``raw_content`` is the text as the model wrote it."""

    index: int
    tool_call: ToolCallRequest
    raw_content: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallFailed:
    """What the model wrote is no valid call: the error, the name and arguments so far, and the raw text."""

    index: int
    error: SerializedError
    name: str | None = None
    arguments: str = ""
    raw_content: str | None = None


Event = (
    Fragment
    | PromptProgress
    | LoadProgress
    | ToolCallStart
    | ToolCallName
    | ToolCallArguments
    | ToolCallEnd
    | ToolCallFailed
)


def token_count(value: Any) -> int | None:
    """A number of tokens, or ``None`` for what is none."""
    return int(value) if isinstance(value, int | float) and abs(value) < _MOST_TOKENS else None


def fragment_tokens(fragment: dict[str, Any]) -> int:
    """The tokens of a fragment, 1 where the server does not say."""
    count = fragment.get("tokensCount", 1)
    if type(count) is int:
        return count
    known = token_count(count)
    return 1 if known is None else known
