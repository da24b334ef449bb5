"""The plain client's calls, blocking and awaiting: models, tokens, embeddings, uploads, predictions and their ends."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing
from typing import Any

import lmstudio_integrations as lms
from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.emulator import Reply, ToolCall
from tests.golden import names
from tests.golden.recorder import BMP, GIF, JPEG, TOKEN, WEBP, Cases, Wire

CASES = Cases("client")


def both(
    name: str,
    blocking: Callable[[Client], Any],
    awaiting: Callable[[AsyncClient], Awaitable[Any]],
    *,
    unordered: bool = False,
) -> None:
    """One call of both clients."""
    CASES.add(name, lambda wire: blocking(wire.client), unordered=unordered)

    async def run(wire: Wire) -> None:
        await awaiting(wire.aclient)

    CASES.add(f"{name}, awaiting", run, unordered=unordered)


# Models

both("version", lambda c: c.system.version(), lambda c: c.system.version())
both("list downloaded models", lambda c: c.list_downloaded_models(), lambda c: c.list_downloaded_models())
both("list loaded models", lambda c: c.list_loaded_models(), lambda c: c.list_loaded_models())
both("list loaded LLMs", lambda c: c.llm.list_loaded(), lambda c: c.llm.list_loaded())
both("list loaded embedding models", lambda c: c.embedding.list_loaded(), lambda c: c.embedding.list_loaded())
both("model that is loaded", lambda c: c.llm.model("emulator/chat"), lambda c: c.llm.model("emulator/chat"))
both("model without a key", lambda c: c.llm.model(), lambda c: c.llm.model())
both("embedding model without a key", lambda c: c.embedding.model(), lambda c: c.embedding.model())
both(
    "model with a ttl of half a second",
    lambda c: c.llm.model("emulator/chat-2", ttl=0.5),
    lambda c: c.llm.model("emulator/chat-2", ttl=0.5),
)
both(
    "model without a ttl",
    lambda c: c.llm.model("emulator/chat-2", ttl=None),
    lambda c: c.llm.model("emulator/chat-2", ttl=None),
)
both(
    "model with progress",
    lambda c: c.llm.model("emulator/chat-2", on_load_progress=lambda _: None),
    lambda c: c.llm.model("emulator/chat-2", on_load_progress=lambda _: None),
)
both("model that does not exist", lambda c: c.llm.model("no/such"), lambda c: c.llm.model("no/such"))
both(
    "load a new instance",
    lambda c: c.llm.load_new_instance("emulator/chat-2"),
    lambda c: c.llm.load_new_instance("emulator/chat-2"),
)
both(
    "load a new instance under a name, with a ttl and settings",
    lambda c: c.llm.load_new_instance("emulator/chat", "mine", ttl=60, config={"contextLength": 1024}),
    lambda c: c.llm.load_new_instance("emulator/chat", "mine", ttl=60, config={"contextLength": 1024}),
)
both(
    "load a new instance of an embedding model",
    lambda c: c.embedding.load_new_instance("emulator/embedding-2", ttl=None),
    lambda c: c.embedding.load_new_instance("emulator/embedding-2", ttl=None),
)
both("unload by identifier", lambda c: c.llm.unload("emulator/chat"), lambda c: c.llm.unload("emulator/chat"))
both(
    "unload an embedding model",
    lambda c: c.embedding.unload("emulator/embedding"),
    lambda c: c.embedding.unload("emulator/embedding"),
)


def _handle(client: Client) -> Any:
    return client.llm.just_in_time("emulator/chat")


def _ahandle(client: AsyncClient) -> Any:
    return client.llm.just_in_time("emulator/chat")


both("unload a handle", lambda c: _handle(c).unload(), lambda c: _ahandle(c).unload())
both("info of a model", lambda c: _handle(c).get_info(), lambda c: _ahandle(c).get_info())
both("context length", lambda c: _handle(c).get_context_length(), lambda c: _ahandle(c).get_context_length())
both("load settings of a model", lambda c: _handle(c).get_load_config(), lambda c: _ahandle(c).get_load_config())
both("tokenize", lambda c: _handle(c).tokenize("Grüße 😀"), lambda c: _ahandle(c).tokenize("Grüße 😀"))
both(
    "tokenize several texts",
    lambda c: _handle(c).tokenize(["a", "b b", ""]),
    lambda c: _ahandle(c).tokenize(["a", "b b", ""]),
    unordered=True,
)
both("count tokens", lambda c: _handle(c).count_tokens("one two"), lambda c: _ahandle(c).count_tokens("one two"))
both(
    "apply the prompt template",
    lambda c: _handle(c).apply_prompt_template("Hi"),
    lambda c: _ahandle(c).apply_prompt_template("Hi"),
)

_ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

both(
    "apply the prompt template with tools, settings and token switches",
    lambda c: _handle(c).apply_prompt_template(
        "Hi", tools=[_ADD], config={"temperature": 0}, omit_bos_token=True, omit_eos_token=False
    ),
    lambda c: _ahandle(c).apply_prompt_template(
        "Hi", tools=[_ADD], config={"temperature": 0}, omit_bos_token=True, omit_eos_token=False
    ),
)


def _embedder(client: Client) -> Any:
    return client.embedding.just_in_time("emulator/embedding")


def _aembedder(client: AsyncClient) -> Any:
    return client.embedding.just_in_time("emulator/embedding")


both("embed", lambda c: _embedder(c).embed("Grüße"), lambda c: _aembedder(c).embed("Grüße"))
both(
    "embed several texts",
    lambda c: _embedder(c).embed([f"text {n}" for n in range(5)]),
    lambda c: _aembedder(c).embed([f"text {n}" for n in range(5)]),
    unordered=True,
)
both("embed no text", lambda c: _embedder(c).embed([]), lambda c: _aembedder(c).embed([]))
both("embedding model: tokenize", lambda c: _embedder(c).tokenize("a"), lambda c: _aembedder(c).tokenize("a"))
both(
    "embedding model: count tokens", lambda c: _embedder(c).count_tokens("a"), lambda c: _aembedder(c).count_tokens("a")
)
both("embedding model: info", lambda c: _embedder(c).get_info(), lambda c: _aembedder(c).get_info())
both(
    "embed with a model that is not loaded",
    lambda c: c.embedding.just_in_time("emulator/embedding-2", ttl=7, config={"contextLength": 256}).embed("a"),
    lambda c: c.embedding.just_in_time("emulator/embedding-2", ttl=7, config={"contextLength": 256}).embed("a"),
)
both(
    "embed with whichever model is loaded",
    lambda c: c.embedding.just_in_time().embed("a"),
    lambda c: c.embedding.just_in_time().embed("a"),
)

# Predictions

both("respond", lambda c: _handle(c).respond("Hi"), lambda c: _ahandle(c).respond("Hi"))
both("complete", lambda c: _handle(c).complete("Once"), lambda c: _ahandle(c).complete("Once"))
both("respond twice", lambda c: (_handle(c).respond("Hi"), _handle(c).respond("Hi")), lambda c: _twice(_ahandle(c)))
both(
    "respond with a model that is not loaded",
    lambda c: c.llm.just_in_time("emulator/chat-2", ttl=90, config={"contextLength": 1024}).respond("Hi"),
    lambda c: c.llm.just_in_time("emulator/chat-2", ttl=90, config={"contextLength": 1024}).respond("Hi"),
)
both(
    "respond with whichever model is loaded",
    lambda c: c.llm.just_in_time().respond("Hi"),
    lambda c: c.llm.just_in_time().respond("Hi"),
)
both(
    "respond with a model that does not exist",
    lambda c: c.llm.just_in_time("no/such").respond("Hi"),
    lambda c: c.llm.just_in_time("no/such").respond("Hi"),
)


async def _twice(model: Any) -> None:
    await model.respond("Hi")
    await model.respond("Hi")


_OPTIONS: dict[str, dict[str, Any]] = {
    "settings": {"config": {"temperature": 0, "maxTokens": 5}},
    "a preset": {"preset": "emulator-preset"},
    "a preset and settings": {"preset": "emulator-preset", "config": {"seed": 1}},
    "a draft model": {"draft_model": "emulator/draft"},
    "a draft model in place of the settings' own": {
        "draft_model": "emulator/draft",
        "config": {"draftModel": "emulator/chat"},
    },
    "a JSON schema": {"response_format": _SCHEMA},
    "a time limit": {"timeout": 20},
    "time limits": {"timeout": names.timeout(first_packet=20, idle=20)},
    "callbacks": {
        "on_prompt_processing_progress": lambda _: None,
        "on_first_token": lambda: None,
        "on_prediction_fragment": lambda _: None,
    },
}
for _name, _options in _OPTIONS.items():
    for _method in ("respond", "complete"):
        both(
            f"{_method} with {_name}",
            lambda c, m=_method, o=_options: getattr(_handle(c), m)("Hi", **o),  # type: ignore[misc]
            lambda c, m=_method, o=_options: getattr(_ahandle(c), m)("Hi", **o),  # type: ignore[misc]
        )


def _read(stream: Any) -> None:
    for _ in stream:
        pass
    stream.result()


async def _aread(stream: Any) -> None:
    async for _ in stream:
        pass
    await stream.result()


for _method in ("respond_stream", "complete_stream"):
    both(
        _method,
        lambda c, m=_method: _read(getattr(_handle(c), m)("Hi", config={"maxTokens": 9})),  # type: ignore[misc]
        lambda c, m=_method: _astream(_ahandle(c), m),  # type: ignore[misc]
    )


async def _astream(model: Any, method: str) -> None:
    await _aread(await getattr(model, method)("Hi", config={"maxTokens": 9}))


@CASES.add("stream read as events")
def _events(wire: Wire) -> None:
    wire.script(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]))
    for _ in wire.llm.respond_stream("Hi", tools=[_ADD]).events():
        pass


@CASES.add("API token")
def _token(wire: Wire) -> None:
    Client(wire.url, api_token=TOKEN).llm.just_in_time("emulator/chat").respond("Hi")


@CASES.add("address in http form with /v1")
def _http(wire: Wire) -> None:
    Client(f"http://127.0.0.1:{wire.server.port}/v1").llm.just_in_time("emulator/chat").respond("Hi")


@CASES.add("address without a scheme")
def _bare(wire: Wire) -> None:
    Client(f"127.0.0.1:{wire.server.port}").system.version()


@CASES.add("convenience functions")
def _convenience(wire: Wire) -> None:
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMSTUDIO_BASE_URL", wire.url)
        lms.list_loaded_models()
        lms.list_downloaded_models()
        lms.llm("emulator/chat", ttl=5).respond("Hi")
        lms.embedding_model("emulator/embedding", config={"contextLength": 128}).embed("a")


@CASES.add("keep talking in a chat")
def _chat(wire: Wire) -> None:
    chat = lms.Chat("Be brief.")
    chat.add_user_message("Hi")
    chat.add_assistant_response(wire.llm.respond(chat))
    chat.add_user_message("And?")
    wire.llm.respond(chat)


@CASES.add("a model that was unloaded meanwhile is loaded again")
def _reload(wire: Wire) -> None:
    model = wire.client.llm.model("emulator/chat-2")
    wire.server.unload("emulator/chat-2")
    model.respond("Hi")


# Uploads

for _label, _start in {"PNG": None, "JPEG": JPEG, "WebP": WEBP, "GIF": GIF, "BMP": BMP}.items():
    CASES.add(
        f"prepare an image: {_label}",
        lambda wire, s=_start: wire.client.files.prepare_image(_bytes(wire, s)),  # type: ignore[misc]
    )


def _bytes(wire: Wire, start: bytes | None) -> bytes:
    return wire.image() if start is None else wire.image(start)


@CASES.add("prepare an image, awaiting")
async def _aprepare(wire: Wire) -> None:
    await wire.aclient.files.prepare_image(wire.image(), "cat.png")


CASES.add("prepare an image with a name", lambda wire: wire.client.files.prepare_image(wire.image(), "cat.png"))
CASES.add(
    "prepare an image from a path", lambda wire: wire.client.files.prepare_image(wire.path("cat.png", wire.image()))
)
CASES.add(
    "prepare an image from a path as text",
    lambda wire: wire.client.files.prepare_image(str(wire.path("cat.png", wire.image())), "other.png"),
)
CASES.add("prepare an image from a file", lambda wire: wire.client.files.prepare_image(io.BytesIO(wire.image())))
CASES.add("prepare an image from a bytearray", lambda wire: wire.client.files.prepare_image(bytearray(wire.image())))
CASES.add("prepare something that is no image", lambda wire: wire.client.files.prepare_image(b"%PDF-1.7"))


@CASES.add("respond to an image")
def _image(wire: Wire) -> None:
    chat = lms.Chat()
    chat.add_user_message("What is it?", images=[wire.client.files.prepare_image(wire.image(), "cat.png")])
    wire.llm.respond(chat)


@CASES.add("the same image prepared twice")
def _image_twice(wire: Wire) -> None:
    image = wire.image()
    wire.client.files.prepare_image(image)
    wire.client.files.prepare_image(image)


# Cancelling


@CASES.cancelled("break")
def _break(wire: Wire) -> None:
    wire.hold()
    for _ in wire.llm.respond_stream("Hi"):
        break
    gc.collect()


@CASES.cancelled("break in a completion")
def _break_completion(wire: Wire) -> None:
    wire.hold()
    for _ in wire.llm.complete_stream("Hi"):
        break
    gc.collect()


@CASES.cancelled("close")
def _close(wire: Wire) -> None:
    wire.hold()
    stream = wire.llm.respond_stream("Hi")
    next(iter(stream))
    stream.close()


@CASES.cancelled("cancel and read to the end")
def _cancel(wire: Wire) -> None:
    wire.hold()
    stream = wire.llm.respond_stream("Hi")
    for _ in stream:
        stream.cancel()


@CASES.cancelled("cancel twice")
def _cancel_twice(wire: Wire) -> None:
    wire.hold()
    stream = wire.llm.respond_stream("Hi")
    for _ in stream:
        stream.cancel()
        stream.cancel()


@CASES.cancelled("leave a with block")
def _with(wire: Wire) -> None:
    wire.hold()
    with wire.llm.respond_stream("Hi") as stream:
        next(iter(stream))


@CASES.cancelled("an error in a callback")
def _callback(wire: Wire) -> None:
    wire.hold()

    def fail(_: Any) -> None:
        raise RuntimeError

    wire.llm.respond("Hi", on_prediction_fragment=fail)


@CASES.cancelled("close the client")
def _close_client(wire: Wire) -> None:
    wire.hold()
    client = Client(wire.url)
    next(iter(client.llm.just_in_time("emulator/chat").respond_stream("Hi")))
    client.close()


@CASES.cancelled("close the iterator")
def _closing(wire: Wire) -> None:
    wire.hold()
    with closing(iter(wire.llm.respond_stream("Hi"))) as fragments:  # type: ignore[type-var]
        next(fragments)


@CASES.cancelled("break, awaiting")
async def _abreak(wire: Wire) -> None:
    wire.hold()
    async with await wire.aclient.llm.just_in_time("emulator/chat").respond_stream("Hi") as stream:
        async for _ in stream:
            break


@CASES.cancelled("aclose, awaiting")
async def _aclose(wire: Wire) -> None:
    wire.hold()
    async with aclosing(await wire.aclient.llm.just_in_time("emulator/chat").respond_stream("Hi")) as stream:
        await anext(aiter(stream))


@CASES.cancelled("cancel the task, awaiting")
async def _task(wire: Wire) -> None:
    wire.hold()
    begun = asyncio.Event()
    model = wire.aclient.llm.just_in_time("emulator/chat")
    task = asyncio.create_task(model.respond("Hi", on_first_token=begun.set))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])


@CASES.cancelled("an error in the load callback")
def _load(wire: Wire) -> None:
    import threading

    wire.server.load_hold = threading.Event()

    def fail(_: float) -> None:
        raise RuntimeError

    wire.client.llm.model("emulator/chat-2", on_load_progress=fail)


CASES.add("close before the first read", lambda wire: wire.llm.respond_stream("Hi").close())


@CASES.add("cancel after the end")
def _after(wire: Wire) -> None:
    stream = wire.llm.respond_stream("Hi")
    stream.result()
    stream.cancel()
    stream.close()
