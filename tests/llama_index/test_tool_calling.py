"""The ``chat_with_tools`` family against the emulator."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.tools import FunctionTool

from lmstudio_integrations.emulator import Emulator, FailedToolCall, Reply, ToolCall
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.llama_index import LMStudio
from tests.sent_requests import creations, settings


def generate_song(name: str, artist: str) -> dict[str, str]:
    """Make up a song with a name and an artist."""
    return {"name": name, "artist": artist}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


SONG = FunctionTool.from_defaults(fn=generate_song)
ADD = FunctionTool.from_defaults(fn=add)
CALL = ToolCall("generate_song", {"name": "Ode", "artist": "Ludwig"})
METHODS = ["chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools"]


async def ask(llm: LMStudio, method: str, tools: list[Any], **kwargs: Any) -> list[Any]:
    outcome = getattr(llm, method)(tools, **{"user_msg": "Please.", **kwargs})
    if method.startswith("a"):
        outcome = await outcome
    if "stream" not in method:
        return [outcome]
    if method.startswith("a"):
        return [response async for response in outcome]
    return list(outcome)


def calls_of(response: ChatResponse) -> list[ToolCallBlock]:
    return [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]


def choice_sent(server: Emulator) -> Any:
    return settings(creations(server)[-1]).get("llm.prediction.toolChoice")


def tools_sent(server: Emulator) -> list[str]:
    wire = settings(creations(server)[-1]).get("llm.prediction.tools", {})
    return [tool["function"]["name"] for tool in wire.get("tools", ())]


@pytest.mark.parametrize("method", METHODS)
async def test_call_of_a_response_can_be_run(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(Reply(tool_calls=[CALL]))
    got = await ask(llm, method, [SONG])
    (selection,) = llm.get_tool_calls_from_response(got[-1])
    assert selection.tool_name == "generate_song"
    assert SONG(**selection.tool_kwargs).raw_output == {"name": "Ode", "artist": "Ludwig"}
    assert selection.tool_id
    assert got[-1].raw["finish_reason"] == "tool_calls"
    assert tools_sent(server) == ["generate_song"]


@pytest.mark.parametrize("method", METHODS[2:])
async def test_tool_calls_are_readable_in_every_partial_response(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(Reply("Well.", tool_calls=[CALL]))
    seen = []
    for response in await ask(llm, method, [SONG]):
        assert response.delta is not None
        seen.append([s.tool_kwargs for s in llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)])
    assert len(seen) > 5
    assert seen[-1] == [{"name": "Ode", "artist": "Ludwig"}]
    lengths = [sum(len(str(value)) for value in kwargs[0].values()) for kwargs in seen if kwargs]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("method", METHODS)
async def test_chat_with_no_tools_is_a_plain_chat(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(Reply("Hi"))
    got = await ask(llm, method, [], tool_required=True)
    assert got[-1].message.content == "Hi"
    assert settings(creations(server)[0]) == {"llm.prediction.contextOverflowPolicy": "stopAtLimit"}


@pytest.mark.parametrize("method", METHODS)
async def test_tool_required_is_sent(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(Reply(tool_calls=[CALL]))
    await ask(llm, method, [SONG, ADD], tool_required=True)
    assert choice_sent(server) == {"type": "generic", "mode": "required"}
    assert tools_sent(server) == ["generate_song", "add"]


@pytest.mark.parametrize("choice", ["add", {"type": "function", "function": {"name": "add"}}])
async def test_named_tool_choice_sends_only_that_tool(server: Emulator, llm: LMStudio, choice: Any) -> None:
    server.script(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]))
    await ask(llm, "chat_with_tools", [SONG, ADD], tool_choice=choice)
    assert choice_sent(server) == {"type": "generic", "mode": "required"}
    assert tools_sent(server) == ["add"]


async def test_allowed_tools_are_the_only_ones_that_are_sent(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]))
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "add"}]}
    await ask(llm, "chat_with_tools", [SONG, ADD], tool_choice=allowed)
    assert choice_sent(server) == {"type": "generic", "mode": "required"}
    assert tools_sent(server) == ["add"]


async def test_tool_choice_wins_over_tool_required(server: Emulator, llm: LMStudio) -> None:
    await ask(llm, "chat_with_tools", [SONG], tool_choice="none", tool_required=True)
    assert choice_sent(server) == {"type": "generic", "mode": "none"}
    await ask(llm, "chat_with_tools", [SONG], tool_choice=None)
    assert choice_sent(server) in (None, {"type": "generic", "mode": "auto"})


@pytest.mark.parametrize("method", METHODS)
async def test_unknown_tool_choice_raises_before_anything_is_sent(server: Emulator, llm: LMStudio, method: str) -> None:
    with pytest.raises(LMStudioValueError, match="'sing'"):
        await ask(llm, method, [SONG], tool_choice="sing")
    assert creations(server) == []


@pytest.mark.parametrize("choice", ["any", "required", True, "add", {"type": "function", "function": {"name": "add"}}])
@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_choice_that_demands_a_call_raises_without_tools(
    server: Emulator, llm: LMStudio, method: str, choice: Any
) -> None:
    with pytest.raises(LMStudioValueError, match="tool_choice="):
        outcome = getattr(llm, method)([ChatMessage("Please.")], tool_choice=choice)
        if method.startswith("a"):
            await outcome
    assert creations(server) == []


@pytest.mark.parametrize("method", METHODS)
async def test_parallel_calls_are_returned_if_allowed(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(Reply(tool_calls=[CALL, CALL, ToolCall("add", {"a": 1, "b": 2}, id=None)]))
    got = await ask(llm, method, [SONG, ADD], allow_parallel_tool_calls=True)
    selections = llm.get_tool_calls_from_response(got[-1])
    assert [selection.tool_name for selection in selections] == ["generate_song", "generate_song", "add"]
    assert len({selection.tool_id for selection in selections}) == 3


@pytest.mark.parametrize("method", METHODS)
async def test_only_the_first_call_is_returned_without_parallel_calls(
    server: Emulator, llm: LMStudio, method: str
) -> None:
    server.script(Reply(tool_calls=[CALL, ToolCall("add", {"a": 1, "b": 2})]))
    responses = await ask(llm, method, [SONG, ADD])
    assert "add" not in {block.tool_name for response in responses for block in calls_of(response)}
    assert [block.tool_name for block in calls_of(responses[-1])] == ["generate_song"]


@pytest.mark.parametrize("parallel", [True, False])
def test_predict_and_call_runs_the_tools(server: Emulator, llm: LMStudio, parallel: bool) -> None:
    server.script(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4})]))
    outcome = llm.predict_and_call([ADD], "Add.", allow_parallel_tool_calls=parallel)
    assert [source.raw_output for source in outcome.sources] == ([3, 7] if parallel else [3])


async def test_history_of_the_caller_is_unchanged(server: Emulator, llm: LMStudio) -> None:
    history = [ChatMessage(role="system", content="s")]
    for method in METHODS:
        await ask(llm, method, [SONG], chat_history=history)
    assert len(history) == 1
    assert [message["role"] for message in creations(server)[-1]["history"]["messages"]] == ["system", "user"]


def test_chat_with_tools_works_without_a_user_message(server: Emulator, llm: LMStudio) -> None:
    llm.chat_with_tools([SONG], chat_history=[ChatMessage(role="user", content="Go.")])
    assert creations(server)[0]["history"]["messages"][0]["content"][0]["text"] == "Go."


def test_missing_call_raises_only_if_requested(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("I would rather not."))
    response = llm.chat_with_tools([SONG], "Sing.")
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="I would rather not"):
        llm.get_tool_calls_from_response(response)


def test_failed_call_is_named_in_the_error(server: Emulator, llm: LMStudio) -> None:
    broken = FailedToolCall("add", '{"a": ', raw_content="<tool>add{</tool>")
    server.script(Reply(failed_tool_call=broken))
    response: Any = llm.chat_with_tools([ADD], "Add.")
    assert response.raw["failed_tool_calls"][0]["raw_content"] == "<tool>add{</tool>"
    (selection,) = llm.get_tool_calls_from_response(response)  # number 19: its error reaches the model
    assert (selection.tool_name, selection.tool_kwargs) == ("add", {})


def test_tool_round_is_sent_back_in_lm_studios_form(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply(reasoning="hm", tool_calls=[ToolCall("add", {"b": 2, "a": 1})]), Reply("3"))
    first = llm.chat_with_tools([ADD], "1+2?")
    (selection,) = llm.get_tool_calls_from_response(first)
    result = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": selection.tool_id})
    history = [ChatMessage(role="user", content="1+2?"), first.message, result]
    llm.chat_with_tools([ADD], chat_history=history)
    _, assistant, tool = creations(server)[1]["history"]["messages"]
    request = assistant["content"][1]["toolCallRequest"]
    assert request == {"id": selection.tool_id, "type": "function", "name": "add", "arguments": {"b": 2, "a": 1}}
    assert list(request["arguments"]) == ["b", "a"]
    assert tool["content"] == [
        {"type": "toolCallResult", "content": "3", "toolCallId": selection.tool_id, "name": "add"}
    ]


def test_history_of_a_turn_begins_the_next(server: Emulator, llm: LMStudio) -> None:
    history = [ChatMessage(role="user", content="1+2?")]
    for _ in range(3):
        server.script(Reply("Let me see.", reasoning="hm", tool_calls=[ToolCall("add", {"b": 2, "a": 1})]))
        response = llm.chat_with_tools([ADD], chat_history=history)
        (selection,) = llm.get_tool_calls_from_response(response)
        result = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": selection.tool_id})
        history = [*history, response.message, result]
    turns = [creation["history"]["messages"] for creation in creations(server)]
    assert [len(turn) for turn in turns] == [1, 3, 5]
    for shorter, longer in itertools.pairwise(turns):
        assert str(longer[: len(shorter)]) == str(shorter)


@pytest.mark.parametrize("method", METHODS)
async def test_openais_name_of_parallel_calls_wins_over_the_default(
    server: Emulator, llm: LMStudio, method: str
) -> None:
    server.script(Reply(tool_calls=[CALL, ToolCall("add", {"a": 1, "b": 2})]))
    got = await ask(llm, method, [SONG, ADD], parallel_tool_calls=True)
    assert [block.tool_name for block in calls_of(got[-1])] == ["generate_song", "add"]
