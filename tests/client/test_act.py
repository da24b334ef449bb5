"""``act``: rounds of predictions and tool calls, in both kinds of client, against scripted replies."""

from __future__ import annotations

import base64
import functools
import itertools
import json
import threading
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from lmstudio_integrations import (
    ActResult,
    CancelToken,
    Chat,
    ImagePart,
    LMStudioCancelledError,
    LMStudioServerError,
    LMStudioTimeoutError,
    LMStudioToolCallError,
    LMStudioValueError,
    PredictionRoundResult,
    Timeout,
    ToolFunctionDef,
)
from lmstudio_integrations.client.act import act_steps, drive
from lmstudio_integrations.client.act_options import ActSettings
from lmstudio_integrations.emulator import Emulator, ThreadsafeEvent
from lmstudio_integrations.emulator.replies import FailedToolCall, Reply, ToolCall
from tests.client.client_variants import Front
from tests.packet_builders import complete_success, read_all, tool_call
from tests.time_limits import SURE_TO_EXPIRE

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


def fail(text: str) -> str:
    """Fail."""
    raise RuntimeError(f"no {text} today")


def act(front: Front, tools: Any, chat: Any = "Hi", **options: Any) -> ActResult:
    result: ActResult = front.do("handle.act", chat, tools, **options)
    return result


def calls(*calls: ToolCall | FailedToolCall, text: str = "", reasoning: str = "") -> Reply:
    return Reply(text, tool_calls=calls, reasoning=reasoning)


def predictions(server: Emulator) -> list[dict[str, Any]]:
    """The creation parameter of every prediction that was asked for."""
    return [
        frame.message["creationParameter"] for frame in server.requests if frame.message.get("endpoint") == "predict"
    ]


def histories(server: Emulator) -> list[list[dict[str, Any]]]:
    return [parameter["history"]["messages"] for parameter in predictions(server)]


def settings(parameter: dict[str, Any]) -> dict[str, Any]:
    (layer,) = parameter["predictionConfigStack"]["layers"]
    return {field["key"].removeprefix("llm.prediction."): field["value"] for field in layer["config"]["fields"]}


def tool_results(server: Emulator) -> list[str]:
    """The texts of the tool results that the last prediction was sent with."""
    return [
        part["content"] for message in histories(server)[-1] if message["role"] == "tool" for part in message["content"]
    ]


# Rounds


def test_act_runs_tools_until_the_model_answers(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})), calls(ToolCall("add", {"a": 1, "b": 5})), Reply("Done."))
    result = act(front, [add])
    assert (result.rounds, result.content, str(result), result.finish_reason) == (3, "Done.", "Done.", "stop")
    assert result.total_time_seconds > 0
    assert tool_results(lmstudio_emulator) == ["3", "6"]
    assert [one.round_index for one in result.results] == [0, 1, 2]
    assert [message.role for message in result.chat] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert result.usage.total_tokens == sum(one.usage.total_tokens or 0 for one in result.results)


def test_act_without_a_tool_call_is_one_round(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Hello."))
    assert act(front, [add]).rounds == 1
    assert len(predictions(lmstudio_emulator)) == 1


def test_prompt_of_a_round_begins_with_the_bytes_of_the_one_before(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(
        calls(ToolCall("add", {"a": 1}), ToolCall("fail", {"text": "ü"}), text="First", reasoning="Hm."),
        calls(FailedToolCall("add", '{"a": '), reasoning="Again."),
        calls(ToolCall("add", {"b": 4, "a": 3})),
        Reply("Done."),
    )
    chat = Chat("You add.")
    chat.add_user_message("What is 1 + 2?")
    act(front, [add, fail], chat, max_prediction_rounds=4, config={"temperature": 0.5})
    sent = [json.dumps(parameter["history"]) for parameter in predictions(lmstudio_emulator)]
    assert len(sent) == 4
    for shorter, longer in itertools.pairwise(sent):
        assert longer.startswith(shorter.removesuffix("]}"))
        assert len(longer) > len(shorter)
    configs = [settings(parameter) for parameter in predictions(lmstudio_emulator)]
    assert configs[3].pop("toolChoice") == {"type": "generic", "mode": "none"}
    assert configs[0] == configs[1] == configs[2] == configs[3]
    assert "<think>Hm.</think>First" in sent[3]


def test_act_leaves_the_given_chat_as_it_is_and_on_message_extends_it(
    front: Front, lmstudio_emulator: Emulator
) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})), Reply("3."), Reply("Again."))
    chat = Chat()
    chat.add_user_message("What is 1 + 2?")
    result = act(front, [add], chat, on_message=chat.append)
    assert len(chat) == 4
    assert chat == result.chat
    act(front, [add], chat)
    assert histories(lmstudio_emulator)[-1][:-1] == histories(lmstudio_emulator)[1]


