"""Reads a prediction: packets go into a ``PredictionReader``, events come out, and at the end there is a result.

No I/O, no threads, no clock. The packets are those of LM Studio's ``predict``, ``getOrLoad`` and ``loadModel``
channels (lmstudio-js, ``lms-external-backend-interfaces``); what a newer server adds is ignored, what an
older one omits has a default.
"""

from __future__ import annotations

import logging
import unicodedata
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmstudio_integrations._surrogates import SurrogateJoiner
from lmstudio_integrations.client.events import (
    Event,
    Fragment,
    LoadProgress,
    PromptProgress,
    QueueProgress,
    TokenLogProb,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
    token_count,
)
from lmstudio_integrations.client.result import PartialPrediction, PredictionResult, read_structured
from lmstudio_integrations.client.streamed_json import StreamedArguments
from lmstudio_integrations.client.transport.multiplexer import Closed
from lmstudio_integrations.errors import (
    LMStudioError,
    LMStudioIncompleteError,
    LMStudioProtocolError,
    server_error,
)
from lmstudio_integrations.protocol.config_reported import (
    ReportedLlmLoadConfig,
    ReportedPredictionConfig,
    reported_config,
)
from lmstudio_integrations.protocol.envelopes import SerializedError
from lmstudio_integrations.protocol.history import ToolCallRequest
from lmstudio_integrations.protocol.models import ModelInstanceInfo
from lmstudio_integrations.protocol.prediction import PredictionStats
from lmstudio_integrations.protocol.repository import DownloadProgressUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lmstudio_integrations.client.transport.multiplexer import Outcome

__all__ = ["PredictionReader", "download_progress", "load_progress"]

logger: logging.Logger = logging.getLogger("lmstudio_integrations")

_MAX_LOGGED_PROBLEMS = 20


@dataclass(slots=True)
class _OpenToolCall:
    """The tool call that the model is writing.

    ``reported``: whether it has events and is in the result; with ``parallel_tool_calls=False`` only the first call is.
    ``waiting``: arguments that came before the name.
    """

    index: int
    id: str
    reported: bool
    name: str | None = None
    waiting: str = ""
    text: list[str] = field(default_factory=list)
    joiner: SurrogateJoiner = field(default_factory=SurrogateJoiner)
    arguments: StreamedArguments = field(default_factory=StreamedArguments)


