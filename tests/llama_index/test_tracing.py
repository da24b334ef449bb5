"""Tracing: spans of OpenInference in an in-memory exporter, and what other instrumentations read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool

from lmstudio_integrations.emulator import Emulator, Reply, ToolCall
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding
from tests.llama_index.conftest import Collected

pytest.importorskip("openinference.instrumentation.llama_index", reason="needs the development dependencies")
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

# The instrumentation reads metadata by pydantic's deprecated method, and drops the span if that raises.
pytestmark = pytest.mark.filterwarnings("ignore:The `json` method is deprecated")

ASK = [ChatMessage(role="user", content="Hi")]


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter, provider, instrumentor = InMemorySpanExporter(), TracerProvider(), LlamaIndexInstrumentor()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()
    provider.shutdown()


def span_of(exporter: InMemorySpanExporter, name: str) -> dict[str, Any]:
    (span,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return dict(span.attributes or {})


@pytest.mark.parametrize("method", ["chat", "stream_chat", "complete", "stream_complete"])
def test_span_has_the_attributes_of_other_providers(
    server: Emulator, llm: LMStudio, exporter: InMemorySpanExporter, method: str
) -> None:
    """The attributes that OpenAI gives with the same instrumentation, except provider and system (docs/tracing.md)."""
    server.script(Reply("Hello there", prompt_tokens=10, cached_tokens=2))
    outcome = getattr(llm, method)(ASK if "chat" in method else "Hi")
    if method.startswith("stream"):
        list(outcome)
    span = span_of(exporter, f"LMStudio.{method}")
    expected = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "emulator/chat",
        "llm.finish_reason": "stop",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 3,  # with the end of the sequence
        "llm.token_count.total": 13,
        "llm.token_count.prompt_details.cache_read": 2,
    }
    if "chat" in method:
        expected |= {
            "llm.input_messages.0.message.content": "Hi",
            "llm.output_messages.0.message.content": "Hello there",
        }
    assert {name: span.get(name) for name in expected} == expected
    assert json.loads(span["llm.invocation_parameters"])["model_name"] == "emulator/chat"


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [("maxPredictedTokensReached", "length"), ("stopStringFound", "stop"), ("userStopped", "cancelled")],
)
def test_span_has_the_finish_reason_of_openais_api(
    server: Emulator, llm: LMStudio, exporter: InMemorySpanExporter, stop_reason: str, finish_reason: str
) -> None:
    server.script(Reply("Hi", stop_reason=stop_reason))
    llm.chat(ASK)
    assert span_of(exporter, "LMStudio.chat")["llm.finish_reason"] == finish_reason


def test_span_has_tools_and_tool_calls(server: Emulator, llm: LMStudio, exporter: InMemorySpanExporter) -> None:
    def add(a: int) -> int:
        """Add."""
        return a

    server.script(Reply(tool_calls=[ToolCall("add", {"a": 1})]))
    llm.chat_with_tools([FunctionTool.from_defaults(add)], user_msg="Hi")
    span = span_of(exporter, "LMStudio.chat")
    assert span["llm.finish_reason"] == "tool_calls"
    assert json.loads(span["llm.tools.0.tool.json_schema"])["function"]["name"] == "add"
    call = "llm.output_messages.0.message.tool_calls.0.tool_call."
    assert (span[call + "function.name"], span[call + "function.arguments"]) == ("add", '{"a": 1}')


def test_embedding_span_has_model_text_and_vector(
    embed_model: LMStudioEmbedding, exporter: InMemorySpanExporter
) -> None:
    vector = embed_model.get_text_embedding("Hi")
    span = span_of(exporter, "LMStudioEmbedding.get_text_embedding")
    assert span["embedding.model_name"] == "emulator/embedding"
    assert span["embedding.embeddings.0.embedding.text"] == "Hi"
    assert list(span["embedding.embeddings.0.embedding.vector"]) == pytest.approx(vector)


def test_start_event_names_the_model_for_other_instrumentations(llm: LMStudio, events: Collected) -> None:
    """OpenTelemetry's instrumentation reads ``model_dict["model"]``."""
    llm.chat(ASK)
    (start,) = events.of("LLMChatStartEvent")
    model_dict: dict[str, Any] = start.model_dict  # type: ignore[attr-defined]  # a start event has it
    assert (model_dict["model"], model_dict["class_name"]) == ("emulator/chat", "LMStudio_llm")
