"""Frames of clients, changed at random, and what the emulator makes of them.

``python -m tests.emulator.wire.client_frames 20000 [SEED]`` sends as many and prints what went wrong.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.reliability.mutations import mutate
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.protocol.json_text import decode, encode
from tests.emulator.raw_client import GUEST, prediction, stack

__all__ = ["problems"]

_QUERY = {"type": "query", "query": {"identifier": "emulator/chat"}}
_EMBEDDING = {"type": "query", "query": {"identifier": "emulator/embedding"}}
_TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
    },
}
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"$ref": "#/$defs/c"}}, "$defs": {"c": {}}}
_HISTORY = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    {"role": "user", "content": [{"type": "text", "text": "add 1 and 2"}]},
    {
        "role": "assistant",
        "content": [
            {
                "type": "toolCallRequest",
                "toolCallRequest": {"type": "function", "id": "1", "name": "add", "arguments": {}},
            }
        ],
    },
    {"role": "tool", "content": [{"type": "toolCallResult", "content": "3", "toolCallId": "1"}]},
]
_EMPTY: dict[str, Any] = {"layers": []}
_CHUNKING = {"type": "recursive-v1", "chunkSize": 20, "chunkOverlap": 5}
_RETRIEVAL = {
    "query": "one",
    "fileIdentifiers": ["base64:SGVsbG8="],
    "config": {
        "fields": [
            {"key": "retrieval.embeddingModel", "value": "emulator/embedding"},
            {"key": "retrieval.chunkingMethod", "value": _CHUNKING},
            {"key": "retrieval.limit", "value": 2},
        ]
    },
}
_SELECTION = {"nodeIndex": 1, "selectedDownloadOptionIndex": 0, "requestedPlanVersion": 3}
_PLAN_PACKETS = [{"type": "setSelectedDownloadOptionIndex", **_SELECTION}, {"type": "commit"}, {"type": "cancelPlan"}]
_PREDICTIONS: list[dict[str, Any]] = [
    prediction("Hi", temperature=0.5, stopStrings=["x"], maxPredictedTokens={"checked": True, "value": 5}),
    prediction("Hi", structured={"type": "json", "jsonSchema": _SCHEMA}),
    prediction("Hi", structured={"type": "gbnf", "gbnfGrammar": 'root ::= "a" [0-9]+ | "b"'}),
    prediction(
        "add 1", tools={"type": "toolArray", "tools": [_TOOL]}, toolChoice={"type": "generic", "mode": "required"}
    ),
    prediction(_HISTORY, reasoning__parsing={"enabled": True, "startString": "a", "endString": "b"}),
    {**prediction("Hi"), "fuzzyPresetIdentifier": "emulator-preset"},
]
_FRAMES: list[tuple[str, dict[str, Any]]] = [
    *(
        ("llm", {"type": "channelCreate", "endpoint": "predict", "channelId": 1, "creationParameter": each})
        for each in _PREDICTIONS
    ),
    *(
        (space, {"type": "channelCreate", "endpoint": endpoint, "channelId": 2, "creationParameter": parameter})
        for space, endpoint, parameter in (
            ("llm", "loadModel", {"modelKey": "emulator/chat-2", "loadConfigStack": stack()}),
            ("llm", "getOrLoad", {"identifier": "emulator/chat-2", "loadTtlMs": 1000, "loadConfigStack": _EMPTY}),
            ("embedding", "getOrLoad", {"identifier": "emulator/embedding", "loadConfigStack": _EMPTY}),
            ("repository", "downloadModel", {"downloadIdentifier": "emulator/small"}),
            (
                "repository",
                "createDownloadPlan",
                {"target": {"type": "artifact", "owner": "emulator", "name": "small"}},
            ),
            ("files", "parseDocument", {"fileIdentifier": "emulated 1.txt", "parseOpts": {}}),
            ("files", "retrieve", _RETRIEVAL),
        )
    ),
    *(
        (space, {"type": "rpcCall", "endpoint": endpoint, "callId": 3, "parameter": parameter})
        for space, endpoint, parameter in (
            ("llm", "unloadModel", {"identifier": "emulator/chat-2"}),
            ("llm", "tokenize", {"specifier": _QUERY, "inputString": "one two"}),
            ("llm", "countTokens", {"specifier": _QUERY, "inputString": "one two"}),
            ("llm", "getModelInfo", {"specifier": _QUERY, "throwIfNotFound": True}),
            ("llm", "estimateModelUsage", {"modelKey": "emulator/chat", "loadConfigStack": _EMPTY}),
            (
                "llm",
                "applyPromptTemplate",
                {
                    "specifier": _QUERY,
                    "history": {"messages": _HISTORY},
                    "predictionConfigStack": _EMPTY,
                    "opts": {"toolDefinitions": [_TOOL]},
                },
            ),
            ("embedding", "embedString", {"modelSpecifier": _EMBEDDING, "inputString": "one"}),
            ("files", "uploadFileBase64", {"name": "a.txt", "contentBase64": "SGVsbG8="}),
            ("repository", "fuzzyFindStaffPicks", {"searchTerm": "small", "limit": 2}),
            ("runtime", "surveyHardware", {"type": "custom", "engines": [{"name": "emulator", "version": "1.0.0"}]}),
            ("repository", "searchModels", {"opts": {"searchTerm": "small", "limit": 2}}),
            (
                "repository",
                "getModelDownloadOptions",
                {"modelSearchResultIdentifier": {"type": "catalog", "identifier": "emulator/small"}},
            ),
            ("system", "notify", {"title": "Hi"}),
        )
    ),
    ("llm", {"type": "channelSend", "channelId": 1, "message": {"type": "cancel"}}),
    *(("repository", {"type": "channelSend", "channelId": 2, "message": message}) for message in _PLAN_PACKETS),
    ("llm", {"type": "channelAck", "channelId": 1, "ackId": 1}),
    ("llm", {"type": "keepAlive"}),
    ("llm", {"type": "signalSubscribe", "endpoint": "x", "subscribeId": 1}),
    ("llm", {"type": "writableSignalUpdate", "subscribeId": 1, "patches": [], "tags": []}),
    ("llm", {"type": "communicationWarning", "warning": "x"}),
]


class _Tracebacks(logging.Handler):
    """What asyncio and websockets write about exceptions that nothing has caught."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        self._found.append(f"{record.name}: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


