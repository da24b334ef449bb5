"""Requests as values: what to ask, with which parameter, and how to read the answer. Pure, and shared by both fronts.

Everything that LM Studio would answer with silence is refused here, before anything is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from lmstudio_integrations.client.chat import as_history, read_history
from lmstudio_integrations.client.images import ImageFile
from lmstudio_integrations.client.transport.executor import ModelReference
from lmstudio_integrations.errors import LMStudioModelNotFoundError, LMStudioProtocolError, LMStudioValueError
from lmstudio_integrations.protocol import model_calls
from lmstudio_integrations.protocol._model import WireModel
from lmstudio_integrations.protocol.config import (
    ConfigKind,
    EmbeddingLoadModelConfig,
    LlmLoadModelConfig,
    LlmPredictionConfig,
    from_kv,
    kv_config,
    kv_fields,
    kv_stack,
    parse_config,
    to_kv,
)
from lmstudio_integrations.protocol.embedding import EmbedStringParameter, EmbedStringResult
from lmstudio_integrations.protocol.envelopes import encode
from lmstudio_integrations.protocol.files import UploadFileParameter, UploadFileResult
from lmstudio_integrations.protocol.history import FilePart
from lmstudio_integrations.protocol.loading import GetOrLoadCreation, LoadModelCreation
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo, QuerySpecifier, check_identifier, query
from lmstudio_integrations.protocol.structured import STRUCTURED_KEY, structured_field
from lmstudio_integrations.protocol.system import Version
from lmstudio_integrations.protocol.tools import TOOL_CHOICE_KEY, TOOLS_KEY, tool_definition, tool_fields

__all__ = ["Call", "Prediction", "Specifier", "model_reference"]

T = TypeVar("T")

DEFAULT_TTL = 3600.0
"""Seconds of idleness after which a model that we had loaded goes again (the official Python SDK's default)."""

_DRAFT_MODEL_KEY = "llm.prediction.speculativeDecoding.draftModel"

# Raw completion in the form that LM Studio of both generations takes: the template is the prompt itself.
_RAW_TEMPLATE = {
    "type": "jinja",
    "jinjaPromptTemplate": {"template": "{% for message in messages %}{{ message['content'] }}{% endfor %}"},
    "stopStrings": [],
}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One RPC: its namespace and endpoint, its parameter (``None``: none at all), and the reader of its result."""

    namespace: str
    endpoint: str
    parameter: Mapping[str, Any] | None
    read: Callable[[Any], T]

    def answer(self, result: Any) -> T:
        """The result as a value. Raises ``LMStudioProtocolError`` if it is not what the endpoint promises."""
        try:
            return self.read(result)
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise LMStudioProtocolError(f"the answer to {self.endpoint!r} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction: the channel, its creation parameter as JSON text, and whether a document was asked for."""

    endpoint: str
    creation: str
    structured: bool


def _seconds_to_ms(ttl: Any) -> int | None:
    if ttl is None:
        return None
    # Below a millisecond nothing is left of it; the upper end is where JSON numbers stop being exact.
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0.001 <= ttl <= 2**53 / 1000:
        raise LMStudioValueError(
            f"ttl={ttl!r} is no time to live: pass seconds of idleness above 0, or None for no limit"
        )
    return math.ceil(ttl * 1000)


def _identifier(text: Any) -> str:
    return _string(check_identifier(text))


def _load_stack(namespace: str, config: Any) -> dict[str, Any]:
    parsed = parse_config(LlmLoadModelConfig if namespace == "llm" else EmbeddingLoadModelConfig, config)
    return kv_stack(("apiOverride", to_kv(parsed)))


def get_or_load(namespace: str, key: str, ttl: float | None, config: Any) -> Mapping[str, Any]:
    """The creation parameter of ``getOrLoad``. ``ttl`` in seconds; both it and ``config`` count only if it loads."""
    identifier, ttl_ms = _identifier(key), _seconds_to_ms(ttl)
    if config is None:
        return _load_as_usual(namespace, identifier, ttl_ms)
    return _get_or_load(namespace, identifier, ttl_ms, config)


def _get_or_load(namespace: str, identifier: str, ttl_ms: int | None, config: Any) -> Mapping[str, Any]:
    return GetOrLoadCreation.validate_args(
        identifier=identifier, load_config_stack=_load_stack(namespace, config), load_ttl_ms=ttl_ms
    ).to_wire()


@lru_cache(maxsize=64)
def _load_as_usual(namespace: str, identifier: str, ttl_ms: int | None) -> Mapping[str, Any]:
    """Kept, as the adapters make a handle for each call."""
    return _get_or_load(namespace, identifier, ttl_ms, None)


def load_model(namespace: str, key: str, instance_id: str | None, ttl: float | None, config: Any) -> dict[str, Any]:
    """The creation parameter of ``loadModel``, which always makes a new instance."""
    return LoadModelCreation.validate_args(
        model_key=_identifier(key),
        identifier=None if instance_id is None else _identifier(instance_id),
        ttl_ms=_seconds_to_ms(ttl),
        load_config_stack=_load_stack(namespace, config),
    ).to_wire()


def model_reference(
    namespace: str, key: str | None, ttl: float | None = DEFAULT_TTL, config: Any = None
) -> ModelReference:
    """A model to be loaded when it is first needed; ``None`` is whichever is loaded."""
    if key is None:
        _seconds_to_ms(ttl)
        _load_stack(namespace, config)
        return ModelReference(namespace, None)
    return ModelReference(namespace, key, get_or_load(namespace, key, ttl, config))


def instance_by_identifier(namespace: str, identifier: str) -> ModelReference:
    """An instance that was loaded by hand: once unloaded it is gone, and nothing is loaded in its place."""
    return ModelReference(namespace, identifier)


@lru_cache(maxsize=64)
def _specifier_on_the_wire(identifier: str | None) -> Mapping[str, Any]:
    """How a request names its model: by a query, which outlives an unload and reload (PROTOCOL, modelSpecifier).

    Kept, as every prediction has one, and a list of texts to embed the same one thousands of times.
    """
    return query(identifier).to_wire()


def prediction(
    identifier: str | None,
    history: Any,
    *,
    config: Any = None,
    response_format: Any = None,
    preset: Any = None,
    draft_model: str | None = None,
    tools: Sequence[Any] | None = None,
    tool_choice: str | None = None,
    raw_prompt: bool = False,
) -> Prediction:
    """A ``respond``, or with ``raw_prompt`` a ``complete`` (``history`` is then the prompt itself).

    What is given by name wins over the same setting in ``config``.
    """
    fields = _prediction_fields(config, response_format, draft_model, tools, tool_choice)
    layers = [("apiOverride", kv_config(fields))]
    if raw_prompt:
        if not isinstance(history, str):
            raise LMStudioValueError(
                f"complete() takes the prompt as text, not {type(history).__name__}; respond() takes chats"
            )
        if _mode(fields, TOOLS_KEY, "type") not in ("", "none"):
            raise LMStudioValueError("complete() has no template that could show tools to the model: use respond()")
        layers.append(("completeModeFormatting", kv_config({"llm.prediction.promptTemplate": _RAW_TEMPLATE})))
    # Not through a model of its own: every part has been checked, and reading it all again takes 20 microseconds.
    creation: dict[str, Any] = {
        "modelSpecifier": _specifier_on_the_wire(identifier),
        "history": as_history(history),
        "predictionConfigStack": kv_stack(*layers),
    }
    if preset is not None:
        if not isinstance(preset, str) or not preset:
            raise LMStudioValueError(f"preset={preset!r} is no preset: pass the name of one")
        creation["fuzzyPresetIdentifier"] = preset
    # Written now, so that what JSON cannot hold is refused before a model is loaded for it.
    return Prediction("predict", encode(creation), _mode(fields, STRUCTURED_KEY, "type") == "json")


def _prediction_fields(
    config: Any, response_format: Any, draft_model: str | None, tools: Sequence[Any] | None, tool_choice: str | None
) -> dict[str, Any]:
    """Every setting of a prediction by its key."""
    if config is None and response_format is None and draft_model is None and tools is None and tool_choice is None:
        return {}
    fields = kv_fields(to_kv(parse_config(LlmPredictionConfig, config)))
    if draft_model is not None:
        fields[_DRAFT_MODEL_KEY] = "" if draft_model == "" else _identifier(draft_model)
    if response_format is not None:
        field = structured_field(response_format)
        fields[field["key"]] = field["value"]
    for field in tool_fields(_tools(tools), tool_choice):
        fields[field["key"]] = field["value"]
    if (
        _mode(fields, STRUCTURED_KEY, "type") not in ("", "none")
        and _mode(fields, TOOLS_KEY, "type") not in ("", "none")
        and _mode(fields, TOOL_CHOICE_KEY, "mode") != "none"
    ):
        raise LMStudioValueError(
            "response_format and tools exclude each other in one request: the grammar leaves no room for a tool call. "
            "Ask for one of them, or pass tool_choice='none'."
        )
    return fields


def _mode(fields: Mapping[str, Any], key: str, member: str) -> str:
    """``fields[key][member]``, or ``""``: what was passed as ``raw`` may have any shape."""
    value = fields.get(key)
    return str(value.get(member, "")) if isinstance(value, Mapping) else ""


def _tools(tools: Any) -> Sequence[Any] | None:
    if tools is not None and (isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence)):
        raise LMStudioValueError(f"tools is a list of tool definitions, not {type(tools).__name__}")
    return tools


