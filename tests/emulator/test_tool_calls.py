"""Tool calls, scripted and by rule, and answers in a demanded form: schema, bare JSON, grammar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from lmstudio_integrations.emulator import Emulator, FailedToolCall, Reply, ToolCall
from tests.emulator.raw_client import RawClient, capped, packets, prediction, said, stats, user

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def raw_client(server: Emulator) -> Iterator[RawClient]:
    with RawClient(server) as opened:
        yield opened


ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
TOOLS = {"type": "toolArray", "tools": [ADD]}


def kinds(seen: list[Any]) -> list[str]:
    return [packet["type"].removeprefix("toolCallGeneration") for packet in packets(seen) if "tool" in packet["type"]]


def calls(seen: list[Any]) -> list[Any]:
    return [packet["toolCallRequest"] for packet in packets(seen) if packet["type"] == "toolCallGenerationEnd"]


def test_several_calls_are_sent_in_order_with_unique_ids(server: Emulator, raw_client: RawClient) -> None:
    server.script(
        Reply("Wait.", tool_calls=[ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4}, brief=True)])
    )
    seen = raw_client.predict(tools=TOOLS)
    assert said(seen) == "Wait."
    names = ["Start", "NameReceived", "ArgumentFragmentGenerated", "End"]
    assert list(dict.fromkeys(kinds(seen)[:-2])) == names
    assert kinds(seen)[-2:] == ["Start", "End"]
    assert [call["arguments"] for call in calls(seen)] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert len({call["id"] for call in calls(seen)}) == 2
    assert stats(seen)["stopReason"] == "eosFound"


def test_ids_and_arguments_can_be_missing(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(tool_calls=[ToolCall("now", id=None, unoffered=True)]))
    seen = raw_client.predict(tools=TOOLS)
    assert calls(seen) == [{"type": "function", "name": "now"}]
    assert "toolCallId" not in packets(seen)[3]


def test_failed_call_has_an_error_and_its_raw_text(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(failed_tool_call=FailedToolCall("add", '{"a": 1', error="Failed to parse tool call")))
    seen = raw_client.predict(tools=TOOLS)
    failed = next(packet for packet in packets(seen) if packet["type"] == "toolCallGenerationFailed")
    assert failed["error"]["title"] == "Failed to parse tool call"
    assert '{"a": 1' in failed["rawContent"]
    assert stats(seen)["stopReason"] == "eosFound"


def test_call_truncated_by_the_token_limit_is_a_failed_one(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]))
    seen = raw_client.predict(tools=TOOLS, maxPredictedTokens=capped(5))
    assert kinds(seen)[-1] == "Failed"
    assert stats(seen)["stopReason"] == "maxPredictedTokensReached"


def choice(mode: str) -> dict[str, Any]:
    return {"type": "generic", "mode": mode}


def test_rule_calls_a_tool_and_answers_after_its_result(raw_client: RawClient) -> None:
    first = raw_client.predict("What is 3 + 4?", tools=TOOLS)
    assert [(call["name"], call["arguments"]) for call in calls(first)] == [("add", {"a": 3, "b": 4})]
    request = {"type": "toolCallRequest", "toolCallRequest": calls(first)[0]}
    turn = [
        user("What is 3 + 4?"),
        {"role": "assistant", "content": [request]},
        {"role": "tool", "content": [{"type": "toolCallResult", "content": "7"}]},
    ]
    second = raw_client.until_end(raw_client.create("predict", prediction(turn, tools=TOOLS)))
    assert calls(second) == []
    assert said(second).endswith("The tools said: 7")


def test_tool_choice_none_forbids_and_required_forces(raw_client: RawClient) -> None:
    assert calls(raw_client.predict("Use add(1, 2)", tools=TOOLS, toolChoice=choice("none"))) == []
    assert len(calls(raw_client.predict("Hello!", tools=TOOLS, toolChoice=choice("required")))) == 1
    assert calls(raw_client.predict("Hello!", tools=TOOLS, toolChoice=choice("auto"))) == []


# --- structured answers


def test_schema_gets_a_valid_document_marked_as_emulated(raw_client: RawClient) -> None:
    schema = {
        "type": "object",
        "properties": {"setup": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["setup", "n"],
    }
    made = json.loads(said(raw_client.predict(structured={"type": "json", "jsonSchema": schema})))
    jsonschema.validate(made, schema)
    assert made["setup"] == "emulated setup"


def test_json_mode_takes_its_keys_from_the_prompt(raw_client: RawClient) -> None:
    for prompt in ("A joke, as JSON with 'setup' and 'punchline' keys.", "Give JSON with the keys setup, punchline"):
        made = json.loads(said(raw_client.predict(prompt, structured={"type": "json"})))
        assert set(made) == {"setup", "punchline"}
    assert isinstance(json.loads(said(raw_client.predict("Anything", structured={"type": "json"}))), dict)


def test_grammar_is_followed_and_a_malformed_one_is_an_error(raw_client: RawClient) -> None:
    grammar = 'root ::= ("yes" | "no") "."'
    assert said(raw_client.predict(structured={"type": "gbnf", "gbnfGrammar": grammar})) == "yes."
    broken = raw_client.predict(structured={"type": "gbnf", "gbnfGrammar": "root ::= nowhere"})
    assert broken[-1]["error"]["title"] == "Failed to parse the grammar"
