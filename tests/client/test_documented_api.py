"""What the official SDK's documentation shows and neither a prediction nor ``act`` covers, in both kinds of client."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lmstudio_integrations as lms
from lmstudio_integrations import Chat, LMStudioModelNotFoundError, LMStudioValueError
from lmstudio_integrations.client.sync import Client
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from tests.client.client_variants import Awaiting, Front

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f8cf50"
    "0f000e0182015a347d6b0000000049454e44ae426082"
)


def asked(server: Emulator, endpoint: str) -> list[Any]:
    frames = [frame.message for frame in server.requests if frame.message.get("endpoint") == endpoint]
    return [frame.get("creationParameter", frame.get("parameter")) for frame in frames]


def run(front: Front, awaitable: Any) -> Any:
    """A method's outcome in either kind of client: ``awaitable`` makes it."""

    async def wait() -> Any:
        return await awaitable()

    return asyncio.run(wait()) if front.is_async else awaitable()


# Clients and addresses


@pytest.fixture
def _default_client() -> Iterator[None]:
    from lmstudio_integrations.client import convenience

    timeout = Client._default_timeout
    yield
    convenience._configured.clear()
    Client._default_timeout = timeout


@pytest.mark.usefixtures("_default_client")
def test_default_client_is_the_one_that_was_configured(lmstudio_emulator: Emulator, tmp_path: Path) -> None:
    host = lmstudio_emulator.url.removeprefix("ws://")
    lms.configure_default_client(host)
    assert lms.get_default_client().api_host == host
    assert lms.get_default_client() is lms.get_default_client()
    assert [model.identifier for model in lms.list_loaded_models("llm")] == ["emulator/chat"]
    assert [model.identifier for model in lms.list_loaded_models("embedding")] == ["emulator/embedding"]
    assert [model.model_key for model in lms.list_downloaded_models("embedding")] == ["emulator/embedding"]
    (tmp_path / "dot.png").write_bytes(PNG)
    assert lms.prepare_image(tmp_path / "dot.png").name == "dot.png"
    assert lms.get_default_client("localhost:1").api_host == "localhost:1"
    with pytest.raises(LMStudioValueError, match="'llm', 'embedding' or None"):
        lms.list_loaded_models("chat")


@pytest.mark.usefixtures("_default_client")
def test_sync_timeout_counts_for_clients_without_their_own() -> None:
    client, own = lms.Client("localhost:1"), lms.Client("localhost:1", timeout=7)
    assert lms.get_sync_api_timeout() == 300
    lms.set_sync_api_timeout(60)
    assert lms.get_sync_api_timeout() == 60
    assert (client._limits.timeout.first_packet, client._limits.timeout.idle) == (60, 60)
    assert own._limits.timeout.idle == 7
    assert lms.AsyncClient("localhost:1")._limits.timeout.idle == 300
    lms.set_sync_api_timeout(None)
    assert lms.get_sync_api_timeout() is client._limits.timeout.idle is None
    with pytest.raises(LMStudioValueError):
        lms.set_sync_api_timeout(-1)


@pytest.mark.parametrize("kind", [lms.Client, lms.AsyncClient])
def test_api_host_is_another_name_for_the_address(kind: Any) -> None:
    client = kind(api_host="localhost:1234")
    assert (client.url, client.api_host) == ("ws://localhost:1234", "localhost:1234")
    with pytest.raises(LMStudioValueError, match="pass one"):
        kind("localhost:1", api_host="localhost:2")


def test_api_host_is_valid_if_lm_studio_answers_there(front: Front, lmstudio_emulator: Emulator) -> None:
    client = front.client
    assert run(front, lambda: client.is_valid_api_host(lmstudio_emulator.url)) is True
    assert run(front, lambda: client.is_valid_api_host(f"127.0.0.1:{lmstudio_emulator.port}")) is True
    assert run(front, lambda: client.is_valid_api_host("127.0.0.1:1")) is False


