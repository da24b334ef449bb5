"""The interfaces of other packages that are not promised to stay: each is still what this package uses.

`CONTRIBUTING.md` lists them, with the place of their use and what a change of them leads to.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request
from websockets.uri import parse_uri
from websockets.utils import accept_key

CONTRIBUTING = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"


def _websockets_hooks() -> None:
    from websockets.asyncio.connection import Connection

    assert list(inspect.signature(Connection.process_event).parameters) == ["self", "event"]
    assert list(inspect.signature(Connection.data_received).parameters) == ["self", "data"]


class _Transport(asyncio.Transport):
    """Keeps what a connection of websockets writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


async def _open_connection() -> tuple[Any, _Transport]:
    """A client's connection of websockets after its handshake, and its transport."""
    protocol = ClientProtocol(parse_uri("ws://localhost/llm"), max_size=1)
    connection = ClientConnection(protocol, ping_interval=None)
    transport = _Transport()
    connection.connection_made(transport)
    request = protocol.connect()
    protocol.send_request(request)
    connection.data_received(_accept(request))
    transport.written = b""
    return connection, transport


def _accept(request: Request, *headers: str) -> bytes:
    """The answer to a handshake."""
    key = accept_key(request.headers["Sec-WebSocket-Key"])
    lines = [
        "HTTP/1.1 101 secret",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {key}",
        *headers,
    ]
    return "\r\n".join([*lines, "\r\n"]).encode()


def _websockets_transport() -> None:
    async def check() -> None:
        connection, transport = await _open_connection()
        assert connection.transport is transport

    asyncio.run(check())


def _websockets_broadcast() -> None:
    from websockets.asyncio.server import broadcast

    async def check() -> None:
        connection, transport = await _open_connection()
        broadcast((connection,), "text")
        assert transport.written[:2] == b"\x81\x84"  # a text frame of four bytes, masked, as a client's must be

    asyncio.run(check())


def _websockets_protocol() -> None:
    from websockets.exceptions import ConnectionClosedError, PayloadTooBig

    async def check() -> None:
        connection, _ = await _open_connection()
        connection.data_received(b"\x81\x02ab")
        connection.connection_lost(None)
        assert isinstance(connection.protocol.parser_exc, PayloadTooBig)
        assert isinstance(connection.protocol.close_exc, ConnectionClosedError)

    asyncio.run(check())


def _websockets_redirect() -> None:
    class Connect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            asked.append(exc)
            return exc

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def check() -> None:
        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(InvalidStatus):
                await Connect(f"ws://127.0.0.1:{port}/llm", proxy=None)

    asked: list[Exception] = []
    asyncio.run(check())
    assert len(asked) == 1


def _websockets_log() -> None:
    """The texts that ``wire_log`` reads; it drops or cuts what holds a secret."""
    from lmstudio_integrations.client.transport.wire_log import wire_logger

    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    level = wire_logger.level
    wire_logger.addHandler(handler)
    wire_logger.setLevel(logging.DEBUG)
    try:
        protocol = ClientProtocol(parse_uri("ws://localhost/llm"), logger=wire_logger)
        request = protocol.connect()
        request.headers["Authorization"] = "secret"
        protocol.send_request(request)
        protocol.receive_data(_accept(request, "X-Echo: secret"))
        protocol.receive_data(b"\x81\x02{}\x88\x08\x03\xe8secret")
    finally:
        wire_logger.removeHandler(handler)
        wire_logger.setLevel(level)
    assert {"> Authorization: …", "< X-Echo: …", "< HTTP/1.1 101", "< TEXT '{}' [2 bytes]"} <= set(lines)
    assert [line for line in lines if "CLOSE" in line]
    assert not [line for line in lines if "secret" in line]


def _pydantic_slots() -> None:
    class Example(BaseModel):
        a: int = 1

    made = object.__new__(Example)
    object.__setattr__(made, "__dict__", {"a": 2})
    object.__setattr__(made, "__pydantic_fields_set__", {"a"})
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    assert made == Example(a=2)
    assert made.model_copy() == made
    assert set(BaseModel.__slots__) == {
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    }


def _pydantic_state() -> None:
    class Example(BaseModel):
        a: int = 1

    made = Example(a=2)
    state = made.__getstate__()
    assert state["__dict__"] == {"a": 2}
    again = object.__new__(Example)
    again.__setstate__({**state, "__dict__": {"a": 3}})
    assert again.a == 3


def _langchain_add_version() -> None:
    from langchain_core.language_models import BaseLanguageModel

    parameters = inspect.signature(BaseLanguageModel._add_version).parameters
    assert list(parameters) == ["self", "pkg", "version"]


