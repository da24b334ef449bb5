"""``tool_choice`` in every form of both frameworks and of OpenAI's and Anthropic's APIs."""

from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.compat.tool_choice import choose_tools
from lmstudio_integrations.errors import LMStudioValueError

TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "add"}}, {"name": "plain"}]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        (False, None),
        ("", None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("add", "add"),
        ("plain", "plain"),
        ({"type": "function", "function": {"name": "add"}}, "add"),
        ({"type": "tool", "name": "add"}, "add"),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "function", "name": "add"}, "add"),
        ({"type": "generic", "mode": "required"}, "required"),
        ({"type": "auto", "disable_parallel_tool_use": False}, "auto"),
    ],
)
def test_tool_choice_in_every_form_is_read(choice: Any, expected: str | None) -> None:
    assert choose_tools(choice, TOOLS) == (expected, TOOLS)


@pytest.mark.parametrize("choice", ["subtract", {"type": "function", "function": {"name": "subtract"}}, 7])
def test_tool_choice_of_an_unknown_tool_raises_with_the_known_names(choice: Any) -> None:
    with pytest.raises(LMStudioValueError, match=r"tool_choice=.* names no tool: .*'add', 'plain'"):
        choose_tools(choice, TOOLS)


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"type": "function"},
        {"tool": {"name": "add"}},
        {"function_calling_config": {"mode": "ANY"}},
        {"type": "function", "function": {}},
    ],
)
def test_tool_choice_in_an_unknown_form_raises_and_does_not_mean_auto(choice: Any) -> None:
    with pytest.raises(LMStudioValueError, match="expected 'auto', 'none', 'any', 'required', a tool's name"):
        choose_tools(choice, TOOLS)


def test_tool_choice_without_parallel_calls_says_which_keyword_to_pass() -> None:
    with pytest.raises(LMStudioValueError, match="pass parallel_tool_calls=False"):
        choose_tools({"type": "any", "disable_parallel_tool_use": True}, TOOLS)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "plain"}}],
                },
            },
            "required",
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "plain"}]}, "auto"),
        ({"type": "allowed_tools", "tools": [{"name": "plain"}]}, "auto"),
    ],
)
def test_allowed_tools_leave_the_others_out(choice: Any, expected: str) -> None:
    assert choose_tools(choice, TOOLS) == (expected, TOOLS[1:])


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ({"mode": "auto", "tools": [{"name": "sub"}]}, r"allows 'sub', which names no tool: expected one of \['add'"),
        ({"mode": "auto"}, "a list of 'tools'"),
        ({"mode": "auto", "tools": ["add"]}, "a list of 'tools'"),
        ({"mode": "often", "tools": [{"name": "add"}]}, "'often' names no tool"),
        ({"mode": "required", "tools": []}, "there are no tools"),
    ],
)
def test_allowed_tools_that_are_none_raise(allowed: Any, words: str) -> None:
    with pytest.raises(LMStudioValueError, match=words):
        choose_tools({"type": "allowed_tools", "allowed_tools": allowed}, TOOLS)


@pytest.mark.parametrize("choice", ["any", "required", True])
def test_required_tool_choice_without_tools_raises(choice: Any) -> None:
    with pytest.raises(LMStudioValueError, match="there are no tools"):
        choose_tools(choice, [])
