"""OpenTelemetry's GenAI attributes (OpenLLMetry's instrumentations), and MLflow's spans, as exporters receive them."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.llama_index import LMStudio
from tests.cookbook.conftest import closing_event_loop

pytest.importorskip("opentelemetry.instrumentation.langchain", reason="the dependency group `tracing` is not installed")
import mlflow
from llama_index.core.llms import ChatMessage
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.instrumentation.llamaindex import LlamaIndexInstrumentor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

__all__ = ["closing_event_loop"]
MODELS = (EmulatedModel("chat", loaded=True),)


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator(MODELS) as server:
        server.script(Reply("Hello there", prompt_tokens=10, cached_tokens=2))
        yield server


@pytest.fixture(scope="module")
def all_spans() -> Iterator[InMemorySpanExporter]:
    """Both instrumentations, switched on once: they do not forget the first provider."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentors = (LangchainInstrumentor(), LlamaIndexInstrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)
    yield exporter
    for instrumentor in instrumentors:
        instrumentor.uninstrument()
    provider.shutdown()


@pytest.fixture
def spans(all_spans: InMemorySpanExporter) -> InMemorySpanExporter:
    all_spans.clear()
    return all_spans


def attributes_of_chats(spans: InMemorySpanExporter) -> list[dict[str, Any]]:
    found = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    return [attributes for attributes in found if "gen_ai.request.model" in attributes]


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_langchain_span_has_the_genai_attributes(server: Emulator, spans: InMemorySpanExporter, way: str) -> None:
    model = ChatLMStudio(model="chat", base_url=server.url, temperature=0.5)
    list(model.stream("Hi")) if way == "stream" else model.invoke("Hi")
    (found,) = attributes_of_chats(spans)
    assert found["gen_ai.operation.name"] == "chat"
    assert (found["gen_ai.request.model"], found["gen_ai.response.model"]) == ("chat", "chat")
    assert found["gen_ai.request.temperature"] == 0.5
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (10, 3)
    assert tuple(found["gen_ai.response.finish_reasons"]) == ("stop",)
    assert "Hello there" in found["gen_ai.output.messages"]


def test_llama_index_span_has_the_genai_attributes(server: Emulator, spans: InMemorySpanExporter) -> None:
    LMStudio(model="chat", base_url=server.url, temperature=0.5).chat([ChatMessage("Hi")])
    (found,) = attributes_of_chats(spans)
    assert (found["gen_ai.request.model"], found["gen_ai.response.model"]) == ("chat", "chat")
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (10, 3)
    assert "Hello there" in found["gen_ai.output.messages"]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[Any]]:
    """MLflow's spans, as a collector of OpenTelemetry receives them."""
    received: queue.SimpleQueue[Any] = queue.SimpleQueue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server's name
            request = ExportTraceServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        received.put(span)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://127.0.0.1:{collector.server_port}/v1/traces")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")  # milliseconds between two exports
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")  # nothing is asked there
        monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        mlflow.tracing.reset()
        yield received
        collector.shutdown()
        thread.join(5)


def attributes(span: Any) -> dict[str, Any]:
    """The attributes of an exported span that hold JSON."""
    texts = {one.key: one.value.string_value for one in span.attributes}
    return {name: json.loads(text) for name, text in texts.items() if text[:1] in '"[{'}


def test_mlflow_records_a_chat_of_langchain(server: Emulator, exported: queue.SimpleQueue[Any]) -> None:
    mlflow.langchain.autolog()
    try:
        ChatLMStudio(model="chat", base_url=server.url, temperature=0.5).invoke("Hi")
        span = exported.get(timeout=20)
    finally:
        mlflow.langchain.autolog(disable=True)
    found = attributes(span)
    assert span.name == "ChatLMStudio"
    assert found["mlflow.spanType"] == "CHAT_MODEL"
    assert "Hello there" in json.dumps(found["mlflow.spanOutputs"])
    assert found["mlflow.chat.tokenUsage"]["input_tokens"] == 10


def test_mlflow_records_a_chat_of_llama_index(server: Emulator, exported: queue.SimpleQueue[Any]) -> None:
    mlflow.llama_index.autolog()
    try:
        LMStudio(model="chat", base_url=server.url, temperature=0.5).chat([ChatMessage("Hi")])
        span = exported.get(timeout=20)
    finally:
        mlflow.llama_index.autolog(disable=True)
    found = attributes(span)
    assert span.name.startswith("LMStudio")
    assert found["mlflow.spanType"] == "CHAT_MODEL"
    assert "Hello there" in json.dumps(found["mlflow.spanOutputs"])
    assert (found["mlflow.llm.provider"], found["mlflow.llm.model"]) == ("lmstudio", "chat")
    assert (found["usage"]["prompt_tokens"], found["usage"]["completion_tokens"]) == (10, 3)
