"""Settings, copies, storage, and what the model says about itself."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from pydantic import ValidationError

from lmstudio_integrations import Timeout
from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.compat.prediction_request import PredictionRequest, load_options
from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply
from lmstudio_integrations.llama_index import LMStudio
from lmstudio_integrations.llama_index._model_metadata import ModelFacts, metadata_of
from lmstudio_integrations.llama_index._request import call_keywords, chat_request
from tests.llama_index.conftest import Collected
from tests.sent_requests import calls, creations, settings
from tests.time_limits import SURE_TO_EXPIRE

TOKEN = "sk-lm-abcdefgh:01234567890123456789"
ASK = [ChatMessage(role="user", content="Hello?")]


@pytest.mark.parametrize(
    ("synonym", "name", "value"),
    [
        ("model_name", "model", "m"),
        ("api_base", "base_url", "http://localhost:1234/v1"),
        ("url", "base_url", "localhost:1234"),
        ("request_timeout", "timeout", 30.0),
        ("keep_alive", "ttl", 60),
        ("stop_sequences", "stop", ["a"]),
        ("reasoning", "thinking", True),
        ("context_length", "context_window", 8192),
        ("num_ctx", "context_window", 8192),
        ("prediction_config", "additional_kwargs", {"presencePenalty": 1.0}),
    ],
)
def test_names_of_other_integrations_are_translated(synonym: str, name: str, value: Any) -> None:
    assert getattr(LMStudio(**{synonym: value}), name) == value


def test_none_is_no_load_config() -> None:
    assert load_options(LMStudio(load_config=None)._setting)["config"] is None


def test_api_key_and_api_token_are_one_setting() -> None:
    assert LMStudio(api_key=TOKEN).token == LMStudio(api_token=TOKEN).token == TOKEN


def test_setting_under_two_names_raises_unless_equal() -> None:
    with pytest.raises(ValidationError, match="'model' and 'model_name' are one setting"):
        LMStudio(model="a", model_name="b")
    assert LMStudio(model="a", model_name="a").model == "a"


@pytest.mark.parametrize(("name", "meant"), [("temprature", "temperature"), ("max_token", "max_tokens")])
def test_misspelt_setting_raises_and_names_the_nearest(name: str, meant: str) -> None:
    given: dict[str, Any] = {name: 1}
    with pytest.raises(ValidationError, match=f"did you mean '{meant}'"):
        LMStudio(**given)


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"max_tokens": 0},
        {"max_tokens": -2},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"top_k": 501},
        {"max_retries": -1},
        {"ttl": 0},
        {"context_window": 0},
        {"context_overflow_policy": "shrink"},
        {"stop": 7},
        {"timeout": 0},
        {"timeout": {"conect": 1}},
    ],
)
def test_invalid_value_raises_in_the_constructor(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LMStudio(**bad)


def request_of(llm: LMStudio, call: dict[str, Any]) -> PredictionRequest:
    return chat_request(llm, call_keywords(llm, call), PreparedHistory())


def test_thinking_is_a_switch_or_a_budget() -> None:
    def config(llm: LMStudio) -> dict[str, Any]:
        made: dict[str, Any] = request_of(llm, {}).options["config"]
        return {name: made[name] for name in made if name != "contextOverflowPolicy"}

    assert config(LMStudio(thinking=True)) == {"enableThinking": True}
    assert config(LMStudio(thinking=1)) == {"enableThinking": True, "reasoningBudget": 1}
    with pytest.raises(ValueError, match="budget"):
        request_of(LMStudio(), {"thinking": -1})


def test_context_window_is_sent_as_context_length(server: Emulator) -> None:
    llm = LMStudio(
        model="emulator/chat-2", base_url=server.url, context_window=8192, ttl=90, load_config={"flashAttention": True}
    )
    response = llm.chat(ASK)
    (creation,) = creations(server, "getOrLoad")
    assert creation["loadTtlMs"] == 90_000
    assert settings(creation, "loadConfigStack")["llm.load.contextLength"] == 8192
    assert settings(creation, "loadConfigStack")["llm.load.llama.flashAttention"] is True
    assert response.raw["model_info"]["context_length"] == 8192
    assert llm.metadata.context_window == 8192


def test_context_length_of_load_config_wins() -> None:
    llm = LMStudio(context_window=8192, load_config={"contextLength": 1024})
    assert load_options(llm._setting)["config"] == {"contextLength": 1024}
    both = LMStudio(context_window=8192, load_config={"context_length": 1024})
    assert load_options(both._setting)["config"] == {"contextLength": 1024}


def test_timeout_is_a_number_a_mapping_or_a_timeout() -> None:
    assert LMStudio(timeout=5).timeout == 5
    made = LMStudio(timeout=Timeout(connect=1.0, total=20.0))
    assert isinstance(made.timeout, dict)
    assert Timeout.of(made.timeout) == Timeout(connect=1.0, total=20.0)
    assert LMStudio.from_json(made.to_json()).timeout == made.timeout


# What the model says about itself


def test_metadata_has_the_loaded_context_and_tool_support(server: Emulator, llm: LMStudio) -> None:
    metadata = llm.metadata
    assert metadata.context_window == 4096
    assert metadata.is_function_calling_model is True
    assert metadata.is_chat_model is True
    assert metadata.model_name == "emulator/chat"


def test_metadata_prefers_the_loaded_context(server: Emulator) -> None:
    llm = LMStudio(model="emulator/chat", base_url=server.url, context_window=16384)  # loaded already, with 4096
    assert llm.metadata.context_window == 4096


def test_metadata_is_requested_once(server: Emulator, llm: LMStudio) -> None:
    for _ in range(5):
        assert llm.metadata.context_window == 4096
    assert len(calls(server, "listLoaded")) == 1


def test_metadata_loads_nothing(server: Emulator) -> None:
    llm = LMStudio(model="emulator/chat-2", base_url=server.url)
    assert llm.metadata.context_window == 4096
    assert server.loaded == ["emulator/chat", "emulator/embedding"]


def test_answer_updates_the_metadata(server: Emulator) -> None:
    llm = LMStudio(model="emulator/chat-2", base_url=server.url, context_window=16384)
    llm.chat(ASK)
    assert llm.metadata.context_window == 16384
    assert calls(server, "listLoaded") == []


def test_answer_of_another_model_does_not_change_the_metadata(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ASK, model="emulator/chat-2")
    assert llm._facts is None


def test_metadata_of_a_model_without_tools_is_overridden_by_the_setting() -> None:
    with Emulator(models=[EmulatedModel("plain", loaded=True, tools=False)]) as server:
        assert LMStudio(model="plain", base_url=server.url).metadata.is_function_calling_model is False
        overridden = LMStudio(model="plain", base_url=server.url, is_function_calling_model=True)
        assert overridden.metadata.is_function_calling_model is True


async def test_function_calling_metadata_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmstudio_integrations.llama_index._base._METADATA_SECONDS", 0)
    with Emulator(models=[EmulatedModel("plain", loaded=True, tools=False)]) as server:
        llm = LMStudio(model="plain", base_url=server.url)
        stalled = server.faults.add("stall", endpoint="listLoaded")
        assert llm.metadata.is_function_calling_model is True  # nothing is known yet, and LM Studio gives tools to all
        stalled.release()
        await llm.achat(ASK)
        assert llm.metadata.is_function_calling_model is True
        assert (await llm.arefresh_metadata()).is_function_calling_model is False


@pytest.mark.parametrize(
    ("max_tokens", "context", "expected"), [(None, 4096, 256), (-1, 4096, 256), (512, 4096, 512), (9999, 4096, 2048)]
)
def test_num_output_is_at_most_half_of_the_context(max_tokens: int | None, context: int, expected: int) -> None:
    facts = ModelFacts(name="m", context_length=context, loaded=True)
    metadata = metadata_of(LMStudio(max_tokens=max_tokens), facts)
    assert metadata.num_output == expected
    assert metadata.context_window - metadata.num_output > 0


def test_metadata_without_a_server_uses_the_settings(server: Emulator) -> None:
    url = server.url
    server.stop()
    llm = LMStudio(model="m", base_url=url, context_window=1234, max_tokens=100)
    assert (llm.metadata.context_window, llm.metadata.num_output) == (1234, 100)
    assert llm.metadata.model_name == "m"


async def test_metadata_waits_for_a_limited_time_on_an_event_loop(
    server: Emulator, llm: LMStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmstudio_integrations.llama_index._base._METADATA_SECONDS", SURE_TO_EXPIRE)
    fault = server.faults.add("stall", endpoint="listLoaded")
    assert llm.metadata.context_window == 4096  # although the server does not answer
    (asking,) = [thread for thread in threading.enumerate() if thread.name == "lmstudio-metadata"]
    fault.release()
    await asyncio.to_thread(asking.join)
    assert llm._facts is not None
    assert llm._facts.loaded


async def test_arefresh_metadata_returns_the_metadata(llm: LMStudio) -> None:
    assert (await llm.arefresh_metadata()).context_window == 4096
    assert llm.refresh_metadata() == llm.metadata


def test_to_payload_sends_nothing_and_has_no_secret(server: Emulator, events: Collected) -> None:
    llm = LMStudio(model="emulator/chat", base_url=server.url, api_key=TOKEN, temperature=0.5)
    payload = llm.to_payload()
    assert payload["class_name"] == "LMStudio_llm"
    assert payload["model_name"] == "emulator/chat"
    assert payload["temperature"] == 0.5
    assert server.requests == []
    json.dumps(payload)
    llm.chat(ASK)
    assert all(TOKEN not in str(event.model_dump()) for event in events.of("LLMChatStartEvent"))


# Copies and storage


def test_stored_forms_have_no_secret() -> None:
    llm = LMStudio(model="m", api_key=TOKEN)
    for stored in (llm.to_dict(), llm.to_json(), llm.model_dump_json(), llm.to_payload(), repr(llm), str(llm)):
        assert "abcdefgh" not in str(stored)
    assert b"abcdefgh" not in pickle.dumps(llm)


def test_copy_keeps_the_token() -> None:
    llm = LMStudio(model="m", api_key=TOKEN)
    assert copy.deepcopy(llm).token == llm.model_copy().token == copy.copy(llm).token == TOKEN


FULL: dict[str, Any] = {
    "model": "emulator/chat",
    "temperature": 0.5,
    "max_tokens": 50,
    "stop": ["x"],
    "seed": 3,
    "thinking": False,
    "ttl": 60,
    "system_prompt": "Be kind.",
    "load_config": {"contextLength": 2048},
    "additional_kwargs": {"presencePenalty": 0.5},
    "timeout": {"total": 20.0},
}


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "dict", "json"])
def test_settings_round_trip_through_every_stored_form(server: Emulator, way: str) -> None:
    llm = LMStudio(**FULL, base_url=server.url)
    llm.chat(ASK)  # a used one is no different
    match way:
        case "pickle":
            made = pickle.loads(pickle.dumps(llm))
        case "deepcopy":
            made = copy.deepcopy(llm)
        case "dict":
            made = LMStudio.from_dict(llm.to_dict())
        case _:
            made = LMStudio.from_json(llm.to_json())
    assert made.to_dict() == llm.to_dict()
    assert {name: getattr(made, name) for name in FULL} == FULL
    server.script(Reply("Still here."))
    assert made.chat(ASK).message.content == "Still here."


def test_from_dict_reads_a_stored_form() -> None:
    stored = LMStudio(model="m").to_dict()
    assert stored["class_name"] == "LMStudio_llm"
    assert LMStudio(**stored).model == "m"


def test_construction_opens_no_connection(server: Emulator) -> None:
    LMStudio(model="emulator/chat", base_url=server.url)
    assert server.connections == 0
    assert server.requests == []


def test_import_without_llama_index_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['llama_index.core'] = None\n"
        "try:\n    import lmstudio_integrations.llama_index\n"
        "except ImportError as error:\n    print(error)\n"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "lmstudio-integrations[llama-index]"' in outcome.stdout


@pytest.mark.parametrize(
    ("call", "load"),
    [
        ({"num_ctx": 999}, {"ttl": 3600, "config": {"contextLength": 999, "gpu": 1}}),
        ({"context_window": 999, "ttl": None}, {"ttl": None, "config": {"contextLength": 999, "gpu": 1}}),
        ({"keep_alive": "5m"}, {"ttl": 300.0, "config": {"contextLength": 2048, "gpu": 1}}),
        ({"load_config": {"seed": 3}}, {"ttl": 3600, "config": {"contextLength": 2048, "gpu": 1, "seed": 3}}),
    ],
)
def test_call_may_say_how_the_model_is_loaded(call: dict[str, Any], load: dict[str, Any]) -> None:
    settings = LMStudio(context_window=2048, load_config={"gpu": 1})  # type: ignore[arg-type]  # misspelt on purpose
    assert request_of(settings, call).load == load