def _langchain_hook(name: str, expected: list[str]) -> Callable[[], None]:
    def check() -> None:
        from langchain_core.language_models import BaseChatModel

        assert list(inspect.signature(getattr(BaseChatModel, name)).parameters) == expected

    return check


def _langchain_serialized() -> None:
    from langchain_core.language_models import BaseChatModel

    assert isinstance(inspect.getattr_static(BaseChatModel, "_serialized"), cached_property)


def _langchain_stream_events() -> None:
    from langchain_core._api import LangChainBetaWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)
        seen = [event["event"] for event in _model_with_native_events().stream_events("x", version="v3")]
    assert seen == ["message-start", "message-finish"]


def _langchain_astream_events() -> None:
    from langchain_core._api import LangChainBetaWarning

    async def collect() -> list[str]:
        stream = await _model_with_native_events().astream_events("x", version="v3")
        return [event["event"] async for event in stream]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)
        seen = asyncio.run(collect())
    assert seen == ["message-start", "message-finish"]


def _model_with_native_events() -> Any:
    """A model without ``_stream``, so that nothing but its native events can be streamed."""
    from langchain_core.language_models import BaseChatModel

    events = [{"event": "message-start", "role": "ai", "id": "1"}, {"event": "message-finish", "metadata": {}}]

    class Model(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "native"

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        def _stream_chat_model_events(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> Any:
            yield from events

        async def _astream_chat_model_events(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> Any:
            for event in events:
                yield event

    return Model()


def _langchain_run_id() -> None:
    from langchain_core.utils.utils import LC_ID_PREFIX

    assert LC_ID_PREFIX == "lc_run-"


def _langchain_tool_call_index() -> None:
    from langchain_core.messages import AIMessageChunk
    from langchain_core.messages.tool import tool_call_chunk
    from langchain_core.utils._merge import merge_lists

    block: dict[str, Any] = {"type": "function_call", "call_id": "1", "index": 0}
    call = tool_call_chunk(name="f", args="{", id="1", index=0)
    message = AIMessageChunk(content=[block], tool_call_chunks=[call], response_metadata={"model_provider": "openai"})
    assert [found.get("index") for found in message.content_blocks] == ["lc_tc_0"]
    pieces = [[{"type": "tool_call_chunk", "args": text, "index": "lc_tc_0"}] for text in ("{", "}")]
    assert merge_lists(*pieces) == [{"type": "tool_call_chunk", "args": "{}", "index": "lc_tc_0"}]


def _llama_index_span() -> None:
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.span import active_span_id

    class Spanned:
        @get_dispatcher().span
        def run(self) -> str | None:
            return active_span_id.get()

    assert (Spanned().run() or "").startswith("Spanned.run-")


def _llama_index_flexible() -> None:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.llms.mock import MockFunctionCallingLLM
    from llama_index.core.program.function_program import FunctionCallingProgram
    from llama_index.core.program.utils import FlexibleModel, create_flexible_model

    class Example(BaseModel):
        a: int
        b: int

    flexible = create_flexible_model(Example)
    assert issubclass(flexible, FlexibleModel)
    assert flexible.model_validate({"a": 1}).a == 1  # type: ignore[attr-defined]  # a field of the class that was made

    class Formatted:
        """In the place of a prompt: a program asks it for nothing else."""

        def format_messages(self, **kwargs: Any) -> list[ChatMessage]:
            asked.append("messages")
            return [ChatMessage("x")]

    class Asked(MockFunctionCallingLLM):
        def predict_and_call(self, *args: Any, **kwargs: Any) -> Any:
            asked.append((kwargs["chat_history"][0].content, kwargs["tool_choice"]))
            raise LookupError

    asked: list[Any] = []
    program: Any = FunctionCallingProgram.from_defaults(
        output_cls=Example, prompt_template_str="p", llm=Asked(), tool_choice="required"
    )
    program.prompt = Formatted()
    with pytest.raises(LookupError):
        program()
    assert asked == ["messages", ("x", "required")]


def _llama_index_extend_messages() -> None:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.llms import MockLLM

    made = MockLLM(system_prompt="s")._extend_messages([ChatMessage("x")])
    assert [message.content for message in made] == ["s", "x"]


def _llama_index_structured_streams() -> None:
    from llama_index.core.llms import LLM

    for name in ("_structured_stream_call", "_structured_astream_call"):
        parameters = list(inspect.signature(getattr(LLM, name)).parameters)
        assert parameters == ["self", "output_cls", "prompt", "llm_kwargs", "prompt_args"]


def _llama_index_batch() -> None:
    from llama_index.core.base.embeddings.base import BaseEmbedding

    for name in ("get_text_embedding_batch", "aget_text_embedding_batch"):
        wrapper = getattr(BaseEmbedding, name)
        function = inspect.unwrap(wrapper)
        assert function is not wrapper
        assert list(inspect.signature(function).parameters)[:3] == ["self", "texts", "show_progress"]


def _workflow_context() -> None:
    from workflows import Workflow, step
    from workflows.events import StartEvent, StopEvent
    from workflows.runtime.types.results import InternalContextVar

    class Flow(Workflow):
        @step
        async def run_step(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=hasattr(InternalContextVar.get()(), "write_event_to_stream"))

    async def run() -> Any:
        return await Flow().run()

    assert asyncio.run(run()) is True


def _asyncio_getaddrinfo() -> None:
    loop = asyncio.new_event_loop()
    try:
        asked: list[Any] = []

        async def getaddrinfo(*arguments: Any, **options: Any) -> list[Any]:
            asked.append(arguments)
            raise OSError("no such host")

        loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no such host"):
            loop.run_until_complete(loop.create_connection(asyncio.Protocol, "name.invalid", 1))
        assert asked
    finally:
        loop.close()


def _uvloop_create_connection() -> None:
    """``asyncio`` calls the method with these, as websockets does."""
    uvloop = pytest.importorskip("uvloop", reason="without the extra `speed`")
    asked: list[Any] = []

    class Loop(uvloop.Loop):  # type: ignore[misc, name-defined]  # uvloop has types only if it is installed
        async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
            asked.append((host, port))
            raise OSError("no such host")

    async def connect_to_name() -> None:
        await connect("ws://name.invalid:1/llm", proxy=None)

    with asyncio.Runner(loop_factory=Loop) as runner, pytest.raises(OSError, match="no such host"):
        runner.run(connect_to_name())
    assert asked == [("name.invalid", 1)]


INTERFACES: dict[str, Callable[[], None]] = {
    "websockets: `Connection.data_received`, `Connection.process_event`": _websockets_hooks,
    "websockets: `Connection.transport`": _websockets_transport,
    "websockets: `Connection.protocol` with `parser_exc` and `close_exc`": _websockets_protocol,
    "websockets: `broadcast` with a client's connection": _websockets_broadcast,
    "websockets: `connect.process_redirect`": _websockets_redirect,
    "websockets: the texts of its debug log": _websockets_log,
    "pydantic: the four slots of `BaseModel`": _pydantic_slots,
    "pydantic: `__dict__` in the state of a pickle": _pydantic_state,
    "langchain-core: `_add_version`": _langchain_add_version,
    "langchain-core: `_get_llm_string`": _langchain_hook("_get_llm_string", ["self", "stop", "kwargs"]),
    "langchain-core: `_get_ls_params`": _langchain_hook("_get_ls_params", ["self", "stop", "kwargs"]),
    "langchain-core: `_combine_llm_outputs`": _langchain_hook("_combine_llm_outputs", ["self", "_llm_outputs"]),
    "langchain-core: `_stream_chat_model_events`": _langchain_stream_events,
    "langchain-core: `_astream_chat_model_events`": _langchain_astream_events,
    "langchain-core: `_resolve_model_profile`": _langchain_hook("_resolve_model_profile", ["self"]),
    "langchain-core: `_serialized`": _langchain_serialized,
    "langchain-core: `LC_ID_PREFIX`": _langchain_run_id,
    'langchain-core: block indexes "lc_tc_"': _langchain_tool_call_index,
    "llama-index-core: `active_span_id`": _llama_index_span,
    "llama-index-core: `create_flexible_model`, `FunctionCallingProgram`": _llama_index_flexible,
    "llama-index-core: `_extend_messages`": _llama_index_extend_messages,
    "llama-index-core: `_structured_stream_call`, `_structured_astream_call`": _llama_index_structured_streams,
    "llama-index-core: the functions within the wrappers of `BaseEmbedding.get_text_embedding_batch`": _llama_index_batch,
    "llama-index-workflows: `InternalContextVar`": _workflow_context,
    "asyncio: `loop.getaddrinfo` is replaced": _asyncio_getaddrinfo,
    "uvloop: `Loop.create_connection` is overridden": _uvloop_create_connection,
}


@pytest.mark.parametrize("interface", INTERFACES)
def test_private_interface_is_as_it_is_used(interface: str) -> None:
    INTERFACES[interface]()


def test_contributing_lists_exactly_the_private_interfaces() -> None:
    section = CONTRIBUTING.read_text("utf-8").partition("## Private interfaces")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    assert rows[1:] == list(INTERFACES)
