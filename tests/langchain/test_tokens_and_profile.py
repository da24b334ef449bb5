"""Exact token counts by the server, and what a model is known to be able to do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.exceptions import ModelNotFoundError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM
from lmstudio_integrations.langchain import _profile as profile

Make = Callable[..., ChatLMStudio]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_known", {})


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


CALL = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1", "type": "tool_call"}
MESSAGES = [
    SystemMessage("Be brief."),
    HumanMessage("One and two?"),
    AIMessage("", tool_calls=[CALL]),
    ToolMessage("3", tool_call_id="1"),
]


def test_token_ids_and_token_count_agree(chat: Make) -> None:
    assert len(chat().get_token_ids("one two three")) == chat().get_num_tokens("one two three") > 0


def test_token_count_of_messages_is_that_of_the_formatted_prompt(chat: Make) -> None:
    model = chat()
    for messages, tools in ((MESSAGES[:2], None), (MESSAGES, None), (MESSAGES, [add])):
        counted = model.get_num_tokens_from_messages(messages, tools=tools)
        answer = (model.bind_tools(tools) if tools else model).invoke(messages)
        assert isinstance(answer, AIMessage)
        assert answer.usage_metadata is not None
        assert counted == answer.usage_metadata["input_tokens"]


def test_token_count_includes_tools(chat: Make) -> None:
    model = chat()
    assert model.get_num_tokens_from_messages(MESSAGES, tools=[add]) > model.get_num_tokens_from_messages(MESSAGES)


def test_token_count_leaves_images_out(chat: Make) -> None:
    block = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    model = chat()
    assert model.get_num_tokens_from_messages([HumanMessage(["x", block])]) == model.get_num_tokens_from_messages(
        [HumanMessage(["x"])]
    )


def test_custom_get_token_ids_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    model = ChatLMStudio(model="a", custom_get_token_ids=lambda text: [7] * len(text))
    assert model.get_token_ids("abc") == [7, 7, 7]
    assert model.get_num_tokens("abc") == 3
    assert LMStudioLLM(model="a", custom_get_token_ids=lambda text: [7]).get_num_tokens("abc") == 1


def test_llm_counts_tokens_at_the_server(lmstudio_emulator: Emulator) -> None:
    model = LMStudioLLM(model="emulator/chat", base_url=lmstudio_emulator.url)
    assert model.get_num_tokens("one two three") == 3


def test_profile_without_a_request_is_the_general_one() -> None:
    known = ChatLMStudio(model="a").profile
    assert known is not None
    assert known["structured_output"] is True
    assert known["tool_choice"] is True
    assert "max_input_tokens" not in known


def test_profile_has_the_requested_context_length() -> None:
    known = ChatLMStudio(model="a", context_length=2048).profile
    assert known is not None
    assert known["max_input_tokens"] == 2048


async def test_with_profile_has_the_context_length_of_the_server(chat: Make) -> None:
    for known in (chat().with_profile().profile, (await chat().awith_profile()).profile):
        assert known is not None
        assert known["max_input_tokens"] == 4096
        assert known["image_inputs"] is True
    assert chat(model="emulator/chat-2").with_profile().profile["image_inputs"] is False  # type: ignore[index]


def test_profile_of_the_server_is_used_for_later_models(chat: Make) -> None:
    chat().with_profile()
    known = chat().profile
    assert known is not None
    assert known["max_input_tokens"] == 4096


def test_profile_of_an_answer_is_used_for_later_models(chat: Make) -> None:
    first = chat()
    first.invoke("x")
    known = chat().profile
    assert known is not None
    assert known["max_input_tokens"] == 4096
    assert first.profile == known
    assert first.profile is not known, "objects share nothing mutable"
    first.invoke("x", model="emulator/chat-2")
    assert (chat().profile or {})["image_inputs"] is True
    assert (chat(model="emulator/chat-2").profile or {})["image_inputs"] is False


async def test_profile_has_the_real_context_length_once_the_model_has_answered(chat: Make) -> None:
    for ask in ("invoke", "stream", "ainvoke", "astream"):
        model = chat(context_length=32_768)
        assert (model.profile or {})["max_input_tokens"] == 32_768
        if ask == "invoke":
            model.invoke("Hi")
        elif ask == "stream":
            list(model.stream("Hi"))
        elif ask == "ainvoke":
            await model.ainvoke("Hi")
        else:
            assert [chunk async for chunk in model.astream("Hi")]
        assert (model.profile or {})["max_input_tokens"] == 4096
        profile._known.clear()


def test_answer_of_another_model_leaves_the_profile_alone(chat: Make) -> None:
    model = chat(context_length=32_768)
    model.invoke("Hi", model="emulator/chat-2")
    assert (model.profile or {})["max_input_tokens"] == 32_768


def test_given_profile_is_kept(chat: Make) -> None:
    own: Any = {"max_input_tokens": 5}
    model = chat(profile=own)
    model.invoke("Hi")
    assert model.profile == own


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudioLLM, LMStudioEmbeddings])
def test_validate_model_on_init_raises_for_an_unknown_model(kind: Any, lmstudio_emulator: Emulator) -> None:
    loaded = lmstudio_emulator.loaded
    settings = {"base_url": lmstudio_emulator.url, "validate_model_on_init": True}
    known = "emulator/embedding" if kind is LMStudioEmbeddings else "emulator/chat-2"
    assert kind(model=known, **settings).model == known
    assert kind(**settings).model is None, "one is loaded"
    with pytest.raises(ModelNotFoundError, match=f"has no .* model 'emulator/none': it has .*{known}"):
        kind(model="emulator/none", **settings)
    assert lmstudio_emulator.loaded == loaded, "nothing is loaded for it"