@contextmanager
def _tracebacks(found: list[str]) -> Iterator[None]:
    handler = _Tracebacks(found)
    loggers = [logging.getLogger(name) for name in ("asyncio", "websockets.server")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _open(stack: ExitStack, server: Emulator, namespace: str) -> ClientConnection:
    socket = stack.enter_context(connect(f"{server.url}/{namespace}", max_size=None, open_timeout=10))
    socket.send(encode(GUEST))
    socket.recv(timeout=10)
    return socket


def _send(socket: ClientConnection, frame: bytes) -> list[str]:
    """Send a frame, and wait until the emulator has read it; what it says meanwhile about failures of its own."""
    try:
        socket.send(frame.decode("utf-8"))
    except UnicodeDecodeError:
        socket.send(frame)
    socket.send('{"type":"keepAlive"}')
    failures = []
    while '"keepAliveAck"' not in (text := str(socket.recv(timeout=20))):
        if "The emulator failed" in text:
            failures.append(text[:300])
    return failures


def problems(count: int, seed: int) -> list[str]:
    """Send mutated frames; each traceback, and each answer that the emulator itself failed."""
    rng = random.Random(seed)
    found: list[str] = []
    sockets: dict[str, ClientConnection] = {}
    # Without a record: these frames are not meant for the tests' checks by LM Studio's schema.
    with _tracebacks(found), Emulator(record=False) as server, ExitStack() as opened:
        for number in range(count):
            namespace, frame = rng.choice(_FRAMES)
            changed = mutate(frame, rng)
            socket = sockets.get(namespace) or _open(opened, server, namespace)
            sockets[namespace] = socket
            before = len(found)
            try:
                found += _send(socket, changed)
            except ConnectionClosed:
                del sockets[namespace]
            except TimeoutError:
                found.append("no answer to keepAlive")
                del sockets[namespace]
            found[before:] = [f"frame {number} {changed[:400]!r}: {problem}" for problem in found[before:]]
    return found


if __name__ == "__main__":
    assert decode(encode({})) == {}
    outcome = problems(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 13)
    print(*outcome, f"{len(outcome)} problems", sep="\n")  # noqa: T201  # a program
