"""The rule source: schema-valid documents and calls, right tool, right arguments, honest text."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmstudio_integrations.emulator.backends.argument_hints import Hints
from lmstudio_integrations.emulator.backends.fake_embeddings import embedding
from lmstudio_integrations.emulator.backends.grammar_faker import GrammarError, from_gbnf, from_regex
from lmstudio_integrations.emulator.backends.rules import arguments
from lmstudio_integrations.emulator.backends.schema_faker import document
from lmstudio_integrations.emulator.backends.tool_choice import choose_tool

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Get the weather at a location.",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
MAGIC: dict[str, Any] = {
    "name": "magic_function",
    "description": "Apply a magic function to an input.",
    "parameters": {
        "type": "object",
        "properties": {"input": {"type": "integer", "exclusiveMinimum": -1000, "exclusiveMaximum": 1000}},
        "required": ["input"],
    },
}
MAGIC_NO_ARGS = {"name": "magic_function_no_args", "description": "Calculate a magic function."}
CUSTOMER: dict[str, Any] = {
    "name": "unicode_customer",
    "description": "Tool for creating a customer with Unicode name.",
    "parameters": {
        "type": "object",
        "properties": {"customer_name": {"type": "string"}, "description": {"type": "string"}},
        "required": ["customer_name", "description"],
    },
}
ADDER: dict[str, Any] = {
    "name": "my_adder_tool",
    "description": "Takes two integers, a and b, and returns their sum.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}
ALL: list[dict[str, Any]] = [WEATHER, MAGIC, MAGIC_NO_ARGS, CUSTOMER, ADDER]


@pytest.mark.parametrize(
    ("text", "name", "given_arguments"),
    [
        ("What is the value of magic_function(3)? Use the tool.", "magic_function", {"input": 3}),
        ("What is the value of magic_function_no_args()? Use the tool.", "magic_function_no_args", {}),
        ("What is the weather in San Francisco, CA?", "get_weather", {"location": "San Francisco, CA"}),
        ("What is 3 + 4", "my_adder_tool", {"a": 3, "b": 4}),
        ("What is the weather in Paris?", "get_weather", {"location": "Paris"}),
    ],
)
def test_question_about_a_tool_calls_it_with_words_and_numbers(
    text: str, name: str, given_arguments: dict[str, Any]
) -> None:
    tool = choose_tool(ALL, text, forced=False)
    assert tool is not None
    assert (tool["name"], arguments(tool, text)) == (name, given_arguments)


@pytest.mark.parametrize("name", ["你好啊集团", "こんにちは株式会社"])
def test_quoted_name_in_any_script_becomes_the_argument(name: str) -> None:
    text = f"Create a customer named '{name}' (Hello Group) - a technology company"
    tool = choose_tool(ALL, text, forced=False)
    assert tool is CUSTOMER
    assert arguments(tool, text)["customer_name"] == name


@pytest.mark.parametrize("text", ["Hello!", "Tell me about the history of Rome", "What is 1 and 2?", ""])
def test_question_about_no_tool_calls_none(text: str) -> None:
    assert choose_tool(ALL, text, forced=False) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("What is 3 + 4?", "plus"),
        ("What is 3 * 4?", "timesNumbers"),
        ("What is 9 - 4?", "minus"),
        ("8 / 2 =", "quotient"),
    ],
)
def test_arithmetic_in_the_text_calls_the_tool_that_is_named_after_it(text: str, name: str) -> None:
    tool = {"name": name, "parameters": ADDER["parameters"]}
    assert choose_tool([WEATHER, tool], text, forced=False) is tool


def test_forced_call_prefers_a_tool_not_called_yet() -> None:
    assert choose_tool([WEATHER, ADDER], "What is the weather in Rome?", forced=True) is WEATHER
    assert choose_tool([WEATHER, ADDER], "What is the weather in Rome?", forced=True, called=["get_weather"]) is ADDER
    assert choose_tool([WEATHER], "What is the weather in Rome?", forced=True, called=["get_weather"]) is WEATHER


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}}, "required": ["setup"]},
    {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}, "required": ["b"]}, "B": {"enum": ["x", "y"]}}},
    {"definitions": {"N": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/definitions/N"}, {"type": "null"}]}}, "required": ["next"]}}, "$ref": "#/definitions/N"},
    {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}, "required": ["children"]},
    {"type": "object", "properties": {"name": {"type": "string"}, "left": {"$ref": "#"}, "right": {"$ref": "#"}}},
    {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 5, "maximum": 6}]},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
    {"type": "integer", "minimum": 10, "multipleOf": 7},
    {"type": "integer", "minimum": 1.5},
    {"type": "integer", "maximum": -1.5},
    {"type": "integer", "exclusiveMinimum": 1.5, "maximum": 2},
    {"type": "integer", "minimum": -2, "exclusiveMaximum": -1.5},
    {"type": "number", "minimum": 0.9, "exclusiveMaximum": 1},
    {"type": "number", "maximum": 0, "multipleOf": 5},
    {"type": "number", "multipleOf": 0.5},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 4, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "minItems": 2, "maxItems": 2},
    {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
    {"type": "string", "pattern": r"^(foo|bar)+[^a-z]?\.txt$"},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 3},
    {"type": "string", "format": "date-time"},
    {"type": ["null", "boolean"]},
    {"const": {"a": [1]}},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {"type": "integer"}}, "required": ["b"]}]},
    {"type": "object", "minProperties": 2, "additionalProperties": {"type": "number"}},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"], "additionalProperties": False}, {"type": "string"}]},
    {"type": "object", "properties": {"mode": {"type": "string", "enum": ["fast", "slow"]}}, "required": ["mode"]},
    True,  # type: ignore[list-item]
    {},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("optional", [True, False])
def test_documents_are_valid_by_their_schema_and_reproducible(schema: dict[str, Any], optional: bool) -> None:
    made = document(schema, optional=optional)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(made)
    assert made == document(schema, optional=optional)


def test_recursive_schema_gets_a_document_of_limited_size() -> None:
    made = document({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}})
    assert len(json.dumps(made)) < 10_000


def test_texts_that_share_parts_of_words_are_closer() -> None:
    sleep, sleeping, invoice = (embedding(word, 768) for word in ("sleep", "sleeping", "invoice"))
    assert sum(map(float.__mul__, sleep, sleeping)) > sum(map(float.__mul__, sleep, invoice)) + 0.1


simple = st.recursive(
    st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.builds(lambda n: {"type": "string", "minLength": n, "maxLength": n + 5}, st.integers(0, 20)),
        st.builds(lambda a, b: {"type": "integer", "minimum": a, "maximum": a + b}, st.integers(-99, 99), st.integers(0, 9)),
        st.builds(lambda a: {"type": "number", "exclusiveMinimum": a}, st.integers(-99, 99)),
        st.builds(lambda v: {"enum": v}, st.lists(st.text(max_size=3) | st.integers(), min_size=1, max_size=3)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda i, n: {"type": "array", "items": i, "minItems": n, "maxItems": n + 2}, inner, st.integers(0, 3)),
        st.builds(lambda p: {"type": "object", "properties": p, "required": list(p)}, st.dictionaries(st.text(max_size=4), inner, max_size=3)),
        st.builds(lambda a: {"anyOf": a}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(schema=simple, text=st.text(max_size=40))
def test_any_plain_schema_gets_a_valid_document_with_and_without_hints(schema: dict[str, Any], text: str) -> None:
    for made in (document(schema), document(schema, hints=Hints(text + " 3 -4 'x'"), optional=False)):
        jsonschema.Draft202012Validator(schema).validate(made)
        json.dumps(made, allow_nan=False)


@pytest.mark.parametrize("pattern", [r"^\d{3}-\d{4}$", r"a|b", r"^[\w.]+@[a-z]+\.(com|org)$", r"^.{5,}$", r"x*y+z?"])
def test_pattern_gets_a_matching_text(pattern: str) -> None:
    assert re.search(pattern, from_regex(pattern))


def test_grammar_gets_an_accepted_text() -> None:
    assert from_gbnf('root ::= ("yes" | "no") "!"  # a comment\n') == "yes!"
    assert from_gbnf('root ::= "[" item ("," item)* "]"\nitem ::= [0-9]{2} | root') == "[77]"
    assert from_gbnf('root ::= root "x" | "\\"q\\""') == '"q"'


@pytest.mark.parametrize(
    "grammar",
    [
        "",
        "start ::= [a]",
        'root ::= "open',
        "root ::= missing",
        "root ::= root",
        'root ::= "\\xZZ"',
        'root ::= "\\UFFFFFFFF"',
        "root ::= [\\",
    ],
)
def test_unreadable_grammar_raises_without_hanging(grammar: str) -> None:
    with pytest.raises(GrammarError):
        from_gbnf(grammar)
