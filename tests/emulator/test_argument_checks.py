"""Every public constructor and method of the emulator with wrong values: an error at the call, which says what to do."""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lmstudio_integrations import Client
from lmstudio_integrations.emulator import EmulatedModel, Emulator, FailedToolCall, PredictionRequest, Reply, ToolCall
from lmstudio_integrations.emulator.faults import NAMES, OPTIONS
from lmstudio_integrations.emulator.wire.endpoints import ENDPOINTS
from lmstudio_integrations.errors import LMStudioError, LMStudioValueError

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE

NOT_A_TEXT = [5, b"bytes", ["a"], object()]
NOT_A_FLAG = ["yes", 1, 0, None]
NOT_A_COUNT = [-1, 1.5, "3", True, math.inf]
NOT_SECONDS = [-0.1, math.nan, math.inf, 10**400, "1", None, True]
NOT_AN_EVENT = [True, asyncio.Event(), threading.Lock(), "event"]
NOT_AN_ERROR = [5, "", {}, {"title": 5}, ["a"], {"title": "a", "cause": object()}]

CONSTRUCTORS: dict[str, tuple[Callable[..., Any], dict[str, list[Any]]]] = {
    "Reply": (
        Reply,
        {
            "text": [*NOT_A_TEXT, None, Reply("a")],
            "fragments": ["abc", [1], 5, {"a": 1}, iter("ab")],
            "reasoning": [*NOT_A_TEXT, None],
            "tool_calls": [None, "add", [{"name": "add"}], ToolCall("add"), ["add"], 5],
            "failed_tool_call": ["add", ToolCall("add"), [FailedToolCall("add")]],
            "pace": NOT_SECONDS,
            "prompt_tokens": NOT_A_COUNT,
            "cached_tokens": NOT_A_COUNT,
            "predicted_tokens": NOT_A_COUNT,
            "progress": [0.5, None, "0.5", [2], [-1], [math.nan], ["a"], {"a": 1}],
            "stop_reason": ["eosFond", "", 5, ["eosFound"]],
            "error": NOT_AN_ERROR,
            "error_after": [*NOT_A_COUNT, None],
            "hold": NOT_AN_EVENT,
            "hold_after": [*NOT_A_COUNT, 1],
            "drafted": [5, "a", (1,), (-1, 1), (1.5, 1)],
        },
    ),
    "ToolCall": (
        lambda **values: ToolCall(**{"name": "add", **values}),
        {
            "name": [*NOT_A_TEXT, None, ""],
            "arguments": ["{", "[1]", "3", "", '{"a": 1, "a": 2}', '{"a": NaN}', [1], 5, {1: 2}, {"a": object()}, CYCLE],
            "id": [5, ["a"]],
            "brief": NOT_A_FLAG,
            "fragments": ["abc", [1], 5],
            "unoffered": NOT_A_FLAG,
        },
    ),
    "FailedToolCall": (
        FailedToolCall,
        {
            "name": [5, ""],
            "arguments": [{"a": 1}, None, 5],
            "error": [*NOT_AN_ERROR, None],
            "raw_content": [5, {}],
            "id": [5],
        },
    ),
    "EmulatedModel": (
        lambda **values: EmulatedModel(**{"key": "some/model", **values}),
        {
            "key": [*NOT_A_TEXT, None, ""],
            "domain": ["lmm", None, 5, "LLM"],
            "loaded": NOT_A_FLAG,
            "vision": NOT_A_FLAG,
            "tools": NOT_A_FLAG,
            "context_length": [*NOT_A_COUNT, 0, None],
            "max_context_length": [*NOT_A_COUNT, 0, None],
            "dimensions": [*NOT_A_COUNT, 0, None],
            "size_bytes": [*NOT_A_COUNT, None],
            "architecture": [*NOT_A_TEXT, None],
            "params": NOT_A_TEXT,
            "quantization": ["Q4_K_M", ("Q4_K_M",), (4, "Q4_K_M"), 4],
            "load_error": NOT_AN_ERROR,
            "fits": NOT_A_FLAG,
            "device": NOT_A_TEXT,
            "path": [*NOT_A_TEXT, ""],
            "display_name": NOT_A_TEXT,
            "publisher": NOT_A_TEXT,
            "format": [*NOT_A_TEXT, None],
            "tokens": ["abc", 5, {"a": "b"}, {1: [1]}, {"a": [1.5]}, lambda: [1]],
        },
    ),
    "Emulator": (
        Emulator,
        {
            "models": ["some/model", ["some/model"], [None], 5, EmulatedModel("a"), {"a": 1}, [EmulatedModel("a")] * 2],
            "api_token": [5, "secret", "", "sk-lm-short"],
            "replies": ["Hello", ["Hello"], Reply("a"), 5, {"text": "a"}, [None], lambda: Reply("a"), iter([Reply("a")])],
            "model_path": [5, ""],
            "threads": [*NOT_A_COUNT, 0, None],
            "host": [*NOT_A_TEXT, None, ""],
            "port": [*NOT_A_COUNT, None, 65536],
            "prefix": [*NOT_A_TEXT, None, "lm", "/lm/", "/"],
            "record": NOT_A_FLAG,
            "record_limit": [*NOT_A_COUNT, None],
            "presets": ["preset", None, [1]],
            "origins": ["http://localhost:5173", "*", None, [1]],
            "evict_just_in_time": NOT_A_FLAG,
            "auth_timeout": [*NOT_SECONDS, 0],
            "strict": [*NOT_A_FLAG, "script"],
            "any_model": NOT_A_FLAG,
            "embeddings": ["text", 5, [[1.0]], {1: [1.0]}, {"a": 1.0}, {"a": []}, {"a": ["b"]}, {"a": [math.nan]}, lambda: [1]],
            "repository": ["some/model", [None], None, 5, [EmulatedModel("a")] * 2],
        },
    ),
}  # fmt: skip


