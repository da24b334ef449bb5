"""Tokens, counted by the server."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.tools import FunctionTool
from llama_index.core.utils import get_tokenizer

from lmstudio_integrations import Client
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.llama_index import LMStudio
from tests.sent_requests import calls

ASK = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Hello, world?")]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_tokenize_returns_the_ids_of_the_server(server: Emulator, llm: LMStudio) -> None:
    expected = Client(server.url).llm.just_in_time("emulator/chat").tokenize("Hello, world?")
    assert llm.tokenize("Hello, world?") == expected
    assert await llm.atokenize("Hello, world?") == expected


async def test_token_count_of_messages_is_that_of_the_formatted_prompt(server: Emulator, llm: LMStudio) -> None:
    response = llm.chat(ASK)
    prompt_tokens = response.raw["usage"]["prompt_tokens"]
    assert llm.count_tokens(ASK) == prompt_tokens
    assert await llm.acount_tokens(ASK) == prompt_tokens


async def test_token_count_includes_tools(server: Emulator, llm: LMStudio) -> None:
    tool = FunctionTool.from_defaults(fn=add)
    response: Any = llm.chat_with_tools([tool], chat_history=ASK)
    assert llm.count_tokens(ASK, [tool]) == response.raw["usage"]["prompt_tokens"]
    assert await llm.acount_tokens(ASK, [tool]) == llm.count_tokens(ASK, [tool])
    assert llm.count_tokens(ASK, [tool]) > llm.count_tokens(ASK)


async def test_token_count_of_a_text_has_no_template(llm: LMStudio) -> None:
    assert llm.count_tokens("Hello, world?") == len(llm.tokenize("Hello, world?"))
    assert await llm.acount_tokens("Hello, world?") == llm.count_tokens("Hello, world?")


def test_tokenizer_is_a_callable_with_encode(llm: LMStudio) -> None:
    tokenizer = llm.tokenizer
    assert tokenizer("Hello") == tokenizer.encode("Hello") == llm.tokenize("Hello")
    assert tokenizer.encode("Hello", allowed_special="all") == tokenizer("Hello")


def test_tokenizer_requests_each_text_once(server: Emulator, llm: LMStudio) -> None:
    tokenizer = llm.tokenizer
    first = tokenizer("again")
    first.append(0)
    assert tokenizer("again") == first[:-1]
    assert len(calls(server, "tokenize")) == 1


def test_tokenizer_works_in_global_settings(server: Emulator, llm: LMStudio) -> None:
    before = Settings._tokenizer
    try:
        Settings.tokenizer = llm.tokenizer
        assert get_tokenizer()("a b c") == llm.tokenize("a b c")
        splitter = SentenceSplitter(chunk_size=12, chunk_overlap=0)
        chunks = splitter.split_text("One two three four. Five six seven eight. Nine ten eleven twelve.")
        assert len(chunks) > 1
        assert all(llm.count_tokens(chunk) <= 12 for chunk in chunks)
    finally:
        Settings.tokenizer = before or (lambda text: text.split())
        Settings._tokenizer = before


def test_tokenizer_pickles(llm: LMStudio) -> None:
    tokenizer = llm.tokenizer
    expected = tokenizer("Hello")
    assert pickle.loads(pickle.dumps(tokenizer))("Hello") == expected
    assert copy.deepcopy(tokenizer)("Hello") == expected
