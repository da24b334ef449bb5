"""LlamaIndex: messages and blocks in every form, images among them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from tests.golden import names, recorder
from tests.golden.recorder import Cases, Wire

CASES = Cases("llama_index_messages")


def messages(name: str, *given: ChatMessage, **settings: Any) -> None:
    """A case that answers messages."""
    CASES.add(f"messages: {name}", lambda wire: wire.index_llm(**settings).chat(list(given)))


def _user(*blocks: Any) -> ChatMessage:
    return ChatMessage(role="user", blocks=[TextBlock(text=b) if isinstance(b, str) else b for b in blocks])


def _assistant(*blocks: Any, **more: Any) -> ChatMessage:
    made = [TextBlock(text=b) if isinstance(b, str) else b for b in blocks]
    return ChatMessage(role="assistant", blocks=made, additional_kwargs=more)


def _call(id: str | None = "1", name: str = "add", arguments: Any = None) -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=id, tool_name=name, tool_kwargs={"a": 1} if arguments is None else arguments)


def _result(content: Any = "3", id: Any = "1", role: str = "tool", **more: Any) -> ChatMessage:
    blocks = [TextBlock(text=content)] if isinstance(content, str) else content
    known = {} if id is None else {"tool_call_id": id}
    return ChatMessage(role=role, blocks=blocks, additional_kwargs={**known, **more})


def _system(text: str) -> ChatMessage:
    return ChatMessage(role="system", content=text)


_USER, _QUESTION = _user("1+2?"), _user("And 2+3?")
_THINKING = ThinkingBlock(content="One and two.")
_TAGGED = ThinkingBlock(content="Hm.", additional_information={"start_tag": "<r>", "end_tag": "</r>"})
_SPECIAL = ThinkingBlock(content="Hm.", additional_information={"start_tag": "<|a|>", "end_tag": "<|b|>"})

messages("text", _USER)
messages("unicode", _user('Grüße, 世界 \U0001f600 \u200d \u2028 "q" \\b'))
messages("an empty text", _user(""))
messages("no blocks", _user())
messages("no blocks of an assistant", _USER, _assistant(), _QUESTION)
messages("several texts", _user("a", "b", ""))
messages("neighbours of one role", _user("a"), _user("b"), _assistant("c"), _assistant("d"), _USER)
messages("two system messages", _system("a"), _system("b"), _USER)
messages("a late system message", _USER, _assistant("3"), _system("Be brief."), _QUESTION)
messages("an assistant's text at the end", _USER, _assistant("It is"))
for _role in MessageRole:
    messages(f"the role {_role.value}", _USER, ChatMessage(role=_role, content="x"), _QUESTION)
messages("a name in additional_kwargs", ChatMessage(role="user", content="Hi", additional_kwargs={"name": "Ann"}))

messages("a tool call and its result", _USER, _assistant(_call()), _result())
messages("text and a tool call", _USER, _assistant("Hm.", _call()), _result(), _assistant("3"), _QUESTION)
messages("a tool call before text", _USER, _assistant(_call(), "Hm."), _result())
messages("arguments as JSON text", _USER, _assistant(_call(arguments='{"b": 2, "a": [1.0, null, "ü"]}')), _result())
messages("arguments as an empty text", _USER, _assistant(_call(arguments="")), _result())
messages("arguments that are no JSON", _USER, _assistant(_call(arguments="{a:")), _result())
messages("arguments that are no object", _USER, _assistant(_call(arguments="[1]")), _result())
messages("two calls, results in another order", _USER, _assistant(_call("1"), _call("2", "sub")), _result("b", "2"), _result("a"))  # fmt: skip
messages("two rounds", _USER, _assistant(_call("1")), _result(), _assistant("More.", _call("2")), _result("5", "2"), _QUESTION)  # fmt: skip
messages("one id in two rounds", _USER, *(2 * [_assistant(_call()), _result()]))
messages("a call without an id", _USER, _assistant(_call(None)), _result(id=None))
messages("a result of no call", _USER, _result(id="7"))
messages("a result with a name", _USER, _result(id="7", name="add"))
messages("a result without id and name", _USER, _result(id=None))
messages("a result of several texts", _USER, _assistant(_call()), _result([TextBlock(text="a"), TextBlock(text="b")]))
messages("a result of the role function", _USER, _assistant(_call()), _result(role="function"))
messages("a call without its result", _USER, _assistant(_call()), _QUESTION)
messages("a call of a user", _user("x", _call()))
_OLD = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
_OBJECT = SimpleNamespace(id="1", function=SimpleNamespace(name="add", arguments='{"a": 1}'))
messages("calls in additional_kwargs", _USER, _assistant("Hm.", tool_calls=[_OLD]), _result())
messages("calls in additional_kwargs, as objects", _USER, _assistant(tool_calls=[_OBJECT]), _result())
messages("calls in additional_kwargs and blocks", _USER, _assistant(_call(), tool_calls=[_OLD]), _result())
messages("calls in additional_kwargs without a function", _USER, _assistant(tool_calls=[{"id": "1"}]))

for _block in (_THINKING, _TAGGED, _SPECIAL, ThinkingBlock(content=None)):
    for _send in (None, True, False):

        def _reasoning(wire: Wire, block: Any = _block, send: Any = _send) -> None:
            from lmstudio_integrations.llama_index import LMStudio

            settings = {} if send is None else names.send_reasoning(LMStudio, send)
            calls = _assistant(block, "Let me add.", _call())
            wire.index_llm(**settings).chat([_USER, _assistant(block, "3"), _QUESTION, calls, _result()])

        CASES.add(f"reasoning {_block.content!r} {_block.additional_information}, sent back: {_send}", _reasoning)
messages("reasoning of a user", _user(_THINKING, "Hi"))

messages("a CachePoint", _user("a", CachePoint(cache_control={"type": "ephemeral"}), "b"))  # type: ignore[arg-type]  # as users write it
messages("a CitableBlock", _user(CitableBlock(title="T", source="S", content=[TextBlock(text="c")]), "b"))
messages("a CitationBlock", _USER, _assistant(CitationBlock(cited_content=TextBlock(text="c"), source="S", title="T", additional_location_info={})))  # fmt: skip
messages("an AudioBlock", _user(AudioBlock(audio=base64.b64encode(b"RIFF"), format="wav")))
messages("a VideoBlock", _user(VideoBlock(video=base64.b64encode(b"mp4"), video_mimetype="video/mp4")))
messages("a DocumentBlock", _user(DocumentBlock(data=b"JVBERi0=", title="d.pdf", document_mimetype="application/pdf")))
messages(
    "a DocumentBlock of text", _user(DocumentBlock(data=b"SGFsbG8=", title="d.txt", document_mimetype="text/plain"))
)

# Images


def image(name: str, block: Callable[[Wire], Any], **settings: Any) -> None:
    """A case with one image block of a user."""
    CASES.add(f"image: {name}", lambda wire: wire.index_llm(**settings).chat([_user("What is it?", block(wire))]))


for _label in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
    image(_label, lambda w, k=_label: ImageBlock(image=w.image(getattr(recorder, k))))  # type: ignore[misc]
image("base64 bytes", lambda w: ImageBlock(image=base64.b64encode(w.image())))
image("a media type", lambda w: ImageBlock(image=w.image(), image_mimetype="image/png", detail="low"))
image("a path", lambda w: ImageBlock(path=w.path("cat.png", w.image())))
image("a data URL", lambda w: ImageBlock(url=f"data:image/png;base64,{base64.b64encode(w.image()).decode()}"))
image("an address", lambda w: ImageBlock(url=w.serve(w.image())))
image("a path that does not exist", lambda _: ImageBlock(path="/no/such/cat.png"))  # type: ignore[arg-type]  # as users write it
image("something that is no image", lambda _: ImageBlock(image=b"%PDF-1.7"))
image("nothing in it", lambda _: ImageBlock())
image("in a CitableBlock", lambda w: CitableBlock(title="T", source="S", content=[ImageBlock(image=w.image())]))


@CASES.add("image: the same one twice in a conversation, and again in the next call")
def _twice(wire: Wire) -> None:
    block = ImageBlock(image=wire.image())
    first = [_user(block, "a", block)]
    wire.index_llm().chat(first)
    wire.index_llm().chat([*first, _assistant("A cat."), _QUESTION])


@CASES.add("image: two of them, awaiting")
async def _two(wire: Wire) -> None:
    blocks = [ImageBlock(image=wire.image(start)) for start in (recorder.PNG, recorder.JPEG)]
    await wire.index_llm().achat([_user(*blocks, "Compare.")])


@CASES.add("image: in a tool's result")
def _in_result(wire: Wire) -> None:
    result = _result([TextBlock(text="Look:"), ImageBlock(image=wire.image())])
    wire.index_llm().chat([_USER, _assistant(_call()), result])


@CASES.add("image: in an assistant's message")
def _in_assistant(wire: Wire) -> None:
    wire.index_llm().chat([_USER, _assistant("Here:", ImageBlock(image=wire.image())), _QUESTION])


@CASES.add("image: an assistant's message of an image and a call")
def _image_and_call(wire: Wire) -> None:
    wire.index_llm().chat([_USER, _assistant(ImageBlock(image=wire.image()), _call()), _result()])


@CASES.add("image: counted")
def _counted(wire: Wire) -> None:
    wire.index_llm().count_tokens([_user("a", ImageBlock(image=wire.image()), "b")])


@CASES.add("image: check_context")
def _checked(wire: Wire) -> None:
    wire.index_llm(check_context=True).chat([_user("a", ImageBlock(image=wire.image()), "b")])
