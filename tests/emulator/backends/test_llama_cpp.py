"""The real small model behind the emulator. Structure, counts and validity only: never what it says."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.emulator.backends.llama_cpp import available, find_model
from tests.emulator.raw_client import RawClient, capped, fragments, packets, prediction, said, stats, user

WHY_NOT = available()
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.timeout(120),
    pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or ""),
]
KEY = "smollm2-135m-instruct"
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(model_path=find_model(), threads=1) as running:
        yield running


def predict(server: Emulator, prompt: Any, **fields: Any) -> list[Any]:
    with RawClient(server, timeout=60) as raw_client:
        return raw_client.until_end(raw_client.create("predict", prediction(prompt, KEY, **fields)))


def test_model_file_is_loaded_for_chat_and_embeddings(server: Emulator) -> None:
    assert server.loaded == [KEY, f"{KEY}-embedding"]


def test_tokens_stream_with_real_progress_and_agreeing_counts(server: Emulator) -> None:
    seen = predict(server, "Tell me about the sea. " * 60, maxPredictedTokens=capped(12), temperature=0)
    details = [p["details"] for p in packets(seen) if p["type"] == "promptProcessingProgress"]
    assert len(details) >= 3
    assert details[-1]["unprocessedPromptTokenCount"] == 0
    assert details[-1]["totalPromptTokenCount"] == stats(seen)["promptTokensCount"]
    assert sum(f["tokensCount"] for f in fragments(seen)) == stats(seen)["predictedTokensCount"] == 12
    assert stats(seen)["stopReason"] == "maxPredictedTokensReached"


def test_cached_tokens_are_those_of_the_engine(server: Emulator) -> None:
    long = "Once there was a cat that liked to count its own whiskers. " * 5
    first = predict(server, long, maxPredictedTokens=capped(1))
    again = predict(server, long, maxPredictedTokens=capped(1))
    details = [p["details"] for p in packets(again) if p["type"] == "promptProcessingProgress"]
    assert details[-1]["cachedTokenCount"] >= stats(first)["promptTokensCount"] - 2


def test_equal_seeds_give_equal_text(server: Emulator) -> None:
    options = {"seed": capped(7), "temperature": 0.9, "maxPredictedTokens": capped(10)}
    assert said(predict(server, "Tell a story", **options)) == said(predict(server, "Tell a story", **options))


def test_schema_is_enforced_by_a_grammar(server: Emulator) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "size": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["colour", "size"],
        "additionalProperties": False,
    }
    seen = predict(server, "A big tomato.", structured={"type": "json", "jsonSchema": schema})
    jsonschema.validate(json.loads(said(seen)), schema)


def test_forced_tool_call_has_valid_arguments_in_fragments(server: Emulator) -> None:
    seen = predict(
        server,
        "Add 2 and 3.",
        tools={"type": "toolArray", "tools": [ADD]},
        toolChoice={"type": "generic", "mode": "required"},
        temperature=0,
    )
    end = next(p for p in packets(seen) if p["type"] == "toolCallGenerationEnd")
    parts = [p["content"] for p in packets(seen) if p["type"] == "toolCallGenerationArgumentFragmentGenerated"]
    request = end["toolCallRequest"]
    assert request["name"] == "add"
    jsonschema.validate(request["arguments"], ADD["function"]["parameters"])  # type: ignore[index]
    assert json.loads("".join(parts)) == request["arguments"]
    assert stats(seen)["stopReason"] == "toolCalls"


def test_tokenize_count_and_template_are_the_models(server: Emulator) -> None:
    specifier = {"type": "query", "query": {"identifier": KEY}}
    with RawClient(server, timeout=60) as raw_client:
        ids = raw_client.call("tokenize", {"specifier": specifier, "inputString": "Hello 世界"})["result"]["tokens"]
        count = raw_client.call("countTokens", {"specifier": specifier, "inputString": "Hello 世界"})["result"][
            "tokenCount"
        ]
        parameter = {"specifier": specifier, "history": {"messages": [user("hi")]}, "opts": {}}
        made = raw_client.call("applyPromptTemplate", {**parameter, "predictionConfigStack": {"layers": []}})
    assert count == len(ids) > 1
    assert "hi<|im_end|>" in made["result"]["formatted"]
    assert made["result"]["formatted"].startswith("<|im_start|>system\n")


def test_embeddings_of_similar_texts_are_closer_and_long_texts_work(server: Emulator) -> None:
    specifier = {"type": "query", "query": {"identifier": f"{KEY}-embedding"}}
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose in May.", "word " * 300]
    with RawClient(server, "embedding", timeout=60) as raw_client:
        made = [
            raw_client.call("embedString", {"modelSpecifier": specifier, "inputString": text})["result"]["embedding"]
            for text in texts
        ]
    cat, kitten, rates, long = made
    assert dot(cat, kitten) > dot(cat, rates)
    assert len(long) == len(cat)


def test_cancel_ends_a_generation_and_frees_the_engine(server: Emulator) -> None:
    with RawClient(server, timeout=60) as raw_client:
        number = raw_client.create(
            "predict", prediction("Count to a million.", KEY, temperature=0, llama__xtcThreshold=capped(0))
        )
        while (message := raw_client.receive()).get("message", {}).get("type") != "fragment":
            assert message["type"] == "channelSend"
        raw_client.send({"type": "channelSend", "channelId": number, "message": {"type": "cancel"}})
        seen = raw_client.until_end(number)
        assert stats(seen)["stopReason"] == "userStopped"
        after = raw_client.until_end(raw_client.create("predict", prediction("Hi", KEY, maxPredictedTokens=capped(1))))
    assert stats(after)["predictedTokensCount"] <= 1


def test_too_long_prompt_is_refused_with_both_counts(server: Emulator) -> None:
    seen = predict(server, "hello " * 5000, contextOverflowPolicy="stopAtLimit")
    assert seen[-1]["type"] == "channelError"
    assert "4096 tokens" in seen[-1]["error"]["title"]


@pytest.mark.parametrize(
    "structured",
    [
        {"type": "json", "jsonSchema": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}},
        {"type": "json", "jsonSchema": {"type": "string", "pattern": "^(?=a)b$"}},
        {"type": "json", "jsonSchema": {"type": "string", "format": "file-path"}},
        {"type": "json", "jsonSchema": {"not": {"type": "string"}}},
        {"type": "json", "jsonSchema": {"$ref": "#/$defs/Nowhere"}},
        {"type": "gbnf", "gbnfGrammar": "root ::= ((("},
    ],
    ids=str,
)
def test_prediction_with_a_grammar_that_the_engine_rejects_is_an_error(
    server: Emulator, structured: dict[str, Any]
) -> None:
    seen = predict(server, "Hi", structured=structured, maxPredictedTokens=capped(8))
    assert seen[-1]["type"] == "channelError"
    assert seen[-1]["error"]["title"] == "failed to parse grammar"
    assert not any(packet["type"] == "success" for packet in packets(seen))


def test_prediction_after_a_rejected_grammar_is_not_affected(server: Emulator) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    predict(server, "Hi", structured={"type": "json", "jsonSchema": {"not": {}}}, maxPredictedTokens=capped(8))
    seen = predict(server, "Hi", structured={"type": "json", "jsonSchema": {**schema, "additionalProperties": False}})
    jsonschema.validate(json.loads(said(seen)), schema)


def test_scripted_replies_precede_the_model(server: Emulator) -> None:
    server.script(Reply("exactly this"))
    assert said(predict(server, "Hi")) == "exactly this"


def dot(one: list[float], other: list[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))


def _ends(pid: int) -> bool:
    """Whether a process that need not be our child ends within ten seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def _lives(pid: int) -> bool:
    os.kill(pid, 0)
    return True


PROGRAM = """
import sys, time
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator.backends.llama_cpp import find_model
server = Emulator(model_path=find_model(), threads=1).start()
print(server._state.backend.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watching a grandchild's end needs Linux")
def test_child_process_ends_with_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _lives(child)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert _ends(child)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="as above")
def test_stop_of_the_emulator_ends_its_child_process() -> None:
    with Emulator(model_path=find_model(), threads=1) as server:
        child = server._state.backend.process.pid  # type: ignore[attr-defined]
        assert _lives(child)
    assert _ends(child)
