"""Tracing: spans of OpenInference in an in-memory exporter, the serialized form, the standard parameters, the cache key."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, load

from lmstudio_integrations import Timeout
from lmstudio_integrations.emulator import Emulator, Reply, ToolCall
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioLLM
from lmstudio_integrations.langchain import _base as base_module

pytest.importorskip("openinference.instrumentation.langchain", reason="needs the development dependencies")
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

Make = Callable[..., ChatLMStudio]
TOKEN = "sk-lm-abcdefgh:ijklmnopqrstuvwxyz01"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter, provider, instrumentor = InMemorySpanExporter(), TracerProvider(), LangChainInstrumentor()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()
    provider.shutdown()


@pytest.fixture(autouse=True)
def _no_known_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_module, "_served", {})


def span_of(exporter: InMemorySpanExporter) -> dict[str, Any]:
    (span,) = exporter.get_finished_spans()
    return dict(span.attributes or {})


def add(a: int) -> int:
    """Add."""
    return a


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_chat_span_has_the_attributes_of_other_providers(
    chat: Make, lmstudio_emulator: Emulator, exporter: InMemorySpanExporter, way: str
) -> None:
    """The attributes that ChatOpenAI gives with the same instrumentation, except ``llm.system`` (docs/tracing.md)."""
    lmstudio_emulator.script(Reply("Hello there", prompt_tokens=10, cached_tokens=2))
    model = chat(temperature=0.5, max_tokens=50)
    list(model.stream("Hi")) if way == "stream" else model.invoke("Hi")
    span = span_of(exporter)
    expected = {
        "openinference.span.kind": "LLM",
        "llm.provider": "lmstudio",
        "llm.model_name": "emulator/chat",
        "llm.finish_reason": "stop",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 3,  # with the end of the sequence
        "llm.token_count.total": 13,
        "llm.token_count.prompt_details.cache_read": 2,
        "llm.input_messages.0.message.content": "Hi",
        "llm.input_messages.0.message.role": "user",
        "llm.output_messages.0.message.content": "Hello there",
        "llm.output_messages.0.message.role": "assistant",
    }
    assert {name: span.get(name) for name in expected} == expected
    assert json.loads(span["llm.invocation_parameters"])["temperature"] == 0.5
    metadata = json.loads(span["metadata"])
    assert metadata["ls_model_name"] == "emulator/chat"
    assert "lmstudio-integrations" in metadata["lc_versions"]


def test_chat_span_has_tools_and_tool_calls(
    chat: Make, lmstudio_emulator: Emulator, exporter: InMemorySpanExporter
) -> None:
    lmstudio_emulator.script(Reply(tool_calls=[ToolCall("add", {"a": 1})]))
    chat().bind_tools([add]).invoke("Hi")
    span = span_of(exporter)
    assert span["llm.finish_reason"] == "tool_calls"
    assert json.loads(span["llm.tools.0.tool.json_schema"])["function"]["name"] == "add"
    call = "llm.output_messages.0.message.tool_calls.0.tool_call."
    assert (span[call + "function.name"], span[call + "function.arguments"]) == ("add", '{"a": 1}')
    assert span[call + "id"]


def test_reasoning_tokens_are_in_the_span(
    chat: Make, lmstudio_emulator: Emulator, exporter: InMemorySpanExporter
) -> None:
    lmstudio_emulator.script(Reply("Hi", reasoning="one two three"))
    chat().invoke("Hi")
    assert span_of(exporter)["llm.token_count.completion_details.reasoning"] == 3


def test_completion_span_has_model_finish_reason_and_tokens(
    lmstudio_emulator: Emulator, exporter: InMemorySpanExporter
) -> None:
    lmstudio_emulator.script(Reply("Hello there", prompt_tokens=10))
    LMStudioLLM(model="emulator/chat", base_url=lmstudio_emulator.url).invoke("Hi")
    span = span_of(exporter)
    expected = {
        "llm.provider": "lmstudio",
        "llm.model_name": "emulator/chat",
        "llm.finish_reason": "stop",
        "llm.token_count.prompt": 10,
        "llm.token_count.total": 13,
    }
    assert {name: span.get(name) for name in expected} == expected
    assert "lmstudio-integrations" in json.loads(span["metadata"])["lc_versions"]


def test_span_of_a_failed_call_has_the_error(
    chat: Make, lmstudio_emulator: Emulator, exporter: InMemorySpanExporter
) -> None:
    lmstudio_emulator.script(Reply(error="no"))
    with pytest.raises(Exception, match="no"):
        chat().invoke("Hi")
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code.name == "ERROR"


class Started(BaseCallbackHandler):
    """Keeps what langchain-core passes to handlers when a call starts."""

    run_inline = True

    def __init__(self) -> None:
        self.serialized: list[Any] = []
        self.names: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, *, metadata: Any = None, **kwargs: Any) -> None:
        self.serialized.append(serialized)
        self.names.append((metadata or {}).get("ls_model_name"))

    def on_llm_start(self, serialized: Any, prompts: Any, *, metadata: Any = None, **kwargs: Any) -> None:
        self.serialized.append(serialized)
        self.names.append((metadata or {}).get("ls_model_name"))


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudioLLM])
def test_model_name_without_a_name_is_known_from_the_second_call_on(kind: Any, lmstudio_emulator: Emulator) -> None:
    started = Started()
    model = kind(base_url=lmstudio_emulator.url)
    for _ in range(2):
        model.invoke("Hi", config={"callbacks": [started]})
    assert started.names == [None, "emulator/chat"]


def test_model_name_of_a_call_is_that_of_its_keyword(chat: Make) -> None:
    started = Started()
    chat().invoke("Hi", config={"callbacks": [started]}, model="emulator/chat-2")
    assert started.names == ["emulator/chat-2"]


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudioLLM])
def test_serialized_model_names_its_token_and_does_not_hold_it(kind: Any) -> None:
    model = kind(model="some/model", api_token=TOKEN, temperature=0.5)
    serialized = dumpd(model)
    assert serialized["id"] == ["lmstudio_integrations", "langchain", kind.__name__]
    assert serialized["kwargs"]["api_token"] == {"lc": 1, "type": "secret", "id": ["LMSTUDIO_API_TOKEN"]}
    assert (serialized["kwargs"]["model"], serialized["kwargs"]["temperature"]) == ("some/model", 0.5)
    for text in (dumps(model), json.dumps(model._serialized), repr(model)):
        assert "abcdefgh" not in text
        assert "ijklmnop" not in text


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudioLLM])
def test_serialized_model_loads_as_it_was(kind: Any) -> None:
    model = kind(
        model="some/model",
        api_token=TOKEN,
        temperature=0.5,
        stop=["x"],
        load_config={"gpu": {"ratio": 1}},
        timeout=Timeout(total=5),
    )
    loaded = load(
        dumpd(model),
        secrets_map={"LMSTUDIO_API_TOKEN": TOKEN},
        allowed_objects=[kind],
        valid_namespaces=["lmstudio_integrations"],
    )
    assert loaded == model


@pytest.mark.parametrize("change", ["model_copy", "deep", "assignment", "deepcopy", "pickle"])
def test_serialized_form_follows_changes(change: str) -> None:
    model = ChatLMStudio(model="old")
    assert model._serialized["kwargs"]["model"] == "old"
    if change == "model_copy":
        model = model.model_copy(update={"model": "new"})
    elif change == "deep":
        model = model.model_copy(update={"model": "new"}, deep=True)
    else:
        if change != "assignment":
            model = copy.deepcopy(model) if change == "deepcopy" else pickle.loads(pickle.dumps(model))
        model.model = "new"
    assert model._serialized["kwargs"]["model"] == "new"


def test_cache_key_follows_model_copy_and_assignment() -> None:
    model = ChatLMStudio(model="some/model", temperature=0.1)
    key = model._get_llm_string()
    assert model._get_llm_string() == key
    assert model.model_copy()._get_llm_string() == key
    assert model.model_copy(update={"temperature": 0.2})._get_llm_string() != key
    model.temperature = 0.3
    assert model._get_llm_string() != key


def test_cache_key_leaves_out_what_changes_no_answer() -> None:
    key = ChatLMStudio(model="some/model")._get_llm_string()
    assert ChatLMStudio(model="some/model", timeout=5, ttl=None, max_retries=9)._get_llm_string() == key
    assert ChatLMStudio(model="some/model")._get_llm_string(on_first_token=print, timeout=3, max_retries=0) == key
    assert ChatLMStudio(model="some/model")._get_llm_string(stop=["x"]) != key


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudioLLM])
def test_standard_parameters_follow_the_call_under_every_name(kind: Any) -> None:
    model = kind(model="a", max_tokens=3, stop="x")
    params = model._get_ls_params(model_name="b", num_predict=5, temperature=0.5)
    assert (params["ls_model_name"], params["ls_max_tokens"], params["ls_temperature"]) == ("b", 5, 0.5)
    assert params["ls_stop"] == ["x"]
    assert model._get_ls_params(model="b", temprature=1)["ls_model_name"] == "b"  # the call itself raises
