"""What the flood server says, rendered ahead of time, in the dialects of LM Studio, OpenAI and Ollama.

The same tokens come in every dialect, so what is compared is the clients.
"""

from __future__ import annotations

import functools
from typing import Any

from websockets.frames import Frame, Opcode

from .workload import DIMENSIONS, MODEL, PROMPT_TOKENS, Workload, dump, text, words


def frame(message: Any) -> bytes:
    """One WebSocket text frame from the server."""
    return Frame(Opcode.TEXT, dump(message).encode()).serialize(mask=False)


def instance(domain: str) -> dict[str, Any]:
    """The loaded model as LM Studio describes it."""
    return {
        "type": domain,
        "modelKey": MODEL,
        "format": "gguf",
        "displayName": "Flood",
        "publisher": "benchmarks",
        "path": "benchmarks/flood",
        "sizeBytes": 1,
        "paramsString": "1B",
        "architecture": "llama",
        "identifier": MODEL,
        "instanceReference": "flood-instance",
        "ttlMs": None,
        "lastUsedTime": None,
        "deviceIdentifier": None,
        "vision": False,
        "trainedForToolUse": True,
        "maxContextLength": 131072,
        "contextLength": 131072,
    }


def _packets(workload: Workload) -> list[dict[str, Any]]:
    """LM Studio's packets of one prediction, the first being the prompt's progress."""
    counts = {
        "cachedTokenCount": 0,
        "totalPromptTokenCount": PROMPT_TOKENS,
        "processedPromptTokenCount": PROMPT_TOKENS,
        "unprocessedPromptTokenCount": 0,
    }
    fragments = [
        {
            "type": "fragment",
            "fragment": {
                "content": word,
                "tokensCount": 1,
                "containsDrafted": False,
                "reasoningType": "none",
                "isStructural": False,
            },
        }
        for word in words(workload.count, workload.start)
    ]
    success = {
        "type": "success",
        "stats": {
            "stopReason": "eosFound",
            "tokensPerSecond": 100.0,
            "numGpuLayers": 0,
            "timeToFirstTokenSec": 0.01,
            "promptTokensCount": PROMPT_TOKENS,
            "predictedTokensCount": workload.count,
            "totalTokensCount": PROMPT_TOKENS + workload.count,
        },
        "modelInfo": instance("llm"),
        "loadModelConfig": {"fields": []},
        "predictionConfig": {"fields": []},
    }
    return [{"type": "promptProcessingProgress", "progress": 1.0, "details": counts}, *fragments, success]


@functools.lru_cache(maxsize=256)
def _pieces(count: int, start: int, digits: int) -> tuple[tuple[bytes, bytes], ...]:
    """Every frame of a prediction, cut where the channel's number of so many digits stands."""
    number = 10 ** (digits - 1)
    messages: list[dict[str, Any]] = [
        {"type": "channelSend", "channelId": number, "message": packet} for packet in _packets(Workload(count, start))
    ]
    messages.append({"type": "channelClose", "channelId": number})
    mark = f'"channelId":{number}'.encode()
    cut = []
    for message in messages:
        before, after = frame(message).split(mark, 1)
        cut.append((before + b'"channelId":', after))
    return tuple(cut)


def lmstudio_frames(workload: Workload, channel: int) -> list[bytes]:
    """A prediction on a channel, frame by frame: progress, fragments, the final packet, the close."""
    number = str(channel).encode()
    return [before + number + after for before, after in _pieces(workload.count, workload.start, len(number))]


@functools.lru_cache(maxsize=1)
def _vector_tail() -> str:
    return ",".join(repr(((at * 37) % 1000 - 500) / 7777) for at in range(1, DIMENSIONS))


def embedding_frame(call: int, first: int) -> bytes:
    """The answer to ``embedString``: a vector whose first number tells which text it belongs to."""
    result = f'{{"type":"rpcResult","callId":{call},"result":{{"embedding":[{first}.5,{_vector_tail()}]}}}}'
    return Frame(Opcode.TEXT, result.encode()).serialize(mask=False)


@functools.lru_cache(maxsize=16)
def openai_stream(workload: Workload, usage: bool) -> bytes:
    """OpenAI's chat completion as server-sent events."""
    head = {"id": "chatcmpl-flood", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": word}, None) for word in words(workload.count, workload.start)
    ]
    deltas.append(({}, "stop"))
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
        for delta, reason in deltas
    ]
    if usage:
        chunks.append({**head, "choices": [], "usage": _openai_usage(workload)})
    return "".join(f"data: {line}\n\n" for line in [*map(dump, chunks), "[DONE]"]).encode()


def openai_answer(workload: Workload) -> bytes:
    """OpenAI's chat completion in one piece."""
    message = {"role": "assistant", "content": text(workload.count, workload.start)}
    head = {"id": "chatcmpl-flood", "object": "chat.completion", "created": 0, "model": MODEL}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return dump({**head, "choices": [choice], "usage": _openai_usage(workload)}).encode()


def _openai_usage(workload: Workload) -> dict[str, int]:
    total = PROMPT_TOKENS + workload.count
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": workload.count, "total_tokens": total}


@functools.lru_cache(maxsize=16)
def ollama_stream(workload: Workload) -> bytes:
    """Ollama's chat as lines of JSON."""
    head = {"model": MODEL, "created_at": "2026-01-01T00:00:00.000000Z"}
    lines: list[dict[str, Any]] = [
        {**head, "message": {"role": "assistant", "content": word}, "done": False}
        for word in words(workload.count, workload.start)
    ]
    lines.append({**head, "message": {"role": "assistant", "content": ""}, **_ollama_end(workload)})
    return "".join(dump(line) + "\n" for line in lines).encode()


def ollama_answer(workload: Workload) -> bytes:
    """Ollama's chat in one piece."""
    message = {"role": "assistant", "content": text(workload.count, workload.start)}
    head = {"model": MODEL, "created_at": "2026-01-01T00:00:00.000000Z"}
    return dump({**head, "message": message, **_ollama_end(workload)}).encode()


def _ollama_end(workload: Workload) -> dict[str, Any]:
    durations = dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), 1)
    counts = {"prompt_eval_count": PROMPT_TOKENS, "eval_count": workload.count}
    return {"done": True, "done_reason": "stop", **durations, **counts}
