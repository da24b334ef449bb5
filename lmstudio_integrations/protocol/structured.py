"""Structured output: text that follows a JSON Schema or a grammar (PROTOCOL: "Structured output").

The answer arrives as ordinary text; the client parses it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_schema import enforceable, with_types
from lmstudio_integrations.protocol.schema_references import read_schema

__all__ = ["STRUCTURED_KEY", "answer_schema", "structured_value"]

STRUCTURED_KEY = "llm.prediction.structured"


def structured_value(response_format: Any) -> dict[str, Any]:
    """The wire form of a ``response_format``.

    Accepts ``None`` (free text), a pydantic class or anything else with ``model_json_schema()``, a ``TypedDict``, a
    JSON Schema, LM Studio's own form ``{"type": "json"|"gbnf"|"none", …}`` (keys in camelCase or snake_case), and
    OpenAI's ``json_schema``, ``json_object`` and ``text``.

    Raises:
        LMStudioValueError: anything else, or a schema that JSON cannot hold.
    """
    if response_format is None:
        return {"type": "none"}
    make_schema = getattr(response_format, "model_json_schema", None)
    if callable(make_schema):
        return _json(_schema_of(response_format, make_schema), checked_afterwards=True)
    if isinstance(response_format, type) and hasattr(response_format, "__required_keys__"):
        return _json(_schema_of(response_format, lambda: TypeAdapter(response_format).json_schema()))
    if not isinstance(response_format, Mapping):
        raise LMStudioValueError(
            "response_format must be a pydantic class, a TypedDict, an object with model_json_schema(), a JSON Schema "
            f'or {{"type": "json"|"gbnf"|"none", …}}, not {type(response_format).__name__}.'
        )
    kind = response_format.get("type")
    if kind == "none" or kind == "text":
        return {"type": "none"}
    if kind == "json":
        schema = response_format.get("jsonSchema", response_format.get("json_schema"))
        return {"type": "json"} if schema is None else _json(schema)
    if kind == "json_object":
        return {"type": "json", "jsonSchema": {"type": "object"}}  # OpenAI promises an object, not any JSON value
    if kind == "json_schema":
        return _json(_openai_schema(response_format))
    if kind == "gbnf":
        return {"type": "gbnf", "gbnfGrammar": _grammar(response_format)}
    return _json(response_format)


def _json(schema: Any, *, checked_afterwards: bool = False) -> dict[str, Any]:
    return {"type": "json", "jsonSchema": answer_schema(schema, checked_afterwards=checked_afterwards)}


def answer_schema(schema: Any, *, checked_afterwards: bool = False) -> dict[str, Any]:
    """The schema of an answer as an engine can hold a model to it: objects are closed.

    ``checked_afterwards``: the answer is validated, as a pydantic class does it, so that what engines cannot compile
    may be left out.

    Raises:
        LMStudioValueError: Else, for what engines cannot compile, with keyword and place; for a reference to nowhere.
    """
    what = "The schema of the structured output"

    def refuse(keyword: str, place: str) -> None:
        if not checked_afterwards:
            raise LMStudioValueError(
                f"{what} has {keyword!r} at {place}, which LM Studio's engines cannot hold a model to: leave it out, "
                "or pass a pydantic class, which checks it afterwards."
            )

    return with_types(enforceable(read_schema(schema, what), on_unsupported=refuse))


def _schema_of(kind: Any, make_schema: Callable[[], Any]) -> Any:
    try:
        return make_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:  # such as typing.TypedDict on Python 3.11
        name = getattr(kind, "__name__", type(kind).__name__)
        raise LMStudioValueError(f"response_format={name} has no JSON Schema: {error}") from error


def _openai_schema(response_format: Mapping[str, Any]) -> Any:
    inner = response_format.get("json_schema")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
        raise LMStudioValueError('A response_format of type "json_schema" needs {"json_schema": {"schema": {…}}}.')
    return inner["schema"]


def _grammar(response_format: Mapping[str, Any]) -> str:
    grammar = response_format.get("gbnfGrammar", response_format.get("gbnf_grammar"))
    if not isinstance(grammar, str) or not grammar:
        raise LMStudioValueError('A response_format of type "gbnf" needs the text of the grammar in "gbnfGrammar".')
    return grammar