def test_last_round_keeps_the_tools_and_forbids_their_use(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})), Reply("3."))
    assert act(front, [add], max_prediction_rounds=2).rounds == 2
    first, last = map(settings, predictions(lmstudio_emulator))
    assert "toolChoice" not in first
    assert last["toolChoice"] == {"type": "generic", "mode": "none"}
    assert last["tools"] == first["tools"]


def test_last_round_is_asked_again_without_tools_if_the_model_calls_one(
    front: Front, lmstudio_emulator: Emulator
) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})), Reply("Without."))
    completed: list[PredictionRoundResult] = []
    result = act(front, [add], max_prediction_rounds=1, on_prediction_completed=completed.append)
    assert (result.rounds, result.content) == (1, "Without.")
    assert [one.content for one in completed] == ["Without."]
    assert "tools" not in settings(predictions(lmstudio_emulator)[1])


def test_tool_call_of_the_last_round_ends_act_with_an_error(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})), calls(ToolCall("add", {"a": 1})))
    seen: list[Any] = []
    with pytest.raises(LMStudioToolCallError, match="max_prediction_rounds"):
        act(front, [add], max_prediction_rounds=1, handle_invalid_tool_request=lambda *given: seen.append(given))
    ((error, request),) = seen
    assert isinstance(error, LMStudioToolCallError)
    assert request is None


@pytest.mark.parametrize("wrong", [{"max_prediction_rounds": 0}, {"max_parallel_tool_calls": True}, {"on_message": 5}])
def test_act_refuses_wrong_options_before_anything_is_sent(
    front: Front, lmstudio_emulator: Emulator, wrong: dict[str, Any]
) -> None:
    with pytest.raises(LMStudioValueError, match=next(iter(wrong))):
        act(front, [add], **wrong)
    assert lmstudio_emulator.requests == []


# Callbacks


def test_callbacks_come_in_the_order_of_the_documentation(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1}), text="Wait"), Reply("Done"))
    seen: list[Any] = []

    def noted_add(a: int) -> int:
        """Add."""
        seen.append("tool")
        return a

    act(
        front,
        [ToolFunctionDef.from_callable(noted_add, name="add")],
        on_round_start=lambda index: seen.append(("start", index)),
        on_prompt_processing_progress=lambda progress, index: seen.append(("prompt", progress, index)),
        on_first_token=lambda index: seen.append(("first", index)),
        on_prediction_fragment=lambda fragment, index: seen.append((str(fragment), index)),
        on_prediction_completed=lambda result: seen.append(("completed", result.round_index)),
        on_message=lambda message: seen.append(message.role),
        on_round_end=lambda index: seen.append(("end", index)),
    )
    assert seen == [
        *[("start", 0), ("prompt", 0.0, 0), ("prompt", 0.5, 0), ("prompt", 1.0, 0), ("first", 0), ("Wait", 0)],
        *[("completed", 0), "tool", "assistant", "tool", ("end", 0)],
        *[("start", 1), ("prompt", 0.0, 1), ("prompt", 0.5, 1), ("prompt", 1.0, 1), ("first", 1), ("Done", 1)],
        *[("completed", 1), "assistant", ("end", 1)],
    ]


