"""The namespace ``files``: uploads, their paths, the text in them, and retrieval from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Literal

from lmstudio_integrations.emulator import config_schema
from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.wire.calls import ChannelCall, EndpointCall

_LIBRARY = {"library": "emulator-text", "version": "1.0.0"}
_BINARY = (".pdf", ".docx", ".doc")


async def upload(call: EndpointCall) -> Any:
    """Store a file for this client."""
    client, parameter = call.connection.client, call.parameter
    return call.state.files.upload(client, parameter["name"], parameter["contentBase64"])


async def local_path(call: EndpointCall) -> Any:
    """A path as LM Studio reports it; the file is in memory only, so that there is nothing under it."""
    name = call.parameter["fileName"]
    call.state.files.require(call.connection.client, name)
    return {"path": f"/emulator/user-files/{name}"}


async def parsing_library(call: EndpointCall) -> Any:
    """The parser that would read a file."""
    call.state.files.require(call.connection.client, call.parameter["fileIdentifier"])
    return _LIBRARY


async def parse_document(call: ChannelCall) -> None:
    """The text of an uploaded file in UTF-8. Other documents are not read."""
    text = _text(call, call.parameter["fileIdentifier"])
    with call.interruptible():
        await call.send({"type": "parserLoaded", "parser": _LIBRARY})
        for share in call.state.load_progress:
            await call.send({"type": "progress", "progress": share})
        await call.send({"type": "result", "content": text, "parser": _LIBRARY})


async def retrieve(call: ChannelCall) -> None:
    """The chunks of uploaded texts that are nearest to the query, by their embeddings.

    Guess: chunks are measured in characters, and end at a space or a line end where there is one.
    """
    settings = config_schema.checked(config_schema.fields_of(call.parameter["config"]), config_schema.RETRIEVAL)
    # Guess: without an embedding model it is an error. The JavaScript SDK refuses it before it asks.
    query = {"identifier": settings["retrieval.embeddingModel"]}
    instance = call.state.models.find({"type": "query", "query": query}, "embedding")
    instance.touch(call.state.clock)
    chunking = settings["retrieval.chunkingMethod"]
    size, overlap = int(chunking["chunkSize"]), int(chunking["chunkOverlap"])
    if not 0 <= overlap < size:
        raise EndpointError(f"Chunks of {size} characters cannot overlap by {overlap}")  # Guess: the words
    texts = [_text(call, identifier) for identifier in call.parameter["fileIdentifiers"]]
    found: list[tuple[float, int, str]] = []
    with call.interruptible():
        await call.send({"type": "onFileProcessList", "indices": list(range(len(texts)))})
        wanted = await call.state.embed(instance, call.parameter["query"])
        for index, text in enumerate(texts):
            await call.send({"type": "onFileProcessingStart", "index": index})
            for step in ("loading", "chunking"):
                await _report(call, index, step, "Start")
                await _report(call, index, step, "End")
            chunks = _chunks(text, size, overlap)
            await _report(call, index, "embedding", "Start")
            for number, chunk in enumerate(chunks, 1):
                vector = await call.state.embed(instance, chunk)
                found.append((_similarity(wanted, vector), index, chunk))
                await _report(call, index, "embedding", "Progress", progress=number / len(chunks))
            await _report(call, index, "embedding", "End")
            await call.send({"type": "onFileProcessingEnd", "index": index})
        await call.send({"type": "onSearchingStart"})
        found.sort(key=lambda one: -one[0])
        await call.send({"type": "onSearchingEnd"})
        entries = [
            {"content": chunk, "score": score, "sourceIndex": index}
            for score, index, chunk in found[: int(settings["retrieval.limit"])]
        ]
        await call.send({"type": "result", "result": {"entries": entries}})


def _text(call: ChannelCall, identifier: str) -> str:
    """The text of an uploaded file.

    Raises:
        EndpointError: There is no such file, or it is a kind of document that the emulator cannot parse.
    """
    content = call.state.files.content(call.connection.client, identifier)
    if PurePath(identifier).suffix.lower() in _BINARY:
        raise EndpointError(
            f"The emulator does not parse {PurePath(identifier).suffix} documents", suggestion="Upload a text file."
        )
    return content.decode("utf-8", "replace")


async def _report(
    call: ChannelCall, index: int, step: str, what: Literal["Start", "Progress", "End"], **rest: float
) -> None:
    await call.send({"type": f"onFileProcessingStep{what}", "index": index, "step": step, **rest})


def _chunks(text: str, size: int, overlap: int) -> list[str]:
    """Parts of the text of at most ``size`` characters, of which neighbours share about ``overlap``."""
    chunks: list[str] = []
    start = 0
    while start < len(text):
        end = start + size
        if end < len(text):
            end = max(text.rfind(" ", start, end), text.rfind("\n", start, end)) + 1 or end
        if chunk := text[start:end].strip():
            chunks.append(chunk)
        start = max(end - overlap, start + 1) if end < len(text) else len(text)
    return chunks


def _similarity(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors; 0 if one of them is zero or they have different lengths."""
    if len(one) != len(other):
        return 0.0
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0
