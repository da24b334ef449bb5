"""Write ``_keywords.py`` of both adapters: the keywords of their classes' constructors, for type checkers.

``python tools/generate_keywords.py`` writes the files, ``--check`` exits with 1 if they are not up to date. The
fields and their types are those of the pydantic classes; the synonyms are those of ``compat.names`` whose setting the
class has. Pydantic's own constructor is all that a type checker would see otherwise, without the synonyms.
"""

from __future__ import annotations

import collections.abc
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools.generated_files import formatted, write_or_check  # noqa: E402  # a script has no other way to its neighbour

PACKAGE = ROOT / "lmstudio_integrations"

_CONFIG = "lmstudio_integrations"
_EFFORT = 'Literal["on", "off", "none", "minimal", "low", "medium", "high", "xhigh", "max"]'
# Fields whose constructor takes more, or says more precisely what it takes, than the field's type.
_TYPES = {
    "api_token": "SecretStr | str | Callable[[], str | SecretStr] | None",
    "api_key": "SecretStr | str | Callable[[], str | SecretStr] | None",
    "prediction_config": "LlmPredictionConfigDict | None",
    "additional_kwargs": "LlmPredictionConfigDict",
    "headers": "Mapping[str, str | SecretStr] | None",
    "load_config": "{load} | None",
    "reasoning": "bool | int | {effort} | Mapping[str, Any] | None",
    "stop": "str | list[str] | None",
    "timeout": "float | Timeout | Mapping[str, float | None] | None",
    "thinking": "bool | int | {effort} | Mapping[str, Any] | None",
}
# Keywords of a call that are not fields of the classes.
_CALL_TYPES = {
    "cancel": "CancelToken | None",
    "config": "LlmPredictionConfigDict | None",
    "ls_structured_output_format": "Any",
    "parallel_tool_calls": "bool | None",
    "allow_parallel_tool_calls": "bool | None",
    "raise_incomplete": "bool",
    "response_format": "Any",
    "tool_choice": "Any",
    "tools": "Sequence[Any] | None",
    "format": "Any",
    "json_mode": "bool",
}
# Synonyms that may also hold settings of other integrations.
_BUNDLES = {"additional_kwargs", "extra_body", "model_kwargs", "options"}
# Names whose value has another form than the setting's.
_CONVERTED = {
    "effort": ("reasoning", 'Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None'),
    "keep_alive": ("ttl", "float | str | None"),
    "reasoning_effort": ("reasoning", 'Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None'),
    "chat_template_kwargs": ("reasoning", "Mapping[str, Any] | None"),
    "top_logprobs": ("logprobs", "int | None"),
    "is_chat_model": ("raw_completion", "bool"),
    "client_kwargs": ("headers", "Mapping[str, Any] | None"),
}


class _Imports:
    """The names that the written types need."""

    def __init__(self) -> None:
        self.modules: dict[str, set[str]] = {}

    def add(self, module: str, name: str) -> str:
        self.modules.setdefault(module, set()).add(name)
        return name

    def lines(self) -> list[str]:
        return [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(self.modules.items())]


