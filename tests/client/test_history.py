"""The rules of a history that both adapters share."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmstudio_integrations.client.chat import as_history
from lmstudio_integrations.client.history import HistoryBuilder, PreparedHistory
from lmstudio_integrations.client.images import ImagePart
from tests.client.chat_templates import GEMMA, MISTRAL, QWEN, TemplateError, render

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
TEMPLATES = {"mistral": MISTRAL, "gemma": GEMMA, "qwen": QWEN}
CALL = ("c1", "look", {"b": 1, "a": 2})


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def request(call_id: str | None, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    identified: dict[str, Any] = {} if call_id is None else {"id": call_id}
    return {
        "type": "toolCallRequest",
        "toolCallRequest": identified | {"type": "function", "name": name, "arguments": arguments},
    }


def image() -> ImagePart:
    return ImagePart(PNG)


def built(*steps: Callable[[HistoryBuilder], None], **options: Any) -> list[dict[str, Any]]:
    return prepared(*steps, **options).messages


def prepared(*steps: Callable[[HistoryBuilder], None], **options: Any) -> PreparedHistory:
    builder = HistoryBuilder(**options)
    for step in steps:
        step(builder)
    history = builder.build()
    as_history(history.without_images().messages)  # the client's own check finds nothing wrong with it
    return history


def system(content: Any) -> Callable[[HistoryBuilder], None]:
    return lambda builder: builder.add_system(content)


def user(content: Any, name: str | None = None) -> Callable[[HistoryBuilder], None]:
    return lambda builder: builder.add_user(content, name)


def answer(content: Any, **more: Any) -> Callable[[HistoryBuilder], None]:
    return lambda builder: builder.add_assistant(content, **more)


def result(words: str, call_id: str | None = "c1", name: str | None = None, images: Any = ()) -> Any:
    return lambda builder: builder.add_tool_result(words, call_id, name, images)


def roles(messages: list[dict[str, Any]]) -> list[str]:
    return [message["role"] for message in messages]


def test_builder_writes_each_role_in_wire_form() -> None:
    assert built(system("s"), user("u"), answer("a")) == [
        {"role": "system", "content": [text("s")]},
        {"role": "user", "content": [text("u")]},
        {"role": "assistant", "content": [text("a")]},
    ]


def test_builder_without_messages_makes_an_empty_history() -> None:
    assert built() == []


@pytest.mark.parametrize("content", ["", []])
def test_empty_content_becomes_an_empty_text(content: Any) -> None:
    assert built(user(content), answer(content)) == [
        {"role": "user", "content": [text("")]},
        {"role": "assistant", "content": [text("")]},
    ]


def test_texts_of_a_user_message_stay_apart_without_a_separator() -> None:
    assert built(user(["a", "b"])) == [{"role": "user", "content": [text("a"), text("b")]}]


def test_texts_of_a_user_message_are_joined_by_the_separator_around_images() -> None:
    picture = image()
    (message,) = built(user(["a", "b", picture, "c"]), text_separator="\n")
    assert message["content"] == [text("a\nb"), picture, text("c")]


def test_answer_has_one_text_then_files_then_calls() -> None:
    picture = image()
    (message,) = built(answer(["a", picture, "b"], calls=[CALL]))
    assert message["content"] == [text("ab"), picture, request("c1", "look", {"b": 1, "a": 2})]


def test_images_are_listed_in_the_order_of_the_history() -> None:
    first, second, third = image(), image(), image()
    history = prepared(
        user(["a", first]), answer("", calls=[CALL]), result("r", images=[second]), answer("ok"), user([third])
    )
    assert history.images == [first, second, third]
    found = [part for message in history.messages for part in message["content"] if isinstance(part, ImagePart)]
    assert found == history.images


def test_without_images_keeps_texts_and_tools_and_leaves_the_history_alone() -> None:
    file = {"type": "file", "name": "a.png", "identifier": "1", "sizeBytes": 1, "fileType": "image"}
    history = prepared(user(["a", image(), file]), answer("", calls=[CALL]), result("r"))
    bare = history.without_images()
    assert bare.images == []
    assert bare.messages[0]["content"] == [text("a")]
    assert bare.messages[1:] == history.messages[1:]
    assert len(history.messages[0]["content"]) == 3


# Tool calls and results


def test_arguments_keep_the_order_of_their_keys() -> None:
    assert '"arguments": {"b": 1, "a": 2}' in json.dumps(built(answer("", calls=[CALL])))


def test_arguments_as_json_text_become_an_object() -> None:
    (message,) = built(answer("", calls=[("1", "f", '{"z": 1, "a": [2]}'), (None, "g", ""), ("3", "h", None)]))
    assert message["content"][1:] == [
        request("1", "f", {"z": 1, "a": [2]}),
        request(None, "g", {}),
        request("3", "h", {}),
    ]


def test_arguments_are_not_the_callers_object() -> None:
    arguments = {"a": 1}
    (message,) = built(answer("", calls=[("1", "f", arguments)]))
    message["content"][1]["toolCallRequest"]["arguments"]["b"] = 2
    assert arguments == {"a": 1}


def test_results_of_a_round_are_one_message_with_the_names_of_their_calls() -> None:
    history = prepared(answer("", calls=[CALL, ("c2", "add", {})]), result("1"), result("2", "c2", name="wrong"))
    assert history.messages[1] == {
        "role": "tool",
        "content": [
            {"type": "toolCallResult", "content": "1", "toolCallId": "c1", "name": "look"},
            {"type": "toolCallResult", "content": "2", "toolCallId": "c2", "name": "add"},
        ],
    }
    assert history.call_ids == {"c1", "c2"}


def test_results_of_a_round_are_one_message_even_if_nothing_is_merged() -> None:
    messages = built(answer("", calls=[CALL, ("c2", "add", {})]), result("1"), result("2", "c2"), merge_messages=False)
    assert roles(messages) == ["assistant", "tool"]


def test_tool_result_without_a_call_keeps_its_id_and_name() -> None:
    assert built(result("3", "c9", name="add"), result("4", None)) == [
        {
            "role": "tool",
            "content": [
                {"type": "toolCallResult", "content": "3", "toolCallId": "c9", "name": "add"},
                {"type": "toolCallResult", "content": "4"},
            ],
        }
    ]


@pytest.mark.parametrize("written", ['{"a": ', "[1]", "7", '{"a": NaN}', "[" * 100_000])
@pytest.mark.parametrize("key", ["calls", "invalid_calls"])
def test_unparsable_call_is_text_until_a_result_answers_it(key: str, written: str) -> None:
    """Number 19. Strict templates accept no call without a result, and no result without a call."""
    step = answer("so", **{key: [("c1", "look", written)]})
    (alone,) = built(step)
    assert alone["content"] == [text(f"so\n{written}")]
    answered = built(step, result("no JSON"))
    assert answered[0]["content"] == [text(f"so\n{written}"), request("c1", "look", {})]
    assert answered[1]["content"][0]["name"] == "look"


def test_unparsable_call_is_not_repeated_if_the_text_has_it() -> None:
    (message,) = built(answer('{"a": ', invalid_calls=[("c1", "look", '{"a": ')]))
    assert message["content"] == [text('{"a": ')]


def test_unparsable_call_with_object_arguments_keeps_them() -> None:
    messages = built(answer("", invalid_calls=[("c1", None, '{"a": 1}')]), result("no such tool"))
    assert messages[0]["content"][1] == request("c1", "unknown_tool", {"a": 1})


def test_id_of_an_unparsable_call_is_not_used_again() -> None:
    assert prepared(answer("", invalid_calls=[("c1", "look", "{")])).call_ids == {"c1"}


# Images of tools (number 18)


def test_images_of_tools_follow_the_round_after_a_short_answer() -> None:
    first, second = image(), image()
    messages = built(
        answer("", calls=[CALL, ("c2", "look", {})]),
        result("one", images=[first]),
        result("two", "c2", images=[second]),
    )
    assert roles(messages) == ["assistant", "tool", "assistant", "user"]
    assert [part["content"] for part in messages[1]["content"]] == ["one", "two"]
    assert messages[2]["content"] == [text("Let me look at the images.")]
    assert messages[3]["content"] == [text("Images that the tools returned:"), first, second]


def test_images_of_tools_and_of_the_next_user_message_are_one_message() -> None:
    first, second = image(), image()
    history = prepared(answer("", calls=[CALL]), result("r", images=[first]), user(["and this?", second]))
    assert roles(history.messages) == ["assistant", "tool", "assistant", "user"]
    assert history.messages[3]["content"] == [
        text("Images that the tools returned:"),
        first,
        text("and this?"),
        second,
    ]
    assert history.images == [first, second]


# Reasoning (number 14)

ROUNDS = (
    user("1"),
    answer("one", reasoning="first"),
    user("2"),
    answer("", calls=[CALL], reasoning="second"),
    result("r"),
    answer("two", reasoning="third"),
)


def answers(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"][0]["text"] for message in messages if message["role"] == "assistant"]


def test_reasoning_goes_back_for_the_messages_since_the_last_user_message() -> None:
    assert answers(built(*ROUNDS)) == ["one", "<think>second</think>", "<think>third</think>two"]


def test_reasoning_goes_back_completely_or_not_at_all_on_request() -> None:
    assert answers(built(*ROUNDS, user("3"), send_reasoning=True)) == [
        "<think>first</think>one",
        "<think>second</think>",
        "<think>third</think>two",
    ]
    assert answers(built(*ROUNDS, send_reasoning=False)) == ["one", "", "two"]


def test_images_of_tools_and_late_system_messages_are_no_user_messages_for_reasoning() -> None:
    messages = built(*ROUNDS[:4], result("r", images=[image()]), answer("ok"), system("be brief"))
    assert answers(messages)[1:3] == ["<think>second</think>", "Let me look at the images."]


def test_reasoning_stands_in_its_own_tags() -> None:
    step = answer("so", reasoning="hm", reasoning_tags=["[THINK]", "[/THINK]\n"])
    assert answers(built(step)) == ["[THINK]hm[/THINK]\nso"]


@pytest.mark.parametrize("tags", [("<|channel|>analysis<|message|>", "<|end|>"), ("<think>", "<|end|>")])
def test_reasoning_in_special_tokens_is_left_out(tags: tuple[str, str]) -> None:
    assert answers(built(answer("so", reasoning="hm", reasoning_tags=tags))) == ["so"]


def test_reasoning_of_merged_answers_stands_before_its_own_text() -> None:
    messages = built(answer("a", reasoning="x"), answer("b"), answer("c", reasoning="y"))
    assert answers(messages) == ["<think>x</think>a\n\nb\n\n<think>y</think>c"]


# Neighbours (number 20)


def test_neighbouring_messages_of_one_role_are_merged() -> None:
    picture = image()
    messages = built(
        system("s1"),
        system("s2"),
        user("u1"),
        user(["u2", picture]),
        user("u3"),
        user("u4"),
        answer("a1", calls=[("c0", "f", {})]),
        answer("a2", calls=[CALL]),
        result("r0", "c0"),
        result("r1"),
    )
    assert messages[:3] == [
        {"role": "system", "content": [text("s1\n\ns2")]},
        {"role": "user", "content": [text("u1\n\nu2"), picture, text("u3\n\nu4")]},
        {
            "role": "assistant",
            "content": [text("a1\n\na2"), request("c0", "f", {}), request("c1", "look", {"b": 1, "a": 2})],
        },
    ]
    assert roles(messages) == ["system", "user", "assistant", "tool"]


def test_empty_neighbours_leave_no_blank_lines() -> None:
    assert built(user(""), user("u"), user(""), user("v")) == [{"role": "user", "content": [text("u\n\nv")]}]


def test_images_of_merged_answers_stand_before_the_calls() -> None:
    picture = image()
    (message,) = built(answer("a", calls=[CALL]), answer(["b", picture]))
    assert message["content"] == [text("a\n\nb"), picture, request("c1", "look", {"b": 1, "a": 2})]


def test_late_system_messages_become_user_messages() -> None:
    messages = built(system("s"), user("u"), system("later"), answer("a"), system("again"), user("v"))
    assert [(message["role"], message["content"]) for message in messages] == [
        ("system", [text("s")]),
        ("user", [text("u\n\nlater")]),
        ("assistant", [text("a")]),
        ("user", [text("again\n\nv")]),
    ]


def test_late_system_message_after_tool_results_follows_a_short_answer() -> None:
    messages = built(user("u"), answer("", calls=[CALL]), result("r"), system("later"))
    assert roles(messages) == ["user", "assistant", "tool", "assistant", "user"]
    assert messages[3]["content"] == [text("I have the results.")]


def test_merge_messages_false_keeps_messages_apart() -> None:
    messages = built(
        system("s1"),
        system("s2"),
        user("u1"),
        user("u2"),
        system("s3"),
        answer("a1"),
        answer("a2"),
        merge_messages=False,
    )
    assert roles(messages) == ["system", "system", "user", "user", "system", "assistant", "assistant"]


# Names


def test_message_names_are_omitted_by_default() -> None:
    steps = [user("hi", name="Eve"), answer("hello", name="helper")]
    assert built(*steps) == built(user("hi"), answer("hello"))


def test_message_names_true_puts_names_before_the_text() -> None:
    picture = image()
    messages = built(
        user("hi", name="Eve"),
        answer("hello", name="helper", reasoning="hm"),
        user([picture], name="Eve"),
        answer("", name="helper", calls=[CALL]),
        message_names=True,
        send_reasoning=True,
    )
    assert [message["content"][:2] for message in messages] == [
        [text("Eve: hi")],
        [text("<think>hm</think>helper: hello")],
        [text("Eve:"), picture],
        [text(""), request("c1", "look", {"b": 1, "a": 2})],
    ]


# Strict templates


def old_order(history: list[dict[str, Any]]) -> dict[str, Any]:
    """As it was before number 18: the images right after the results."""
    return {"messages": [m for m in history if m["content"][0] != text("Let me look at the images.")]}


@pytest.mark.parametrize("name", TEMPLATES)
def test_images_of_tools_pass_strict_templates(name: str) -> None:
    steps = [
        system("s"),
        user("what is on the screen?"),
        answer("", calls=[CALL], reasoning="hm"),
        result("a screenshot", images=[image()]),
    ]
    for more in ([], [answer("A cat.")], [answer("A cat."), user("and?")]):
        history = built(*steps, *more)
        prompt = render(TEMPLATES[name], {"messages": history})
        positions = [prompt.index(words) for words in ("screen?", "a screenshot", "Let me", "[IMG]")]
        assert positions == sorted(positions)
        if name != "qwen":
            with pytest.raises(TemplateError):
                render(TEMPLATES[name], old_order(history))


@pytest.mark.parametrize("name", TEMPLATES)
def test_merged_messages_pass_strict_templates(name: str) -> None:
    steps = [system("s1"), system("s2"), user("u1"), user("u2"), answer("a1"), answer("a2"), user("u3"), system("s3")]
    prompt = render(TEMPLATES[name], {"messages": built(*steps)})
    positions = [prompt.index(words) for words in ("s1", "s2", "u1", "u2", "a1", "a2", "u3", "s3")]
    assert positions == sorted(positions)
    with pytest.raises(TemplateError):
        render(TEMPLATES[name], {"messages": built(*steps, merge_messages=False)})


def _turn(number: int, users: int, rounds: list[list[bool]], answers: int, late: set[int]) -> list[Any]:
    """The steps of one turn: user messages, rounds of tool calls (which return images or not), answers."""
    steps: list[Any] = [user(f"u{number}.{k}") for k in range(users)]
    for position, with_images in enumerate(rounds):
        ids = [f"{number}.{position}.{k}" for k in range(len(with_images))]
        steps.append(answer("", calls=[(call_id, "look", {}) for call_id in ids], reasoning="hm"))
        steps += [
            result("r", call_id, images=[image()] if shown else [])
            for call_id, shown in zip(ids, with_images, strict=True)
        ]
        if position in late:
            steps.append(system("late"))
    steps += [answer(f"a{k}", reasoning="so") for k in range(answers)]
    if -1 in late:
        steps.append(system("late"))
    return steps


TURN = st.tuples(
    st.integers(1, 3),
    st.lists(st.lists(st.booleans(), min_size=1, max_size=2), max_size=2),
    st.integers(1, 2),
    st.sets(st.integers(-1, 1)),
)


@given(first=st.integers(0, 2), turns=st.lists(TURN, min_size=1, max_size=4))
def test_any_conversation_of_complete_turns_passes_strict_templates(first: int, turns: list[Any]) -> None:
    steps = [system("s")] * first + [step for number, turn in enumerate(turns) for step in _turn(number, *turn)]
    history = {"messages": built(*steps)}
    for template in TEMPLATES.values():
        render(template, history)


@given(turns=st.lists(TURN, min_size=1, max_size=4), send=st.sampled_from([True, False]))
def test_each_request_of_a_conversation_begins_with_the_one_before(turns: list[Any], send: bool) -> None:
    """Requests end with a user message or with a complete round of results; nothing that follows is merged into it."""
    requests: list[str] = []
    steps: list[Any] = [system("s")]
    for number, (_, rounds, _, _) in enumerate(turns):
        turn = _turn(number, 1, rounds, 1, set())
        ends = [0, *accumulate(1 + len(results) for results in rounds)]
        requests += [json.dumps(built(*steps, *turn[: 1 + end], send_reasoning=send), default=id)[:-1] for end in ends]
        steps += turn
    assert all(later.startswith(earlier) for earlier, later in pairwise(requests))


def test_new_user_message_removes_only_earlier_reasoning() -> None:
    before = built(*ROUNDS)
    after = built(*ROUNDS, user("3"))
    assert after[:-1] == built(*ROUNDS, send_reasoning=False)
    assert [m for m in before if m["role"] != "assistant"] == [m for m in after[:-1] if m["role"] != "assistant"]
    assert before[:3] == after[:3]
