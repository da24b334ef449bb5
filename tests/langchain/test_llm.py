from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.prompts import PromptTemplate

from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.langchain import LMStudioLLM
from tests.sent_requests import prediction_settings, predictions


@pytest.fixture
def llm(lmstudio_emulator: Emulator) -> Callable[..., LMStudioLLM]:
    def make(**given: Any) -> LMStudioLLM:
        return LMStudioLLM(**{"model": "emulator/chat", "base_url": lmstudio_emulator.url, **given})

    return make


async def test_text_is_continued_in_all_four_ways(llm: Callable[..., LMStudioLLM], lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[Reply("three four")] * 4)
    model = llm()
    assert model.invoke("one two") == "three four"
    assert await model.ainvoke("one two") == "three four"
    assert list(model.stream("one two")) == ["three", " four", ""]
    assert [piece async for piece in model.astream("one two")] == ["three", " four", ""]


def test_prompt_is_sent_without_a_template(llm: Callable[..., LMStudioLLM], lmstudio_emulator: Emulator) -> None:
    llm().invoke("one two")
    sent = predictions(lmstudio_emulator)[-1]
    prompt = sent.get("rawPrompt") or sent["history"]["messages"][0]["content"][0]["text"]
    assert prompt == "one two"


def test_reasoning_is_not_in_the_text(llm: Callable[..., LMStudioLLM], lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[Reply(reasoning="hm", text="so")] * 3)
    assert llm().invoke("x") == "so"
    assert "".join(llm().stream("x")) == "so"
    info = llm().generate(["x"]).generations[0][0].generation_info
    assert info is not None
    assert info["reasoning_content"] == "hm"


async def test_generation_info_has_usage_and_statistics(llm: Callable[..., LMStudioLLM]) -> None:
    for result in (llm().generate(["a", "b"]), await llm().agenerate(["a", "b"])):
        info = result.generations[0][0].generation_info
        assert info is not None
        assert info["finish_reason"] == "stop"
        assert info["stats"]["tokens_per_second"] > 0
        assert result.llm_output is not None
        total = sum(one[0].generation_info["usage_metadata"]["total_tokens"] for one in result.generations)  # type: ignore[index]
        assert result.llm_output["token_usage"]["total_tokens"] == total


def test_handlers_receive_every_token(llm: Callable[..., LMStudioLLM], lmstudio_emulator: Emulator) -> None:
    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[str] = []
            self.info: Any = None

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            self.seen.append(token)

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            self.info = response.generations[0][0].generation_info

    handler = Tokens()
    lmstudio_emulator.script(Reply("one two"))
    list(llm().stream("x", config={"callbacks": [handler]}))
    assert handler.seen == ["one", " two", ""]
    assert handler.info["stop_reason"] == "eosFound"


def test_settings_and_call_keywords_equal_the_chat_models(
    llm: Callable[..., LMStudioLLM], lmstudio_emulator: Emulator
) -> None:
    llm(temperature=0.2, stop=["a"]).invoke("x", stop=["b"], max_tokens=3)
    sent = prediction_settings(lmstudio_emulator)
    assert sent["llm.prediction.temperature"] == 0.2
    assert sent["llm.prediction.stopStrings"] == ["b"]
    assert sent["llm.prediction.maxPredictedTokens"] == {"checked": True, "value": 3}


def test_unknown_keyword_raises_and_is_named(llm: Callable[..., LMStudioLLM]) -> None:
    with pytest.raises(TypeError, match="'tools'"):
        llm().invoke("x", tools=[])  # type: ignore[call-arg]  # on purpose


def test_errors_are_errors_of_langchain(llm: Callable[..., LMStudioLLM], lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(error="no"))
    with pytest.raises(core.ModelAPIError):
        llm().invoke("x")


def test_model_works_in_chains_and_pickles(llm: Callable[..., LMStudioLLM], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", "sk-lm-aaaaaaaa:bbbbbbbbbbbbbbbbbbbb")  # number 15: in no pickle
    model = pickle.loads(pickle.dumps(llm(api_token="sk-lm-aaaaaaaa:bbbbbbbbbbbbbbbbbbbb")))
    assert "bbbb" not in repr(model)
    assert (PromptTemplate.from_template("{x}") | model).invoke({"x": "y"})
    assert model._get_ls_params()["ls_provider"] == "lmstudio"


async def test_failed_prompt_cancels_the_others_of_its_call(
    llm: Callable[..., LMStudioLLM], lmstudio_emulator: Emulator
) -> None:
    lmstudio_emulator.script(Reply("one two", hold=ThreadsafeEvent(), hold_after=1), Reply(error="no"))
    with pytest.raises(core.ModelAPIError):
        await llm().agenerate(["a", "b"])
    await asyncio.to_thread(
        lmstudio_emulator.wait_for, lambda record: (record.message.get("message") or {}).get("type") == "cancel"
    )
