"""What users of LM Studio and LlamaIndex have asked for or stumbled over, where no other test here says it already.

Elsewhere: dead sockets, retries, timeouts, unknown packets, overflow, cancelling (``test_failures``); named tool
choice, repeated calls, unreadable calls (``test_tool_calling``); documents in the thoughts (``test_structured``); usage
once and last, several event loops (``test_chat``); embeddings (``test_embedding``); progress (``test_events``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, PrivateAttr, RootModel

from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent, ToolCall
from lmstudio_integrations.errors import LMStudioAuthenticationError, LMStudioValueError
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding, LoadProgressEvent
from tests.movable_clock import MovableClock
from tests.protocol.closed import closed
from tests.sent_requests import creations, settings

ASK = [ChatMessage(role="user", content="Hello?")]
TOKEN = "sk-lm-abcdefgh:01234567890123456789"


class _TakesAMinute(BaseEventHandler):
    """Lets a minute pass while a model is loaded."""

    _pass_a_minute: Callable[[], None] = PrivateAttr()

    @classmethod
    def class_name(cls) -> str:
        return "_TakesAMinute"

    def handle(self, event: BaseEvent, **kwargs: object) -> None:
        if isinstance(event, LoadProgressEvent):
            self._pass_a_minute()


def test_loading_does_not_count_as_idle(server: Emulator, clock: MovableClock) -> None:
    """Loading takes minutes for large models; the time limits of an answer begin after it."""
    gate = server.load_hold = ThreadsafeEvent()

    def pass_a_minute() -> None:
        if not gate.is_set():
            clock.advance(60)
            gate.set()

    handler = _TakesAMinute()
    handler._pass_a_minute = pass_a_minute
    llm = LMStudio(model="emulator/chat-2", base_url=server.url, timeout={"first_packet": 10, "idle": 10})
    get_dispatcher().add_event_handler(handler)
    try:
        assert llm.chat(ASK).message.content
    finally:
        get_dispatcher().event_handlers.remove(handler)


@pytest.mark.parametrize(
    ("response_format", "sent"),
    [
        ({"type": "json_object"}, {"type": "json", "jsonSchema": {"type": "object"}}),  # number 14
        ({"type": "json"}, {"type": "json"}),
    ],
)
def test_response_format_without_a_schema_requests_json(
    server: Emulator, llm: LMStudio, response_format: dict[str, Any], sent: dict[str, Any]
) -> None:
    llm.chat(ASK, response_format=response_format)
    assert settings(creations(server)[0])["llm.prediction.structured"] == sent


def test_response_format_in_openais_form_is_converted(server: Emulator, llm: LMStudio) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    llm.chat(ASK, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert settings(creations(server)[0])["llm.prediction.structured"]["jsonSchema"] == closed(schema)


def test_gbnf_grammar_is_sent_unchanged(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("yes"))
    llm.chat(ASK, response_format={"type": "gbnf", "gbnfGrammar": 'root ::= "yes" | "no"'})
    assert settings(creations(server)[0])["llm.prediction.structured"]["type"] == "gbnf"


@pytest.mark.parametrize("bad", [7, "json", {"type": "object", "minimum": float("nan")}])
def test_unsupported_schema_raises_before_anything_is_sent(server: Emulator, llm: LMStudio, bad: Any) -> None:
    with pytest.raises(LMStudioValueError):
        llm.chat(ASK, response_format=bad)
    assert creations(server) == []


def test_tools_with_a_schema_raise(llm: LMStudio) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    with pytest.raises(LMStudioValueError):
        llm.chat(ASK, tools=[tool], response_format={"type": "object", "properties": {}})


def test_array_schema_is_accepted(server: Emulator, llm: LMStudio) -> None:
    class Names(RootModel[list[str]]):
        pass

    server.script(Reply('["a", "b"]'), Reply('["a", "b"]'))
    prompt = PromptTemplate("Names.")
    assert llm.structured_predict(Names, prompt).root == ["a", "b"]
    *_, last = llm.stream_structured_predict(Names, prompt)
    assert last == Names(["a", "b"])


def test_schema_of_nested_classes_keeps_its_references(server: Emulator, llm: LMStudio) -> None:
    class Node(BaseModel):
        name: str
        children: list[Node] = []

    Node.model_rebuild()
    server.script(Reply('{"name": "a", "children": [{"name": "b", "children": []}]}'))
    made = llm.structured_predict(Node, PromptTemplate("A tree."))
    assert made.children[0].name == "b"
    assert "$defs" in settings(creations(server)[0])["llm.prediction.structured"]["jsonSchema"]


def test_draft_model_is_sent_and_its_counts_are_returned(server: Emulator) -> None:
    llm = LMStudio(model="emulator/chat", base_url=server.url, draft_model="emulator/chat-2")
    response = llm.chat(ASK)
    assert settings(creations(server)[0])["llm.prediction.speculativeDecoding.draftModel"] == "emulator/chat-2"
    assert "total_draft_tokens_count" in response.raw["stats"]


def test_unloaded_model_is_loaded_again(server: Emulator) -> None:
    llm = LMStudio(model="emulator/chat-2", base_url=server.url, ttl=60)
    llm.chat(ASK)
    server.expire("emulator/chat-2")
    assert llm.chat(ASK).message.content
    assert len(creations(server, "getOrLoad")) == 2


def test_model_is_loaded_with_a_ttl_by_default(server: Emulator) -> None:
    LMStudio(model="emulator/chat-2", base_url=server.url).chat(ASK)
    assert creations(server, "getOrLoad")[0]["loadTtlMs"] == 3_600_000
    server.unload("emulator/chat-2")
    LMStudio(model="emulator/chat-2", base_url=server.url, ttl=None).chat(ASK)
    assert "loadTtlMs" not in creations(server, "getOrLoad")[-1]


@pytest.mark.parametrize("variable", ["LMSTUDIO_API_TOKEN", "LM_API_TOKEN"])
def test_token_from_setting_or_environment_authenticates(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator(api_token=TOKEN) as server:
        assert LMStudio(model="emulator/chat", base_url=server.url, api_key=TOKEN).chat(ASK).message.content
        with pytest.raises(LMStudioAuthenticationError) as caught:
            LMStudio(model="emulator/chat", base_url=server.url).chat(ASK)
        assert TOKEN not in str(caught.value)
        monkeypatch.setenv(variable, TOKEN)
        assert LMStudio(model="emulator/chat", base_url=server.url).chat(ASK).message.content
        assert LMStudioEmbedding(model="emulator/embedding", base_url=server.url).get_text_embedding("x")


def test_base_url_of_the_openai_endpoint_is_accepted(server: Emulator) -> None:
    llm = LMStudio(model="emulator/chat", api_base=f"http://127.0.0.1:{server.port}/v1")
    assert llm.chat(ASK).message.content


def test_webp_image_is_accepted(server: Emulator, llm: LMStudio) -> None:
    from io import BytesIO

    from llama_index.core.base.llms.types import ImageBlock
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (2, 2), "green").save(file, "WEBP")
    llm.chat([ChatMessage(role="user", blocks=[ImageBlock(image=file.getvalue())])])
    assert creations(server)[0]["history"]["messages"][0]["content"][0]["fileType"] == "image"


def test_text_is_exact(server: Emulator, llm: LMStudio) -> None:
    text = 'tabs\t, "quotes", \\ back, \u2028 line, 👩‍👩‍👧 family, 漢字, \u0000 nul'
    server.script(Reply(text))
    response = llm.chat([ChatMessage(role="user", content=text)])
    assert response.message.content == text
    assert creations(server)[0]["history"]["messages"][0]["content"][0]["text"] == text


def test_unsendable_content_raises(llm: LMStudio) -> None:
    with pytest.raises(LMStudioValueError):
        llm.chat([ChatMessage(role="user", content="half a \ud83d character")])


def test_braces_in_messages_are_not_formatted(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("{x} {{y}}"))
    response = llm.chat([ChatMessage(role="user", content="{x} {{y}}")])
    assert response.message.content == "{x} {{y}}"
    assert creations(server)[0]["history"]["messages"][0]["content"][0]["text"] == "{x} {{y}}"


def test_call_without_arguments_has_an_empty_object(server: Emulator, llm: LMStudio) -> None:
    from llama_index.core.tools import FunctionTool

    def now() -> str:
        """The time."""
        return "noon"

    server.script(Reply(tool_calls=[ToolCall("now")]))
    outcome = llm.predict_and_call([FunctionTool.from_defaults(fn=now)], "What time is it?")
    assert outcome.sources[0].raw_output == "noon"


def test_pickled_llm_answers_in_another_process(server: Emulator, llm: LMStudio) -> None:
    import multiprocessing

    llm.chat(ASK)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(_content, (llm,)) == llm.chat(ASK).message.content


def _content(llm: LMStudio) -> str | None:
    content: str | None = llm.chat(ASK).message.content
    return content