class PredictionReader:
    """Reads the packets of one prediction, loading included, and accumulates the result.

    ``structured``: a document was asked for, so the result is parsed as JSON. ``tool_names``: the names of the offered
    tools, to restore one that the server changed. ``taken_ids``: ids of the conversation's tool calls; new ones differ
    from them. ``parallel_tool_calls``: ``False`` keeps only the first tool call.
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
        self._tool_names = tool_names
        self._taken_ids = set(taken_ids)
        self._parallel = parallel_tool_calls
        self._visible: list[str] = []
        self._reasoning: list[str] = []
        self._reasoning_tokens = 0
        self._reasoning_tags = ["", ""]
        self._log_probs: list[TokenLogProb] = []
        self._loading: str | None = None
        self._tool_count = 0
        self._tool: _OpenToolCall | None = None
        self._tool_calls: list[ToolCallRequest] = []
        self._failed: list[ToolCallFailed] = []
        self._logged_problems: set[str] = set()
        self._packet_error: LMStudioError | None = None
        self._text_joiner = SurrogateJoiner()
        self._reasoning_joiner = SurrogateJoiner()
        self.prompt_progress: PromptProgress | None = None
        self.result: PredictionResult | None = None
        self.error: LMStudioError | None = None

    @property
    def content(self) -> str:
        """The visible text so far."""
        return "".join(self._visible)

    @property
    def reasoning(self) -> str:
        """The model's reasoning so far, without its tags."""
        return "".join(self._reasoning)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to read: ``result`` is there, or ``error`` is."""
        return self.result is not None or self.error is not None

    def read(self, packet: dict[str, Any] | Outcome | QueueProgress) -> Event | tuple[Event, ...] | None:
        """The event or the events that ``packet`` stands for, or ``None``. After the final packet ``result`` is set.

        ``packet`` may also be the outcome of the call. Without a final packet before it, a closed channel raises
        ``LMStudioIncompleteError``, and an error is raised with ``partial`` set. A final packet that cannot be read
        raises ``LMStudioProtocolError``; any other such packet is ignored. Each of the first 20 different problems is
        logged.
        """
        if type(packet) is not dict:
            if isinstance(packet, QueueProgress):  # made by the executor
                return packet
            self._read_end(packet)
            return None
        try:
            kind = packet["type"]
            if kind == "fragment":
                data = packet["fragment"]
                fragment = Fragment(data)
                reasoning = data.get("reasoningType") or "none"
                joiner = self._text_joiner if reasoning == "none" else self._reasoning_joiner
                if joiner.held or not fragment.content.isascii():
                    fragment.content = joiner.feed(fragment.content)
                if reasoning == "none":
                    if not data.get("isStructural"):
                        self._visible.append(fragment.content)
                        if "tokens" in data:
                            self._log_probs += fragment.tokens
                else:
                    self._read_reasoning(reasoning, fragment)
                return fragment
            read = _READERS.get(kind)
            if read is not None:
                return read(self, packet)
            problem = f"a packet of the unknown type {str(kind)[:80]!r}"
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            problem = f"a packet that cannot be read ({type(error).__name__}: {str(error)[:200]})"
        if problem not in self._logged_problems and len(self._logged_problems) < _MAX_LOGGED_PROBLEMS:
            self._logged_problems.add(problem)
            logger.warning("ignored %s in a prediction", problem)
        return None

    def _read_reasoning(self, kind: str, fragment: Fragment) -> None:
        if fragment.is_reasoning:
            self._reasoning.append(fragment.content)
            self._reasoning_tokens += fragment.tokens_count
        elif kind in _TAGS and not self._reasoning_tags[_TAGS[kind]]:
            self._reasoning_tags[_TAGS[kind]] = fragment.content

    def _read_end(self, outcome: object) -> None:
        if self.ended or not isinstance(outcome, Closed | LMStudioError):
            return
        error = outcome if isinstance(outcome, LMStudioError) else self._packet_error
        if error is None:
            error = LMStudioIncompleteError(
                "LM Studio ended the prediction without its final packet, so the response is incomplete; "
                "what had arrived is on this error as 'partial'"
            )
        if outcome is not error:  # made here; an error of the transport knows it already
            error.response_started = True
        error.partial = self.partial()
        self.error = error
        raise error

    def partial(self) -> PartialPrediction:
        """What has arrived so far, for an error."""
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

    def _read_nothing(self, packet: dict[str, Any]) -> None:
        """A packet that needs no event."""

    def _start_tool_call(self, given: Any) -> _OpenToolCall:
        call_id = str(given) if isinstance(given, str | int) and given != "" else ""
        if not call_id or call_id in self._taken_ids:
            call_id = f"call_{uuid.uuid4().hex[:24]}"
        self._taken_ids.add(call_id)
        reported = self._parallel or not self._tool_calls
        self._tool = _OpenToolCall(self._tool_count, call_id, reported)
        self._tool_count += 1
        return self._tool

    def _end_tool_call(self, given: Any) -> tuple[_OpenToolCall, list[Event]]:
        """The call that ends, and a ``ToolCallStart`` if none was sent: an older server sends a call in one packet."""
        call = self._tool
        if call is not None:
            self._tool = None
            return call, []
        call = self._start_tool_call(given)
        self._tool = None
        return call, [ToolCallStart(call.index, call.id)]

    def _read_tool_start(self, packet: dict[str, Any]) -> tuple[Event, ...]:
        events: tuple[Event, ...] = ()
        if self._tool is not None:
            unfinished, _ = self._end_tool_call(None)
            error = SerializedError(title="the next tool call started before the end of this one")
            events = self._fail_tool_call(unfinished, [], error, None)
        call = self._start_tool_call(packet.get("toolCallId"))
        return (*events, ToolCallStart(call.index, call.id)) if call.reported else events

    def _read_tool_name(self, packet: dict[str, Any]) -> tuple[Event, ...]:
        name = self._offered_name(packet["name"])
        call = self._tool
        events: list[Event] = []
        if call is None:
            call = self._start_tool_call(None)
            events.append(ToolCallStart(call.index, call.id))
        if call.name is None:
            call.name = name
            events.append(ToolCallName(call.index, name))
            if call.waiting:
                events.append(ToolCallArguments(call.index, call.waiting))
        return tuple(events) if call.reported else ()

    def _read_tool_arguments(self, packet: dict[str, Any]) -> Event | None:
        content, call = packet["content"], self._tool
        if not isinstance(content, str):
            raise TypeError(f"content is {type(content).__name__}")
        if call is None:
            raise ValueError("arguments outside of a tool call")
        content = call.joiner.feed(content)
        call.text.append(content)
        safe = call.arguments.feed(content)
        if call.name is None:
            call.waiting += safe
            return None
        return ToolCallArguments(call.index, safe) if safe and call.reported else None

    def _read_tool_end(self, packet: dict[str, Any]) -> tuple[Event, ...]:
        raw = packet.get("rawContent")
        request = packet.get("toolCallRequest")
        call, events = self._end_tool_call(request.get("id") if isinstance(request, dict) else None)
        try:
            made = ToolCallRequest(
                id=call.id,
                name=self._offered_name(request["name"]),  # type: ignore[index]  # the except clause handles other types
                arguments=request.get("arguments") or {},  # type: ignore[union-attr]
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            # Its start was reported, so its failure is, too, with what the model wrote.
            title = f"a tool call that cannot be read: {str(request)[:500]}"
            return self._fail_tool_call(call, events, SerializedError(title=title), raw)
        if not call.reported:
            return ()
        self._tool_calls.append(made)
        if call.name is None:
            events.append(ToolCallName(call.index, made.name))
        rest = call.waiting if call.name is None else ""
        rest += call.arguments.complete(made.arguments or {})
        if rest:
            events.append(ToolCallArguments(call.index, rest))
        return (*events, ToolCallEnd(call.index, made, raw))

    def _read_tool_failed(self, packet: dict[str, Any]) -> tuple[Event, ...]:
        call, events = self._end_tool_call(None)
        error = SerializedError.from_any(packet.get("error"))
        return self._fail_tool_call(call, events, error, packet.get("rawContent"))

    def _fail_tool_call(
        self, call: _OpenToolCall, events: list[Event], error: SerializedError, raw: Any
    ) -> tuple[Event, ...]:
        if not call.reported:
            return ()
        raw = raw if isinstance(raw, str) else None
        failed = ToolCallFailed(call.index, error, call.name, "".join(call.text), raw, call.id)
        self._failed.append(failed)
        return (*events, failed)

    def _offered_name(self, name: str) -> str:
        """The tool that the model means by ``name``: LM Studio may change special characters and case.

        Guess: a name that is not a tool's stands for the one tool with the same letters and digits, or with the same
        ones once those outside of ASCII are written in ASCII or left out.
        """
        if not isinstance(name, str):
            raise TypeError("the name of a tool is not text")
        if name in self._tool_names:
            return name
        letters = _letters_and_digits(name)
        alike = [tool for tool in self._tool_names if _letters_and_digits(tool) == letters]
        if not alike:
            alike = [tool for tool in self._tool_names if letters in _ascii_spellings(tool)]
        return alike[0] if len(alike) == 1 else name

    def _read_success(self, packet: dict[str, Any]) -> tuple[Event, ...]:
        # An unpaired surrogate at the end becomes a fragment of its own, so that stream and result have the same text.
        text, reasoning_text = self._text_joiner.end(), self._reasoning_joiner.end()
        self._visible.append(text)
        self._reasoning.append(reasoning_text)
        content, reasoning = self.content, self.reasoning
        structured, parsed, parsed_from_reasoning, parse_error = read_structured(self._structured, content, reasoning)
        try:
            self.result = PredictionResult(
                content=content,
                reasoning=reasoning,
                reasoning_tokens_count=self._reasoning_tokens,
                reasoning_tags=(self._reasoning_tags[0], self._reasoning_tags[1]),
                parsed=parsed,
                structured=structured,
                parsed_from_reasoning=parsed_from_reasoning,
                parse_error=parse_error,
                tool_calls=self._tool_calls,
                failed_tool_calls=self._failed,
                stats=PredictionStats.model_validate(packet["stats"]),
                model_info=ModelInstanceInfo.model_validate(packet["modelInfo"]),
                load_config=reported_config(packet.get("loadModelConfig"), ReportedLlmLoadConfig),
                prediction_config=reported_config(packet.get("predictionConfig"), ReportedPredictionConfig),
                prompt_progress=self.prompt_progress,
                log_probs=self._log_probs,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self.error = LMStudioProtocolError(f"the final packet of a prediction cannot be read: {str(error)[:500]}")
            self.error.partial, self.error.response_started = self.partial(), True
            raise self.error from error
        rest = (("reasoning", reasoning_text), ("none", text))
        return tuple(
            Fragment({"content": last, "tokensCount": 0, "reasoningType": kind}) for kind, last in rest if last
        )

    def _read_error(self, packet: dict[str, Any]) -> None:
        """Older servers sent errors as packets; the channel's own error or close follows."""
        self._packet_error = server_error(packet.get("error"))


