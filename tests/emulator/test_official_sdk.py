"""The official Python SDK, used as in its documentation, against the emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent, ToolCall

lms = pytest.importorskip("lmstudio", reason="the official SDK is not installed")
pytestmark = pytest.mark.timeout(30)

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f8cf50"
    "0f000e0182015a347d6b0000000049454e44ae426082"
)


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def client(server: Emulator) -> Iterator[Any]:
    with lms.Client(server.url.removeprefix("ws://")) as connected:
        yield connected


@pytest.fixture
def model(client: Any) -> Any:
    return client.llm.model("emulator/chat")


def test_respond_gives_the_scripted_text_and_statistics(server: Emulator, model: Any) -> None:
    server.script(Reply("Hello there, 世界 👋🏽"))
    result = model.respond("Hi")
    assert result.content == "Hello there, 世界 👋🏽"
    assert result.stats.stop_reason == "eosFound"
    assert result.stats.total_tokens_count == result.stats.prompt_tokens_count + result.stats.predicted_tokens_count


def test_respond_stream_gives_fragments_and_prompt_progress(server: Emulator, model: Any) -> None:
    server.script(Reply("one two three", progress=(0.0, 0.25, 1.0)))
    progress: list[float] = []
    stream = model.respond_stream("Hi", on_prompt_processing_progress=progress.append)
    assert [fragment.content for fragment in stream] == ["one", " two", " three"]
    assert progress == [0.0, 0.25, 1.0]
    assert stream.result().stats.predicted_tokens_count == 3 + 1  # the end of the sequence


def test_cancelled_stream_ends_with_user_stopped(server: Emulator, model: Any) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("one two three four", hold=gate, hold_after=2))
    stream = model.respond_stream("Hi")
    for fragment in stream:
        if fragment.content == " two":
            stream.cancel()
    assert stream.result().stats.stop_reason == "userStopped"
    assert not gate.is_set()


def test_embeddings_are_unit_vectors_and_similar_for_similar_texts(client: Any) -> None:
    embedding = client.embedding.model("emulator/embedding")
    cat, cats, rates = embedding.embed(["the small cat sleeps", "a small cat slept", "interest rates rose"])
    assert len(cat) == 768
    assert sum(value * value for value in cat) == pytest.approx(1.0)
    assert sum(map(float.__mul__, cat, cats)) > sum(map(float.__mul__, cat, rates))


def test_models_are_listed(client: Any) -> None:
    assert [one.model_key for one in client.list_downloaded_models()] == [
        "emulator/chat",
        "emulator/chat-2",
        "emulator/embedding",
    ]
    assert [one.identifier for one in client.list_loaded_models()] == ["emulator/chat", "emulator/embedding"]


def test_tokens_template_and_context_length(model: Any) -> None:
    assert len(model.tokenize("hello big world")) == model.count_tokens("hello big world") == 3
    assert model.apply_prompt_template("hi") == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert model.get_context_length() == 4096


def test_model_loads_with_progress_and_unloads(server: Emulator, client: Any) -> None:
    progress: list[float] = []
    loaded = client.llm.load_new_instance("emulator/chat-2", "mine", on_load_progress=progress.append)
    assert loaded.identifier == "mine"
    assert progress == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert loaded.get_load_config().context_length == 4096
    loaded.unload()
    assert "mine" not in server.loaded


def test_unknown_model_raises_the_sdks_error(client: Any) -> None:
    with pytest.raises(lms.LMStudioServerError, match="Model not found: nope"):
        client.llm.model("nope")


def test_act_calls_a_python_function_and_sends_its_result(server: Emulator, model: Any) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    server.script(Reply(tool_calls=[ToolCall("add", {"a": 20, "b": 22})]))
    said: list[Any] = []
    result = model.act("What is 20 + 22?", [add], on_message=said.append)
    assert result.rounds == 2
    assert "The tools said: 42" in str(said[-1])


def test_act_works_without_a_script(model: Any) -> None:
    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    said: list[Any] = []
    model.act("What is 6 * 7?", [multiply], on_message=said.append)
    assert "The tools said: 42" in str(said[-1])


def test_structured_answer_is_parsed(model: Any) -> None:
    class Book(pydantic.BaseModel):
        title: str
        year: int
        tags: list[str]

    result = model.respond("Give me a book", response_format=Book)
    assert result.parsed == {"title": "emulated title", "year": 1, "tags": ["emulated tags"]}
    assert json.loads(result.content) == result.parsed


def test_image_is_sent_with_the_question(server: Emulator, client: Any, model: Any) -> None:
    handle = client.files.prepare_image(PNG, "pixel.png")
    chat = lms.Chat()
    chat.add_user_message("What is this?", images=[handle])
    assert model.respond(chat).content.endswith("What is this?")
    sent = server.wait_for(lambda frame: frame.message.get("endpoint") == "predict").message
    parts = sent["creationParameter"]["history"]["messages"][0]["content"]
    assert parts[1]["fileType"] == "image"
    assert parts[1]["sizeBytes"] == len(PNG)


def test_raw_completion_has_no_template(server: Emulator, model: Any) -> None:
    result = model.complete("Once upon a time", config={"maxTokens": 3})
    assert result.stats.prompt_tokens_count == 4
    assert result.stats.stop_reason == "maxPredictedTokensReached"


def test_reasoning_comes_between_its_tags(server: Emulator, model: Any) -> None:
    server.script(Reply("Because.", reasoning="hm so"))
    kinds = [fragment.reasoning_type for fragment in model.respond_stream("Why?")]
    assert kinds == ["reasoningStartTag", "reasoning", "reasoning", "reasoningEndTag", "none", "none"]


async def test_async_client_streams(server: Emulator) -> None:
    server.script(Reply("one two"))
    async with lms.AsyncClient(server.url.removeprefix("ws://")) as client:
        model = await client.llm.model("emulator/chat")
        assert [fragment.content async for fragment in await model.respond_stream("Hi")] == ["one", " two"]
