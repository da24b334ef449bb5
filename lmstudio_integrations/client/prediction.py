"""A prediction as it comes in: packets go into a ``PredictionReader``, events come out, a result is left at the end.

Pure: no socket, no thread, no clock. The packets are those of LM Studio's ``predict``, ``getOrLoad`` and ``loadModel``
channels (lmstudio-js, ``lms-external-backend-interfaces``); what a newer server adds is passed over, what an older one
leaves out has a default.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.result import PartialPrediction, PredictionResult, read_structured
from lmstudio_integrations.errors import LMStudioError, LMStudioIncompleteError, LMStudioProtocolError
from lmstudio_integrations.protocol.config import from_kv
from lmstudio_integrations.protocol.envelopes import SerializedError
from lmstudio_integrations.protocol.history import ToolCallRequest
from lmstudio_integrations.protocol.models import ModelInstanceInfo
from lmstudio_integrations.protocol.prediction import PredictionStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmstudio_integrations.client.session import Outcome

__all__ = [
    "Event",
    "Fragment",
    "LoadProgress",
    "PredictionReader",
    "PromptProgress",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallFailed",
    "ToolCallName",
    "ToolCallStart",
]

logger = logging.getLogger("lmstudio_integrations")


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
        return int(self._data.get("tokensCount", 1))

    @property
    def contains_drafted(self) -> bool:
        """Whether a draft model guessed part of it."""
        return bool(self._data.get("containsDrafted", False))

    @property
    def reasoning_type(self) -> str:
        """``none``, ``reasoning``, ``reasoningStartTag``, ``reasoningEndTag``, or what a newer server says."""
        return str(self._data.get("reasoningType", "none"))

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
        return list(self._data.get("tokens") or ())

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


class PredictionReader:
    """Reads the packets of one prediction, loading included, and keeps what they add up to.

    ``structured``: whether a document was asked for, so that the result is parsed as JSON.
    """

    def __init__(self, *, structured: bool = False) -> None:
        self._structured = structured
        self._visible: list[str] = []
        self._reasoning: list[str] = []
        self._reasoning_tokens = 0
        self._loading: str | None = None
        self._tool_index = -1
        self._tool_open = False
        self._tool_name: str | None = None
        self._tool_id: str | None = None
        self._tool_arguments: list[str] = []
        self._tool_calls: list[ToolCallRequest] = []
        self._failed: list[ToolCallFailed] = []
        self._strange: set[str] = set()
        self.prompt_progress: PromptProgress | None = None
        self.result: PredictionResult | None = None
        self.error: LMStudioError | None = None

    @property
    def content(self) -> str:
        """The visible text so far."""
        return "".join(self._visible)

    @property
    def reasoning(self) -> str:
        """The model's thoughts so far, without their tags."""
        return "".join(self._reasoning)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to read: ``result`` is there, or ``error`` is."""
        return self.result is not None or self.error is not None

    def read(self, packet: dict[str, Any] | Outcome) -> Event | None:
        """The event that ``packet`` is, or ``None``. After the final packet ``result`` is set.

        ``packet`` may also be how the conversation ended; ending without the final packet raises
        ``LMStudioIncompleteError``, ending in an error that error, with ``partial`` set. A final packet that cannot be
        understood raises ``LMStudioProtocolError``; any other strange packet is logged once and passed over.
        """
        try:
            kind = packet["type"]  # type: ignore[index]  # an end is no mapping; it is told apart below, off the hot path
            if kind == "fragment":
                data = packet["fragment"]  # type: ignore[index]
                fragment = Fragment(data)
                reasoning = data.get("reasoningType", "none")
                if reasoning == "none":
                    if not data.get("isStructural"):
                        self._visible.append(fragment.content)
                elif reasoning == "reasoning":
                    self._reasoning.append(fragment.content)
                    self._reasoning_tokens += data.get("tokensCount", 1)
                return fragment
            read = _READERS.get(kind)
            if read is not None:
                return read(self, packet)  # type: ignore[arg-type]
            problem = f"a packet of the unknown type {kind!r}"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if not isinstance(packet, dict):
                self._read_end(packet)
                return None
            problem = f"a packet that cannot be read ({type(error).__name__}: {error})"
        if problem not in self._strange:
            self._strange.add(problem)
            logger.warning("%s was passed over in a prediction", problem)
        return None

    def _read_end(self, outcome: object) -> None:
        if self.result is not None:
            return
        error = outcome if isinstance(outcome, LMStudioError) else None
        if error is None:
            error = LMStudioIncompleteError(
                "LM Studio ended the prediction without its final packet, so the answer is not whole; "
                "what had come is on this error as 'partial'"
            )
            error.begun = True
        error.partial = self.partial()
        self.error = error
        raise error

    def partial(self) -> PartialPrediction:
        """What there is so far, for an answer that broke off."""
        return PartialPrediction(
            content=self.content,
            reasoning=self.reasoning,
            tool_calls=list(self._tool_calls),
            failed_tool_calls=list(self._failed),
            prompt_progress=self.prompt_progress,
        )

    def _read_prompt_progress(self, packet: dict[str, Any]) -> Event:
        details = packet.get("details") or {}
        self.prompt_progress = PromptProgress(
            _fraction(packet["progress"]),
            details.get("cachedTokenCount"),
            details.get("totalPromptTokenCount"),
            details.get("processedPromptTokenCount"),
            details.get("unprocessedPromptTokenCount"),
        )
        return self.prompt_progress

    def _read_start_loading(self, packet: dict[str, Any]) -> Event:
        self._loading = packet.get("identifier")
        return LoadProgress(0.0, self._loading)

    def _read_load_progress(self, packet: dict[str, Any]) -> Event:
        return LoadProgress(_fraction(packet["progress"]), self._loading)

    def _read_loaded(self, packet: dict[str, Any]) -> None:
        """The model is there; its ``LoadProgress(1.0)`` came before, and the caller asks for no more."""

    def _begin_tool_call(self, id: str | None) -> None:
        self._tool_index += 1
        self._tool_open = True
        self._tool_name, self._tool_id, self._tool_arguments = None, id, []

    def _finish_tool_call(self) -> None:
        if not self._tool_open:  # an older server that sends the whole call in one packet
            self._begin_tool_call(None)
        self._tool_open = False

    def _read_tool_start(self, packet: dict[str, Any]) -> Event:
        self._begin_tool_call(packet.get("toolCallId"))
        return ToolCallStart(self._tool_index, self._tool_id)

    def _read_tool_name(self, packet: dict[str, Any]) -> Event:
        self._tool_name = str(packet["name"])
        return ToolCallName(self._tool_index, self._tool_name)

    def _read_tool_arguments(self, packet: dict[str, Any]) -> Event:
        self._tool_arguments.append(packet["content"])
        return ToolCallArguments(self._tool_index, packet["content"])

    def _read_tool_end(self, packet: dict[str, Any]) -> Event:
        request = packet["toolCallRequest"]
        name = request["name"]
        self._finish_tool_call()
        call = ToolCallRequest(
            id=request.get("id") or self._tool_id, name=name, arguments=request.get("arguments") or {}
        )
        self._tool_calls.append(call)
        return ToolCallEnd(self._tool_index, call, packet.get("rawContent"))

    def _read_tool_failed(self, packet: dict[str, Any]) -> Event:
        self._finish_tool_call()
        failed = ToolCallFailed(
            self._tool_index,
            SerializedError.from_any(packet.get("error")),
            self._tool_name,
            "".join(self._tool_arguments),
            packet.get("rawContent"),
        )
        self._failed.append(failed)
        return failed

    def _read_success(self, packet: dict[str, Any]) -> None:
        content, reasoning = self.content, self.reasoning
        structured, parsed, parsed_from_reasoning, parse_error = read_structured(self._structured, content, reasoning)
        try:
            self.result = PredictionResult(
                content=content,
                reasoning=reasoning,
                reasoning_tokens_count=self._reasoning_tokens,
                parsed=parsed,
                structured=structured,
                parsed_from_reasoning=parsed_from_reasoning,
                parse_error=parse_error,
                tool_calls=self._tool_calls,
                failed_tool_calls=self._failed,
                stats=PredictionStats.model_validate(packet["stats"]),
                model_info=ModelInstanceInfo.model_validate(packet["modelInfo"]),
                load_config=from_kv(packet.get("loadModelConfig") or {"fields": []}, "llm.load"),
                prediction_config=from_kv(packet.get("predictionConfig") or {"fields": []}, "llm.prediction"),
                prompt_progress=self.prompt_progress,
            )
        except (KeyError, TypeError, ValueError) as error:
            self.error = LMStudioProtocolError(f"the final packet of a prediction cannot be read: {error}")
            self.error.partial, self.error.begun = self.partial(), True
            raise self.error from error

    def _read_error(self, packet: dict[str, Any]) -> None:
        """Older servers sent errors as packets; the channel's own error or close follows."""