def _text(annotation: Any, imports: _Imports) -> str:
    """A type as source."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Any:
        return imports.add("typing", "Any")
    if origin in (Union, types.UnionType):
        return " | ".join(_text(argument, imports) for argument in arguments)
    if origin is Literal:
        return f"{imports.add('typing', 'Literal')}[{', '.join(map(repr, arguments))}]".replace("'", '"')
    if origin is collections.abc.Callable:
        parameters, result = arguments
        listed = "..." if parameters is ... else f"[{', '.join(_text(item, imports) for item in parameters)}]"
        return f"{imports.add('collections.abc', 'Callable')}[{listed}, {_text(result, imports)}]"
    if origin is not None:
        inner = ", ".join(_text(argument, imports) for argument in arguments)
        return f"{_text(origin, imports)}[{inner}]"
    if annotation.__module__ == "builtins":
        return str(annotation.__name__)
    module = "pydantic" if annotation.__module__.startswith("pydantic.") else annotation.__module__
    module = "lmstudio_integrations" if annotation.__name__ == "Timeout" else module
    return imports.add(module, annotation.__name__)


def keywords(kind: type[BaseModel], own: dict[str, str], load: str) -> dict[str, tuple[str | None, Any]]:
    """Each keyword of a constructor: the type as source, or ``None`` and the annotation."""
    from lmstudio_integrations.compat.names import SYNONYMS

    made: dict[str, tuple[str | None, Any]] = {}
    for name, field in kind.model_fields.items():
        given = _TYPES.get(name)
        made[name] = (None if given is None else given.format(load=load, effort=_EFFORT), field.annotation)
    for name, setting in (SYNONYMS | own).items():
        target = own.get(setting, setting)
        if target in kind.model_fields and name not in made and name not in _CONVERTED:
            made[name] = ("Mapping[str, Any] | None", None) if name in _BUNDLES else made[target]
    for name, (setting, text) in _CONVERTED.items():
        if own.get(setting, setting) in kind.model_fields and name not in made:
            made[name] = (text, None)
    return made


def call_keywords(
    kind: type[BaseModel], allowed: Iterable[str], own: dict[str, str], load: str
) -> dict[str, tuple[str | None, Any]]:
    """Each keyword of a call, as ``keywords``; ``allowed``: the names without synonyms."""
    from lmstudio_integrations.compat.names import SYNONYMS

    allowed = set(allowed) - {"stop"}  # a parameter of its own
    fields = keywords(kind, own, load)
    made: dict[str, tuple[str | None, Any]] = {}
    for name in sorted(allowed):
        made[name] = (_CALL_TYPES[name], None) if name in _CALL_TYPES else fields[name]
    for name, setting in sorted((SYNONYMS | own).items()):
        target = own.get(setting, setting)
        if target in allowed and name not in made and name not in _CONVERTED:
            made[name] = ("Mapping[str, Any] | None", None) if name in _BUNDLES else made[target]
    for name, (setting, text) in _CONVERTED.items():
        if own.get(setting, setting) in allowed and name not in made:
            made[name] = (text, None)
    for name in ("format", "json_mode"):
        if "response_format" in allowed:
            made[name] = (_CALL_TYPES[name], None)
    return made


def source(
    adapter: str,
    classes: list[tuple[type[BaseModel], dict[str, str], str]],
    calls: list[tuple[str, dict[str, tuple[str | None, Any]]]],
) -> str:
    """The file of one adapter."""
    imports = _Imports()
    imports.add("typing", "TypedDict")
    bodies = []
    for kind, own, load in classes:
        lines = [
            f"class {kind.__name__}Keywords(TypedDict, total=False):",
            f'    """The keywords of ``{kind.__name__}(…)``: its fields, and their names in other integrations."""',
            "",
        ]
        for name, (given, annotation) in keywords(kind, own, load).items():
            lines.append(f"    {name}: {_text(annotation, imports) if given is None else _given(given, imports)}")
        bodies.append("\n".join(lines))
    for name, given_types in calls:
        lines = [f"class {name}(TypedDict, total=False):", '    """The keywords of one call."""', ""]
        for keyword, (given, annotation) in given_types.items():
            lines.append(f"    {keyword}: {_text(annotation, imports) if given is None else _given(given, imports)}")
        bodies.append("\n".join(lines))
    exported = [*(f"{kind.__name__}Keywords" for kind, _, _ in classes), *(name for name, _ in calls)]
    names = ", ".join(f'"{name}"' for name in exported)
    head = [
        f'"""Keywords of the constructors, for type checkers. Generated by ``tools/{Path(__file__).name}``."""',
        "",
        "from __future__ import annotations",
        "",
        *imports.lines(),
        "",
        f"__all__ = [{names}]",
        "",
        "",
    ]
    return formatted("\n".join(head) + "\n\n\n".join(bodies) + "\n", PACKAGE / adapter / "_keywords.py")


def _given(text: str, imports: _Imports) -> str:
    for word, module in (
        ("SecretStr", "pydantic"),
        ("Callable", "collections.abc"),
        ("Literal", "typing"),
        ("CancelToken", "lmstudio_integrations"),
        ("Mapping", "collections.abc"),
        ("Timeout", _CONFIG),
        ("Sequence", "collections.abc"),
        ("Any", "typing"),
        ("LlmPredictionConfigDict", _CONFIG),
        ("LlmLoadModelConfigDict", _CONFIG),
        ("EmbeddingLoadModelConfigDict", _CONFIG),
    ):
        if word in text:
            imports.add(module, word)
    return text


def files() -> dict[Path, str]:
    """The path and the content of each generated file."""
    from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM
    from lmstudio_integrations.langchain import _request as langchain_request
    from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding
    from lmstudio_integrations.llama_index import _request as llama_index_request

    llm, embedding = "LlmLoadModelConfigDict", "EmbeddingLoadModelConfigDict"
    own, own_embedding = dict(LMStudio.OWN_NAMES), dict(LMStudioEmbedding.OWN_NAMES)
    langchain = source(
        "langchain",
        [(ChatLMStudio, {}, llm), (LMStudioLLM, {}, llm), (LMStudioEmbeddings, {}, embedding)],
        [
            ("ChatCallKeywords", call_keywords(ChatLMStudio, langchain_request.CHAT_KEYWORDS, {}, llm)),
            ("LLMCallKeywords", call_keywords(LMStudioLLM, langchain_request.TEXT_KEYWORDS, {}, llm)),
        ],
    )
    llama_index = source(
        "llama_index",
        [(LMStudio, own, llm), (LMStudioEmbedding, own_embedding, embedding)],
        [("CallKeywords", call_keywords(LMStudio, llama_index_request.CALL_KEYWORDS, own, llm))],
    )
    return {
        PACKAGE / "langchain" / "_keywords.py": langchain,
        PACKAGE / "llama_index" / "_keywords.py": llama_index,
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them. 1 if ``--check`` finds one that is not up to date."""
    return write_or_check(files(), Path(__file__).name, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
