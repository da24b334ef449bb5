"""Structured answers through the grammar."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field

from lmstudio_integrations.emulator import Emulator, Reply, ToolCall
from lmstudio_integrations.errors import LMStudioStructuredOutputError
from lmstudio_integrations.llama_index import LMStudio
from lmstudio_integrations.llama_index._structured import PartialObjects
from tests.llama_index.conftest import Collected
from tests.protocol.closed import closed
from tests.sent_requests import creations, settings


class Track(BaseModel):
    title: str
    seconds: int


class Album(BaseModel):
    """An album."""

    name: str
    tracks: list[Track] = Field(default_factory=list)


DOCUMENT = {"name": "Ode 🎵", "tracks": [{"title": "One", "seconds": 61}, {"title": "Two", "seconds": 62}]}
REPLY = Reply(json.dumps(DOCUMENT, ensure_ascii=False))
PROMPT = PromptTemplate("An album about {topic}.")
METHODS = ["structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"]


async def predict(llm: LMStudio, method: str, **kwargs: Any) -> list[Any]:
    outcome = getattr(llm, method)(Album, PROMPT, topic="joy", **kwargs)
    if method.startswith("a"):
        outcome = await outcome
    if "stream" not in method:
        return [outcome]
    if method.startswith("a"):
        return [item async for item in outcome]
    return list(outcome)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("document", ['{"name": 5}', '{"name": NaN}', '["Ode"]', '{"name": "Ode"'])
async def test_document_that_does_not_fit_the_class_raises_however_it_is_asked_for(
    server: Emulator, llm: LMStudio, method: str, document: str
) -> None:
    server.script(Reply(document))
    with pytest.raises(LMStudioStructuredOutputError, match="expected a"):
        await predict(llm, method)


@pytest.mark.parametrize("method", METHODS)
async def test_structured_predict_sends_the_schema_and_returns_an_object(
    server: Emulator, llm: LMStudio, method: str
) -> None:
    server.script(REPLY)
    got = await predict(llm, method)
    assert got[-1] == Album.model_validate(DOCUMENT)
    (creation,) = creations(server)
    structured = settings(creation)["llm.prediction.structured"]
    assert structured["type"] == "json"
    assert structured["jsonSchema"]["properties"].keys() == {"name", "tracks"}
    assert "llm.prediction.tools" not in settings(creation)
    assert creation["history"]["messages"][-1]["content"][0]["text"] == "An album about joy."


@pytest.mark.parametrize("method", METHODS)
async def test_structured_predict_sends_the_system_prompt(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(REPLY)
    await predict(llm.model_copy(update={"system_prompt": "Only music."}), method)
    first = creations(server)[0]["history"]["messages"][0]
    assert first == {"role": "system", "content": [{"type": "text", "text": "Only music."}]}


@pytest.mark.parametrize("method", METHODS)
async def test_llm_kwargs_are_sent(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(REPLY)
    words = {"temperature": 0.25, "tool_required": True, "tool_choice": None, "allow_parallel_tool_calls": False}
    await predict(llm, method, llm_kwargs=words)
    assert settings(creations(server)[0])["llm.prediction.temperature"] == 0.25


@pytest.mark.parametrize("method", METHODS[2:])
async def test_stream_structured_predict_yields_growing_objects(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(REPLY)
    got = await predict(llm, method)
    assert len(got) > 5
    names = [item.name for item in got if item.name is not None]
    assert all("Ode 🎵".startswith(name) for name in names)
    tracks = [len(item.tracks or ()) for item in got]
    assert tracks == sorted(tracks)
    assert tracks[-1] == 2


@pytest.mark.parametrize("method", METHODS)
async def test_truncated_answer_raises(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(Reply('{"name": "Ode", "tracks": [{"title"', stop_reason="maxPredictedTokensReached"))
    with pytest.raises(ValueError, match="raise max_tokens") as caught:
        await predict(llm, method)
    assert '"tracks": [{"title"' in str(caught.value)


def test_truncated_stream_yields_partial_objects_before_the_error(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply('{"name": "Ode", "tracks": [', stop_reason="maxPredictedTokensReached"))
    seen: list[Any] = []
    stream = llm.stream_structured_predict(Album, PROMPT, topic="joy")
    with pytest.raises(ValueError, match="incomplete"):
        seen.extend(stream)
    assert seen[-1].name == "Ode"


def test_document_in_the_reasoning_is_parsed(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply(reasoning=json.dumps(DOCUMENT)))
    assert llm.structured_predict(Album, PROMPT, topic="joy") == Album.model_validate(DOCUMENT)


async def test_as_structured_llm_returns_objects(server: Emulator, llm: LMStudio) -> None:
    structured = llm.as_structured_llm(Album)
    messages = [ChatMessage(role="user", content="An album.")]
    server.script(REPLY, REPLY, REPLY)
    response = structured.chat(messages)
    assert response.raw == Album.model_validate(DOCUMENT)
    assert json.loads(response.message.content or "") == DOCUMENT
    assert (await structured.achat(messages)).raw == Album.model_validate(DOCUMENT)
    assert structured.complete("An album.").raw == Album.model_validate(DOCUMENT)


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")
async def test_as_structured_llm_streams_objects(server: Emulator, llm: LMStudio) -> None:
    structured = llm.as_structured_llm(Album)
    messages = [ChatMessage(role="user", content="An album.")]
    server.script(REPLY, REPLY)
    assert list(structured.stream_chat(messages))[-1].raw == Album.model_validate(DOCUMENT)
    streamed = [response async for response in await structured.astream_chat(messages)]
    assert streamed[-1].raw == Album.model_validate(DOCUMENT)


def test_structured_predict_dispatches_start_and_end(server: Emulator, llm: LMStudio, events: Collected) -> None:
    server.script(REPLY, REPLY)
    llm.structured_predict(Album, PROMPT, topic="joy")
    list(llm.stream_structured_predict(Album, PROMPT, topic="joy"))
    assert len(events.of("LLMStructuredPredictStartEvent")) == 2
    assert len(events.of("LLMStructuredPredictEndEvent")) == 2
    assert events.of("LLMStructuredPredictInProgressEvent")


@pytest.mark.parametrize("method", METHODS)
async def test_function_mode_uses_llama_indexs_program(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(Reply(tool_calls=[ToolCall("Album", DOCUMENT)]))
    by_function = llm.model_copy(update={"pydantic_program_mode": PydanticProgramMode.FUNCTION})
    got = await predict(by_function, method)
    assert got[-1].name == "Ode 🎵"
    assert len(got[-1].tracks) == 2
    assert "llm.prediction.tools" in settings(creations(server)[0])


@pytest.mark.parametrize("method", METHODS)
async def test_function_mode_sends_the_system_prompt_and_requires_the_tool(
    server: Emulator, llm: LMStudio, method: str
) -> None:
    server.script(Reply(tool_calls=[ToolCall("Album", DOCUMENT)]))
    update = {"pydantic_program_mode": PydanticProgramMode.FUNCTION, "system_prompt": "Only music."}
    await predict(llm.model_copy(update=update), method)
    (creation,) = creations(server)
    assert [message["role"] for message in creation["history"]["messages"]] == ["system", "user"]
    if (
        "stream" not in method
        or "tool_choice" in inspect.getsource(FunctionCallingProgram.stream_call).split("tool =")[1]
    ):
        # The oldest releases of LlamaIndex drop the choice of a program that streams.
        assert settings(creation)["llm.prediction.toolChoice"] == {"type": "generic", "mode": "required"}


async def test_llm_mode_uses_llama_indexs_program(server: Emulator, llm: LMStudio) -> None:
    server.script(REPLY)
    by_text = llm.model_copy(update={"pydantic_program_mode": PydanticProgramMode.LLM})
    (got,) = await predict(by_text, "structured_predict")
    assert got == Album.model_validate(DOCUMENT)
    assert "llm.prediction.structured" not in settings(creations(server)[0])


def test_partial_document_gives_the_certain_fields() -> None:
    partial = PartialObjects(Album)
    assert partial.take("") is None
    assert partial.take("  ") is None
    assert partial.take('{"na') is not None
    first = partial.take('{"name": "O')
    assert isinstance(first, Album)
    assert first.name == "O"
    assert partial.take('{"name": "O') is None
    nested = partial.take('{"name": "O", "tracks": [{"title": "T"')
    assert nested.tracks == [{"title": "T"}]
    assert partial.take("no document") is None


def test_chat_accepts_a_schema_as_response_format(server: Emulator, llm: LMStudio) -> None:
    server.script(REPLY)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    response = llm.chat([ChatMessage(role="user", content="x")], response_format=schema)
    assert json.loads(response.message.content or "")["name"] == "Ode 🎵"
    assert settings(creations(server)[0])["llm.prediction.structured"]["jsonSchema"] == closed(schema)