def load_progress(packet: dict[str, Any]) -> float | None:
    """The progress (0.0 to 1.0) that a packet of ``getOrLoad`` or ``loadModel`` reports, or ``None``."""
    try:
        if packet["type"] == "startLoading":
            return 0.0
        return _fraction(packet["progress"]) if packet["type"] in ("loadProgress", "progress") else None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def download_progress(packet: dict[str, Any]) -> DownloadProgressUpdate | None:
    """What a packet of ``downloadModel`` reports, or ``None``."""
    if packet.get("type") != "downloadProgress":
        return None
    try:
        return DownloadProgressUpdate.model_validate(packet.get("update"))
    except ValueError:
        return None


_TAGS = {"reasoningStartTag": 0, "reasoningEndTag": 1}


def _letters_and_digits(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _ascii_spellings(name: str) -> set[str]:
    """The letters and digits of a name that has others than ASCII's: without these, without accents, transliterated."""
    if name.isascii():
        return set()
    lower = unicodedata.normalize("NFC", name.lower())
    without_accents = unicodedata.normalize("NFKD", lower.casefold().translate(_WITHOUT_ACCENTS))
    spellings = (lower, lower.casefold(), without_accents, lower.translate(_TRANSLITERATED))
    return {_letters_and_digits(spelling.encode("ascii", "ignore").decode()) for spelling in spellings}


_WITHOUT_ACCENTS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ı": "i"})
"""Letters that Unicode does not decompose."""
_TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"})


def _fraction(value: Any) -> float:
    """Progress as 0.0 to 1.0 (servers also send the integers 0 and 1)."""
    return min(1.0, max(0.0, float(value)))


_READERS: dict[str, Callable[[PredictionReader, dict[str, Any]], Event | tuple[Event, ...] | None]] = {
    "promptProcessingProgress": PredictionReader._read_prompt_progress,
    "success": PredictionReader._read_success,
    "toolCallGenerationStart": PredictionReader._read_tool_start,
    "toolCallGenerationNameReceived": PredictionReader._read_tool_name,
    "toolCallGenerationArgumentFragmentGenerated": PredictionReader._read_tool_arguments,
    "toolCallGenerationEnd": PredictionReader._read_tool_end,
    "toolCallGenerationFailed": PredictionReader._read_tool_failed,
    "resolved": PredictionReader._read_nothing,
    "alreadyLoaded": PredictionReader._read_nothing,
    "unloadingOtherJITModel": PredictionReader._read_nothing,
    "startLoading": PredictionReader._read_start_loading,
    "loadProgress": PredictionReader._read_load_progress,
    "progress": PredictionReader._read_load_progress,
    "loadSuccess": PredictionReader._read_nothing,
    "error": PredictionReader._read_error,
}