def cases() -> list[Any]:
    return [
        pytest.param(name, argument, value, id=f"{name}-{argument}-{number}")
        for name, (_, arguments) in CONSTRUCTORS.items()
        for argument, values in arguments.items()
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("name", "argument", "value"), cases())
def test_wrong_value_is_an_error_that_names_argument_and_expectation(name: str, argument: str, value: Any) -> None:
    make = CONSTRUCTORS[name][0]
    with pytest.raises(LMStudioValueError) as caught:
        make(**{argument: value})
    words = str(caught.value)
    assert argument in words or "two models have the same key" in words
    assert "expected" in words or "not JSON" in words or "twice" in words or "same key" in words


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_table_has_every_argument_of_the_constructor(name: str) -> None:
    make = {"Reply": Reply, "ToolCall": ToolCall, "FailedToolCall": FailedToolCall, "EmulatedModel": EmulatedModel}
    assert set(inspect.signature(make.get(name, Emulator)).parameters) == set(CONSTRUCTORS[name][1])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"text": "a", "fragments": ["a"]}, "got both"),
        ({"hold_after": 1}, "expected an event in hold"),
        ({"error_after": 1}, "expected an error"),
        ({"prompt_tokens": 2, "cached_tokens": 3}, "at most prompt_tokens=2"),
        ({"stop_reason": "eosFond"}, "did you mean 'eosFound'"),
        ({"stop_reason": "maxTokensReached"}, "did you mean 'maxPredictedTokensReached'"),
    ],
)
def test_reply_with_contradicting_values_is_an_error(values: dict[str, Any], words: str) -> None:
    with pytest.raises(LMStudioValueError, match=words):
        Reply(**values)


def test_brief_tool_call_with_fragments_is_an_error() -> None:
    with pytest.raises(LMStudioValueError, match="brief or fragments"):
        ToolCall("add", {}, brief=True, fragments=["{}"])


def test_embedding_model_with_vision_is_an_error() -> None:
    with pytest.raises(LMStudioValueError, match='expected domain="llm"'):
        EmulatedModel("a", "embedding", vision=True)


# Methods


METHODS: dict[str, list[Callable[[Any], Any]]] = {
    "script": [
        lambda server: server.script("Hello"),
        lambda server: server.script(None),
        lambda server: server.script([Reply("a")]),
        lambda server: server.script(Reply("a"), model=5),
        lambda server: server.script(Reply("a"), model=""),
        lambda server: server.script(Reply("a"), model="emulator/embedding"),
    ],
    "wait_for": [
        lambda server: server.wait_for("predict"),
        lambda server: server.wait_for(lambda: True),
        lambda server: server.wait_for(lambda frame: True, timeout=-1),
        lambda server: server.wait_for(lambda frame: True, timeout="5"),
        lambda server: server.wait_for(lambda frame: True, after=None),
    ],
    "wait_for_async": [lambda server: asyncio.run(server.wait_for_async("predict"))],
    "wait_for_sent": [
        lambda server: server.wait_for_sent("predict"),
        lambda server: server.wait_for_sent(lambda frame: True, timeout=math.nan),
    ],
    "wait_until": [
        lambda server: server.wait_until(True),
        lambda server: server.wait_until(lambda: True, timeout=None),
    ],
    "expire": [lambda server: server.expire(5), lambda server: server.expire([]), lambda server: server.expire("no")],
    "unload": [lambda server: server.unload(5), lambda server: server.unload([]), lambda server: server.unload("no")],
    "advance": [lambda server: server.advance(-1), lambda server: server.advance(math.nan), lambda server: server.advance("5")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "number"), [(name, at) for name, calls in METHODS.items() for at in range(len(calls))]
)
def test_method_with_a_wrong_value_is_an_error_that_says_what_was_expected(method: str, number: int) -> None:
    with Emulator() as server, pytest.raises(LMStudioValueError, match=r"expected|there is no"):
        METHODS[method][number](server)


