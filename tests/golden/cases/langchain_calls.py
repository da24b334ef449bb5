"""LangChain: every field and keyword, every way of calling, embeddings, tokens, cancelling."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from lmstudio_integrations.emulator import Reply, ToolCall
from tests.golden import names
from tests.golden.recorder import TOKEN, Cases, Wire

CASES = Cases("langchain_calls")

FIELDS: dict[str, list[Any]] = {
    "model": ["emulator/chat-2", None],
    "ttl": [60, 0.5, None],
    "context_length": [2048],
    "load_config": [{"flashAttention": True}, {"flash_attention": True}, {"gpu": {"ratio": 1}, "context_length": 512}],
    "temperature": [0, 0.7, None],
    "max_tokens": [7, False, None, -1],
    "stop": [["x", "y"], [], None],
    "top_p": [0.5, False],
    "top_k": [20, -1],
    "min_p": [0.1, False],
    "repeat_penalty": [1.2, False],
    "seed": [4, False],
    "reasoning": [True, False, "on", "off", 100, 0],
    "draft_model": ["emulator/draft", ""],
    "preset": ["emulator-preset"],
    "context_overflow_policy": ["stopAtLimit", "truncateMiddle", "rollingWindow"],
    "prediction_config": [
        {"presencePenalty": 0.5, "cpuThreads": 2},
        {"presence_penalty": 0.5, "top_k_sampling": 3},
        {"temperature": 1, "contextOverflowPolicy": "rollingWindow"},
        {"raw": {"llm.prediction.unheardOf": 1}},
    ],
    "timeout": [20],
}
_LOADS = {"ttl", "context_length", "load_config"}
CONSTRUCTOR_ONLY: dict[str, list[Any]] = {
    "api_token": [TOKEN],
    "max_retries": [0, 5],
    "streaming": [True, False],
    "send_reasoning": [True, False],
    "fetch_images": [True],
    "check_context": [True],
}
OTHERS: dict[str, list[Any]] = {
    # names that other integrations have, and words that frameworks pass by
    "model_name": ["emulator/chat-2"],
    "stop_sequences": [["x"]],
    "api_key": [TOKEN],
    "max_completion_tokens": [7],
    "num_predict": [7],
    "num_ctx": [2048],
    "keep_alive": [60],
    "frequency_penalty": [0.5],
    "presence_penalty": [0.5],
    "repetition_penalty": [1.2],
    "logprobs": [True],
    "top_logprobs": [3],
    "logit_bias": [{"7": 1}],
    "reasoning_effort": ["low"],
    "format": ["json"],
    "n": [1, 2],
    "user": ["ann"],
    "metadata": [{"a": "b"}],
    "extra_headers": [{"a": "b"}],
    "extra_query": [{"a": "b"}],
    "extra_body": [{"a": "b"}],
    "store": [True],
    "service_tier": ["auto"],
    "safety_identifier": ["a"],
    "prompt_cache_key": ["a"],
    "cache_control": [{"type": "ephemeral"}],
    "betas": [["a"]],
    "include": [["a"]],
    "verbosity": ["low"],
    "stream": [True],
    "stream_options": [{"include_usage": True}],
    "stream_usage": [True],
    "strict": [True],
    "verbose": [True],
    "functions": [[{"name": "f"}]],
    "temprature": [1],
}


def _model(name: str, value: Any) -> dict[str, Any]:
    return {"model": "emulator/chat-2"} if name in _LOADS else {}


def _settings() -> None:
    for name, values in {**FIELDS, **CONSTRUCTOR_ONLY, **OTHERS}.items():
        for value in values:
            base, given = _model(name, value), {name: value}
            CASES.add(
                f"chat: {name}={value!r} in the constructor",
                lambda wire, b=base, g=given: wire.chat(**b, **g).invoke("Hi"),  # type: ignore[misc]
            )
    for name, values in {**FIELDS, **OTHERS}.items():
        for value in values:
            base, given = _model(name, value), {name: value}
            CASES.add(
                f"chat: {name}={value!r} in a call",
                lambda wire, b=base, g=given: wire.chat(**b).invoke("Hi", **g),  # type: ignore[misc]
            )
    for name in FIELDS:
        base, given = _model(name, FIELDS[name][0]), {name: FIELDS[name][0]}
        CASES.add(
            f"completion: {name} in the constructor",
            lambda wire, b=base, g=given: wire.text(**b, **g).invoke("Once"),  # type: ignore[misc]
        )
        CASES.add(
            f"completion: {name} in a call",
            lambda wire, b=base, g=given: wire.text(**b).invoke("Once", **g),  # type: ignore[misc]
        )
    for name, value in {
        "model": "emulator/embedding-2",
        "model_name": "emulator/embedding-2",
        "ttl": 60,
        "context_length": 512,
        "load_config": {"tryMmap": False},
        "api_token": TOKEN,
        "timeout": 20,
        "max_retries": 0,
        "query_prefix": "query: ",
        "document_prefix": "passage: ",
        "dimensions": 8,
        "chunk_size": 2,
    }.items():
        base = {"model": "emulator/embedding-2"} if name in _LOADS else {}
        CASES.add(
            f"embeddings: {name}",
            lambda wire, g={**base, name: value}: _embed(wire.embeddings(**g)),  # type: ignore[misc]
        )


def _embed(embeddings: Any) -> None:
    embeddings.embed_documents(["a"])
    embeddings.embed_query("b")


_settings()
CASES.add("chat: the default", lambda wire: wire.chat().invoke("Hi"))
CASES.add("chat: time limits", lambda w: w.chat(timeout=names.timeout(first_packet=20, idle=20)).invoke("Hi"))
CASES.add(
    "chat: the call wins over the constructor",
    lambda wire: wire.chat(temperature=0, top_k=3).invoke("Hi", temperature=1, stop=["z"]),
)
CASES.add("chat: None in a call lifts a setting", lambda wire: wire.chat(temperature=0).invoke("Hi", temperature=None))
CASES.add("chat: bind", lambda wire: wire.chat().bind(temperature=0.1, max_tokens=3).invoke("Hi"))
CASES.add("chat: a preset with settings", lambda wire: wire.chat(preset="emulator-preset", seed=1).invoke("Hi"))
CASES.add("chat: stop of invoke", lambda wire: wire.chat(stop=["a"]).invoke("Hi", stop=["b", "c"]))
CASES.add("chat: stop is one text", lambda wire: wire.chat().invoke("Hi", stop="b"))

# Ways of calling


def _drain(iterator: Any) -> None:
    for _ in iterator:
        pass


async def _adrain(iterator: Any) -> None:
    async for _ in iterator:
        pass


for _kind in ("chat", "text"):
    CASES.add(f"{_kind}: invoke", lambda w, k=_kind: getattr(w, k)(seed=1).invoke("Hi"))  # type: ignore[misc]
    CASES.add(f"{_kind}: ainvoke", lambda w, k=_kind: getattr(w, k)(seed=1).ainvoke("Hi"))  # type: ignore[misc]
    CASES.add(f"{_kind}: stream", lambda w, k=_kind: _drain(getattr(w, k)(seed=1).stream("Hi")))  # type: ignore[misc]
    CASES.add(f"{_kind}: astream", lambda w, k=_kind: _adrain(getattr(w, k)(seed=1).astream("Hi")))  # type: ignore[misc]
    CASES.add(
        f"{_kind}: batch",
        lambda w, k=_kind: getattr(w, k)().batch(["a", "b", "c"]),  # type: ignore[misc]
        unordered=True,
    )
    CASES.add(
        f"{_kind}: abatch",
        lambda w, k=_kind: getattr(w, k)().abatch(["a", "b", "c"]),  # type: ignore[misc]
        unordered=True,
    )
    CASES.add(
        f"{_kind}: astream_events",
        lambda w, k=_kind: _adrain(getattr(w, k)().astream_events("Hi", version="v2")),  # type: ignore[misc]
    )
CASES.add("chat: generate", lambda w: w.chat().generate([_messages(w)[:1], _messages(w)[1:]]))
CASES.add("text: generate", lambda w: w.text().generate(["a", "b"]))
CASES.add("chat: output_version v1", lambda w: w.chat(output_version="v1").invoke("Hi"))
CASES.add("chat: model_copy", lambda w: w.chat(seed=1).model_copy(update={"seed": 2}).invoke("Hi"))


@CASES.add("chat: a prompt in a chain")
def _chain(wire: Wire) -> None:
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    prompt = ChatPromptTemplate([("system", "Answer in {language}."), ("human", "{question}")])
    (prompt | wire.chat() | StrOutputParser()).invoke({"language": "German", "question": "Why?"})


@CASES.add("chat: an agent's loop by hand")
def _loop(wire: Wire) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage

    wire.script(
        Reply(
            "Let me see.", reasoning="Hm.", tool_calls=[ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3})]
        ),
        Reply("3"),
    )
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    model = wire.chat().bind_tools([{"name": "add", "description": "Add.", "parameters": parameters}])
    messages: list[Any] = [HumanMessage("1+2?")]
    answer = model.invoke(messages)
    messages.append(answer)
    messages += [ToolMessage("3", tool_call_id=call["id"]) for call in answer.tool_calls]
    model.invoke(messages)


@CASES.add("chat: create_agent")
def _agent(wire: Wire) -> None:
    from langchain.agents import create_agent

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    wire.script(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Reply("3"))
    agent: Any = create_agent(wire.chat(), [add], system_prompt="Use tools.")
    agent.invoke({"messages": [("user", "1+2?")]})


# Embeddings

CASES.add("embeddings: documents", lambda w: w.embeddings().embed_documents(["a", "ß 😀", ""]), unordered=True)
CASES.add("embeddings: documents, awaiting", lambda w: w.embeddings().aembed_documents(["a", "b"]), unordered=True)
CASES.add("embeddings: query", lambda w: w.embeddings().embed_query("a"))
CASES.add("embeddings: query, awaiting", lambda w: w.embeddings().aembed_query("a"))
CASES.add("embeddings: no documents", lambda w: w.embeddings().embed_documents([]))
CASES.add("embeddings: any model", lambda w: w.embeddings(model=None).embed_query("a"))
CASES.add("embeddings: something that is no text", lambda w: w.embeddings().embed_query(3))

# Tokens, context, profile

CASES.add("tokens: get_token_ids", lambda w: w.chat().get_token_ids("one two"))
CASES.add("tokens: get_num_tokens", lambda w: w.chat().get_num_tokens("one two"))
CASES.add("tokens: completion's get_num_tokens", lambda w: w.text().get_num_tokens("one two"))
CASES.add("tokens: of messages", lambda w: w.chat().get_num_tokens_from_messages(_messages(w)))
CASES.add("tokens: of messages and tools", lambda w: w.chat().get_num_tokens_from_messages(_messages(w), [_tool()]))
CASES.add("profile", lambda w: w.chat().with_profile())
CASES.add("profile, awaiting", lambda w: w.chat().awith_profile())
CASES.add("check_context", lambda w: w.chat(check_context=True).invoke("Hi"))
CASES.add("check_context, awaiting", lambda w: w.chat(check_context=True).ainvoke("Hi"))
CASES.add("check_context: a stream", lambda w: _drain(w.chat(check_context=True).stream("Hi")))
CASES.add("check_context: tools", lambda w: w.chat(check_context=True).bind_tools([_tool()]).invoke("Hi"))
CASES.add("check_context: an image", lambda w: w.chat(check_context=True).invoke(_messages(w)))
CASES.add("check_context: too long", lambda w: w.chat(check_context=True).invoke("word " * 5000))


def _messages(wire: Wire) -> list[Any]:
    from langchain_core.messages import HumanMessage, SystemMessage

    image = {"type": "image", "base64": __import__("base64").b64encode(wire.image()).decode(), "mime_type": "image/png"}
    return [SystemMessage("Be brief."), HumanMessage([{"type": "text", "text": "Hi"}, image])]


def _tool() -> dict[str, Any]:
    return {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {}}}


# Cancelling


@CASES.cancelled("break in a stream")
def _break(wire: Wire) -> None:
    wire.hold()
    for _ in wire.chat().stream("Hi"):
        break
    gc.collect()


@CASES.cancelled("close a stream")
def _close(wire: Wire) -> None:
    wire.hold()
    stream = wire.chat().stream("Hi")
    next(stream)
    stream.close()


@CASES.cancelled("break in a completion")
def _break_text(wire: Wire) -> None:
    wire.hold()
    stream = wire.text().stream("Hi")
    next(stream)
    stream.close()


@CASES.cancelled("aclose a stream")
async def _aclose(wire: Wire) -> None:
    wire.hold()
    stream = wire.chat().astream("Hi")
    await anext(stream)
    await stream.aclose()


@CASES.cancelled("cancel the task of ainvoke")
async def _task(wire: Wire) -> None:
    wire.hold()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    model = wire.chat(on_first_token=lambda: loop.call_soon_threadsafe(begun.set))
    task = asyncio.create_task(model.ainvoke("Hi"))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])


@CASES.cancelled("a token, during invoke")
def _token(wire: Wire) -> None:
    wire.hold()
    token = names.cancel_token("langchain")
    wire.chat(on_first_token=token.cancel).invoke("Hi", cancel=token)


@CASES.cancelled("a token, in a stream")
def _token_stream(wire: Wire) -> None:
    wire.hold()
    token = names.cancel_token("langchain")
    for _ in wire.chat().stream("Hi", cancel=token):
        token.cancel()


@CASES.cancelled("a token, awaiting")
async def _atoken(wire: Wire) -> None:
    wire.hold()
    token = names.cancel_token("langchain")
    await wire.chat(on_first_token=token.cancel).ainvoke("Hi", cancel=token)


@CASES.cancelled("a token, in a completion")
def _token_text(wire: Wire) -> None:
    wire.hold()
    token = names.cancel_token("langchain")
    wire.text(on_first_token=token.cancel).invoke("Hi", cancel=token)


@CASES.add("cancel: a token that is used already")
def _used(wire: Wire) -> None:
    token = names.cancel_token("langchain")
    token.cancel()
    wire.chat().invoke("Hi", cancel=token)
