"""The interfaces of other packages that are not promised to stay: each is still what this package uses.

`CONTRIBUTING.md` lists them, with the place of their use and what a change of them leads to.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

CONTRIBUTING = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"


def _websockets_hooks() -> None:
    from websockets.asyncio.connection import Connection

    assert list(inspect.signature(Connection.process_event).parameters) == ["self", "event"]
    assert list(inspect.signature(Connection.data_received).parameters) == ["self", "data"]


def _websockets_transport() -> None:
    from websockets.asyncio.connection import Connection

    assert "self.transport" in inspect.getsource(Connection.connection_made)


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


def _langchain_stream_events(name: str) -> Callable[[], None]:
    def check() -> None:
        from langchain_core.language_models import chat_models

        assert name in inspect.getsource(chat_models)  # looked up by name; the base class has none

    return check


def _langchain_run_id() -> None:
    from langchain_core.utils.utils import LC_ID_PREFIX

    assert LC_ID_PREFIX == "lc_run-"


def _langchain_tool_call_index() -> None:
    from langchain_core.messages import AIMessageChunk
    from langchain_core.messages.tool import tool_call_chunk

    message = AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="f", args="{", id="1", index=0)])
    message.response_metadata = {"output_version": "v1", "model_provider": "unknown"}
    indexes = {block.get("index") for block in message.content_blocks}
    assert indexes & {0, "lc_tc_0"}


def _llama_index_span() -> None:
    from llama_index.core.instrumentation.span import active_span_id

    assert active_span_id.get() is None or isinstance(active_span_id.get(), str)


def _llama_index_flexible() -> None:
    from llama_index.core.program.function_program import FunctionCallingProgram
    from llama_index.core.program.utils import create_flexible_model

    assert list(inspect.signature(create_flexible_model).parameters) == ["model"]
    assert callable(FunctionCallingProgram.from_defaults)


def _llama_index_batch() -> None:
    from llama_index.core.base.embeddings.base import BaseEmbedding

    for name in ("get_text_embedding_batch", "aget_text_embedding_batch"):
        wrapper = getattr(BaseEmbedding, name)
        function = inspect.unwrap(wrapper)
        assert function is not wrapper
        assert list(inspect.signature(function).parameters)[:3] == ["self", "texts", "show_progress"]


def _workflow_context() -> None:
    from workflows.runtime.types.results import InternalContextVar

    assert InternalContextVar.name


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


INTERFACES: dict[str, Callable[[], None]] = {
    "websockets: `Connection.data_received`, `Connection.process_event`": _websockets_hooks,
    "websockets: `Connection.transport`": _websockets_transport,
    "pydantic: the four slots of `BaseModel`": _pydantic_slots,
    "langchain-core: `_add_version`": _langchain_add_version,
    "langchain-core: `_get_llm_string`": _langchain_hook("_get_llm_string", ["self", "stop", "kwargs"]),
    "langchain-core: `_stream_chat_model_events`": _langchain_stream_events("_stream_chat_model_events"),
    "langchain-core: `_astream_chat_model_events`": _langchain_stream_events("_astream_chat_model_events"),
    "langchain-core: `_resolve_model_profile`": _langchain_hook("_resolve_model_profile", ["self"]),
    "langchain-core: `_serialized`": _langchain_serialized,
    "langchain-core: `LC_ID_PREFIX`": _langchain_run_id,
    'langchain-core: block indexes "lc_tc_"': _langchain_tool_call_index,
    "llama-index-core: `active_span_id`": _llama_index_span,
    "llama-index-core: `create_flexible_model`, `FunctionCallingProgram`": _llama_index_flexible,
    "llama-index-core: the functions within the wrappers of `BaseEmbedding.get_text_embedding_batch`": _llama_index_batch,
    "llama-index-workflows: `InternalContextVar`": _workflow_context,
    "asyncio: `loop.getaddrinfo` is replaced": _asyncio_getaddrinfo,
}


@pytest.mark.parametrize("interface", INTERFACES)
def test_private_interface_is_as_it_is_used(interface: str) -> None:
    INTERFACES[interface]()


def test_contributing_lists_exactly_the_private_interfaces() -> None:
    section = CONTRIBUTING.read_text("utf-8").partition("## Private interfaces")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    assert rows[1:] == list(INTERFACES)