@pytest.mark.parametrize("value", [*NOT_AN_EVENT, 5])
def test_load_hold_that_is_no_event_is_an_error(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match=r"load_hold: expected a threading\.Event"):
        Emulator().load_hold = value


@pytest.mark.parametrize("value", [0.5, [], "0.5", [2.0], [-0.1], ["a"], None, [math.nan]])
def test_load_progress_that_is_no_list_of_shares_is_an_error(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match="load_progress"):
        Emulator().load_progress = value


@pytest.mark.parametrize("value", NOT_SECONDS, ids=lambda value: repr(value)[:20])
def test_load_pace_that_is_no_number_is_an_error(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match="load_pace: expected a number from 0"):
        Emulator().load_pace = value


def test_reply_for_an_unknown_model_is_an_error_with_the_nearest_one() -> None:
    server = Emulator()
    with pytest.raises(LMStudioValueError, match="did you mean 'emulator/chat'"):
        server.script(Reply("a"), model="emulator/chta")
    assert server.scripted == 0
    Emulator(any_model=True).script(Reply("a"), model="qwen/qwen3-4b")


def test_scripting_is_all_or_nothing() -> None:
    server = Emulator()
    with pytest.raises(LMStudioValueError):
        server.script(Reply("a"), "b")  # type: ignore[arg-type]
    assert server.scripted == 0


# Faults


WRONG_OPTIONS: dict[str, dict[str, list[Any]]] = {
    "refuse_auth": {"error": [5, None, {"title": "a"}]},
    "warning_instead": {"kind": ["rpcEndpointUnknow", 5, None], "warning": [5, None]},
    "stall": {"connection": NOT_A_FLAG},
    "garbage": {"text": [5, None, b"x"]},
    "unknown_packet": {"packet": [{"a": object()}, math.nan], "top_level": NOT_A_FLAG},
    "big_frame": {"size": [*NOT_A_COUNT, 0, None], "top_level": NOT_A_FLAG},
    "error_mid_stream": {"error": [*NOT_AN_ERROR, None]},
    "unknown_enum": {"reasoning": NOT_A_FLAG},
}


@pytest.mark.parametrize(
    ("fault", "option", "value"),
    [
        (fault, option, value)
        for fault, one in WRONG_OPTIONS.items()
        for option, values in one.items()
        for value in values
    ],
)
def test_fault_with_a_wrong_option_value_is_an_error(fault: str, option: str, value: Any) -> None:
    with pytest.raises(LMStudioValueError, match=rf"{option}=….*expected"):
        Emulator().faults.add(fault, **{option: value})


