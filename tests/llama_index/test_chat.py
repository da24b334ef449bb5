"""The eight methods: what they yield, what they send, and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, ThinkingBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM

from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.llama_index import LMStudio
from tests.sent_requests import creations, settings

ASK = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Hello?")]
REPLY = Reply("Hello there, 世界 👋🏽!", prompt_tokens=12, cached_tokens=3)

CHATS = ["chat", "achat", "stream_chat", "astream_chat"]
COMPLETES = ["complete", "acomplete", "stream_complete", "astream_complete"]


async def responses(llm: LMStudio, method: str, *args: Any, **kwargs: Any) -> list[Any]:
    """All responses of a method, whichever of the four kinds it is."""
    outcome = getattr(llm, method)(*args, **kwargs)
    if method.startswith("a"):
        outcome = await outcome
    if "stream" not in method:
        return [outcome]
    if method.startswith("a"):
        return [response async for response in outcome]
    return list(outcome)


def test_llm_is_a_function_calling_llm(llm: LMStudio) -> None:
    assert isinstance(llm, FunctionCallingLLM)
    assert LMStudio.class_name() == "LMStudio_llm"


@pytest.mark.parametrize("method", CHATS)
async def test_chat_returns_the_complete_text(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(REPLY)
    got = await responses(llm, method, ASK)
    assert all(isinstance(response, ChatResponse) for response in got)
    assert got[-1].message.content == REPLY.text
    assert got[-1].message.role == "assistant"
    (creation,) = creations(server)
    assert creation["history"]["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "Hello?"}]},
    ]


@pytest.mark.parametrize("method", COMPLETES)
async def test_complete_sends_a_user_message(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(REPLY)
    got = await responses(llm, method, "Hello?")
    assert all(isinstance(response, CompletionResponse) for response in got)
    assert got[-1].text == REPLY.text
    (creation,) = creations(server)
    assert creation["history"]["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}]


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat", "stream_complete", "astream_complete"])
async def test_deltas_join_to_the_growing_text(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(REPLY)
    got = await responses(llm, method, ASK if "chat" in method else "Hello?")
    assert len(got) > 3
    so_far = ""
    for response in got:
        assert response.delta is not None
        so_far += response.delta
        assert (response.message.content if "chat" in method else response.text) == so_far
    assert so_far == REPLY.text


@pytest.mark.parametrize("method", CHATS + COMPLETES)
async def test_last_response_has_usage_and_stats(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(REPLY)
    *before, last = await responses(llm, method, ASK if "chat" in method else "Hello?")
    assert all(response.raw is None for response in before)
    assert last.raw["usage"]["prompt_tokens"] == 12
    assert last.raw["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    assert last.raw["usage"]["total_tokens"] == 12 + last.raw["usage"]["completion_tokens"]
    assert last.raw["stats"]["stop_reason"] == "eosFound"
    assert last.raw["stats"]["tokens_per_second"] > 0
    assert last.raw["finish_reason"] == "stop"
    assert last.raw["model_info"]["context_length"] == 4096
    assert last.additional_kwargs["prompt_tokens"] == 12


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
async def test_reasoning_is_a_thinking_block(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(Reply("Four.", reasoning="Two and two."))
    got = await responses(llm, method, ASK)
    assert "".join(response.additional_kwargs.get("thinking_delta", "") for response in got) == "Two and two."
    assert "".join(response.delta for response in got) == got[-1].message.content == "Four."
    assert isinstance(got[-1].message.blocks[0], ThinkingBlock)
    assert got[-1].message.blocks[0].content == "Two and two."
    assert got[-1].raw["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


async def test_reasoning_is_not_in_the_text_of_a_completion(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("Four.", reasoning="Two and two."))
    (response,) = await responses(llm, "complete", "2+2?")
    assert response.text == "Four."
    assert response.additional_kwargs["thinking"] == "Two and two."


def test_streams_are_generators(llm: LMStudio) -> None:
    stream = llm.stream_chat(ASK)
    assert isinstance(stream, Generator)
    stream.close()


async def test_async_streams_are_async_generators(llm: LMStudio) -> None:
    stream = await llm.astream_chat(ASK)
    assert isinstance(stream, AsyncGenerator)
    await stream.aclose()


async def test_async_methods_do_not_block_the_event_loop(server: Emulator, llm: LMStudio) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("a b c", hold=gate))
    task = asyncio.create_task(llm.achat(ASK))
    await asyncio.to_thread(server.wait_for, lambda frame: frame.message.get("type") == "channelCreate")
    # the loop has turned all the while: that is how the line before came to its end
    assert not task.done()
    gate.set()
    assert (await task).message.content == "a b c"


def test_llm_works_in_a_second_event_loop(server: Emulator, llm: LMStudio) -> None:
    for number in range(3):
        server.script(Reply(f"answer {number}"))
        assert asyncio.run(llm.achat(ASK)).message.content == f"answer {number}"


async def test_concurrent_calls_do_not_mix(server: Emulator, llm: LMStudio) -> None:
    got = await asyncio.gather(*(llm.acomplete(f"question {number}") for number in range(20)))
    assert [response.text.rsplit(": ", 1)[1] for response in got] == [f"question {number}" for number in range(20)]


async def test_raw_completion_sends_the_text_without_a_template(server: Emulator, llm: LMStudio) -> None:
    server.script(REPLY, REPLY)
    (response,) = await responses(llm, "complete", "Once upon", raw_completion=True)
    assert response.text == REPLY.text
    raw = LMStudio(model="emulator/chat", base_url=server.url, raw_completion=True)
    await responses(raw, "astream_complete", "Once upon")
    assert raw.metadata.is_chat_model is False
    with_template, setting = creations(server)
    assert "promptTemplate" in str(settings(with_template))
    assert settings(with_template) == settings(setting)


def test_raw_prompt_is_formatted_once(server: Emulator) -> None:
    llm = LMStudio(
        model="emulator/chat",
        base_url=server.url,
        raw_completion=True,
        completion_to_prompt=lambda prompt: f"<{prompt}>",
    )
    llm.complete("x")
    llm.complete("x", formatted=True)
    texts = [creation["history"]["messages"][0]["content"][0]["text"] for creation in creations(server)]
    assert texts == ["<x>", "x"]


def test_raw_completion_with_tools_raises(llm: LMStudio) -> None:
    with pytest.raises(LMStudioValueError, match="no chat template for tools"):
        llm.complete("x", raw_completion=True, tools=[{"type": "function", "function": {"name": "f"}}])


@pytest.mark.parametrize("prompt", [None, ["a"], b"a"])
def test_completion_of_a_prompt_that_is_no_text_raises(llm: LMStudio, prompt: Any) -> None:
    with pytest.raises(LMStudioValueError, match="expected the prompt as a str, got"):
        llm.complete(prompt)


def test_settings_reach_the_wire(server: Emulator) -> None:
    llm = LMStudio(
        model="emulator/chat",
        base_url=server.url,
        temperature=0.5,
        max_tokens=100,
        stop=["STOP"],
        top_p=0.9,
        top_k=20,
        min_p=0.1,
        repeat_penalty=1.2,
        seed=7,
        thinking=True,
        context_overflow_policy="rollingWindow",
        additional_kwargs={"presencePenalty": 0.5},
    )
    llm.chat(ASK)
    got = settings(creations(server)[0])
    assert got["llm.prediction.temperature"] == 0.5
    assert got["llm.prediction.maxPredictedTokens"] == {"checked": True, "value": 100}
    assert got["llm.prediction.stopStrings"] == ["STOP"]
    assert got["llm.prediction.topPSampling"] == {"checked": True, "value": 0.9}
    assert got["llm.prediction.topKSampling"] == 20
    assert got["llm.prediction.minPSampling"] == {"checked": True, "value": 0.1}
    assert got["llm.prediction.repeatPenalty"] == {"checked": True, "value": 1.2}
    assert got["llm.prediction.seed"] == {"checked": True, "value": 7}
    assert got["llm.prediction.reasoning.enableThinking"] is True
    assert got["llm.prediction.contextOverflowPolicy"] == "rollingWindow"
    assert got["llm.prediction.llama.presencePenalty"] == {"checked": True, "value": 0.5}


def test_default_settings_send_only_the_context_overflow_policy(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ASK)
    assert settings(creations(server)[0]) == {"llm.prediction.contextOverflowPolicy": "stopAtLimit"}


def test_preset_decides_about_context_overflow(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ASK, preset="emulator-preset")
    assert settings(creations(server)[0]) == {}


def test_call_keywords_override_the_settings(server: Emulator) -> None:
    llm = LMStudio(model="emulator/chat", base_url=server.url, temperature=0.5, stop=["A"], seed=1)
    llm.chat(ASK, temperature=0.0, stop=["B"], max_tokens=-1, config={"seed": 9})
    got = settings(creations(server)[0])
    assert got["llm.prediction.temperature"] == 0.0
    assert got["llm.prediction.stopStrings"] == ["B"]
    assert got["llm.prediction.maxPredictedTokens"]["checked"] is False
    assert got["llm.prediction.seed"]["value"] == 9
    assert llm.temperature == 0.5


def test_thinking_number_is_the_reasoning_budget(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ASK, thinking=128)
    got = settings(creations(server)[0])
    assert got["llm.prediction.reasoning.budgetTokens"] == {"checked": True, "value": 128}
    llm.chat(ASK, reasoning=False)
    assert settings(creations(server)[1])["llm.prediction.reasoning.enableThinking"] is False


def test_model_of_a_call_is_used(server: Emulator, llm: LMStudio) -> None:
    assert llm.chat(ASK, model="emulator/chat-2").raw["model"] == "emulator/chat-2"
    assert llm.chat(ASK).raw["model"] == "emulator/chat"


def test_model_none_uses_any_loaded_model(server: Emulator) -> None:
    assert LMStudio(base_url=server.url).chat(ASK).raw["model"] == "emulator/chat"


def test_preset_is_sent(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ASK, preset="emulator-preset")
    assert creations(server)[0]["fuzzyPresetIdentifier"] == "emulator-preset"


def test_stop_string_is_not_in_the_answer(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("one two STOP three"))
    response = llm.chat(ASK, stop="STOP")
    assert response.message.content == "one two "
    assert response.raw["stats"]["stop_string"] == "STOP"


def test_max_tokens_ends_with_finish_reason_length(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("one two three four five six"))
    assert llm.chat(ASK, max_tokens=2).raw["finish_reason"] == "length"


@pytest.mark.parametrize(("name", "meant"), [("temprature", "temperature"), ("tool_choise", "tool_choice")])
def test_unknown_keyword_raises_and_names_the_nearest(llm: LMStudio, name: str, meant: str) -> None:
    with pytest.raises(LMStudioValueError, match=f"did you mean '{meant}'"):
        llm.chat(ASK, **{name: 1})


def test_logprobs_are_in_the_response_if_requested(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("Hi there"), Reply("Hi there"))
    response = llm.chat(ASK, logprobs=1)
    assert [entries[0].token for entries in response.logprobs] == ["Hi", " there"]
    assert settings(creations(server)[0])["llm.prediction.logProbs"] == {"checked": True, "value": 1}
    assert llm.chat(ASK).logprobs is None


def test_keywords_have_their_llama_index_names(server: Emulator, llm: LMStudio) -> None:
    from llama_index.core.prompts import PromptTemplate

    server.script(REPLY, REPLY)
    assert llm.predict(PromptTemplate("Say {word}."), word="hello") == REPLY.text
    assert "".join(llm.stream(PromptTemplate("Say {word}."), word="hello")) == REPLY.text
    assert creations(server)[0]["history"]["messages"][0]["content"][0]["text"] == "Say hello."


async def test_predict_sends_the_system_prompt(server: Emulator) -> None:
    from llama_index.core.prompts import PromptTemplate

    llm = LMStudio(model="emulator/chat", base_url=server.url, system_prompt="Be kind.")
    await llm.apredict(PromptTemplate("Hi"))
    assert [message["role"] for message in creations(server)[0]["history"]["messages"]] == ["system", "user"]
