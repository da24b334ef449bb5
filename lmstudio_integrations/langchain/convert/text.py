"""Events of a text completion -> LangChain's generations: visible text, and usage and metadata once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.outputs import Generation, GenerationChunk

from lmstudio_integrations.client import Fragment, PredictionResult
from lmstudio_integrations.langchain.convert.answer import Wanted, metadata_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["GenerationReader", "TextChunkReader"]


def _info(result: PredictionResult) -> dict[str, Any]:
    info = metadata_of(result, Wanted())
    if (usage := usage_of(result)) is not None:
        info["usage_metadata"] = dict(usage)
    if result.reasoning:
        info["reasoning_content"] = result.reasoning
    return info


class TextChunkReader:
    """Reads one completion into chunks; the last is empty and has ``generation_info``."""

    def begin(self) -> Iterable[GenerationChunk]:
        """Nothing comes before the first event."""
        return ()

    def read(self, event: Any) -> Iterable[GenerationChunk]:
        """The chunk that a visible fragment gives; the result gives the last."""
        kind = type(event)
        if kind is Fragment and event.content and event.is_visible:
            return (GenerationChunk(text=event.content),)
        if kind is PredictionResult:
            return (GenerationChunk(text="", generation_info=_info(event)),)
        return ()


class GenerationReader:
    """Reads one completion into its whole text: ``generation`` is there once the result has been read."""

    generation: Generation

    def begin(self) -> Iterable[Any]:
        """Nothing is handed out on the way."""
        return ()

    def read(self, event: Any) -> Iterable[Any]:
        """Keep the result."""
        if type(event) is PredictionResult:
            self.generation = Generation(text=event.content, generation_info=_info(event))
        return ()
