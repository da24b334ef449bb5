"""LlamaIndex: every field and keyword, every way of calling, embeddings, tokens, metadata, cancelling."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from lmstudio_integrations.emulator import Reply, ToolCall
from tests.golden import names
from tests.golden.recorder import TOKEN, Cases, Wire

CASES = Cases("llama_index_calls")

FIELDS: dict[str, list[Any]] = {
    "model": ["emulator/chat-2", None],
    "temperature": [0, 0.7, None],
    "max_tokens": [7, -1, None, False],
    "stop": [["x", "y"], "x", [], None],
    "top_p": [0.5, False],
    "top_k": [20, -1],
    "min_p": [0.1, False],
    "repeat_penalty": [1.2, False],
    "seed": [4, False],
    "logprobs": [3, 0, False],
    "thinking": [True, False, 100, 0],
    "draft_model": ["emulator/draft", ""],
    "preset": ["emulator-preset"],
    "context_overflow_policy": ["stopAtLimit", "truncateMiddle", "rollingWindow"],
    "additional_kwargs": [
        {"presencePenalty": 0.5, "cpuThreads": 2},
        {"presence_penalty": 0.5, "top_k_sampling": 3},
        {"temperature": 1, "contextOverflowPolicy": "rollingWindow"},
        {"raw": {"llm.prediction.unheardOf": 1}},
    ],
    "timeout": [20],
    "raw_completion": [True],
}
CONSTRUCTOR_ONLY: dict[str, list[Any]] = {
    "api_key": [TOKEN],
    "api_token": [TOKEN],
    "max_retries": [0, 5],
    "ttl": [60, 0.5, None],
    "load_config": [{"flashAttention": True}, {"flash_attention": True}, {"gpu": {"ratio": 1}, "context_length": 512}],
    "context_window": [2048],
    "check_context": [True],
    "surface_failed_tool_calls": [True],
    "is_function_calling_model": [False],
    "system_prompt": ["Be brief."],
}
CALL_ONLY: dict[str, list[Any]] = {
    "config": [{"temperature": 0.1, "seed": 7}, {"contextOverflowPolicy": "rollingWindow"}],
    "allow_parallel_tool_calls": [False],
    "parallel_tool_calls": [False],
    "tool_choice": ["auto"],
}
OTHERS: dict[str, list[Any]] = {
    # names that other integrations have, and words that frameworks pass by
    "model_name": ["emulator/chat-2"],
    "stop_sequences": [["x"]],
    "reasoning": [True],
    "context_length": [2048],
    "num_ctx": [2048],
    "keep_alive": [60],
    "request_timeout": [20],
    "prediction_config": [{"cpuThreads": 2}],
    "max_completion_tokens": [7],
    "num_predict": [7],
    "frequency_penalty": [0.5],
    "presence_penalty": [0.5],
    "top_logprobs": [3],
    "logit_bias": [{"7": 1}],
    "reasoning_effort": ["low"],
    "json_mode": [True],
    "format": ["json"],
    "n": [1, 2],
    "user": ["ann"],
    "metadata": [{"a": "b"}],
    "extra_headers": [{"a": "b"}],
    "extra_query": [{"a": "b"}],
    "extra_body": [{"a": "b"}],
    "store": [True],
    "service_tier": ["auto"],
    "prompt_cache_key": ["a"],
    "cache_control": [{"type": "ephemeral"}],
    "stream": [True],
    "stream_options": [{"include_usage": True}],
    "strict": [True],
    "verbose": [True],
    "functions": [[{"name": "f"}]],
    "temprature": [1],
}
_LOADS = {"ttl", "load_config", "context_window", "context_length", "num_ctx", "keep_alive"}


def _message(text: str = "Hi") -> list[Any]:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role="user", content=text)]


def _settings() -> None:
    for name, values in {**FIELDS, **CONSTRUCTOR_ONLY, **OTHERS}.items():
        for value in values:
            base, given = {"model": "emulator/chat-2"} if name in _LOADS else {}, {name: value}
            CASES.add(
                f"chat: {name}={value!r} in the constructor",
                lambda wire, b=base, g=given: wire.index_llm(**b, **g).chat(_message()),  # type: ignore[misc]
            )
    for name, values in {**FIELDS, **CALL_ONLY, **OTHERS}.items():
        for value in values:
            given = {name: value}
            CASES.add(
                f"chat: {name}={value!r} in a call",
                lambda wire, g=given: wire.index_llm().chat(_message(), **g),  # type: ignore[misc]
            )
    for name, values in FIELDS.items():
        given = {name: values[0]}
        CASES.add(
            f"completion: {name} in a call",
            lambda wire, g=given: wire.index_llm().complete("Once", **g),  # type: ignore[misc]
        )
        CASES.add(
            f"raw completion: {name} in the constructor",
            lambda wire, g={"raw_completion": True, **given}: wire.index_llm(**g).complete("Once"),  # type: ignore[misc]
        )
    for name, value in {
        "model": "emulator/embedding-2",
        "model_name": "emulator/embedding-2",
        "ttl": 60,
        "keep_alive": 60,
        "load_config": {"contextLength": 512},
        "api_key": TOKEN,
        "timeout": 20,
        "max_retries": 0,
        "query_instruction": "search_query:",
        "text_instruction": "passage: ",
        "embed_batch_size": 1,
        "dimensions": 8,
    }.items():
        base = {"model": "emulator/embedding-2"} if name in _LOADS else {}
        CASES.add(
            f"embedding: {name}",
            lambda wire, g={**base, name: value}: _embed(wire.index_embedding(**g)),  # type: ignore[misc]
        )


def _embed(embedding: Any) -> None:
    embedding.get_text_embedding("a")
    embedding.get_query_embedding("b")


_settings()
CASES.add("chat: the default", lambda w: w.index_llm().chat(_message()))
CASES.add("chat: time limits", lambda w: w.index_llm(timeout=names.timeout(first_packet=20, idle=20)).chat(_message()))
CASES.add("chat: the call wins", lambda w: w.index_llm(temperature=0, top_k=3).chat(_message(), temperature=1))
CASES.add("chat: None in a call lifts a setting", lambda w: w.index_llm(seed=3).chat(_message(), seed=None))
CASES.add("chat: config wins over all", lambda w: w.index_llm(seed=1).chat(_message(), seed=2, config={"seed": 3}))
CASES.add("chat: a preset with settings", lambda w: w.index_llm(preset="emulator-preset", seed=1).chat(_message()))

# Ways of calling


def _drain(iterator: Any) -> None:
    for _ in iterator:
        pass


async def _adrain(iterator: Any) -> None:
    async for _ in await iterator:
        pass


CASES.add("chat", lambda w: w.index_llm(seed=1).chat(_message()))
CASES.add("achat", lambda w: w.index_llm(seed=1).achat(_message()))
CASES.add("stream_chat", lambda w: _drain(w.index_llm(seed=1).stream_chat(_message())))
CASES.add("astream_chat", lambda w: _adrain(w.index_llm(seed=1).astream_chat(_message())))
for _raw in (False, True):
    _prefix = "raw " if _raw else ""
    CASES.add(f"{_prefix}complete", lambda w, r=_raw: w.index_llm(raw_completion=r).complete("Once"))  # type: ignore[misc]
    CASES.add(f"{_prefix}acomplete", lambda w, r=_raw: w.index_llm(raw_completion=r).acomplete("Once"))  # type: ignore[misc]
    CASES.add(
        f"{_prefix}stream_complete",
        lambda w, r=_raw: _drain(w.index_llm(raw_completion=r).stream_complete("Once")),  # type: ignore[misc]
    )
    CASES.add(
        f"{_prefix}astream_complete",
        lambda w, r=_raw: _adrain(w.index_llm(raw_completion=r).astream_complete("Once")),  # type: ignore[misc]
    )
CASES.add("raw complete: formatted", lambda w: w.index_llm(raw_completion=True).complete("Once", formatted=True))
CASES.add(
    "raw complete: completion_to_prompt",
    lambda w: w.index_llm(raw_completion=True, completion_to_prompt=lambda text: f"<{text}>").complete("Once"),
)
CASES.add("raw complete: tools", lambda w: w.index_llm(raw_completion=True).complete("Once", tools=[_tool()]))
CASES.add("complete: a number", lambda w: w.index_llm().complete(3))


def _prompt() -> Any:
    from llama_index.core.prompts import PromptTemplate

    return PromptTemplate("Why is the {thing} blue?")


CASES.add("predict", lambda w: w.index_llm().predict(_prompt(), thing="sky"))
CASES.add("stream", lambda w: _drain(w.index_llm().stream(_prompt(), thing="sky")))
CASES.add("apredict", lambda w: _with_facts(w, lambda llm: llm.apredict(_prompt(), thing="sky")))


def _with_facts(wire: Wire, call: Any) -> None:
    """A call on a loop, with a model that knows its metadata: it would ask for them in a thread."""
    llm = wire.index_llm()
    llm.refresh_metadata()
    asyncio.run(call(llm))


def _tool() -> dict[str, Any]:
    return {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {}}}


def _add() -> Any:
    from llama_index.core.tools import FunctionTool

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return FunctionTool.from_defaults(add)


@CASES.add("an agent")
def _agent(wire: Wire) -> None:
    from llama_index.core.agent.workflow import FunctionAgent

    wire.script(Reply("Hm.", tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Reply("3"))
    llm = wire.index_llm()
    llm.refresh_metadata()

    async def run() -> None:
        await FunctionAgent(tools=[_add()], llm=llm, system_prompt="Use tools.").run("1+2?")

    asyncio.run(run())


@CASES.add("predict_and_call")
def _predict_and_call(wire: Wire) -> None:
    wire.script(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]))
    wire.index_llm().predict_and_call([_add()], user_msg="1+2?")


@CASES.add("a conversation with tools")
def _loop(wire: Wire) -> None:
    from llama_index.core.llms import ChatMessage

    wire.script(Reply("Hm.", reasoning="I add.", tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Reply("3"))
    llm = wire.index_llm()
    messages = _message("1+2?")
    response = llm.chat_with_tools([_add()], chat_history=messages)
    (call,) = llm.get_tool_calls_from_response(response)
    result = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": call.tool_id})
    llm.chat_with_tools([_add()], chat_history=[*messages, response.message, result])


@CASES.add("a query engine", unordered=True)
def _query(wire: Wire) -> None:
    from llama_index.core import Document, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter

    splitter = SentenceSplitter(tokenizer=str.split)
    documents = [Document(text="The sky is blue.", id_="a")]
    index = VectorStoreIndex.from_documents(documents, embed_model=wire.index_embedding(), transformations=[splitter])
    index.as_query_engine(llm=wire.index_llm()).query("Which colour is the sky?")


# Embeddings

CASES.add("embedding: a text", lambda w: w.index_embedding().get_text_embedding("ß 😀"))
CASES.add("embedding: a query", lambda w: w.index_embedding().get_query_embedding("a"))
CASES.add("embedding: texts", lambda w: w.index_embedding().get_text_embedding_batch(list("abcde")), unordered=True)
CASES.add("embedding: a text, awaiting", lambda w: w.index_embedding().aget_text_embedding("a"))
CASES.add("embedding: a query, awaiting", lambda w: w.index_embedding().aget_query_embedding("a"))
CASES.add(
    "embedding: texts, awaiting",
    lambda w: w.index_embedding(embed_batch_size=2).aget_text_embedding_batch(list("abcde")),
    unordered=True,
)
CASES.add("embedding: any model", lambda w: w.index_embedding(model="unknown").get_text_embedding("a"))

# Tokens, context, metadata

CASES.add("tokens: tokenize", lambda w: w.index_llm().tokenize("one two"))
CASES.add("tokens: atokenize", lambda w: w.index_llm().atokenize("one two"))
CASES.add("tokens: tokenizer", lambda w: w.index_llm().tokenizer("one two"))
CASES.add("tokens: count_tokens of a text", lambda w: w.index_llm().count_tokens("one two"))
CASES.add("tokens: count_tokens of messages and tools", lambda w: w.index_llm().count_tokens(_message(), [_add()]))
CASES.add("tokens: acount_tokens of messages", lambda w: w.index_llm().acount_tokens(_message()))
CASES.add("metadata", lambda w: w.index_llm().metadata)
CASES.add("metadata of a model that is not loaded", lambda w: w.index_llm(model="emulator/chat-2").metadata)
CASES.add("refresh_metadata", lambda w: w.index_llm().refresh_metadata())
CASES.add("arefresh_metadata", lambda w: w.index_llm().arefresh_metadata())
CASES.add("check_context", lambda w: w.index_llm(check_context=True).chat(_message()))
CASES.add("check_context, awaiting", lambda w: w.index_llm(check_context=True).achat(_message()))
CASES.add("check_context: tools", lambda w: w.index_llm(check_context=True).chat(_message(), tools=[_tool()]))
CASES.add("check_context: a completion", lambda w: w.index_llm(check_context=True).complete("Hi"))
CASES.add(
    "check_context: a raw completion", lambda w: w.index_llm(check_context=True, raw_completion=True).complete("Hi")
)
CASES.add("check_context: too long", lambda w: w.index_llm(check_context=True).chat(_message("word " * 5000)))


@CASES.add("metadata after an answer")
def _metadata_after(wire: Wire) -> None:
    llm = wire.index_llm()
    llm.chat(_message())
    assert llm.metadata.context_window


# Cancelling


@CASES.cancelled("break in a stream")
def _break(wire: Wire) -> None:
    wire.hold()
    for _ in wire.index_llm().stream_chat(_message()):
        break
    gc.collect()


@CASES.cancelled("close a stream")
def _close(wire: Wire) -> None:
    wire.hold()
    stream = wire.index_llm().stream_chat(_message())
    next(stream)
    stream.close()


@CASES.cancelled("close a completion")
def _close_completion(wire: Wire) -> None:
    wire.hold()
    stream = wire.index_llm(raw_completion=True).stream_complete("Hi")
    next(stream)
    stream.close()


@CASES.cancelled("aclose a stream")
async def _aclose(wire: Wire) -> None:
    wire.hold()
    stream: Any = await wire.index_llm().astream_chat(_message())
    await anext(stream)
    await stream.aclose()


@CASES.cancelled("cancel the task of achat")
async def _task(wire: Wire) -> None:
    wire.hold()
    task = asyncio.create_task(wire.index_llm().achat(_message()))
    await asyncio.to_thread(wire.server.wait_for_sent, lambda frame: "fragment" in str(frame.message))
    task.cancel()
    await asyncio.wait([task])


@CASES.cancelled("a token, in a stream")
def _token(wire: Wire) -> None:
    wire.hold()
    token = names.cancel_token("llama_index")
    for _ in wire.index_llm().stream_chat(_message(), **names.cancel_keyword("llama_index", token)):
        token.cancel()


@CASES.cancelled("a token, awaiting")
async def _atoken(wire: Wire) -> None:
    wire.hold()
    token = names.cancel_token("llama_index")
    stream: Any = await wire.index_llm().astream_chat(_message(), **names.cancel_keyword("llama_index", token))
    async for _ in stream:
        token.cancel()


@CASES.add("cancel: a token that is used already")
def _used(wire: Wire) -> None:
    token = names.cancel_token("llama_index")
    token.cancel()
    wire.index_llm().chat(_message(), **names.cancel_keyword("llama_index", token))