def test_coroutine_functions_are_awaited_as_callbacks_and_tools(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("double", {"a": 4})), Reply("8"))
    seen: list[int] = []

    async def double(a: int) -> int:
        """Double."""
        return 2 * a

    async def on_round_end(index: int) -> None:
        seen.append(index)

    if not front.is_async:
        with pytest.raises(LMStudioValueError, match="'double' is a coroutine function"):
            act(front, [double])
        with pytest.raises(LMStudioValueError, match="on_round_end is a coroutine function"):
            act(front, [add], on_round_end=on_round_end)
        return
    act(front, [double], on_round_end=on_round_end)
    assert tool_results(lmstudio_emulator) == ["8"]
    assert seen == [0, 1]


def test_error_of_a_callback_ends_act(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})))
    with pytest.raises(ZeroDivisionError):
        act(front, [add], on_round_end=lambda index: 1 // index)


# What goes wrong in tools


def test_tool_errors_are_sent_to_the_model(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(
        calls(
            ToolCall("fail", {"text": "luck"}),
            ToolCall("nothing", {}, unoffered=True),
            ToolCall("add", {"a": "x"}),
            ToolCall("add", {}),
            FailedToolCall("add", '{"a": '),
        ),
        Reply("I see."),
    )
    assert act(front, [add, fail]).content == "I see."
    raised, unknown, unfit, missing, unparsed = tool_results(lmstudio_emulator)
    assert "'fail' raised RuntimeError('no luck today')" in raised
    assert "no tool 'nothing'" in unknown
    assert "'add', 'fail'" in unknown
    assert "a: Input should be a valid integer" in unfit
    assert "a: Field required" in missing
    assert "could not be parsed" in unparsed


def test_handler_may_replace_the_text_for_the_model(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(
        calls(ToolCall("fail", {"text": "luck"}), ToolCall("nothing", {}, unoffered=True)), Reply("I see.")
    )
    seen: list[Any] = []

    def handle(error: LMStudioToolCallError, request: Any) -> str | None:
        seen.append((error, request))
        return "Try something else." if request.name == "fail" else None

    act(front, [fail], handle_invalid_tool_request=handle)
    assert tool_results(lmstudio_emulator)[0] == "Try something else."
    assert "no tool 'nothing'" in tool_results(lmstudio_emulator)[1]
    by_name = {request.name: error for error, request in seen}
    assert isinstance(by_name["fail"].__cause__, RuntimeError)
    assert by_name["fail"].tool_call.arguments == {"text": "luck"}
    assert by_name["nothing"].__cause__ is None


def test_handler_may_raise_the_error(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("fail", {"text": "luck"})))

    def handle(error: LMStudioToolCallError, request: Any) -> None:
        raise error

    with pytest.raises(LMStudioToolCallError, match="no luck today") as caught:
        act(front, [fail], handle_invalid_tool_request=handle)
    assert isinstance(caught.value, LMStudioServerError)  # what code for the official SDK catches


def test_handler_must_return_text(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("nothing", {}, unoffered=True)))
    with pytest.raises(LMStudioValueError, match="returned int"):
        act(front, [fail], handle_invalid_tool_request=lambda error, request: 5)


def test_act_stops_a_model_that_writes_only_unparsable_calls(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[calls(FailedToolCall("add", "{"))] * 4)
    with pytest.raises(LMStudioToolCallError, match="3 rounds"):
        act(front, [add])
    assert len(predictions(lmstudio_emulator)) == 3


def test_system_exit_in_a_tool_ends_act(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("leave", {})))

    def leave() -> None:
        """Leave."""
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        act(front, [leave])


def test_prediction_that_failed_ends_act(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Half an", stop_reason="failed"))
    with pytest.raises(LMStudioServerError, match="engine failed"):
        act(front, [add])


# Parallel tools, cancel and limits


@pytest.mark.parametrize("limit", [2, None])
def test_parallel_tools_keep_the_order_of_their_calls_in_the_results(
    front: Front, lmstudio_emulator: Emulator, limit: int | None
) -> None:
    lmstudio_emulator.script(calls(ToolCall("wait", {"a": 1}), ToolCall("wait", {"a": 2})), Reply("Done."))
    both = threading.Barrier(2)
    second_is_done = threading.Event()

    def wait(a: int) -> int:
        """Wait for the other one."""
        both.wait(30)
        if a == 1:
            second_is_done.wait(30)
        second_is_done.set()
        return a

    act(front, [wait], max_parallel_tool_calls=limit)
    assert tool_results(lmstudio_emulator) == ["1", "2"]


def test_tools_run_one_after_the_other_by_default(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("note", {"a": 0}), ToolCall("note", {"a": 1})), Reply("Done."))
    second_has_started = threading.Event()
    seen: list[tuple[int, bool]] = []

    def note(a: int) -> None:
        """Note."""
        if a == 1:
            second_has_started.set()
        seen.append((a, second_has_started.wait(SURE_TO_EXPIRE)))

    act(front, [note])
    assert seen == [(0, False), (1, True)]


