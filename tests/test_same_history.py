"""Both adapters make the same history of the same conversation."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from lmstudio_integrations.langchain._messages import to_history as from_langchain
from lmstudio_integrations.llama_index._messages import to_history as from_llama_index

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
DATA = b"%PDF-1.7" + bytes(100)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def call(arguments: Any = None) -> dict[str, Any]:
    return {"name": "look", "args": arguments or {"b": 1, "a": 2}, "id": "c1", "type": "tool_call"}


CALL_BLOCK = ToolCallBlock(tool_call_id="c1", tool_name="look", tool_kwargs={"b": 1, "a": 2})
RESULT = {"tool_call_id": "c1"}
AUDIO = {"type": "audio", "data": encoded(DATA), "mimeType": "audio/wav"}
UNPARSABLE: Any = {"name": "look", "args": "{", "id": "c1", "error": "cut", "type": "invalid_tool_call"}

CONVERSATIONS: dict[str, tuple[list[BaseMessage], list[ChatMessage]]] = {
    "roles": (
        [SystemMessage("s"), HumanMessage("u"), AIMessage("a"), HumanMessage("")],
        [
            ChatMessage(role="system", content="s"),
            ChatMessage(role="user", content="u"),
            ChatMessage(role="assistant", content="a"),
            ChatMessage(role="user", content=""),
        ],
    ),
    "neighbours and late system messages": (
        [SystemMessage("s"), HumanMessage("u"), HumanMessage("v"), AIMessage("a"), AIMessage("b"), SystemMessage("t")],
        [
            ChatMessage(role=role, content=content)
            for role, content in zip(
                ("system", "user", "user", "assistant", "assistant", "system"), "suvabt", strict=True
            )
        ],
    ),
    "a round of tool calls with reasoning": (
        [
            HumanMessage("u"),
            AIMessage("so", tool_calls=[call()], additional_kwargs={"reasoning_content": "hm"}),
            ToolMessage("r", tool_call_id="c1"),
        ],
        [
            ChatMessage(role="user", content="u"),
            ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="so"), CALL_BLOCK]),
            ChatMessage(role="tool", content="r", additional_kwargs=RESULT),
        ],
    ),
    "reasoning before the last user message": (
        [AIMessage("so", additional_kwargs={"reasoning_content": "hm"}), HumanMessage("u")],
        [
            ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="so")]),
            ChatMessage(role="user", content="u"),
        ],
    ),
    "an unparsable call with its result": (
        [AIMessage("", invalid_tool_calls=[UNPARSABLE]), ToolMessage("no", tool_call_id="c1")],
        [
            ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id="c1", tool_name="look", tool_kwargs="{")]),
            ChatMessage(role="tool", content="no", additional_kwargs=RESULT),
        ],
    ),
    "images": (
        [
            HumanMessage(["u", {"type": "image", "base64": encoded(PNG)}]),
            AIMessage("", tool_calls=[call()]),
            ToolMessage(["seen", {"type": "image", "base64": encoded(PNG)}], tool_call_id="c1"),
        ],
        [
            ChatMessage(role="user", blocks=[TextBlock(text="u"), ImageBlock(image=PNG)]),
            ChatMessage(role="assistant", blocks=[CALL_BLOCK]),
            ChatMessage(role="tool", blocks=[TextBlock(text="seen"), ImageBlock(image=PNG)], additional_kwargs=RESULT),
        ],
    ),
    "blocks that a framework made text of": (
        [ToolMessage(json.dumps([{"type": "image", "data": encoded(PNG)}, AUDIO]), tool_call_id="c1")],
        [
            ChatMessage(
                role="tool", content=str([{"type": "image", "data": encoded(PNG)}, AUDIO]), additional_kwargs=RESULT
            )
        ],
    ),
    "binary data in a text": (
        [ToolMessage(f"It is data:a/b;base64,{encoded(DATA * 5)} now", tool_call_id="c1")],
        [ChatMessage(role="tool", content=f"It is data:a/b;base64,{encoded(DATA * 5)} now", additional_kwargs=RESULT)],
    ),
    "documents, audio and video of tools": (
        [
            ToolMessage(
                [
                    {"type": "file", "base64": encoded(b"plain words"), "mime_type": "text/plain"},
                    {"type": "file", "base64": encoded(DATA), "mime_type": "application/pdf"},
                    {"type": "audio", "base64": encoded(DATA), "mime_type": "audio/wav"},
                    {"type": "video", "base64": encoded(DATA), "mime_type": "video/mp4"},
                    {"type": "image", "base64": encoded(DATA), "mime_type": "image/tiff"},
                ],
                tool_call_id="c1",
            )
        ],
        [
            ChatMessage(
                role="tool",
                blocks=[
                    DocumentBlock(data=b"plain words", document_mimetype="text/plain"),
                    DocumentBlock(data=DATA, document_mimetype="application/pdf"),
                    AudioBlock(audio=DATA, format="wav"),
                    VideoBlock(video=DATA, video_mimetype="video/mp4"),
                    ImageBlock(image=DATA, image_mimetype="image/tiff"),
                ],
                additional_kwargs=RESULT,
            )
        ],
    ),
}


@pytest.mark.parametrize("name", ["blocks that a framework made text of", "binary data in a text"])
def test_history_has_no_base64_from_the_text_of_a_tools_result(name: str) -> None:
    langchain, _ = CONVERSATIONS[name]
    history = from_langchain(langchain)
    assert encoded(DATA)[:40] not in json.dumps(history.messages[0])
    assert len(history.images) == (name != "binary data in a text")


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize(
    "options", [{}, {"send_reasoning": True}, {"send_reasoning": False}, {"merge_messages": False}], ids=str
)
def test_both_adapters_make_the_same_history(name: str, options: dict[str, Any]) -> None:
    langchain, llama_index = CONVERSATIONS[name]
    assert from_langchain(langchain, **options) == from_llama_index(llama_index, **options)


def test_address_in_a_tools_result_stays_text_unless_images_may_be_fetched() -> None:
    url = "https://example.com/a.png"
    langchain: list[BaseMessage] = [
        HumanMessage("look"),
        AIMessage("", tool_calls=[call()]),
        ToolMessage([{"type": "image", "url": url}], tool_call_id="c1"),
    ]
    llama_index = [
        ChatMessage(role="user", content="look"),
        ChatMessage(role="assistant", blocks=[CALL_BLOCK]),
        ChatMessage(role="tool", blocks=[ImageBlock(url=url)], additional_kwargs=RESULT),
    ]
    for made in (from_langchain(langchain, fetch_images=False), from_llama_index(llama_index, fetch_images=False)):
        (result,) = made.messages[-1]["content"]
        assert result["content"] == f"[image at {url}: not fetched, because fetch_images is off]"
    for made in (from_langchain(langchain, fetch_images=True), from_llama_index(llama_index, fetch_images=True)):
        assert made.messages[-1]["content"][-1].url == url