def test_default_local_host_is_found_at_the_usual_ports(
    front: Front, lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmstudio_integrations.client.transport.discovery.USER_PORT", 1)
    monkeypatch.setattr("lmstudio_integrations.client.transport.discovery.DEFAULT_PORTS", (1, lmstudio_emulator.port))
    found = run(front, front.client.find_default_local_api_host)
    assert found == f"127.0.0.1:{lmstudio_emulator.port}"
    monkeypatch.setattr("lmstudio_integrations.client.transport.discovery.DEFAULT_PORTS", (1,))
    assert run(front, front.client.find_default_local_api_host) is None


async def test_async_client_closes_by_aclose(lmstudio_emulator: Emulator) -> None:
    client = lms.AsyncClient(lmstudio_emulator.url)
    await client.llm.list_loaded()
    await client.aclose()
    with pytest.raises(lms.LMStudioConnectionError, match="closed"):
        await client.llm.list_loaded()


# Models


def test_downloaded_model_loads_itself(front: Front, lmstudio_emulator: Emulator) -> None:
    (chat, chat_2) = front.do("llm.list_downloaded")
    (embedding,) = front.do("embedding.list_downloaded")
    assert (chat_2.type, chat_2.model_key, chat_2.path) == ("llm", "emulator/chat-2", "emulator/chat-2/model.gguf")
    assert type(chat_2.info) is lms.ModelInfo
    assert chat_2.info.size_bytes == chat_2.size_bytes == 1_000_000
    assert repr(chat) == str(chat)
    assert repr(chat).endswith(
        "DownloadedLlm(model_key='emulator/chat', display_name='chat', architecture='emulated', vision=True)"
    )
    progress: list[float] = []
    model = run(front, lambda: chat_2.model(ttl=9, config={"contextLength": 600}, on_load_progress=progress.append))
    assert (model.identifier, progress[-1]) == ("emulator/chat-2", 1.0)
    assert asked(lmstudio_emulator, "getOrLoad")[-1]["loadTtlMs"] == 9000
    mine = run(front, lambda: chat_2.load_new_instance(instance_identifier="mine"))
    assert mine.identifier == "mine"
    assert type(mine) is type(model)
    assert run(front, embedding.model).identifier == "emulator/embedding"
    for again in (pickle.loads(pickle.dumps(chat)), copy.deepcopy(chat)):
        assert again.info == chat.info


def test_model_info_is_found_by_identifier_or_query(front: Front) -> None:
    assert front.do("llm.get_model_info", "emulator/chat").context_length == 4096
    assert front.do("llm.get_model_info", {"path": "emulator/chat/model.gguf"}).identifier == "emulator/chat"
    info = front.do("llm.get_model_info", {"type": "query", "query": {"vision": True}})
    reference = {"type": "instanceReference", "instanceReference": info.instance_reference}
    assert front.do("llm.get_model_info", reference) == info
    with pytest.raises(LMStudioModelNotFoundError):
        front.do("llm.get_model_info", "nope")
    for wrong in (5, {"name": "x"}, {"type": "else", "query": {}}):
        with pytest.raises(LMStudioValueError, match="expected an identifier or a query"):
            front.do("llm.get_model_info", wrong)


def test_load_config_has_attributes(front: Front) -> None:
    config = front.do("handle.get_load_config")
    assert config.context_length == config["contextLength"] == 4096
    assert config.flash_attention == config.get("flashAttention")
    assert "context_length" in dir(config)
    with pytest.raises(AttributeError, match="context_lenght"):
        _ = config.context_lenght
    front.llm = front.do("llm.load_new_instance", "emulator/chat-2", config={"gpu": {"ratio": 0.5}})
    assert front.do("handle.get_load_config").gpu.ratio == 0.5
    result = front.respond(config={"temperature": 0.5})
    assert (result.prediction_config.temperature, result.load_config.context_length) == (0.5, 4096)
    assert json.loads(json.dumps(config.to_dict())) == config


def test_template_takes_the_sdks_options(front: Front, lmstudio_emulator: Emulator) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    front.do("handle.apply_prompt_template", "Hi", {"omitBosToken": True, "toolDefinitions": [tool]})
    opts = asked(lmstudio_emulator, "applyPromptTemplate")[-1]["opts"]
    assert opts["omitBosToken"] is True
    assert opts["toolDefinitions"][0]["function"]["name"] == "f"
    with pytest.raises(LMStudioValueError, match="omitEos"):
        front.do("handle.apply_prompt_template", "Hi", {"omitEos": True})


def test_texts_may_come_from_a_generator_and_by_name(front: Front) -> None:
    texts = ["one", "two three"]
    assert front.do("handle.tokenize", (text for text in texts)) == front.do("handle.tokenize", input=texts)
    assert front.do("handle.count_tokens", input="one") == 1
    front.llm = front.do("embedding.model", "emulator/embedding")
    assert front.do("handle.embed", (text for text in texts)) == front.do("handle.embed", input=texts)


# Predictions


def test_respond_takes_its_history_as_input(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Hello."))
    assert front.do("handle.respond", input="Hi").content == "Hello."
    assert asked(lmstudio_emulator, "predict")[0]["history"]["messages"][0]["content"][0]["text"] == "Hi"
    with pytest.raises(TypeError, match="pass one"):
        front.do("handle.respond", "Hi", input="Hi")
    with pytest.raises(LMStudioValueError, match="history"):
        front.do("handle.respond")


async def test_result_of_an_async_stream_needs_no_await_after_its_end(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Hello."), Reply("Hello."))
    front = Awaiting(lmstudio_emulator.url)
    stream = await front.llm.respond_stream("Hi")
    await stream.start()
    assert [str(fragment) async for fragment in stream] == ["Hello", "."]
    assert stream.result().content == "Hello."
    assert await stream.result() is await stream.wait_for_result() is stream.result()
    waiting = await front.llm.respond_stream("Hi")
    assert (await waiting.result()).content == "Hello."
    await front.client.close()


async def test_result_of_an_async_stream_that_failed_raises_at_once(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Hello.", error="No luck"))
    async with lms.AsyncClient(lmstudio_emulator.url) as client:
        stream = await client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        with pytest.raises(lms.LMStudioServerError, match="No luck"):
            await stream.wait_for_result()
        with pytest.raises(lms.LMStudioServerError, match="No luck"):
            stream.result()


def test_result_as_a_dictionary_fits_json(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Hello.", reasoning="Hm."))
    result = front.respond()
    made = json.loads(json.dumps(result.to_dict()))
    assert (made["content"], made["reasoning"], made["finish_reason"]) == ("Hello.", "Hm.", "stop")
    assert made["stats"]["stopReason"] == "eosFound"
    assert made["usage"]["total_tokens"] == result.usage.total_tokens
    assert made["load_config"]["contextLength"] == 4096
    assert result.stats.to_dict() == result.stats.to_wire()
    assert result.model_info.to_dict()["identifier"] == "emulator/chat"


# Chats


def test_chat_takes_lists_entries_and_single_results() -> None:
    chat = Chat()
    chat.add_entry("system", "Be brief.")
    chat.add_user_message(["Look", {"type": "text", "text": "here"}], images=[PNG])
    call = {"type": "function", "name": "add", "id": "1", "arguments": {"a": 1}}
    chat.add_assistant_response({"type": "text", "text": "Adding."}, tool_call_requests=[call])
    chat.add_tool_result({"content": "3", "tool_call_id": "1", "name": "add"})
    chat.add_entry("assistant", ["Three", {"type": "toolCallRequest", "toolCallRequest": call}])
    chat.add_entry("tool", {"type": "toolCallResult", "content": "4", "toolCallId": "1"})
    chat.add_entry("assistant", [lms.ToolCallRequest(name="sub", id="2")])
    assert [message.role for message in chat] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
    ]
    assert str(chat).splitlines() == [
        "system: Be brief.",
        "user: Look",
        "user: here",
        "user: [image]",
        "assistant: Adding.",
        'assistant: calls add({"a": 1})',
        "tool: add returned 3",
        "assistant: Three",
        'assistant: calls add({"a": 1})',
        "tool: 4",
        "assistant: calls sub({})",
    ]
    for wrong in (5, b"x", [5], [{"type": "toolCallResult", "content": "x"}]):
        with pytest.raises(LMStudioValueError):
            chat.add_user_message(wrong)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(LMStudioValueError):
        chat.add_entry("developer", "x")
    assert len(chat) == 7


def test_names_of_the_official_sdk_exist() -> None:
    from lmstudio_integrations.client import sdk_names

    for name in sdk_names.__all__:
        assert getattr(lms, name) is getattr(sdk_names, name)
        assert name in lms.__all__
    assert issubclass(lms.LMStudioToolCallError, lms.LMStudioPredictionError)
    assert issubclass(lms.BaseModel, lms.ModelSchema)


# Searching and downloading


def test_repository_finds_downloads_and_loads_a_model(front: Front, lmstudio_emulator: Emulator) -> None:
    found = front.do("repository.search_models", "small", 5, ["gguf"])
    (available,) = found
    assert (available.search_result.name, available.search_result.staff_pick) == ("emulator/small", True)
    (option,) = run(front, available.get_download_options)
    assert (option.info.quantization, option.info.size_bytes, option.info.recommended) == ("Q4_K_M", 400_000, True)
    seen: list[Any] = []
    key = run(
        front,
        lambda: option.download(
            lambda update: seen.append((update.downloaded_bytes, update.total_bytes)), lambda: seen.append("finalizing")
        ),
    )
    assert seen == [*((400_000 * part // 4, 400_000) for part in range(5)), "finalizing"]
    assert front.do("llm.model", key).identifier == "emulator/small"
    assert "emulator/small" in repr(available)
    assert "Q4_K_M" in repr(option)
    assert len(front.do("repository.search_models")) == 2
    assert asked(lmstudio_emulator, "searchModels") == [
        {"opts": {"searchTerm": "small", "limit": 5, "compatibilityTypes": ["gguf"]}},
        {"opts": {}},
    ]


@pytest.mark.parametrize("wrong", [{"limit": 26}, {"limit": 0}, {"compatibility_types": ["zip"]}, {"search_term": 5}])
def test_invalid_model_search_is_refused(front: Front, lmstudio_emulator: Emulator, wrong: dict[str, Any]) -> None:
    with pytest.raises(LMStudioValueError, match=next(iter(wrong))):
        front.do("repository.search_models", **wrong)
    assert lmstudio_emulator.requests == []


def test_error_of_a_progress_callback_cancels_the_download(front: Front, lmstudio_emulator: Emulator) -> None:
    (available,) = front.do("repository.search_models", "large")
    (option,) = run(front, available.get_download_options)
    lmstudio_emulator.load_hold = ThreadsafeEvent()

    def fail(update: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(front, lambda: option.download(fail))
    lmstudio_emulator.wait_for(lambda frame: frame.message.get("message") == {"type": "cancel"})
    assert "emulator/large" not in [model.model_key for model in front.do("list_downloaded_models")]