def test_cancel_during_a_tool_ends_act_at_once(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("stuck", {})))
    token, never, ended = CancelToken(), threading.Event(), threading.Event()

    def stuck() -> None:
        """Wait for ever."""
        token.cancel()
        never.wait(50)
        ended.set()

    try:
        with pytest.raises(LMStudioCancelledError, match="'stuck'"):
            act(front, [stuck], cancel=token)
        assert not ended.is_set()
    finally:
        never.set()


def test_cancel_during_a_prediction_ends_act_with_the_text_so_far(front: Front, lmstudio_emulator: Emulator) -> None:
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(
        Reply("One two three", tool_calls=[ToolCall("add", {"a": 1})], hold=gate, hold_after=1), Reply("Never.")
    )
    token = CancelToken()
    result = act(front, [add], cancel=token, on_prediction_fragment=lambda fragment, index: token.cancel())
    assert (result.rounds, result.finish_reason, result.content) == (1, "cancelled", "One")
    assert len(predictions(lmstudio_emulator)) == 1


def test_tools_of_a_cancelled_prediction_do_not_run() -> None:
    packets = [*tool_call("add", {"a": 1}, id="1"), complete_success("userStopped")]
    reader, _ = read_all(*packets)
    assert reader.result is not None
    answer = reader.result
    steps = act_steps("Hi", [add], ActSettings(timeout=Timeout(), prediction={}), blocking=True)
    result = drive(steps, lambda history, options: answer)
    assert (result.rounds, result.finish_reason) == (1, "cancelled")
    assert [message.role for message in result.chat] == ["user", "assistant"]
    assert [part.type for part in result.chat.messages[-1].content] == ["text"]


def test_cancel_between_rounds_sends_nothing_more(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1})), Reply("Never."))
    token = CancelToken()
    with pytest.raises(LMStudioCancelledError):
        act(front, [add], cancel=token, on_round_end=lambda index: token.cancel())
    assert len(predictions(lmstudio_emulator)) == 1


def test_total_time_limit_bounds_the_tools_too(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("stuck", {})))
    never, ended = threading.Event(), threading.Event()

    def stuck() -> None:
        """Wait for ever."""
        never.wait(50)
        ended.set()

    try:
        with pytest.raises(LMStudioTimeoutError, match="'stuck'") as caught:
            act(front, [stuck], timeout={"total": 1.0})
        assert not ended.is_set()
    finally:
        never.set()
    assert caught.value.limit == "total"


def test_parallel_tool_calls_false_keeps_the_first_call(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("add", {"a": 1}), ToolCall("add", {"a": 2})), Reply("Done."))
    act(front, [add], parallel_tool_calls=False)
    assert tool_results(lmstudio_emulator) == ["3"]


# Forms of tools


class Point(BaseModel):
    x: int
    label: str = "p"


class Counter:
    """Counts."""

    def __call__(self, by: int) -> int:
        """Count."""
        return by + 1

    def method(self, by: int) -> int:
        """Count further."""
        return by + 2


