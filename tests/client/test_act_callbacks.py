"""``act``'s guard, its callbacks for tool calls and the queue, its forced calls, and tools that answer themselves."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from lmstudio_integrations import LLM, Client, LMStudioResourcesError, LMStudioValueError
from lmstudio_integrations.client.transport import executor
from lmstudio_integrations.emulator import EmulatedModel, Emulator, ThreadsafeEvent
from lmstudio_integrations.emulator.replies import FailedToolCall, Reply, ToolCall
from tests.client.client_variants import Front
from tests.client.test_act import act, add, calls, fail, histories, predictions, settings, tool_results


def test_act_has_every_option_of_the_official_sdk() -> None:
    lmstudio = pytest.importorskip("lmstudio")
    theirs = inspect.signature(lmstudio.LLM.act).parameters
    ours = inspect.signature(LLM.act).parameters
    assert list(theirs)[:3] == list(ours)[:3]
    assert set(theirs) <= set(ours)
    assert {name: ours[name].default for name in theirs} == {name: theirs[name].default for name in theirs}


# Guard


def test_guard_allows_denies_and_changes_calls(front: Front, lmstudio_emulator: Emulator) -> None:
    asked: list[tuple[Any, int]] = []
    decisions: list[Any] = [True, False, "ask again tomorrow", {"a": 40, "b": 2}]

    def guard(call: Any, round_index: int) -> Any:
        asked.append((call.arguments, round_index))
        return decisions[len(asked) - 1]

    lmstudio_emulator.script(calls(*(ToolCall("add", {"a": number, "b": 1}) for number in range(4))), Reply("Done."))
    ran: list[int] = []

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        ran.append(a)
        return a + b

    result = act(front, [add], guard_tool_call=guard)
    assert asked == [({"a": number, "b": 1}, 0) for number in range(4)]
    assert ran == [0, 40]
    denied = "The call of the tool 'add' was denied"
    assert tool_results(lmstudio_emulator) == ["1", denied, f"{denied}: ask again tomorrow", "42"]
    (assistant,) = [message for message in histories(lmstudio_emulator)[-1] if message["role"] == "assistant"]
    sent = [part["toolCallRequest"]["arguments"] for part in assistant["content"] if part["type"] == "toolCallRequest"]
    assert sent == [{"a": 0, "b": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 40, "b": 2}]
    (message,) = [item for item in result.chat if item.role == "assistant"][:1]
    assert [part.tool_call_request.arguments for part in message.content if part.type == "toolCallRequest"] == sent


def test_arguments_of_the_guard_are_checked_like_the_model_s(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})), Reply("Done."))
    act(front, [add], guard_tool_call=lambda call, index: {"a": "one"})
    assert tool_results(lmstudio_emulator)[0].startswith("The arguments do not fit the tool 'add': a: ")


@pytest.mark.parametrize("decision", [None, 1, ["a"]])
def test_guard_must_decide(front: Front, lmstudio_emulator: Emulator, decision: Any) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})))
    with pytest.raises(LMStudioValueError, match="guard_tool_call returned"):
        act(front, [add], guard_tool_call=lambda call, index: decision)


def test_guard_is_not_asked_about_a_tool_that_does_not_exist(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("multiply", {}, unoffered=True)), Reply("Done."))

    def guard(call: Any, round_index: int) -> bool:
        raise AssertionError

    assert act(front, [add], guard_tool_call=guard).rounds == 2


# Callbacks


def test_callbacks_follow_a_tool_call_from_its_start_to_its_result(front: Front, lmstudio_emulator: Emulator) -> None:
    seen: list[tuple[Any, ...]] = []

    def note(name: str) -> Any:
        return lambda *arguments: seen.append((name, *arguments))

    lmstudio_emulator.script(
        calls(
            ToolCall("add", {"a": 1}, id="c1"),
            FailedToolCall(raw_content="{oops"),
            ToolCall("fail", {"text": "x"}, id="c2"),
        ),
        Reply("Done."),
    )
    names = ("start", "name", "arguments", "end", "failed")
    act(
        front,
        [add, fail],
        **{f"on_tool_call_{name}": note(name) for name in names},
        on_tool_result=note("result"),
        on_round_end=note("round"),
    )
    assert [(name, arguments[-1]) for name, *arguments in seen if name != "arguments"] == [
        *[("start", 0), ("name", 0), ("end", 0)],
        *[("start", 0), ("failed", 0)],
        *[("start", 0), ("name", 0), ("end", 0)],
        *[("result", 0)] * 3,
        *[("round", 0), ("round", 1)],
    ]
    written = [arguments for name, *arguments in seen if name == "arguments"]
    assert "".join(text for index, text, _ in written if index == 0) == '{"a":1}'
    results = [(call.name, text) for name, call, text, *_ in (item for item in seen if item[0] == "result")]
    assert results == [
        ("add", "3"),
        ("fail", "The tool 'fail' raised RuntimeError('no x today')"),
        ("unknown_tool", results[2][1]),
    ]
    assert results[2][1].startswith("The tool call could not be parsed")


@pytest.mark.parametrize("parallel", [1, 2, None])
def test_start_of_a_tool_is_reported_when_its_turn_has_come(
    front: Front, lmstudio_emulator: Emulator, parallel: int | None
) -> None:
    steps: list[str] = []

    def wait(name: str) -> str:
        """Wait."""
        steps.append(f"run {name}")
        return name

    lmstudio_emulator.script(calls(*(ToolCall("wait", {"name": name}) for name in "abc")), Reply("Done."))
    act(
        front,
        [wait],
        max_parallel_tool_calls=parallel,
        guard_tool_call=lambda call, index: call.arguments["name"] != "b" or {"name": "B"},
        on_tool_start=lambda call, index: steps.append(f"start {call.arguments['name']} {index}"),
    )
    assert {step for step in steps if step.startswith("start")} == {"start a 0", "start B 0", "start c 0"}
    assert all(steps.index(f"start {name} 0") < steps.index(f"run {name}") for name in "aBc")
    if parallel == 1:
        assert steps == [f"{word} {name}{end}" for name in "aBc" for word, end in (("start", " 0"), ("run", ""))]


def test_error_of_the_callback_before_a_tool_ends_act(front: Front, lmstudio_emulator: Emulator) -> None:
    def fail(call: Any, round_index: int) -> None:
        raise ZeroDivisionError

    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})))
    with pytest.raises(ZeroDivisionError):
        act(front, [add], on_tool_start=fail)


def test_queue_is_reported_with_the_round(
    front: Front, lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 0.01)
    gate = ThreadsafeEvent()
    queued: list[tuple[int, int]] = []
    lmstudio_emulator.script(Reply("First", hold=gate), Reply("Second", progress=(), hold=gate, hold_after=0))
    with Client(lmstudio_emulator.url) as client:
        stream = client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        lmstudio_emulator.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "fragment")

        def on_queue_progress(count: int, round_index: int) -> None:
            queued.append((count, round_index))
            gate.set()

        assert act(front, [add], on_queue_progress=on_queue_progress).content == "Second"
        stream.result()
    assert queued == [(1, 0)]


def test_load_that_would_not_fit_ends_act_on_wish() -> None:
    with Emulator((EmulatedModel("large", fits=False),)) as server, Client(server.url) as client:
        with pytest.raises(LMStudioResourcesError):
            client.llm.just_in_time("large", check_resources=True).act("Hi", [add])
        assert predictions(server) == []


# Forced calls


@pytest.mark.parametrize("choice", ["required", "add"])
def test_tool_choice_counts_for_the_first_round(front: Front, lmstudio_emulator: Emulator, choice: str) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})), Reply("Done."))
    assert act(front, [add, fail], tool_choice=choice).rounds == 2
    first, second = map(settings, predictions(lmstudio_emulator))
    assert first["toolChoice"]["mode"] == "required"
    assert "toolChoice" not in second
    assert [one["function"]["name"] for one in second["tools"]["tools"]] == ["add", "fail"]
    assert [one["function"]["name"] for one in first["tools"]["tools"]] == (
        ["add"] if choice == "add" else ["add", "fail"]
    )


def test_tool_choice_none_and_unknown_options_are_refused_before_anything_is_sent(
    front: Front, lmstudio_emulator: Emulator
) -> None:
    with pytest.raises(LMStudioValueError, match="respond"):
        act(front, [add], tool_choice="none")
    with pytest.raises(TypeError, match="did you mean 'on_round_start'"):
        act(front, [add], on_round_started=print)
    with pytest.raises(TypeError, match="pass it in config="):
        act(front, [add], temperature=0)
    assert lmstudio_emulator.requests == []


# Tools that answer themselves


def weather_of(place: str) -> str:
    """The weather."""
    if place == "nowhere":
        raise ValueError(place)
    return f"Sun in {place}"


def langchain_tool() -> Any:
    return pytest.importorskip("langchain_core.tools").tool("weather_of", return_direct=True)(weather_of)


def llama_index_tool() -> Any:
    tools = pytest.importorskip("llama_index.core.tools")
    return tools.FunctionTool.from_defaults(weather_of, return_direct=True)


@pytest.mark.parametrize("direct", [langchain_tool, llama_index_tool])
def test_tool_with_return_direct_ends_act_with_its_result(
    front: Front, lmstudio_emulator: Emulator, direct: Any
) -> None:
    lmstudio_emulator.script(calls(ToolCall("weather_of", {"place": "Rome"})))
    result = act(front, [direct(), add])
    assert (result.rounds, result.tool_output, result.content, str(result)) == (1, *["Sun in Rome"] * 3)
    assert [message.role for message in result.chat] == ["user", "assistant", "tool"]


def test_return_direct_does_not_end_act_after_an_error_or_beside_other_tools(
    front: Front, lmstudio_emulator: Emulator
) -> None:
    lmstudio_emulator.script(
        calls(ToolCall("weather_of", {"place": "nowhere"})),
        calls(ToolCall("weather_of", {"place": "Rome"}), ToolCall("add", {"a": 1})),
        Reply("Done."),
    )
    result = act(front, [langchain_tool(), add])
    assert (result.rounds, result.tool_output, result.content) == (3, None, "Done.")