def test_table_has_every_option_of_every_fault() -> None:
    assert {name: set(options) for name, options in WRONG_OPTIONS.items()} == {
        name: set(options) for name, options in OPTIONS.items()
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arguments", [{"after": -1}, {"after": "2"}, {"times": 0}, {"times": 1.5}, {"times": True}])
def test_fault_with_a_wrong_place_is_an_error(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(LMStudioValueError, match="expected a whole number"):
        Emulator().faults.add(name, **arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        (5, {}, "there is no fault 5"),
        (None, {}, "there is no fault None"),
        ("drop", {"endpoint": 5}, "there is no endpoint 5"),
        ("drop", {"namespace": 5}, "there is no namespace 5"),
        ("drop", {"namespace": "system"}, "expected an endpoint of the namespace 'system'"),
        ("drop", {"namespace": "embedding", "endpoint": "predict"}, "its endpoints are .*embedString"),
        ("drop", {"namespace": "plugins", "endpoint": "predict"}, "its endpoints are none"),
        ("never_auth", {"endpoint": "predict"}, "when a connection is opened"),
        ("silent", {"after": 2}, "expected after=0, got 2"),
        ("slow_auth", {"after": 2}, "expected after=0, got 2"),
        ("late_close", {"endpoint": "version"}, "expected a channel as endpoint, got 'version'"),
        ("warning_instead", {"kind": "rpcUnknwon"}, "did you mean 'rpcUnknown'"),
    ],
)
def test_fault_that_could_never_happen_is_an_error(name: Any, arguments: dict[str, Any], words: str) -> None:
    server = Emulator()
    with pytest.raises(LMStudioValueError, match=words):
        server.faults.add(name, **arguments)
    assert server.faults.unused() == []


@pytest.mark.parametrize("name", NAMES)
def test_fault_is_accepted_wherever_it_can_happen(name: str) -> None:
    faults = Emulator().faults
    faults.add(name)
    faults.add(name, namespace="llm")
    if name not in ("no_upgrade", "slow_auth", "never_auth", "refuse_auth"):
        faults.add(name, endpoint="*", namespace="system")
        faults.add(name, endpoint="getOrLoad", namespace="embedding")
    assert set(ENDPOINTS) > {"llm", "embedding"}


def test_waiting_for_a_hit_with_a_wrong_timeout_is_an_error() -> None:
    with pytest.raises(LMStudioValueError, match="expected a number from 0"):
        Emulator().faults.add("drop").wait_hit(timeout=-1)


# What functions give, and what a script calls


async def _text_reply(request: PredictionRequest) -> Any:
    return "Hello"


async def _no_vector(text: str) -> Any:
    return "vector"


def _raises(request: Any) -> Any:
    raise KeyError("my own")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda request: "Hello", "expected a Reply or None, got 'Hello'"),
        (_text_reply, "expected a Reply or None, got 'Hello'"),
        (_raises, "the reply function raised KeyError: 'my own'"),
    ],
)
def test_reply_function_that_gives_no_reply_fails_the_prediction_in_words(function: Any, words: str) -> None:
    with Emulator(replies=function) as server, pytest.raises(LMStudioError, match=words):
        Client(server.url).llm.model().respond("Hi", max_retries=0)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda text: "vector", "expected a list of numbers, got 'vector'"),
        (lambda text: ["a"], "expected a finite number, got 'a'"),
        (_no_vector, "expected a list of numbers, got 'vector'"),
        (_raises, "the embeddings function raised KeyError: 'my own'"),
    ],
)
def test_embeddings_function_that_gives_no_vector_fails_the_call_in_words(function: Any, words: str) -> None:
    with Emulator(embeddings=function) as server, pytest.raises(LMStudioError, match=words):
        Client(server.url).embedding.model("emulator/embedding").embed("a")


def test_embeddings_function_may_be_a_coroutine() -> None:
    async def embed(text: str) -> list[float]:
        await asyncio.sleep(0)
        return [float(len(text)), 0.0]

    function: Callable[[str], Awaitable[list[float]]] = embed
    with Emulator(embeddings=function) as server:
        assert Client(server.url).embedding.model("emulator/embedding").embed("abc") == [3.0, 0.0]


def test_scripted_call_of_a_tool_that_was_not_offered_fails_with_the_offered_names() -> None:
    with Emulator() as server:
        server.script(Reply(tool_calls=[ToolCall("subtract", {})]), Reply("next"))
        model = Client(server.url).llm.model("emulator/chat")
        with pytest.raises(LMStudioError, match=r"calls subtract; offered are add.*unoffered=True"):
            model.respond("Hi", tools=[TOOL], max_retries=0)
        assert model.respond("Hi", tools=[TOOL]).content == "next"


def test_scripted_call_that_is_marked_as_unoffered_arrives() -> None:
    with Emulator(strict=True) as server:
        server.script(Reply(tool_calls=[ToolCall("subtract", {}, unoffered=True)]))
        result = Client(server.url).llm.model("emulator/chat").respond("Hi", tools=[TOOL])
    assert [call.name for call in result.tool_calls] == ["subtract"]


@pytest.mark.parametrize("name", ["wiki_page", "wikiPage", "wiki-page"])
def test_scripted_call_may_have_the_tool_name_that_the_model_sees(name: str) -> None:
    tool = {"type": "function", "function": {**TOOL["function"], "name": "wiki-page"}}  # type: ignore[dict-item]
    with Emulator(strict=True) as server:
        server.script(Reply(tool_calls=[ToolCall(name, {})]))
        assert Client(server.url).llm.model("emulator/chat").respond("Hi", tools=[tool]).tool_calls