def test_function_gets_its_arguments_as_their_types(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(
        calls(ToolCall("draw", {"schema": {"x": "3"}, "times": "2", "_hidden": 1.5, "free": [1]})), Reply("Done.")
    )
    seen: list[Any] = []

    def draw(
        schema: Point,
        times: Annotated[int, Field(description="how often", ge=1)],
        free: Any,
        _hidden: float = 0.5,
        missing: Annotated[str, "what is missing"] = "default",
        *rest: int,
        **more: int,
    ) -> Point:
        """Draw a point."""
        seen.append((schema, times, free, _hidden, missing))
        return schema

    act(front, [draw])
    assert seen == [(Point(x=3), 2, [1], 1.5, "default")]
    assert tool_results(lmstudio_emulator) == ['{"x": 3, "label": "p"}']
    (tool,) = settings(predictions(lmstudio_emulator)[0])["tools"]["tools"]
    parameters = tool["function"]["parameters"]
    assert list(parameters["properties"]) == ["schema", "times", "free", "_hidden", "missing"]
    assert parameters["required"] == ["schema", "times", "free"]
    assert parameters["properties"]["times"] == {"description": "how often", "minimum": 1, "type": "integer"}
    assert parameters["properties"]["missing"] == {
        "default": "default",
        "description": "what is missing",
        "type": "string",
    }


@pytest.mark.parametrize(
    ("tool", "name", "expected"),
    [
        (add, "add", "3"),
        (ToolFunctionDef.from_callable(add, name="add_up", description="Adds up."), "add_up", "3"),
        (
            ToolFunctionDef(
                name="t", description="d", parameters={"a": int}, implementation=lambda a: {"got": [a, None, "é"]}
            ),
            "t",
            '{"got": [1, null, "é"]}',
        ),
        (
            {
                "name": "t",
                "description": "d",
                "parameters": {"a": int, "b": {"type": int, "default": 7}},
                "implementation": lambda a, b=8: a + b,
            },
            "t",
            "9",
        ),
        (
            {
                "type": "function",
                "function": {
                    "name": "t",
                    "description": "d",
                    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                },
                "implementation": lambda a: "text",
            },
            "t",
            '"text"',
        ),
        (Counter().method, "method", "3"),
        (functools.partial(add, b=9), "add", "10"),
        (ToolFunctionDef.from_callable(Counter(), name="count"), "count", None),
    ],
)
def test_act_describes_and_runs_every_form_of_tool(
    front: Front, lmstudio_emulator: Emulator, tool: Any, name: str, expected: str | None
) -> None:
    argument = "a" if expected is not None and name != "method" else "by"
    lmstudio_emulator.script(calls(ToolCall(name, {argument: 1})), Reply("Done."))
    act(front, [tool])
    assert tool_results(lmstudio_emulator) == [expected or "2"]
    (sent,) = settings(predictions(lmstudio_emulator)[0])["tools"]["tools"]
    assert sent["function"]["name"] == name
    assert sent["function"]["description"]


def test_call_without_a_required_argument_of_a_schema_is_refused(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("t", {"b": 1}), ToolCall("t", {"a": 1, "b": 1})), Reply("Done."))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    act(front, [{"name": "t", "description": "d", "parameters": schema, "implementation": lambda a: a}])
    missing, unknown = tool_results(lmstudio_emulator)
    assert missing.endswith("missing: a")
    assert unknown.endswith("unknown: b")


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([], "at least one tool"),
        (add, "a list of tools"),
        ([add, add], "two of the name 'add'"),
        ([{"name": "t", "description": "d", "parameters": {}}], "callable 'implementation'"),
        ([5], "got int"),
        ([lambda a: a], "a function with a name"),
        ([ToolFunctionDef(name="t", description="", parameters={"a": object()}, implementation=add)], "no JSON form"),
        ([ToolFunctionDef(name="t", description="", parameters={"a": {}}, implementation=add)], "no 'type'"),
    ],
)
def test_act_refuses_objects_that_are_no_tools_before_anything_is_sent(
    front: Front, lmstudio_emulator: Emulator, tools: Any, message: str
) -> None:
    with pytest.raises(LMStudioValueError, match=message):
        act(front, tools)
    assert lmstudio_emulator.requests == []


