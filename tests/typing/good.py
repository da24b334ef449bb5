"""What users write: pyright (strict), basedpyright and mypy (strict, without plugins) accept every line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict, assert_type

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from llama_index.core.llms import ChatMessage
from pydantic import BaseModel, RootModel, SecretStr

import lmstudio_integrations as lms
from lmstudio_integrations import (
    AsyncClient,
    CancelToken,
    Chat,
    Client,
    PredictionResult,
    PredictionStream,
    Timeout,
    ToolCallRequest,
)
from lmstudio_integrations.emulator import Emulator, Reply, ToolCall
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM, ProgressBar
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding, ProgressBarEventHandler


class Sailing(BaseModel):
    destination: str
    hour: int


class Hours(RootModel[list[int]]):
    """A document that is a list."""


class Harbour(TypedDict):
    name: str
    depth: float


def show(progress: float) -> None:
    print(f"{progress:.0%}")


def first_token() -> None:
    print("first token")


def client_alone() -> str:
    model = lms.llm("qwen/qwen3-4b", config={"contextLength": 8192, "gpu": {"ratio": 0.5}}, ttl=600)
    chat = Chat("You are brief.")
    chat.add_user_message("Why is the sky blue?", images=["photo.jpg", b"\x89PNG"])
    result = model.respond(chat, config={"temperature": 0.2, "maxTokens": 300, "stopStrings": ["\n"]})
    chat.add_assistant_response(result)
    print(result.stats.tokens_per_second, result.stats.stop_reason, result.model_info.identifier)
    print(Sailing.model_validate(model.respond("When?", response_format=Sailing).parsed))
    stream = model.respond_stream(chat, on_prompt_processing_progress=show, on_first_token=first_token)
    for fragment in stream:
        print(fragment.content, fragment.reasoning_type)
    final: PredictionResult = stream.result()
    return final.content


def may_run(call: ToolCallRequest, round_index: int) -> bool | str:
    return round_index < 3 or f"enough of {call.name}"


def agent() -> str:
    def depth(harbour: str) -> float:
        """The depth of a harbour in metres."""
        return len(harbour)

    def show_result(call: ToolCallRequest, text: str, round_index: int) -> None:
        print(call.name, text, round_index)

    chat = Chat()
    result = lms.llm().act(
        "How deep?",
        [depth, {"name": "f", "description": "", "parameters": {"a": int}, "implementation": print}],
        max_prediction_rounds=5,
        tool_choice="required",
        guard_tool_call=may_run,
        on_message=chat.append,
        on_tool_result=show_result,
        on_prediction_fragment=lambda fragment, round_index: print(fragment.content, round_index),
    )
    return result.tool_output or result.content


def documents() -> Sailing:
    """``parsed`` has the type of the ``response_format``; an incomplete document is text."""
    model = lms.llm("qwen/qwen3-4b")
    harbour = model.respond("Which harbour?", response_format=Harbour).parsed
    assert_type(harbour, Harbour | str)
    if not isinstance(harbour, str):
        assert_type(harbour["depth"], float)
    assert_type(model.respond_stream("Which?", response_format=Harbour).result().parsed, Harbour | str)
    assert_type(model.complete("Which?", response_format=Harbour).parsed, Harbour | str)
    assert_type(model.respond("When?", response_format=Sailing).parsed, dict[str, Any] | str)
    assert_type(model.respond("When?", response_format=Hours).parsed, Any)
    assert_type(model.respond("When?", response_format={"type": "object"}).parsed, Any)
    assert_type(model.respond("When?").parsed, dict[str, Any] | str)
    assert_type(model.respond("Which?", response_format=Harbour).parsed_as(Harbour), Harbour)
    result: PredictionResult = model.respond("When?", response_format=Sailing)
    stream: PredictionStream[Harbour | str] = model.respond_stream("Which?", response_format=Harbour)
    stream.close()
    return result.parsed_as(Sailing)


async def documents_awaiting() -> None:
    model = await AsyncClient().llm.model()
    assert_type((await model.respond("Which?", response_format=Harbour)).parsed, Harbour | str)
    stream = await model.respond_stream("Which?", response_format=Harbour)
    assert_type((await stream.result()).parsed, Harbour | str)
    assert_type((await stream.result()).parsed_as(Sailing), Sailing)


def client_with_limits() -> list[float]:
    with Client("ws://localhost:1234", api_token="sk-lm-x", timeout=Timeout(total=60), max_retries=2) as client:
        model = client.llm.load_new_instance("qwen/qwen3-4b", "mine", config={"contextLength": 4096})
        model.complete("Once", config={"maxTokens": 3}, cancel=CancelToken())
        model.unload()
        return client.embedding.model("nomic", config={"contextLength": 2048}).embed("text")


async def client_awaiting() -> AsyncIterator[str]:
    async with AsyncClient() as client:
        model = await client.llm.model("qwen/qwen3-4b", config={"contextLength": 8192})
        async with await model.respond_stream("Why?", config={"temperature": 0.1}) as stream:
            async for fragment in stream:
                yield fragment.content


def langchain() -> Iterator[str]:
    model = ChatLMStudio(model="qwen/qwen3-4b", temperature=0)
    other = ChatLMStudio(
        model_name="qwen/qwen3-4b",
        base_url="ws://localhost:1234",
        api_key="sk-lm-x",
        max_tokens=100,
        stop=["\n"],
        timeout=Timeout(first_packet=10),
        load_config={"gpu": {"ratio": 1.0}},
        prediction_config={"topKSampling": 3},
        on_prompt_progress=show,
        on_load_progress=show,
        on_first_token=first_token,
    )
    message: AIMessage = model.invoke([SystemMessage("Be brief."), HumanMessage("Why?")], temperature=0.5, stop=["x"])
    model.invoke("Why?", max_completion_tokens=3, response_format=Sailing, cancel=CancelToken(), tool_choice="any")
    print(message.text, other.invoke("Why?", config={"callbacks": [ProgressBar()]}).usage_metadata)
    for chunk in model.stream("Why is the sky blue?"):
        yield chunk.text
    print(LMStudioLLM(model="qwen/qwen3-4b", max_tokens=5).invoke("Once"))
    print(LMStudioEmbeddings(model="nomic", query_prefix="search_query: ").embed_query("When?"))
    model.bind_tools([Sailing], tool_choice="any").invoke("Why?")
    model.with_structured_output(Sailing).invoke("When?")


async def langchain_awaiting() -> None:
    async for chunk in ChatLMStudio(model="x", api_token=SecretStr("sk-lm-x")).astream("Why?"):
        print(chunk.text)


def llama_index() -> list[float]:
    llm = LMStudio(model="qwen/qwen3-4b", temperature=0.1, context_window=8192, api_key="sk-lm-x")
    print(llm.complete("Why?").text, llm.chat([ChatMessage("Why?")]).message.content)
    for response in llm.stream_chat([ChatMessage("Why?")], max_tokens=10):
        print(response.delta)
    print(ProgressBarEventHandler())
    return LMStudioEmbedding(model="nomic", embed_batch_size=32).get_text_embedding("text")


def emulator() -> str:
    with Emulator() as server:
        server.script(Reply("Because."), Reply(tool_calls=[ToolCall("look_up", {"word": "sky"})]))
        return str(ChatLMStudio(model="emulator/chat", base_url=server.url).invoke("Why?").text)
