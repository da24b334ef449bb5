"""What LM Studio would answer with silence is refused here, and not one frame goes out for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lmstudio_integrations import Chat, FileHandle, LMStudioValueError
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.protocol.config import kv_stack
from tests.client.client_variants import Front

NAN = float("nan")
HALF = "half \ud800"


def call_with(arguments: Any) -> list[dict[str, Any]]:
    request = {"name": "add", "arguments": arguments}
    return [{"role": "assistant", "content": [{"type": "toolCallRequest", "toolCallRequest": request}]}]


def chat_with_half_a_character() -> Chat:
    chat = Chat("s")
    chat.add_user_message(HALF)
    return chat


RESPOND: dict[str, tuple[Any, dict[str, Any]]] = {
    # nulls for absent keys
    "null content": ([{"role": "user", "content": None}], {}),
    "null text": ([{"role": "user", "content": [{"type": "text", "text": None}]}], {}),
    "null tool result": ([{"role": "tool", "content": [{"type": "toolCallResult", "content": None}]}], {}),
    "null file size": (
        [
            {
                "role": "user",
                "content": [{"type": "file", "name": "a", "identifier": "b", "sizeBytes": None, "fileType": "image"}],
            }
        ],
        {},
    ),
    "no history": (None, {}),
    # what JSON cannot hold
    "NaN in arguments": (call_with({"a": NAN}), {}),
    "infinity in arguments": (call_with({"a": [float("inf")]}), {}),
    "an object in arguments": (call_with({"a": object()}), {}),
    "NaN temperature": ("Hi", {"config": {"temperature": NAN}}),
    "NaN raw": ("Hi", {"config": {"raw": {"llm.prediction.seed": NAN}}}),
    "NaN in a schema": ("Hi", {"response_format": {"type": "object", "properties": {"a": {"maximum": NAN}}}}),
    "NaN in a tool": (
        "Hi",
        {"tools": [{"name": "f", "parameters": {"type": "object", "properties": {"a": {"minimum": NAN}}}}]},
    ),
    "half a character": (HALF, {}),
    "half a character in a chat": (chat_with_half_a_character(), {}),
    "half a character in a preset": ("Hi", {"preset": HALF}),
    "half a character in a stop string": ("Hi", {"config": {"stopStrings": [HALF]}}),
    # roles and parts
    "role developer": ([{"role": "developer", "content": "Hi"}], {}),
    "role function": ([{"role": "function", "content": "Hi"}], {}),
    "text in a tool message": ([{"role": "tool", "content": "Hi"}], {}),
    "a tool call of the user": ([{"role": "user", "content": call_with({})[0]["content"]}], {}),
    "an image of a tool": (
        [{"role": "tool", "content": [FileHandle(name="a", identifier="b", size_bytes=1, file_type="image")]}],
        {},
    ),
    "an image as OpenAI has it": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}],
        {},
    ),
    "arguments as text": (call_with("{}"), {}),
    "a message with a name": ([{"role": "user", "content": "Hi", "name": "Bob"}], {}),
    # tools
    "parameters that are no schema": ("Hi", {"tools": [{"name": "f", "parameters": "{}"}]}),
    "a reference to nowhere": ("Hi", {"tools": [{"name": "f", "parameters": {"$ref": "#/$defs/Gone"}}]}),
    "a tool without a name": ("Hi", {"tools": [{"parameters": {"type": "object"}}]}),
    "a tool choice without tools": ("Hi", {"tool_choice": "required"}),
    "a tool choice that names nobody": ("Hi", {"tools": [{"name": "f"}], "tool_choice": "g"}),
    # settings
    "a misspelt setting": ("Hi", {"config": {"temprature": 1}}),
    "maxTokens -1": ("Hi", {"config": {"maxTokens": -1}}),
    "a setting of the wrong type": ("Hi", {"config": {"stopStrings": "END"}}),
    "a control character in the draft model": ("Hi", {"draft_model": "a\x00b"}),
    "an empty preset": ("Hi", {"preset": ""}),
    "a time limit of zero": ("Hi", {"timeout": 0}),
    "no response format": ("Hi", {"response_format": 5}),
}


@pytest.mark.parametrize("name", RESPOND)
def test_invalid_prediction_is_refused_before_anything_is_sent(
    front: Front, lmstudio_emulator: Emulator, name: str
) -> None:
    history, options = RESPOND[name]
    for ask in (front.respond, front.fragments):
        with pytest.raises(LMStudioValueError):
            ask(history, **options)
    assert not lmstudio_emulator.requests


DO: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "TTL 0": ("llm.model", ("emulator/chat",), {"ttl": 0}),
    "TTL below a millisecond": ("llm.model", ("emulator/chat",), {"ttl": 0.0001}),
    "TTL NaN": ("llm.model", ("emulator/chat",), {"ttl": NAN}),
    "TTL as text": ("embedding.model", ("emulator/embedding",), {"ttl": "60"}),
    "TTL of an instance": ("llm.load_new_instance", ("emulator/chat",), {"ttl": 0}),
    "TTL of any model": ("llm.model", (), {"ttl": -1}),
    "a control character in a key": ("llm.model", ("emulator\nchat",), {}),
    "an empty key": ("llm.model", ("",), {}),
    "a key that is too long": ("llm.model", ("x" * 1025,), {}),
    "__proto__": ("llm.model", ("__proto__",), {}),
    "half a character in a key": ("llm.model", (HALF,), {}),
    "a key that is no text": ("llm.model", (5,), {}),
    "a control character in an identifier": ("llm.load_new_instance", ("emulator/chat", "a\x7fb"), {}),
    "an empty identifier": ("llm.load_new_instance", ("emulator/chat", ""), {}),
    "a control character in what is unloaded": ("llm.unload", ("a\x00",), {}),
    "None is unloaded": ("llm.unload", (None,), {}),
    "a misspelt load option": ("llm.model", ("emulator/chat",), {"config": {"contextLenght": 5}}),
    "a context of zero": ("llm.load_new_instance", ("emulator/chat",), {"config": {"contextLength": 0}}),
    "NaN as a load option": ("llm.model", ("emulator/chat",), {"config": {"ropeFrequencyBase": NAN}}),
    "a load option of an LLM": ("embedding.model", ("emulator/embedding",), {"config": {"flashAttention": True}}),
    "tokens of nothing": ("handle.tokenize", (None,), {}),
    "tokens of a number": ("handle.tokenize", (5,), {}),
    "tokens of a mapping": ("handle.tokenize", ({"a": 1},), {}),
    "tokens of bytes": ("handle.tokenize", (b"Hi",), {}),
    "tokens of a list with a hole": ("handle.tokenize", (["a", None, "b"],), {}),
    "tokens of half a character": ("handle.tokenize", (HALF,), {}),
    "a count of nothing": ("handle.count_tokens", (None,), {}),
    "a template of nothing": ("handle.apply_prompt_template", (None,), {}),
    "a template of NaN": ("handle.apply_prompt_template", (call_with({"a": NAN}),), {}),
    "a template with a bad tool": ("handle.apply_prompt_template", ("Hi",), {"tools": [{"name": ""}]}),
    "a template with a misspelt setting": ("handle.apply_prompt_template", ("Hi",), {"config": {"temprature": 1}}),
    "no image": ("files.prepare_image", (b"text",), {}),
    "an image with a name that is no text": ("files.prepare_image", (b"\x89PNG\r\n\x1a\nrest", 5), {}),
    "an image with half a character in its name": ("files.prepare_image", (b"\x89PNG\r\n\x1a\nrest", HALF), {}),
}


@pytest.mark.parametrize("name", DO)
def test_invalid_rpc_is_refused_before_anything_is_sent(front: Front, lmstudio_emulator: Emulator, name: str) -> None:
    path, arguments, options = DO[name]
    with pytest.raises(LMStudioValueError):
        front.do(path, *arguments, **options)
    assert not lmstudio_emulator.requests


EMBED: dict[str, Any] = {
    "nothing": None,
    "a number": 5,
    "bytes": b"Hi",
    "a mapping": {"a": 1},
    "token ids": [1, 2, 3],
    "a list with a hole": ["a", None, "b"],
    "half a character": HALF,
    "half a character in a list": ["a", HALF],
}


@pytest.mark.parametrize("name", EMBED)
def test_embed_refuses_what_is_not_text_before_anything_is_sent(
    front: Front, lmstudio_emulator: Emulator, name: str
) -> None:
    front.llm = front.client.embedding.just_in_time("emulator/embedding")
    with pytest.raises(LMStudioValueError):
        front.do("handle.embed", EMBED[name])
    assert not lmstudio_emulator.requests


@pytest.mark.parametrize("layer", ["", "api", "APIOverride", "instances", None])
def test_unknown_config_layer_is_refused(layer: Any) -> None:
    with pytest.raises(LMStudioValueError):
        kv_stack((layer, {"fields": []}))


def every_optional_thing_is_none(front: Front) -> list[Callable[[], Any]]:
    names = ("config", "response_format", "preset", "draft_model", "tools", "tool_choice", "timeout")
    return [
        lambda: front.respond("Hi", **dict.fromkeys(names)),
        lambda: front.complete("Hi", **dict.fromkeys(names[:4])),
        lambda: front.do("llm.model", "emulator/chat", ttl=None, config=None, on_load_progress=None),
        lambda: front.do("llm.load_new_instance", "emulator/chat", None, ttl=None, config=None),
        lambda: front.do("handle.apply_prompt_template", "Hi", tools=None, config=None, omit_bos_token=None),
        lambda: front.respond(
            [
                {
                    "role": "assistant",
                    "content": [{"type": "toolCallRequest", "toolCallRequest": {"id": None, "name": "f"}}],
                }
            ]
        ),
    ]


def test_none_values_leave_no_key(front: Front, lmstudio_emulator: Emulator) -> None:
    for ask in every_optional_thing_is_none(front):
        ask()
    assert not [where for record in lmstudio_emulator.requests for where in nulls(record.message)]


def nulls(value: Any, path: str = "$") -> list[str]:
    if value is None:
        return [path]
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in nulls(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in nulls(item, f"{path}[{index}]")]
    return []