def test_image_of_a_tool_follows_in_a_user_message(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(calls(ToolCall("look", {})), Reply("A dot."))

    def look() -> list[Any]:
        """Look."""
        return ["a photo", ImagePart(PNG, "dot.png")]

    chat = Chat.from_history("Look.")
    result = act(front, [look], chat, on_message=chat.append)
    assert tool_results(lmstudio_emulator) == ['"a photo"']
    assert chat == result.chat
    assert [message.role for message in chat] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert [message["role"] for message in histories(lmstudio_emulator)[-1]][-3:] == ["tool", "assistant", "user"]
    assert histories(lmstudio_emulator)[-1][-1]["content"][-1]["name"] == "dot.png"


PDF = b"%PDF-1.7\0" + bytes(3000)


def assert_no_data(server: Emulator) -> None:
    sent = json.dumps(histories(server)[-1])
    assert base64.b64encode(PDF).decode()[:40] not in sent
    assert base64.b64encode(PNG).decode()[:40] not in sent
    assert "u0000" not in sent


def test_bytes_of_a_tool_are_text_or_a_placeholder(front: Front, lmstudio_emulator: Emulator) -> None:
    def look() -> dict[str, Any]:
        """Look."""
        return {"text": "caf\u00e9".encode(), "files": [PDF, bytearray(PDF)]}

    lmstudio_emulator.script(calls(ToolCall("look", {})), Reply("Done."))
    act(front, [look])
    (result,) = map(json.loads, tool_results(lmstudio_emulator))
    assert result["text"] == "caf\u00e9"
    assert all(f"{len(PDF)} bytes" in item for item in result["files"])
    assert_no_data(lmstudio_emulator)


def test_documents_of_a_langchain_tool_are_placeholders_and_images_are_uploaded(
    front: Front, lmstudio_emulator: Emulator
) -> None:
    tools: Any = pytest.importorskip("langchain_core.tools")
    picture = base64.b64encode(PNG).decode()

    @tools.tool  # type: ignore[untyped-decorator]  # imported only if it is there
    def look() -> list[Any]:
        """Look."""
        pdf = base64.b64encode(PDF).decode()
        return [
            "plain",
            {"type": "file", "base64": pdf, "mime_type": "application/pdf"},
            {"type": "file", "base64": base64.b64encode(b"words").decode(), "mime_type": "text/plain"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": pdf}},
            {"type": "json", "sides": 3, "blob": pdf},
        ]

    lmstudio_emulator.script(calls(ToolCall("look", {})), Reply("Done."))
    act(front, [look])
    (result,) = tool_results(lmstudio_emulator)
    plain, pdf, words, document, rest = result.splitlines()
    assert (plain, words, json.loads(rest)["sides"]) == ("plain", "words", 3)
    assert "application/pdf" in pdf
    assert "application/pdf" in document
    assert histories(lmstudio_emulator)[-1][-1]["content"][-1]["type"] == "file"
    assert_no_data(lmstudio_emulator)


def test_blocks_of_a_llama_index_tool_are_read_as_in_llama_index(front: Front, lmstudio_emulator: Emulator) -> None:
    tools = pytest.importorskip("llama_index.core.tools")
    types = pytest.importorskip("llama_index.core.base.llms.types")

    def look() -> list[Any]:
        """Look."""
        return [
            types.TextBlock(text="seen"),
            types.ImageBlock(image=PNG),
            types.DocumentBlock(data=base64.b64encode(PDF), document_mimetype="application/pdf"),
            types.AudioBlock(audio=base64.b64encode(PDF), format="wav"),
        ]

    tool = tools.FunctionTool.from_defaults(look)
    if len(tool().blocks) == 1:
        pytest.skip("this release of LlamaIndex makes one text of a list of blocks")
    lmstudio_emulator.script(calls(ToolCall("look", {})), Reply("Done."))
    act(front, [tool])
    (result,) = tool_results(lmstudio_emulator)
    seen, pdf, audio = result.splitlines()
    assert seen == "seen"
    assert "application/pdf" in pdf
    assert audio.startswith("[audio")
    assert histories(lmstudio_emulator)[-1][-1]["content"][-1]["type"] == "file"
    assert_no_data(lmstudio_emulator)


def test_blocks_that_a_framework_makes_text_of_are_read_as_blocks(front: Front, lmstudio_emulator: Emulator) -> None:
    tools: Any = pytest.importorskip("langchain_core.tools")
    llama_index = pytest.importorskip("llama_index.core.tools")
    image = {"type": "image", "base64": base64.b64encode(PNG).decode(), "mime_type": "image/png"}
    document = {"type": "resource", "resource": {"mimeType": "a/b", "blob": base64.b64encode(PDF).decode()}}

    @tools.tool  # type: ignore[untyped-decorator]  # imported only if it is there
    def one() -> Any:
        """Look."""
        return image

    def two() -> Any:
        """Look."""
        return [image, document]

    def three() -> Any:
        """Look."""
        return [image, document]

    lmstudio_emulator.script(calls(*(ToolCall(name, {}) for name in ("one", "two", "three"))), Reply("Done."))
    act(front, [one, llama_index.FunctionTool.from_defaults(two), three])
    first, second, third = tool_results(lmstudio_emulator)
    assert first == "(image)"
    assert second == third
    assert second.startswith("[file, a/b, 3009 bytes: left out")
    assert [part["type"] for part in histories(lmstudio_emulator)[-1][-1]["content"]] == [
        "text",
        "file",
        "file",
        "file",
    ]
    assert_no_data(lmstudio_emulator)


def test_langchain_tools_run_as_they_do_in_langchain(front: Front, lmstudio_emulator: Emulator) -> None:
    tools: Any = pytest.importorskip("langchain_core.tools")

    @tools.tool  # type: ignore[untyped-decorator]  # imported only if it is there
    def multiply(a: int, b: int) -> str:
        """Multiply two numbers."""
        return f"{a * b}\n"

    @tools.tool  # type: ignore[untyped-decorator]  # imported only if it is there
    def show(a: int) -> list[Any]:
        """Show a picture."""
        return [{"type": "text", "text": "here"}, {"type": "image", "base64": base64.b64encode(PNG).decode()}]

    @tools.tool  # type: ignore[untyped-decorator]  # imported only if it is there
    def fails(a: int) -> str:
        """Fail."""
        raise tools.ToolException("no")

    lmstudio_emulator.script(
        calls(
            ToolCall("multiply", {"a": 3, "b": 4}),
            ToolCall("show", {"a": 1}),
            ToolCall("fails", {"a": 1}),
            ToolCall("multiply", {"a": 3}),
        ),
        Reply("Done."),
    )
    act(front, [multiply, show, fails, add])
    product, shown, failed, unfit = tool_results(lmstudio_emulator)
    assert (product, shown) == ("12\n", "here")
    assert "ToolException('no')" in failed
    assert "b" in unfit
    assert histories(lmstudio_emulator)[-1][-1]["content"][-1]["type"] == "file"
    sent = settings(predictions(lmstudio_emulator)[0])["tools"]["tools"][0]["function"]
    assert sent["description"] == "Multiply two numbers."
    assert sent["parameters"]["properties"] == {"a": {"type": "integer"}, "b": {"type": "integer"}}


def test_langchain_tool_with_a_coroutine_alone_needs_the_async_client(
    front: Front, lmstudio_emulator: Emulator
) -> None:
    tools: Any = pytest.importorskip("langchain_core.tools")

    @tools.tool  # type: ignore[untyped-decorator]  # imported only if it is there
    async def triple(a: int) -> int:
        """Triple."""
        return 3 * a

    lmstudio_emulator.script(calls(ToolCall("triple", {"a": 3})), Reply("Done."))
    if not front.is_async:
        with pytest.raises(LMStudioValueError, match="coroutine"):
            act(front, [triple])
        return
    act(front, [triple])
    assert tool_results(lmstudio_emulator) == ["9"]


def test_llama_index_tools_run_as_they_do_in_llama_index(front: Front, lmstudio_emulator: Emulator) -> None:
    tools = pytest.importorskip("llama_index.core.tools")

    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    lmstudio_emulator.script(calls(ToolCall("times", {"a": 3, "b": 4}), ToolCall("times", {"a": 3})), Reply("Done."))
    tool = tools.FunctionTool.from_defaults(fn=multiply, name="times", description="Multiplies.")
    act(front, [tool])
    product, unfit = tool_results(lmstudio_emulator)
    assert product == "12"
    assert "raised TypeError" in unfit
    sent = settings(predictions(lmstudio_emulator)[0])["tools"]["tools"][0]["function"]
    assert (sent["name"], sent["description"]) == ("times", "Multiplies.")
    assert set(sent["parameters"]["properties"]) == {"a", "b"}
