"""What a source of replies produces, piece by piece, and the packet that each piece becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lmstudio_integrations.emulator.backends import fake_tokenizer
from lmstudio_integrations.protocol.history import ToolCallRequest
from lmstudio_integrations.protocol.packets import (
    PromptProcessingDetails,
    PromptProcessingProgress,
    ToolCallGenerationArgumentFragmentGenerated,
    ToolCallGenerationEnd,
    ToolCallGenerationFailed,
    ToolCallGenerationNameReceived,
    ToolCallGenerationStart,
)

ReasoningType = Literal["none", "reasoning", "reasoningStartTag", "reasoningEndTag"]
Packet = dict[str, Any]


@dataclass(slots=True)
class Text:
    """Some text of the answer or of the reasoning, ``count`` tokens long."""

    content: str
    count: int
    kind: ReasoningType = "none"

    def packet(self, *, with_tokens: bool = False) -> Packet:
        # By hand: there is one for every token, and a model would take twenty times as long.
        fragment: dict[str, Any] = {
            "content": self.content,
            "tokensCount": self.count,
            "containsDrafted": False,
            "reasoningType": self.kind,
            "isStructural": self.kind in ("reasoningStartTag", "reasoningEndTag"),
        }
        if with_tokens:
            fragment["tokens"] = [_token(piece) for piece in fake_tokenizer.pieces(self.content)]
        return {"type": "fragment", "fragment": fragment}


@dataclass(slots=True)
class Progress:
    """How far the prompt is processed: ``processed`` counts the tokens beyond the ``cached`` ones."""

    share: float
    total: int
    cached: int
    processed: int

    def packet(self) -> Packet:
        details = PromptProcessingDetails(
            cached_token_count=self.cached,
            total_prompt_token_count=self.total,
            processed_prompt_token_count=self.processed,
            unprocessed_prompt_token_count=max(0, self.total - self.cached - self.processed),
        )
        return PromptProcessingProgress(progress=self.share, details=details).to_wire()


@dataclass(slots=True)
class CallStart:
    """A tool call begins."""

    id: str | None
    count: int = 0

    def packet(self) -> Packet:
        return ToolCallGenerationStart(tool_call_id=self.id).to_wire()


@dataclass(slots=True)
class CallName:
    """The tool call's name is known."""

    name: str

    @property
    def count(self) -> int:
        return fake_tokenizer.count(self.name)

    def packet(self) -> Packet:
        return ToolCallGenerationNameReceived(name=self.name).to_wire()


@dataclass(slots=True)
class CallArguments:
    """Some text of the tool call's arguments."""

    content: str

    @property
    def count(self) -> int:
        return fake_tokenizer.count(self.content)

    def packet(self) -> Packet:
        return ToolCallGenerationArgumentFragmentGenerated(content=self.content).to_wire()


@dataclass(slots=True)
class CallEnd:
    """The tool call is complete. ``arguments=None`` omits the key."""

    name: str
    arguments: dict[str, Any] | None
    id: str | None
    raw: str | None
    count: int = 0

    def packet(self) -> Packet:
        request = ToolCallRequest(id=self.id, name=self.name, arguments=self.arguments)
        return ToolCallGenerationEnd(tool_call_request=request, raw_content=self.raw).to_wire()


@dataclass(slots=True)
class CallFailed:
    """The tool call could not be read."""

    error: dict[str, Any]
    raw: str | None
    count: int = 0

    def packet(self) -> Packet:
        return ToolCallGenerationFailed(error=self.error, raw_content=self.raw).to_wire()


@dataclass(slots=True)
class Finish:
    """The source has come to its end by itself; what it knows better than the emulator."""

    stop_reason: str | None = None
    prompt_tokens: int | None = None
    predicted_tokens: int | None = None


Event = Text | CallStart | CallName | CallArguments | CallEnd | CallFailed


def _token(piece: str) -> dict[str, Any]:
    # Invented: the emulator reports one candidate, with probability 1.
    number = fake_tokenizer.token_id(piece)
    return {"text": piece, "id": number, "logProb": 0.0, "candidates": [{"text": piece, "id": number, "logProb": 0.0}]}