@dataclass(frozen=True, slots=True)
class Specifier:
    """The RPCs about one model: each method is the call, not yet made."""

    namespace: str
    identifier: str | None

    @property
    def _specifier(self) -> QuerySpecifier:
        return query(self.identifier)

    def _call(self, endpoint: str, parameter: WireModel, read: Callable[[Any], T]) -> Call[T]:
        return Call(self.namespace, endpoint, parameter.to_wire(), read)

    def tokenize(self, text: str) -> Call[list[int]]:
        """Token ids of a text."""
        parameter = model_calls.TokenizeParameter.validate_args(specifier=self._specifier, input_string=_string(text))
        return self._call(
            "tokenize", parameter, lambda result: model_calls.TokenizeResult.model_validate(result).tokens
        )

    def count_tokens(self, text: str) -> Call[int]:
        """How many tokens a text has."""
        parameter = model_calls.CountTokensParameter.validate_args(
            specifier=self._specifier, input_string=_string(text)
        )
        return self._call(
            "countTokens", parameter, lambda result: model_calls.CountTokensResult.model_validate(result).token_count
        )

    def apply_prompt_template(
        self,
        history: Any,
        tools: Sequence[Any] | None,
        config: Any,
        omit_bos_token: bool | None,
        omit_eos_token: bool | None,
    ) -> Call[str]:
        """The call as the model would see it."""
        parameter = model_calls.ApplyPromptTemplateParameter.validate_args(
            specifier=self._specifier,
            history=read_history(history),
            prediction_config_stack=kv_stack(("apiOverride", to_kv(parse_config(LlmPredictionConfig, config)))),
            opts=model_calls.ApplyPromptTemplateOptions.validate_args(
                omit_bos_token=None if omit_bos_token is None else bool(omit_bos_token),
                omit_eos_token=None if omit_eos_token is None else bool(omit_eos_token),
                tool_definitions=[tool_definition(tool) for tool in _tools(tools) or ()] or None,
            ),
        )
        call = self._call(
            "applyPromptTemplate",
            parameter,
            lambda result: model_calls.ApplyPromptTemplateResult.model_validate(result).formatted,
        )
        encode(call.parameter)  # what JSON cannot hold is refused now, before a model is loaded for it
        return call

    def get_info(self) -> Call[ModelInstanceInfo]:
        """The loaded instance. No instance is ``LMStudioModelNotFoundError``, which asks the engine to load it."""
        parameter = model_calls.GetModelInfoParameter.validate_args(specifier=self._specifier, throw_if_not_found=True)
        return self._call("getModelInfo", parameter, self._read_info)

    def _read_info(self, result: Any) -> ModelInstanceInfo:
        if result is None:
            raise LMStudioModelNotFoundError(f"no loaded model fits {self.identifier!r}")
        return ModelInstanceInfo.model_validate(result)

    def get_load_config(self) -> Call[dict[str, Any]]:
        """How the instance was loaded, in user names."""
        kind: ConfigKind = "llm.load" if self.namespace == "llm" else "embedding.load"
        parameter = model_calls.GetLoadConfigParameter.validate_args(specifier=self._specifier)
        return self._call("getLoadConfig", parameter, lambda result: from_kv(result, kind))

    def embed(self, text: str) -> Call[list[float]]:
        """The embedding of a text."""
        parameter = EmbedStringParameter.validate_args(model_specifier=self._specifier, input_string=_string(text))
        return self._call("embedString", parameter, lambda result: EmbedStringResult.model_validate(result).embedding)

    def embed_all(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The parameters of many ``embed`` calls; without a model for each, which would cost more than the rest."""
        specifier = _specifier_on_the_wire(self.identifier)
        return [{"modelSpecifier": specifier, "inputString": _string(text)} for text in texts]

    def unload(self) -> Call[None]:
        """Unload the instance."""
        if self.identifier is None:
            raise LMStudioValueError("unload() needs to know which model: get the handle by its key or identifier")
        return unload(self.namespace, self.identifier)


def _string(text: object) -> str:
    if not isinstance(text, str):
        raise LMStudioValueError(f"text was expected, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LMStudioValueError(f"the text has half a character (a lone surrogate) at {error.start}") from None
    return text


def unload(namespace: str, identifier: str) -> Call[None]:
    """Unload an instance by its identifier."""
    parameter = model_calls.UnloadModelParameter.validate_args(identifier=_identifier(identifier))
    return Call(namespace, "unloadModel", parameter.to_wire(), lambda _: None)


def list_loaded(namespace: str) -> Call[list[ModelInstanceInfo]]:
    """The loaded instances of a namespace."""
    return Call(
        namespace, "listLoaded", None, lambda result: [ModelInstanceInfo.model_validate(item) for item in result]
    )


def list_downloaded() -> Call[list[ModelInfo]]:
    """Every downloaded model."""
    return Call(
        "system", "listDownloadedModels", None, lambda result: [ModelInfo.model_validate(item) for item in result]
    )


def version() -> Call[Version]:
    """LM Studio's version and build."""
    return Call("system", "version", None, Version.model_validate)


def upload(file: ImageFile) -> Call[FilePart]:
    """Upload a file; the answer is the part that shows it in a message."""
    return Call(
        "files",
        "uploadFileBase64",
        UploadFileParameter.validate_args(name=_string(file.name), content_base64=file.to_base64()).to_wire(),
        lambda result: UploadFileResult.model_validate(result).file_part(file.name),
    )
