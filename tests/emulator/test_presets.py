"""Presets of the emulator: their settings apply to predictions that name them."""

from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations import Client, LMStudioPresetNotFoundError
from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.errors import LMStudioValueError

PRESETS = {"brief": {"max_tokens": 2, "temperature": 0.25, "stop_strings": ["."], "system_prompt": "Be brief."}}


@pytest.mark.parametrize("name", ["brief", "@local:brief", "@local:Brief"])
def test_preset_limits_the_prediction_that_names_it(name: str) -> None:
    with Emulator(presets=PRESETS) as server, Client(server.url) as client:
        server.script(Reply("One two three"), Reply("One two three"))
        model = client.llm.just_in_time("emulator/chat")
        assert model.respond("Hi", preset=name).content == "One two"
        assert server.predictions[-1].preset == name
        assert model.respond("Hi").content == "One two three"
        assert server.predictions[-1].preset is None


def test_setting_of_the_request_precedes_that_of_its_preset() -> None:
    with Emulator(presets=PRESETS) as server, Client(server.url) as client:
        server.script(Reply("One two three. Four"))
        result = client.llm.just_in_time("emulator/chat").respond("Hi", preset="brief", config={"maxTokens": 100})
        assert result.content == "One two three"
        assert server.predictions[-1].settings == {"max_tokens": 100}
        success = server.wait_for_sent(lambda frame: "predictionConfig" in str(frame.message)).message["message"]
        fields = {field["key"]: field["value"] for field in success["predictionConfig"]["fields"]}
        assert fields["llm.prediction.temperature"] == 0.25


@pytest.mark.parametrize("own", [False, True])
def test_system_prompt_of_a_preset_is_used_if_the_request_has_none(own: bool) -> None:
    prompts: list[str] = []

    def answer(request: Any) -> Reply:
        prompts.append(request.prompt)
        return Reply("Yes")

    with Emulator(presets=PRESETS, replies=answer) as server, Client(server.url) as client:
        history = [{"role": "system", "content": "Be kind."}] if own else []
        chat = {"messages": [*history, {"role": "user", "content": "Hi"}]}
        client.llm.just_in_time("emulator/chat").respond(chat, preset="brief")
    assert ("Be brief." in prompts[0], "Be kind." in prompts[0]) == (not own, own)


def test_unknown_preset_is_an_error_that_names_the_others() -> None:
    with (
        Emulator(presets=PRESETS) as server,
        Client(server.url) as client,
        pytest.raises(LMStudioPresetNotFoundError, match="Preset not found: long"),
    ):
        client.llm.just_in_time("emulator/chat").respond("Hi", preset="long")


@pytest.mark.parametrize(
    ("presets", "words"),
    [
        ({"a": {"temprature": 1}}, "did you mean 'temperature'"),
        ({"a": {"temperature": "high"}}, "expected a number"),
        ({"a": {"max_tokens": 0}}, "expected at least 1"),
        ({"a": 1}, "a dictionary of settings"),
        ({"": {}}, "not empty"),
        ("brief", "a list of texts"),
    ],
)
def test_wrong_preset_is_an_error_at_the_call(presets: Any, words: str) -> None:
    with pytest.raises(LMStudioValueError, match=words):
        Emulator(presets=presets)


def test_switched_off_setting_of_a_preset_is_false() -> None:
    with Emulator(presets={"long": {"max_tokens": False}}) as server, Client(server.url) as client:
        server.script(Reply("One two three"))
        assert client.llm.just_in_time("emulator/chat").respond("Hi", preset="long").content == "One two three"