def load_progress(packet: dict[str, Any]) -> float | None:
    """The progress (0.0 to 1.0) that a packet of ``getOrLoad`` or ``loadModel`` reports, or ``None``."""
    try:
        if packet["type"] == "startLoading":
            return 0.0
        return _fraction(packet["progress"]) if packet["type"] in ("loadProgress", "progress") else None
    except (KeyError, TypeError, ValueError):
        return None


def _fraction(value: Any) -> float:
    """Progress as 0.0 to 1.0, however the server spells it (integers 0 and 1 occur)."""
    return min(1.0, max(0.0, float(value)))


_READERS: dict[str, Callable[[PredictionReader, dict[str, Any]], Event | None]] = {
    "promptProcessingProgress": PredictionReader._read_prompt_progress,
    "success": PredictionReader._read_success,
    "toolCallGenerationStart": PredictionReader._read_tool_start,
    "toolCallGenerationNameReceived": PredictionReader._read_tool_name,
    "toolCallGenerationArgumentFragmentGenerated": PredictionReader._read_tool_arguments,
    "toolCallGenerationEnd": PredictionReader._read_tool_end,
    "toolCallGenerationFailed": PredictionReader._read_tool_failed,
    "resolved": PredictionReader._read_loaded,
    "alreadyLoaded": PredictionReader._read_loaded,
    "unloadingOtherJITModel": PredictionReader._read_loaded,
    "startLoading": PredictionReader._read_start_loading,
    "loadProgress": PredictionReader._read_load_progress,
    "progress": PredictionReader._read_load_progress,
    "loadSuccess": PredictionReader._read_loaded,
}
