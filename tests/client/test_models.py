"""Model handles, loading, embedding, files and the server itself, against the emulator, on both fronts."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

import lmstudio_integrations as lms
from lmstudio_integrations import (
    AsyncClient,
    AsyncEmbeddingModel,
    AsyncLLM,
    Chat,
    Client,
    EmbeddingModel,
    LMStudioModelNotFoundError,
    LMStudioServerError,
    LMStudioTimeoutError,
    LMStudioValueError,
)
from lmstudio_integrations.emulator import EmulatedModel, Emulator, RecordedFrame, ThreadsafeEvent
from tests.client.client_variants import Front
from tests.movable_clock import MovableClock
from tests.time_limits import SURE_TO_EXPIRE

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


def asked(server: Emulator, endpoint: str) -> list[dict[str, Any]]:
    """The (creation) parameters with which an endpoint was asked."""
    frames = [record.message for record in server.requests if record.message.get("endpoint") == endpoint]
    return [frame.get("parameter", frame.get("creationParameter")) for frame in frames]


def is_cancel(frame: RecordedFrame) -> bool:
    return bool(frame.message.get("type") == "channelSend" and frame.message["message"] == {"type": "cancel"})


def load_fields(creation: dict[str, Any]) -> dict[str, Any]:
    return {
        field["key"]: field["value"]
        for layer in creation["loadConfigStack"]["layers"]
        for field in layer["config"]["fields"]
    }


# Getting a handle


def test_loaded_model_is_used_without_a_load(front: Front, lmstudio_emulator: Emulator) -> None:
    progress: list[float] = []
    handle = front.do("llm.model", "emulator/chat", on_load_progress=progress.append)
    assert handle.identifier == "emulator/chat"
    assert progress == []
    assert lmstudio_emulator.loaded.count("emulator/chat") == 1


def test_model_without_a_key_is_any_loaded_model(front: Front) -> None:
    assert front.do("llm.model").identifier == "emulator/chat"
    assert front.do("embedding.model").identifier == "emulator/embedding"


def test_model_without_a_key_raises_if_none_is_loaded() -> None:
    with (
        Emulator(models=[EmulatedModel("some/chat", "llm")]) as server,
        Client(server.url) as client,
        pytest.raises(LMStudioModelNotFoundError, match="Loaded models: none"),
    ):
        client.llm.model()


def test_just_in_time_load_has_a_ttl_and_no_load_settings(front: Front, lmstudio_emulator: Emulator) -> None:
    progress: list[float] = []
    handle = front.do("llm.model", "emulator/chat-2", on_load_progress=progress.append)
    assert handle.identifier == "emulator/chat-2"
    assert progress[0] == 0.0
    assert progress[-1] == 1.0
    assert progress == sorted(progress)
    assert asked(lmstudio_emulator, "getOrLoad") == [
        {
            "identifier": "emulator/chat-2",
            "loadConfigStack": {"layers": [{"layerName": "apiOverride", "config": {"fields": []}}]},
            "loadTtlMs": 3_600_000,
        }
    ]
    assert not asked(lmstudio_emulator, "loadModel")


def test_just_in_time_handle_sends_nothing_until_used(front: Front, lmstudio_emulator: Emulator) -> None:
    front.llm = front.client.llm.just_in_time("emulator/chat-2", ttl=60, config={"contextLength": 1024})
    assert not lmstudio_emulator.requests
    assert front.respond().model_info.context_length == 1024
    (creation,) = asked(lmstudio_emulator, "getOrLoad")
    assert creation["loadTtlMs"] == 60_000
    assert load_fields(creation)["llm.load.contextLength"] == 1024


def test_loaded_model_is_not_loaded_again_for_each_request(front: Front, lmstudio_emulator: Emulator) -> None:
    for _ in range(3):
        front.respond()
    assert len(asked(lmstudio_emulator, "getOrLoad")) == 1


def test_ttl_is_in_seconds_and_none_means_no_limit(front: Front, lmstudio_emulator: Emulator) -> None:
    front.do("llm.model", "emulator/chat-2", ttl=90)
    assert asked(lmstudio_emulator, "getOrLoad")[-1]["loadTtlMs"] == 90_000
    front.do("llm.unload", "emulator/chat-2")
    front.do("llm.model", "emulator/chat-2", ttl=None)
    assert "loadTtlMs" not in asked(lmstudio_emulator, "getOrLoad")[-1]


def test_expired_model_is_loaded_again_transparently(front: Front, lmstudio_emulator: Emulator) -> None:
    front.llm = front.client.llm.just_in_time("emulator/chat-2")
    front.respond()
    lmstudio_emulator.expire("emulator/chat-2")
    assert front.respond().content
    assert len(asked(lmstudio_emulator, "getOrLoad")) == 2


def test_new_instance_has_its_own_identifier(front: Front, lmstudio_emulator: Emulator) -> None:
    progress: list[float] = []
    handle = front.do(
        "llm.load_new_instance",
        "emulator/chat",
        "mine",
        ttl=5,
        config={"context_length": 512},
        on_load_progress=progress.append,
    )
    assert handle.identifier == "mine"
    assert progress[-1] == 1.0
    (creation,) = asked(lmstudio_emulator, "loadModel")
    assert (creation["modelKey"], creation["identifier"], creation["ttlMs"]) == ("emulator/chat", "mine", 5000)
    assert "mine" in lmstudio_emulator.loaded
    front.llm = handle
    assert front.respond().model_info.identifier == "mine"


def test_new_instance_without_an_identifier_gets_one(front: Front, lmstudio_emulator: Emulator) -> None:
    handle = front.do("llm.load_new_instance", "emulator/chat")
    assert handle.identifier in lmstudio_emulator.loaded
    assert handle.identifier != "emulator/chat"


def test_unloaded_instance_is_not_replaced_by_another(front: Front, lmstudio_emulator: Emulator) -> None:
    front.llm = front.do("llm.load_new_instance", "emulator/chat", "mine")
    front.do("llm.unload", "mine")
    with pytest.raises(LMStudioModelNotFoundError, match="mine"):
        front.respond()


def test_load_options_reach_the_server_and_come_back_under_user_names(
    front: Front, lmstudio_emulator: Emulator
) -> None:
    config = {
        "contextLength": 2048,
        "gpu": {"ratio": 0.5},
        "flash_attention": True,
        "llamaKCacheQuantizationType": "q8_0",
    }
    front.llm = front.do("llm.model", "emulator/chat-2", config=config)
    (creation,) = asked(lmstudio_emulator, "getOrLoad")
    fields = load_fields(creation)
    assert fields["llm.load.contextLength"] == 2048
    assert fields["llm.load.llama.acceleration.offloadRatio"] == 0.5
    assert fields["llm.load.llama.flashAttention"] is True
    assert fields["llm.load.llama.kCacheQuantizationType"] == {"checked": True, "value": "q8_0"}
    assert config["contextLength"] == front.do("handle.get_load_config")["contextLength"]
    assert front.respond().load_config["contextLength"] == 2048


def test_reported_load_settings_can_be_passed_again(front: Front) -> None:
    result = front.respond(config={"maxTokens": 3, "topPSampling": False})
    assert front.respond(config=result.prediction_config).prediction_config == result.prediction_config
    front.llm = front.do("llm.load_new_instance", "emulator/chat-2", config=result.load_config)
    assert front.do("handle.get_load_config") == result.load_config


# Cancelling a load


async def test_cancelling_the_task_cancels_the_load(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.load_hold = ThreadsafeEvent()
    async with AsyncClient(lmstudio_emulator.url) as client:
        for load in (client.llm.model("emulator/chat-2"), client.llm.load_new_instance("emulator/chat-2", "mine")):
            lmstudio_emulator.clear_record()
            task = asyncio.create_task(load)
            await asyncio.to_thread(
                lmstudio_emulator.wait_for_sent,
                lambda record: "rogress" in str(record.message.get("message", {}).get("type")),
            )
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(lmstudio_emulator.wait_for, is_cancel)
        lmstudio_emulator.load_hold = None
        assert (await client.llm.just_in_time("emulator/chat-2").respond("Hi")).content
        assert "mine" not in lmstudio_emulator.loaded


def test_load_without_packets_ends_by_the_load_limit(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.load_hold = ThreadsafeEvent()
    with (
        Client(lmstudio_emulator.url, timeout=lms.Timeout(load=SURE_TO_EXPIRE)) as client,
        pytest.raises(LMStudioTimeoutError),
    ):
        client.llm.model("emulator/chat-2")
    lmstudio_emulator.wait_for(is_cancel)


def test_loading_does_not_count_as_idle(front: Front, lmstudio_emulator: Emulator, clock: MovableClock) -> None:
    """A load that takes longer than the limits of the answer itself is waited for."""
    gate = lmstudio_emulator.load_hold = ThreadsafeEvent()

    def take_a_minute(progress: float) -> None:
        if not gate.is_set():
            clock.advance(60)
            gate.set()

    front.llm = front.client.llm.just_in_time("emulator/chat-2")
    assert front.respond(timeout={"first_packet": 10, "idle": 10}, on_load_progress=take_a_minute).content


# What a handle can be asked


def test_handle_reports_info_and_context_length(front: Front) -> None:
    info = front.do("handle.get_info")
    assert (info.identifier, info.type, info.context_length, info.max_context_length) == (
        "emulator/chat",
        "llm",
        4096,
        32768,
    )
    assert front.do("handle.get_context_length") == 4096
    assert front.do("handle.get_load_config")["contextLength"] == 4096


def test_texts_are_tokenized_and_counted(front: Front) -> None:
    tokens = front.do("handle.tokenize", "Hello there, 世界")
    assert len(tokens) == front.do("handle.count_tokens", "Hello there, 世界") > 2
    assert all(type(token) is int for token in tokens)
    many = front.do("handle.tokenize", ["Hello", "there", "Hello"])
    assert many[0] == many[2] != many[1]
    assert front.do("handle.tokenize", []) == []
    assert front.do("handle.tokenize", ("a", "b")) == front.do("handle.tokenize", ["a", "b"])


def test_apply_prompt_template_returns_the_formatted_chat(front: Front, lmstudio_emulator: Emulator) -> None:
    chat = Chat("Be terse.")
    chat.add_user_message("What is LM Studio?")
    shown = front.do(
        "handle.apply_prompt_template",
        chat,
        tools=[{"name": "add", "description": "Adds."}],
        omit_bos_token=True,
        omit_eos_token=False,
    )
    assert "Be terse." in shown
    assert "What is LM Studio?" in shown
    assert "add" in shown
    (parameter,) = asked(lmstudio_emulator, "applyPromptTemplate")
    assert (parameter["opts"]["omitBosToken"], parameter["opts"]["omitEosToken"]) == (True, False)
    assert front.do("handle.apply_prompt_template", "Hi")


def test_handle_unloads_its_model_and_loads_it_again_on_use(front: Front, lmstudio_emulator: Emulator) -> None:
    front.do("handle.unload")
    assert "emulator/chat" not in lmstudio_emulator.loaded
    assert front.respond().content
    assert "emulator/chat" in lmstudio_emulator.loaded


def test_unload_of_an_unknown_instance_raises(front: Front) -> None:
    with pytest.raises(LMStudioModelNotFoundError):
        front.do("llm.unload", "no/such-model")


# Embedding


def embedding(front: Front, key: str | None = "emulator/embedding") -> None:
    front.llm = front.client.embedding.just_in_time(key)


def test_embed_of_a_list_returns_vectors_in_its_order(front: Front) -> None:
    embedding(front)
    texts = [f"text number {number}" for number in range(20)]
    one_by_one = [front.do("handle.embed", text) for text in texts]
    assert front.do("handle.embed", texts) == one_by_one
    assert len({tuple(vector) for vector in one_by_one}) == 20
    assert {len(vector) for vector in one_by_one} == {768}
    assert all(type(number) is float for number in one_by_one[0])


def test_embedding_model_reports_info_and_tokens(front: Front) -> None:
    embedding(front)
    assert front.do("handle.get_info").type == "embedding"
    assert front.do("handle.get_context_length") > 0
    # LM Studio's tokenize has the two markers of an embedding model, its countTokens has not.
    assert front.do("handle.count_tokens", "Hello there") == len(front.do("handle.tokenize", "Hello there")) - 2
    assert isinstance(front.do("handle.get_load_config"), dict)


def test_embed_of_an_empty_list_sends_nothing(front: Front, lmstudio_emulator: Emulator) -> None:
    embedding(front)
    assert front.do("handle.embed", []) == []
    assert not lmstudio_emulator.requests


def test_number_of_unanswered_embeddings_is_bounded(front: Front, lmstudio_emulator: Emulator) -> None:
    embedding(front)
    front.do("handle.embed", [f"text {number}" for number in range(150)])
    steps = [(r.order, 1) for r in lmstudio_emulator.requests if r.message.get("endpoint") == "embedString"]
    steps += [(r.order, -1) for r in lmstudio_emulator.sent if r.message.get("type") == "rpcResult"]
    waiting = most = 0
    for _, step in sorted(steps):
        waiting += step
        most = max(most, waiting)
    assert len(steps) == 300
    assert 1 < most <= 64


def test_failed_embedding_fails_its_list(front: Front, lmstudio_emulator: Emulator) -> None:
    embedding(front)
    front.do("handle.embed", "warm")
    lmstudio_emulator.faults.add("error_mid_stream", endpoint="embedString", error="Out of memory")
    with pytest.raises(LMStudioServerError, match="Out of memory"):
        front.do("handle.embed", [f"text {number}" for number in range(100)])
    assert len(front.do("handle.embed", ["a", "b"])) == 2


def test_llm_is_refused_as_an_embedding_model(front: Front) -> None:
    embedding(front, "emulator/chat")
    with pytest.raises(LMStudioModelNotFoundError, match="kind"):
        front.do("handle.embed", "Hi")


# Lists, files, the server


def test_list_loaded_returns_handles(front: Front) -> None:
    handles = front.do("list_loaded_models")
    assert [handle.identifier for handle in handles] == ["emulator/chat", "emulator/embedding"]
    assert [type(handle) for handle in handles] == (
        [AsyncLLM, AsyncEmbeddingModel] if front.is_async else [lms.LLM, EmbeddingModel]
    )
    assert [handle.identifier for handle in front.do("llm.list_loaded")] == ["emulator/chat"]
    assert [handle.identifier for handle in front.do("embedding.list_loaded")] == ["emulator/embedding"]


def test_list_downloaded_returns_the_models(front: Front) -> None:
    infos = front.do("list_downloaded_models")
    assert {info.model_key: info.type for info in infos} == {
        "emulator/chat": "llm",
        "emulator/chat-2": "llm",
        "emulator/embedding": "embedding",
    }
    assert front.do("system.list_downloaded_models") == infos


def test_system_version_returns_version_and_build(front: Front) -> None:
    assert (front.do("system.version").version, front.do("system.version").build) == ("emulator", 0)


def test_prepare_image_takes_a_path_bytes_or_a_file(front: Front, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    for source in (path, str(path), PNG, io.BytesIO(PNG)):
        image = front.do("files.prepare_image", source)
        assert (image.file_type, image.size_bytes) == ("image", len(PNG))
    assert front.do("files.prepare_image", path).name == "cat.png"
    with pytest.raises(LMStudioValueError):
        front.do("files.prepare_image", b"no image")


# The shortest way in


def test_convenience_functions_use_the_address_of_the_environment(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMSTUDIO_BASE_URL", lmstudio_emulator.url.replace("ws://", "http://") + "/v1")
    assert lms.llm().identifier == "emulator/chat"
    progress: list[float] = []
    model = lms.llm("emulator/chat-2", ttl=7, config={"contextLength": 600}, on_load_progress=progress.append)
    assert model.get_context_length() == 600
    assert progress[-1] == 1.0
    assert asked(lmstudio_emulator, "getOrLoad")[-1]["loadTtlMs"] == 7000
    assert lms.embedding_model("emulator/embedding").identifier == "emulator/embedding"
    assert lms.embedding_model().identifier == "emulator/embedding"
    assert [handle.identifier for handle in lms.list_loaded_models()] == [
        "emulator/chat",
        "emulator/chat-2",
        "emulator/embedding",
    ]
    assert len(lms.list_downloaded_models()) == 3
