"""A prediction as it comes in: packets go into a ``PredictionReader``, events come out, a result is left at the end.

Pure: no socket, no thread, no clock. The packets are those of LM Studio's ``predict``, ``getOrLoad`` and ``loadModel``
channels (lmstudio-js, ``lms-external-backend-interfaces``); what a newer server adds is passed over, what an older one
leaves out has a default.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.events import (
    Event,
    Fragment,
    LoadProgress,
    PromptProgress,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
    fragment_tokens,
    token_count,
)
from lmstudio_integrations.client.result import PartialPrediction, PredictionResult, read_structured
from lmstudio_integrations.client.surrogates import SurrogateJoiner
from lmstudio_integrations.client.transport.multiplexer import Closed
from lmstudio_integrations.errors import (
    LMStudioError,
    LMStudioIncompleteError,
    LMStudioProtocolError,
    server_error,
)
from lmstudio_integrations.protocol.config import from_kv
from lmstudio_integrations.protocol.envelopes import SerializedError
from lmstudio_integrations.protocol.history import ToolCallRequest
from lmstudio_integrations.protocol.models import ModelInstanceInfo
from lmstudio_integrations.protocol.prediction import PredictionStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lmstudio_integrations.client.transport.multiplexer import Outcome

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

_MOST_NOTES = 20


class PredictionReader:
    """Reads the packets of one prediction, loading included, and keeps what they add up to.

    ``structured``: whether a document was asked for, so that the result is parsed as JSON.
    """

    def __init__(
        self,
        *,
        structured: bool = False,
        tool_names: Sequence[str] = (),
        taken_ids: Iterable[str] = (),
        parallel_tool_calls: bool = True,
    ) -> None:
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
        self._told: LMStudioError | None = None
        self._text = SurrogateJoiner()
        self._argument_text = SurrogateJoiner()
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

        ``packet`` may also be how the call ended; ending without the final packet raises
        ``LMStudioIncompleteError``, ending in an error that error, with ``partial`` set. A final packet that cannot be
        understood raises ``LMStudioProtocolError``; any other strange packet is logged once and passed over.
        """
        try:
            kind = packet["type"]  # type: ignore[index]  # an end is no mapping; it is told apart below, off the hot path
            if kind == "fragment":
                data = packet["fragment"]  # type: ignore[index]
                fragment = Fragment(data)
                if self._text.held or not fragment.content.isascii():
                    fragment.content = self._text.feed(fragment.content)
                reasoning = data.get("reasoningType") or "none"
                if reasoning == "none":
                    if not data.get("isStructural"):
                        self._visible.append(fragment.content)
                elif reasoning == "reasoning":
                    self._reasoning.append(fragment.content)
                    self._reasoning_tokens += fragment_tokens(data)
                return fragment
            read = _READERS.get(kind)
            if read is not None:
                return read(self, packet)  # type: ignore[arg-type]
            problem = f"a packet of the unknown type {kind!r}"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(packet, Closed | LMStudioError):
                self._read_end(packet)
                return None
            problem = f"a packet that cannot be read ({type(error).__name__}: {error})"
        if problem not in self._strange and len(self._strange) < _MOST_NOTES:
            self._strange.add(problem)
            logger.warning("%s was passed over in a prediction", problem)
        return None

    def _read_end(self, outcome: object) -> None:
        if self.ended:
            return
        error = outcome if isinstance(outcome, LMStudioError) else self._told
        if error is None:
            error = LMStudioIncompleteError(
                "LM Studio ended the prediction without its final packet, so the answer is not whole; "
                "what had come is on this error as 'partial'"
            )
        if outcome is not error:
            error.response_started = True
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
        details = packet.get("details")
        if not isinstance(details, dict):
            details = {}
        self.prompt_progress = PromptProgress(
            _fraction(packet["progress"]),
            token_count(details.get("cachedTokenCount")),
            token_count(details.get("totalPromptTokenCount")),
            token_count(details.get("processedPromptTokenCount")),
            token_count(details.get("unprocessedPromptTokenCount")),
        )
        return self.prompt_progress

    def _read_start_loading(self, packet: dict[str, Any]) -> Event:
        self._loading = packet.get("identifier")
        return LoadProgress(0.0, self._loading)

    def _read_load_progress(self, packet: dict[str, Any]) -> Event:
        return LoadProgress(_fraction(packet["progress"]), self._loading)

    def _read_loaded(self, packet: dict[str, Any]) -> None:
        """The model is there; its ``LoadProgress(1.0)`` came before, and the caller asks for no more."""

    def _begin_tool_call(self, id: Any) -> None:
        self._tool_index += 1
        self._tool_open = True
        self._tool_name, self._tool_id, self._tool_arguments = None, _id(id), []
        self._argument_text = SurrogateJoiner()

    def _finish_tool_call(self) -> None:
        if not self._tool_open:  # an older server that sends the whole call in one packet
            self._begin_tool_call(None)
        self._tool_open = False

    def _read_tool_start(self, packet: dict[str, Any]) -> Event:
        self._begin_tool_call(packet.get("toolCallId"))
        return ToolCallStart(self._tool_index, self._tool_id)

    def _read_tool_name(self, packet: dict[str, Any]) -> Event:
        name = str(packet["name"])
        if not self._tool_open:
            self._begin_tool_call(None)
        self._tool_name = name
        return ToolCallName(self._tool_index, name)

    def _read_tool_arguments(self, packet: dict[str, Any]) -> Event:
        content = packet["content"]
        if not isinstance(content, str) or not self._tool_open:
            raise ValueError("a piece of arguments that belongs to no tool call")
        content = self._argument_text.feed(content)
        self._tool_arguments.append(content)
        return ToolCallArguments(self._tool_index, content)

    def _read_tool_end(self, packet: dict[str, Any]) -> Event:
        self._finish_tool_call()
        raw = packet.get("rawContent")
        request = packet.get("toolCallRequest")
        try:
            call = ToolCallRequest(
                id=_id(request.get("id")) or self._tool_id,  # type: ignore[union-attr]  # whatever came is told apart below
                name=request["name"],  # type: ignore[index]
                arguments=request.get("arguments") or {},  # type: ignore[union-attr]
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            # It was announced, so it must not vanish: what the model wrote is in the failure.
            return self._fail_tool_call(SerializedError(title=f"A tool call that cannot be read: {request!r}"), raw)
        self._tool_calls.append(call)
        return ToolCallEnd(self._tool_index, call, raw)

    def _read_tool_failed(self, packet: dict[str, Any]) -> Event:
        self._finish_tool_call()
        return self._fail_tool_call(SerializedError.from_any(packet.get("error")), packet.get("rawContent"))

    def _fail_tool_call(self, error: SerializedError, raw: str | None) -> ToolCallFailed:
        failed = ToolCallFailed(self._tool_index, error, self._tool_name, "".join(self._tool_arguments), raw)
        self._failed.append(failed)
        return failed

    def _read_success(self, packet: dict[str, Any]) -> None:
        self._visible.append(self._text.end())
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
            self.error.partial, self.error.response_started = self.partial(), True
            raise self.error from error

    def _read_error(self, packet: dict[str, Any]) -> None:
        """Older servers sent errors as packets; the channel's own error or close follows."""
        self._told = server_error(packet.get("error"))


def load_progress(packet: dict[str, Any]) -> float | None:
    """The progress (0.0 to 1.0) that a packet of ``getOrLoad`` or ``loadModel`` reports, or ``None``."""
    try:
        if packet["type"] == "startLoading":
            return 0.0
        return _fraction(packet["progress"]) if packet["type"] in ("loadProgress", "progress") else None
    except (KeyError, TypeError, ValueError):
        return None


def _id(value: Any) -> str | None:
    """A tool call's id; numbers are taken for what they look like, and an empty one is none."""
    return str(value) if isinstance(value, str | int) and value != "" else None


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
    "error": PredictionReader._read_error,
}
