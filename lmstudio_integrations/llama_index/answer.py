"""One call's answer: the reply that grows, and the events beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lmstudio_integrations import LoadProgress, PromptProgress
from lmstudio_integrations.llama_index.events import (
    LoadProgressEvent,
    PredictionStatsEvent,
    PromptProgressEvent,
    dispatcher,
)

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

    from lmstudio_integrations import PredictionResult
    from lmstudio_integrations.client.events import Event
    from lmstudio_integrations.llama_index.reply import Reply

__all__ = ["Answer"]


@dataclass(slots=True)
class Answer:
    """Turns the client's events into responses of one ``kind`` and instrumentation events of one span.

    ``whole``: only the finished response is wanted, so none is made before it.
    """

    kind: Literal["chat", "completion"]
    reply: Reply
    span_id: str | None
    model: str | None
    whole: bool = False

    def feed(self, event: Event) -> ChatResponse | CompletionResponse | None:
        """The response that ``event`` calls for, if any."""
        delta = self.reply.take(event)
        if delta is not None:
            if self.whole:
                return None
            return self.reply.chat(delta) if self.kind == "chat" else self.reply.completion(delta)
        self._report(event)
        return None

    def finish(self, result: PredictionResult) -> Any:
        """The last response, after which ``PredictionStatsEvent`` has been sent.

        Raises ``LMStudioModelUnloadedError`` or ``LMStudioServerError`` where the result is only what a failure left.
        """
        result = result.raise_for_stop_reason()
        delta = None if self.whole else ""
        if self.kind == "chat":
            response: ChatResponse | CompletionResponse = self.reply.finished_chat(result, delta)
        else:
            response = self.reply.finished_completion(result, delta)
        raw: dict[str, Any] = response.raw or {}
        dispatcher.event(
            PredictionStatsEvent(
                span_id=self.span_id,
                model=raw["model"],
                finish_reason=raw["finish_reason"],
                usage=raw["usage"],
                stats=raw["stats"],
            )
        )
        return response

    def _report(self, event: Event) -> None:
        if isinstance(event, PromptProgress):
            dispatcher.event(
                PromptProgressEvent(
                    span_id=self.span_id,
                    progress=event.progress,
                    processed_tokens=event.processed_tokens,
                    unprocessed_tokens=event.unprocessed_tokens,
                    cached_tokens=event.cached_tokens,
                    total_tokens=event.total_tokens,
                )
            )
        elif isinstance(event, LoadProgress):
            dispatcher.event(
                LoadProgressEvent(span_id=self.span_id, progress=event.progress, model=event.identifier or self.model)
            )
