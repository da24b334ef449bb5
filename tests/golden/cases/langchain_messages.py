"""LangChain: messages and content blocks in every form, images among them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from tests.golden import recorder
from tests.golden.recorder import Cases, Wire

CASES = Cases("langchain_messages")


def messages(name: str, *given: Any, **settings: Any) -> None:
    """A case that answers messages."""
    CASES.add(f"messages: {name}", lambda wire: wire.chat(**settings).invoke(list(given)))


def _call(id: str | None = "1", name: str = "add", **args: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": id, "name": name, "args": args}


def _calls(*calls: Any, content: Any = "", **more: Any) -> AIMessage:
    return AIMessage(content, tool_calls=list(calls), **more)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _blocks_v1(blocks: list[Any]) -> AIMessage:
    return AIMessage(content_blocks=blocks)


_TAGS = {"reasoning_tags": ("<r>", "</r>")}
_USER, _QUESTION = HumanMessage("1+2?"), HumanMessage("And 2+3?")

messages("text", _USER)
messages("tuples", ("system", "Be brief."), ("human", "Hi"), ("ai", "Yes?"), ("user", "And?"))
messages("dicts", {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
messages("unicode", HumanMessage('Grüße, 世界 \U0001f600 \u200d \u2028 "q" \\b'))
messages("an empty text", HumanMessage(""))
messages("an empty list of blocks", HumanMessage([]))
messages("a name", HumanMessage("Hi", name="Ann"), AIMessage("Yes?", name="Bot"))
messages("several texts", HumanMessage(["a", _text("b"), _text("")]))
messages("neighbours of one role", HumanMessage("a"), HumanMessage("b"), AIMessage("c"), AIMessage("d"), _USER)
messages("two system messages", SystemMessage("a"), SystemMessage("b"), _USER)
messages("a late system message", _USER, AIMessage("3"), SystemMessage("Be brief."), _QUESTION)
messages("blocks in a system message", SystemMessage([_text("a"), _text("b")]), _USER)
for _role in ("system", "developer", "user", "human", "assistant", "ai", "critic", "tool"):
    messages(f"ChatMessage of the role {_role}", ChatMessage(content="Hi", role=_role))
messages("a FunctionMessage", _USER, FunctionMessage(content="3", name="add"))
messages("a RemoveMessage", _USER, RemoveMessage(id="1"))
messages("an assistant's text at the end", _USER, AIMessage("It is"))
messages("an AIMessageChunk", _USER, AIMessageChunk(content="3"), _QUESTION)

messages("a tool call and its result", _USER, _calls(_call(a=1, b=2)), ToolMessage("3", tool_call_id="1"))
messages(
    "text and a tool call", _USER, _calls(_call(a=1), content="Hm."), ToolMessage("3", tool_call_id="1"), _QUESTION
)
messages(
    "arguments of every kind",
    _USER,
    _calls(_call(s="ü😀", n=None, f=1.0, i=10**15, l=[{"z": 1, "a": []}], b=False, e={})),
    ToolMessage("", tool_call_id="1"),
)
messages(
    "two calls, results in another order",
    _USER,
    _calls(_call("1", a=1), _call("2", "sub", a=2)),
    ToolMessage("two", tool_call_id="2"),
    ToolMessage("one", tool_call_id="1", name="other"),
)
messages(
    "two rounds",
    _USER,
    _calls(_call("1", a=1)),
    ToolMessage("one", tool_call_id="1"),
    _calls(_call("2", a=2), content="More."),
    ToolMessage("two", tool_call_id="2"),
    AIMessage("3"),
    _QUESTION,
)
messages("one id in two rounds", _USER, *(2 * [_calls(_call("1", a=1)), ToolMessage("one", tool_call_id="1")]))
messages("a call without an id", _USER, _calls(_call(None, a=1)), ToolMessage("3", tool_call_id=""))
messages("a result of no call", _USER, ToolMessage("3", tool_call_id="7"))
messages("a result with a name of no call", _USER, ToolMessage("3", tool_call_id="7", name="add"))
messages("a failed result", _USER, _calls(_call()), ToolMessage("no", tool_call_id="1", status="error"))
messages("a result with an artifact", _USER, _calls(_call()), ToolMessage("3", tool_call_id="1", artifact=[1]))
messages("a result of blocks", _USER, _calls(_call()), ToolMessage([_text("a"), "b"], tool_call_id="1"))
messages(
    "a result with a JSON block", _USER, _calls(_call()), ToolMessage([{"type": "json", "x": "ü"}], tool_call_id="1")
)
messages("a call without its result", _USER, _calls(_call()), _QUESTION)
messages(
    "a call that is not valid",
    _USER,
    AIMessage(
        "", invalid_tool_calls=[{"type": "invalid_tool_call", "id": "1", "name": "add", "args": "{a:", "error": "no"}]
    ),
    ToolMessage("Try again", tool_call_id="1"),
)
messages(
    "a valid call and one that is not",
    _USER,
    AIMessage(
        "Hm.",
        tool_calls=[_call("2", a=1)],
        invalid_tool_calls=[{"type": "invalid_tool_call", "id": "1", "name": "add", "args": "{a:", "error": None}],
    ),
    ToolMessage("1", tool_call_id="2"),
    ToolMessage("Try again", tool_call_id="1"),
)
messages("Anthropic's tool_use and tool_result", _USER, AIMessage([_text("Hm."), {"type": "tool_use", "id": "1", "name": "add", "input": {"a": 1}}]), HumanMessage([{"type": "tool_result", "tool_use_id": "1", "content": "3"}]))  # fmt: skip
messages("Anthropic's tool_result with blocks and text", _USER, _calls(_call()), HumanMessage([{"type": "tool_result", "tool_use_id": "1", "content": [_text("3")]}, _text("And?")]))  # fmt: skip
messages(
    "tool_call blocks of v1",
    _USER,
    AIMessage([_text("Hm."), _call("1", a=1)], response_metadata={"output_version": "v1"}),
    ToolMessage("3", tool_call_id="1"),
)
messages(
    "content_blocks of v1",
    _USER,
    _blocks_v1([{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "3"}, _call("1", a=1)]),
    ToolMessage("3", tool_call_id="1"),
    _QUESTION,
)
for _send in (True, False):
    _suffix = "" if _send else ", not sent back"
    messages(
        f"reasoning in additional_kwargs{_suffix}",
        _USER,
        AIMessage("3", additional_kwargs={"reasoning_content": "One and two.", **_TAGS}),
        _QUESTION,
        send_reasoning=_send,
    )
    messages(
        f"reasoning of a round of tool calls{_suffix}",
        _USER,
        _calls(_call(a=1), additional_kwargs={"reasoning_content": "I add."}),
        ToolMessage("3", tool_call_id="1"),
        send_reasoning=_send,
    )
    messages(
        f"reasoning before and after the last question{_suffix}",
        _USER,
        AIMessage("3", additional_kwargs={"reasoning_content": "Old."}),
        _QUESTION,
        _calls(_call(a=2), additional_kwargs={"reasoning_content": "New."}),
        ToolMessage("5", tool_call_id="1"),
        send_reasoning=_send,
    )
messages("a reasoning block", _USER, AIMessage([{"type": "reasoning", "reasoning": "Hm."}, _text("3")]), _QUESTION)
messages("a thinking block", _USER, AIMessage([{"type": "thinking", "thinking": "Hm.", "signature": "s"}, _text("3")]))
messages(
    "reasoning in special tokens",
    _USER,
    AIMessage("3", additional_kwargs={"reasoning_content": "Hm.", "reasoning_tags": ("<|a|>", "<|b|>")}),
    _QUESTION,
)
for _kind in (
    "redacted_thinking", "server_tool_call", "server_tool_result", "non_standard", "input_json_delta", "function_call",
    "tool_call_chunk", "citation", "audio",
):  # fmt: skip
    messages(f"an assistant's block of the type {_kind}", _USER, AIMessage([_text("3"), {"type": _kind}]))
for _block in (
    {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "video", "url": "https://example.com/v.mp4"},
    {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"},
    {"type": "file", "base64": "SGFsbG8=", "mime_type": "text/plain"},
    {"type": "text-plain", "text": "Hallo", "mime_type": "text/plain"},
    {"type": "text-plain", "base64": "SGFsbG8=", "mime_type": "text/plain"},
    {"type": "input_text", "text": "Hallo"},
    {"text": "Hallo"},
    {"type": "unheard-of"},
    {"type": "non_standard", "value": {"a": 1}},
    {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
    {"cachePoint": {"type": "default"}},
):
    messages(f"a user's block {_block!r}", HumanMessage([_text("Hi"), _block]))

# Images


def image(name: str, block: Callable[[Wire], Any], **settings: Any) -> None:
    """A case with one image block of a user."""
    CASES.add(
        f"image: {name}",
        lambda wire: wire.chat(**settings).invoke([HumanMessage([_text("What is it?"), block(wire)])]),
    )


def _b64(wire: Wire, start: bytes = recorder.PNG) -> str:
    return base64.b64encode(wire.image(start)).decode()


def _png(data: str) -> dict[str, Any]:
    return {"type": "image", "base64": data, "mime_type": "image/png"}


def _url(wire: Wire) -> str:
    return f"data:image/png;base64,{_b64(wire)}"


for _label in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
    image(_label, lambda w, k=_label: {**_png(_b64(w, getattr(recorder, k))), "mime_type": "image/x"})  # type: ignore[misc]
image("base64 with line breaks", lambda w: _png(_b64(w)[:20] + "\n" + _b64(w)[20:]))
image("no media type", lambda w: {"type": "image", "base64": _b64(w)})
image("bytes", lambda w: {"type": "image", "base64": w.image(), "mime_type": "image/png"})
image("LangChain's v0 form", lambda w: {"type": "image", "source_type": "base64", "data": _b64(w), "mime_type": "image/png"})  # fmt: skip
image("OpenAI's image_url", lambda w: {"type": "image_url", "image_url": {"url": _url(w), "detail": "low"}})
image("OpenAI's image_url as a text", lambda w: {"type": "image_url", "image_url": _url(w)})
image("OpenAI's input_image", lambda w: {"type": "input_image", "image_url": _url(w)})
image("Anthropic's source", lambda w: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _b64(w)}})  # fmt: skip
image("Google's media", lambda w: {"type": "media", "mime_type": "image/png", "data": _b64(w)})
image("a data URL in url", lambda w: {"type": "image", "url": _url(w)})
image("an address, not fetched", lambda _: {"type": "image", "url": "http://127.0.0.1:9/cat.png"})
image("an address, fetched", lambda w: {"type": "image", "url": w.serve(w.image())}, fetch_images=True)
image(
    "a file id", lambda _: {"type": "image", "file_id": "base64:AAAA", "extras": {"name": "cat.png", "size_bytes": 3}}
)
image("a file id of v0", lambda _: {"type": "image", "source_type": "id", "id": "base64:AAAA"})
image("something that is no image", lambda _: _png("JVBERi0xLjc="))
image("no base64", lambda _: _png("***"))
image("nothing in it", lambda _: {"type": "image"})


@CASES.add("image: the same one twice in a conversation, and again in the next call")
def _twice(wire: Wire) -> None:
    block = _png(_b64(wire))
    first = [HumanMessage([block, _text("a"), block])]
    wire.chat().invoke(first)
    wire.chat().invoke([*first, AIMessage("A cat."), HumanMessage("Sure?")])


@CASES.add("image: two of them, awaiting")
async def _two(wire: Wire) -> None:
    blocks = [_png(_b64(wire, start)) for start in (recorder.PNG, recorder.JPEG)]
    await wire.chat().ainvoke([HumanMessage([*blocks, _text("Compare.")])])


@CASES.add("image: in a tool's result")
def _result(wire: Wire) -> None:
    block = _png(_b64(wire))
    wire.chat().invoke([_USER, _calls(_call()), ToolMessage([_text("Look:"), block], tool_call_id="1")])


@CASES.add("image: in two tools' results, and a question after them")
def _results(wire: Wire) -> None:
    one, two = (_png(_b64(wire, start)) for start in (recorder.PNG, recorder.JPEG))
    results = [ToolMessage([one], tool_call_id="1"), ToolMessage([two, "b"], tool_call_id="2")]
    wire.chat().invoke([_USER, _calls(_call("1"), _call("2")), *results, AIMessage("Cats."), _QUESTION])


@CASES.add("image: in an assistant's message")
def _assistant(wire: Wire) -> None:
    wire.chat().invoke([_USER, AIMessage([_text("Here:"), _png(_b64(wire))]), _QUESTION])


@CASES.add("image: in a system message")
def _system(wire: Wire) -> None:
    wire.chat().invoke([SystemMessage([_png(_b64(wire)), "Look."]), _USER])
