"""Requests as values: what is sent, and how the answer is read. Pure; both kinds of client use it.

Everything that LM Studio would not answer is refused here, before anything is sent. Histories, schemas and settings are
encoded here, too, on the caller's thread; the executor inserts only the model's specifier and the uploaded images.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from lmstudio_integrations.client.chat import as_history, encode_history
from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.client.images import ImageFile, ImagePart
from lmstudio_integrations.client.long_texts import SMALLEST_CONTEXT, SplitText, may_exceed, merge_vectors
from lmstudio_integrations.client.texts import check_text
from lmstudio_integrations.errors import LMStudioModelNotFoundError, LMStudioProtocolError, LMStudioValueError
from lmstudio_integrations.protocol import model_calls
from lmstudio_integrations.protocol._model import to_jsonable
from lmstudio_integrations.protocol.config import (
    EmbeddingLoadModelConfig,
    LlmLoadModelConfig,
    LlmPredictionConfig,
    kv_config,
    kv_fields,
    kv_stack,
    parse_config,
    to_kv,
)
from lmstudio_integrations.protocol.config_reported import (
    ReportedEmbeddingLoadConfig,
    ReportedLlmLoadConfig,
    ReportedPredictionConfig,
    reported_config,
)
from lmstudio_integrations.protocol.files import UploadFileParameter, UploadFileResult
from lmstudio_integrations.protocol.history import FilePart
from lmstudio_integrations.protocol.json_text import encode
from lmstudio_integrations.protocol.loading import GetOrLoadCreation, LoadModelCreation
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo, check_identifier, query
from lmstudio_integrations.protocol.repository import (
    COMPATIBILITY_TYPES,
    DownloadOptionInfo,
    LmLinkStatus,
    ModelSearchResult,
)
from lmstudio_integrations.protocol.structured import STRUCTURED_KEY, structured_value
from lmstudio_integrations.protocol.system import Version
from lmstudio_integrations.protocol.tools import TOOL_CHOICE_KEY, TOOLS_KEY, tool_fields, wire_tool

__all__ = ["Call", "ModelCalls", "ModelReference", "Parameter", "Prediction", "model_reference"]

T = TypeVar("T")

DEFAULT_TTL = 3600.0
"""Seconds of idleness after which LM Studio unloads a model that a request has loaded (the Python SDK's default)."""

_DRAFT_MODEL_KEY = "llm.prediction.speculativeDecoding.draftModel"

# Raw completion in the form that LM Studio of both generations takes: the template is the prompt itself.
_RAW_TEMPLATE = {
    "type": "jinja",
    "jinjaPromptTemplate": {"template": "{% for message in messages %}{{ message['content'] }}{% endfor %}"},
    "stopStrings": [],
}

# Where an image will be inserted. Random, so that no text of a user's contains it.
_IMAGE_MARK = f"image:{uuid.uuid4().hex}"


_NO_HISTORY = object()


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model by key or identifier (``None``: any that is loaded) and how to load it (``getOrLoad``'s parameter).

    ``device``: of LM Link, ``None`` for any. ``estimate``: the parameter of ``estimateModelUsage`` by which a load that
    would not fit is refused, or ``None``.
    """

    namespace: str
    identifier: str | None
    load: Mapping[str, Any] | None = None
    device: str | None = None
    estimate: Parameter | None = None

    @property
    def key(self) -> str | None:
        """What it is remembered by: one model may be loaded on several devices."""
        return self.identifier if self.device is None else f"{self.identifier}\0{self.device}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """The JSON text of a parameter, without what only the executor knows.

    ``specifier_key``: the member that names the model (``"modelSpecifier"``, ``"specifier"`` or ``None``), inserted
    first. ``segments``: the other members as the text of one JSON object, cut where an image belongs; there is one
    segment more than ``images``.
    """

    segments: tuple[str, ...]
    specifier_key: str | None = None
    images: tuple[ImagePart, ...] = ()

    @classmethod
    def of(cls, members: Mapping[str, Any], specifier_key: str | None = None, history: Any = _NO_HISTORY) -> Parameter:
        """Encode ``members``, behind ``history`` if it is given.

        Raises ``LMStudioValueError`` for what JSON cannot hold.
        """
        images: list[ImagePart] = []

        def mark(value: object) -> str:
            if not isinstance(value, ImagePart):
                raise TypeError(f"{type(value).__name__} is not JSON")
            images.append(value)
            return _IMAGE_MARK

        text = ""
        if history is not _NO_HISTORY:
            text = f'{{"history":{encode_history(history, mark)},'
        rest = encode(members, default=mark)
        text = text + rest[1:] if text else rest
        segments = tuple(text.split(f'"{_IMAGE_MARK}"')) if images else (text,)
        return cls(segments, specifier_key, tuple(images))

    def text(self, identifier: str | None = None, parts: Sequence[str] = (), device: str | None = None) -> str:
        """The complete JSON text; ``parts``: the JSON text of each uploaded image."""
        text = self.segments[0]
        if self.images:
            pieces = [text]
            for part, segment in zip(parts, self.segments[1:], strict=True):
                pieces += (part, segment)
            text = "".join(pieces)
        if self.specifier_key is None:
            return text
        separator = "," if len(text) > 2 else ""
        return f'{{"{self.specifier_key}":{_specifier_text(identifier, device)}{separator}{text[1:]}'


@lru_cache(maxsize=64)
def _specifier_text(identifier: str | None, device: str | None = None) -> str:
    """How a request names its model: by a query, which outlives an unload and reload (PROTOCOL, modelSpecifier)."""
    return encode(query(identifier, device))


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One RPC: its namespace and endpoint, its parameter (``None``: none at all), and the reader of its result.

    ``repeatable``: whether it may be sent again on a new socket if the first was lost before the answer.
    """

    namespace: str
    endpoint: str
    parameter: Parameter | None
    read: Callable[[Any], T]
    repeatable: bool = True

    def answer(self, result: Any) -> T:
        """The result as a value. Raises ``LMStudioProtocolError`` if it is not what the endpoint promises."""
        try:
            return self.read(result)
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise LMStudioProtocolError(
                f"the answer to {self.endpoint!r} cannot be read: {str(error)[:500]}"
            ) from error


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction: the channel, its creation parameter, and what its reader has to know.

    ``structured``: a document was asked for. ``tool_names``: of the tools offered. ``call_ids``: ids of the history's
    tool calls, which new ones must not have. ``context_check``: what is counted first, the parameter of
    ``applyPromptTemplate`` or a raw prompt; ``None``: nothing.
    """

    endpoint: str
    parameter: Parameter
    structured: bool
    tool_names: tuple[str, ...] = ()
    call_ids: frozenset[str] = frozenset()
    context_check: Parameter | str | None = None


def _seconds_to_ms(ttl: Any) -> int | None:
    if ttl is None:
        return None
    # The wire has whole milliseconds. Above the upper end JSON numbers are not exact.
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0.001 <= ttl <= 2**53 / 1000:
        raise LMStudioValueError(
            f"ttl={ttl!r}: expected a time to live in seconds of idleness above 0, or None for no limit"
        )
    return math.ceil(ttl * 1000)


def _identifier(text: Any) -> str:
    return check_text(check_identifier(text))


def _load_stack(namespace: str, config: Any) -> dict[str, Any]:
    parsed = parse_config(LlmLoadModelConfig if namespace == "llm" else EmbeddingLoadModelConfig, config)
    return kv_stack(("apiOverride", to_kv(parsed)))


def get_or_load_parameter(
    namespace: str, key: str, ttl: float | None, config: Any, device: str | None = None
) -> Mapping[str, Any]:
    """The creation parameter of ``getOrLoad``. ``ttl`` in seconds; both it and ``config`` count only if it loads."""
    identifier, ttl_ms = _identifier(key), _seconds_to_ms(ttl)
    if config is None:
        return _cached_get_or_load_parameter(namespace, identifier, ttl_ms, _device(device))
    return _get_or_load_parameter(namespace, identifier, ttl_ms, config, _device(device))


def _get_or_load_parameter(
    namespace: str, identifier: str, ttl_ms: int | None, config: Any, device: str | None
) -> Mapping[str, Any]:
    return GetOrLoadCreation.validate_args(
        identifier=identifier,
        device_identifier=device,
        load_config_stack=_load_stack(namespace, config),
        load_ttl_ms=ttl_ms,
    ).to_wire()


@lru_cache(maxsize=64)
def _cached_get_or_load_parameter(
    namespace: str, identifier: str, ttl_ms: int | None, device: str | None
) -> Mapping[str, Any]:
    """Cached, because the adapters make a new handle for each call."""
    return _get_or_load_parameter(namespace, identifier, ttl_ms, None, device)


def _device(device: Any) -> str | None:
    """``device`` itself. Raises ``LMStudioValueError`` unless it is text or ``None``."""
    if device is not None and (not isinstance(device, str) or not device):
        raise LMStudioValueError(
            f"device={device!r}: expected the identifier of a device of LM Link (a model's device_identifier), or None"
        )
    return device


def estimate_parameter(namespace: str, key: str, config: Any, device: str | None = None) -> Parameter:
    """The parameter of ``estimateModelUsage``."""
    members: dict[str, Any] = {"modelKey": _identifier(key), "loadConfigStack": _load_stack(namespace, config)}
    if _device(device) is not None:
        members["deviceIdentifier"] = device
    return Parameter.of(members)


def estimate(namespace: str, key: str, config: Any, device: str | None = None) -> Call[model_calls.ResourceEstimate]:
    """What loading a model would take."""
    parameter = estimate_parameter(namespace, key, config, device)
    return Call(namespace, "estimateModelUsage", parameter, model_calls.ResourceEstimate.model_validate)


def read_estimate(namespace: str, result: Any) -> model_calls.ResourceEstimate:
    """The result of ``estimateModelUsage``. Raises ``LMStudioProtocolError``."""
    return Call(namespace, "estimateModelUsage", None, model_calls.ResourceEstimate.model_validate).answer(result)


def load_model_parameter(
    namespace: str, key: str, instance_id: str | None, ttl: float | None, config: Any, device: str | None = None
) -> dict[str, Any]:
    """The creation parameter of ``loadModel``, which always makes a new instance."""
    return LoadModelCreation.validate_args(
        model_key=_identifier(key),
        identifier=None if instance_id is None else _identifier(instance_id),
        device_identifier=_device(device),
        ttl_ms=_seconds_to_ms(ttl),
        load_config_stack=_load_stack(namespace, config),
    ).to_wire()


def model_reference(
    namespace: str,
    key: str | None,
    ttl: float | None = DEFAULT_TTL,
    config: Any = None,
    device: str | None = None,
    check_resources: bool = False,
) -> ModelReference:
    """A model to be loaded when it is first needed; ``None`` is whichever is loaded."""
    if key is None:
        _seconds_to_ms(ttl)
        _load_stack(namespace, config)
        return ModelReference(namespace, None, None, _device(device))
    estimate = estimate_parameter(namespace, key, config, device) if check_resources else None
    return ModelReference(namespace, key, get_or_load_parameter(namespace, key, ttl, config, device), device, estimate)


def instance_by_identifier(namespace: str, identifier: str, device: str | None = None) -> ModelReference:
    """An instance that was loaded by hand: once unloaded it is gone, and nothing is loaded in its place."""
    return ModelReference(namespace, identifier, None, device)


def prediction(
    history: Any,
    *,
    config: Any = None,
    response_format: Any = None,
    preset: Any = None,
    draft_model: str | None = None,
    tools: Sequence[Any] | None = None,
    tool_choice: str | None = None,
    raw_prompt: bool = False,
    check_context: bool = False,
    fetch_images: bool = False,
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
        if _member_text(fields, TOOLS_KEY, "type") not in ("", "none"):
            raise LMStudioValueError("complete() has no template that could show tools to the model: use respond()")
        layers.append(("completeModeFormatting", kv_config({"llm.prediction.promptTemplate": _RAW_TEMPLATE})))
    members: dict[str, Any] = {"predictionConfigStack": kv_stack(*layers)}
    if preset is not None:
        if not isinstance(preset, str) or not preset:
            raise LMStudioValueError(f"preset={preset!r}: expected the name or identifier of a preset")
        members["fuzzyPresetIdentifier"] = preset
    # Encoded now, so that what JSON cannot hold is refused before a model is loaded for it.
    parameter = Parameter.of(members, "modelSpecifier", history)
    if parameter.images and not fetch_images:
        _refuse_addresses(parameter.images)
    definitions = fields[TOOLS_KEY].get("tools", ()) if _member_text(fields, TOOLS_KEY, "type") == "toolArray" else ()
    context_check: Parameter | str | None = None
    if check_context:
        context_check = history if raw_prompt else _template_parameter(as_history(history), {}, definitions)
    return Prediction(
        "predict",
        parameter,
        structured=_member_text(fields, STRUCTURED_KEY, "type") == "json",
        tool_names=tuple(tool["function"]["name"] for tool in definitions),
        call_ids=_call_ids(history) if definitions else frozenset(),
        context_check=context_check,
    )


def _refuse_addresses(images: Iterable[ImagePart]) -> None:
    for image in images:
        if image.url is not None:
            raise LMStudioValueError(
                f"the image {image.url!r} is on the network, and LM Studio fetches nothing: pass its bytes, or allow "
                "this process to fetch images with fetch_images=True"
            )


def _call_ids(history: Any) -> frozenset[str]:
    """The ids of all tool calls of a history."""
    if isinstance(history, PreparedHistory):
        return frozenset(history.call_ids)
    requests = (
        part["toolCallRequest"]
        for message in as_history(history)["messages"]
        if message["role"] == "assistant"
        for part in message["content"]
        if isinstance(part, dict) and part["type"] == "toolCallRequest"
    )
    return frozenset(request["id"] for request in requests if request.get("id"))


def _template_parameter(
    history: Mapping[str, Any], options: Mapping[str, Any], definitions: Sequence[Any], config: Any = None
) -> Parameter:
    """The parameter of ``applyPromptTemplate``."""
    opts = dict(options)
    if definitions:
        opts["toolDefinitions"] = list(definitions)
    settings = to_kv(parse_config(LlmPredictionConfig, config))
    members = {
        "history": {"messages": PreparedHistory(history["messages"]).without_images().messages},
        "predictionConfigStack": kv_stack(("apiOverride", settings)),
        "opts": opts,
    }
    return Parameter.of(members, "specifier")


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
        fields[STRUCTURED_KEY] = structured_value(response_format)
    fields.update(tool_fields(_tools(tools), tool_choice))
    if (
        _member_text(fields, STRUCTURED_KEY, "type") not in ("", "none")
        and _member_text(fields, TOOLS_KEY, "type") not in ("", "none")
        and _member_text(fields, TOOL_CHOICE_KEY, "mode") != "none"
    ):
        raise LMStudioValueError(
            "response_format and tools exclude each other in one request: the grammar leaves no room for a tool call. "
            "Ask for one of them, or pass tool_choice='none'."
        )
    return fields


def _member_text(fields: Mapping[str, Any], key: str, member: str) -> str:
    """``fields[key][member]`` as text, or ``""`` if it is not there: what was passed as ``raw`` may have any shape."""
    value = fields.get(key)
    return str(value.get(member, "")) if isinstance(value, Mapping) else ""


def _tools(tools: Any) -> Sequence[Any] | None:
    if tools is not None and (isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence)):
        raise LMStudioValueError(f"tools is a list of tool definitions, not {type(tools).__name__}")
    return tools


@dataclass(frozen=True, slots=True)
class ModelCalls:
    """The RPCs about one model of a namespace. Each method returns the call, which the executor makes.

    ``key``: the model's name in error messages.
    """

    namespace: str
    key: str | None = None

    def _call(self, endpoint: str, members: Mapping[str, Any], read: Callable[[Any], T]) -> Call[T]:
        return Call(self.namespace, endpoint, Parameter.of(members, "specifier"), read)

    def tokenize(self, text: str) -> Call[list[int]]:
        """Token ids of a text."""
        members = {"inputString": check_text(text)}
        return self._call("tokenize", members, lambda result: model_calls.TokenizeResult.model_validate(result).tokens)

    def count_tokens(self, text: str) -> Call[int]:
        """How many tokens a text has."""
        members = {"inputString": check_text(text)}
        return self._call("countTokens", members, read_token_count)

    def apply_prompt_template(
        self,
        history: Any,
        tools: Sequence[Any] | None,
        config: Any,
        omit_bos_token: bool | None,
        omit_eos_token: bool | None,
    ) -> Call[str]:
        """The conversation as the model would see it."""
        given = {"omitBosToken": omit_bos_token, "omitEosToken": omit_eos_token}
        options = {name: bool(value) for name, value in given.items() if value is not None}
        definitions = [wire_tool(tool) for tool in _tools(tools) or ()]
        parameter = _template_parameter(as_history(history), options, definitions, config)
        return Call(self.namespace, "applyPromptTemplate", parameter, read_formatted)

    def get_info(self) -> Call[ModelInstanceInfo]:
        """The loaded instance. No instance is ``LMStudioModelNotFoundError``, on which the executor loads it."""
        return self._call("getModelInfo", {"throwIfNotFound": True}, self._read_info)

    def get_info_of(self, specifier: Any) -> Call[ModelInstanceInfo]:
        """The loaded instance that ``specifier`` means, in LM Studio's own form."""
        parameter = Parameter.of({"specifier": to_jsonable(specifier), "throwIfNotFound": True})
        return Call(self.namespace, "getModelInfo", parameter, self._read_info)

    def _read_info(self, result: Any) -> ModelInstanceInfo:
        if result is None:
            raise LMStudioModelNotFoundError(f"no loaded model fits {self.key!r}")
        return ModelInstanceInfo.model_validate(result)

    def get_load_config(self) -> Call[Any]:
        """How the instance was loaded: ``ReportedLlmLoadConfig`` or ``ReportedEmbeddingLoadConfig``."""
        kind = ReportedLlmLoadConfig if self.namespace == "llm" else ReportedEmbeddingLoadConfig
        return self._call("getLoadConfig", {}, lambda result: reported_config(result, kind))

    def get_base_prediction_config(self, ignore_server_session_config: bool | None) -> Call[ReportedPredictionConfig]:
        """The settings of a prediction that sets none itself."""
        members = (
            {}
            if ignore_server_session_config is None
            else {"ignoreServerSessionConfig": bool(ignore_server_session_config)}
        )
        return self._call(
            "getBasePredictionConfig", members, lambda result: reported_config(result, ReportedPredictionConfig)
        )

    def get_processing_state(self) -> Call[model_calls.ProcessingState]:
        """What the instance does now. No instance is ``LMStudioModelNotFoundError``."""
        return self._call("getInstanceProcessingState", {"throwIfNotFound": True}, self._read_state)

    def _read_state(self, result: Any) -> model_calls.ProcessingState:
        if result is None:
            raise LMStudioModelNotFoundError(f"no loaded model fits {self.key!r}")
        return model_calls.ProcessingState.model_validate(result)

    def preload_draft_model(self, draft_model: str) -> Call[None]:
        """Load the draft model of later predictions now."""
        return self._call("preloadDraftModel", {"draftModelKey": _identifier(draft_model)}, lambda _: None)


def read_token_count(result: Any) -> int:
    """The result of ``countTokens``."""
    return model_calls.CountTokensResult.model_validate(result).token_count


def read_formatted(result: Any) -> str:
    """The result of ``applyPromptTemplate``."""
    return model_calls.ApplyPromptTemplateResult.model_validate(result).formatted


def embedding_parameters(texts: Iterable[str]) -> list[Parameter]:
    """The parameters of ``embedString``, one for each text. Raises ``LMStudioValueError`` for what is not text."""
    return [_embedding(check_text(text, f"text {number}")) for number, text in enumerate(texts)]


def _embedding(text: str) -> Parameter:
    return Parameter((encode({"inputString": text}),), "modelSpecifier")


def read_embedding(result: Any) -> list[float]:
    """The result of ``embedString``."""
    return model_calls.EmbedStringResult.model_validate(result).embedding


@dataclass(frozen=True, slots=True)
class Embedded:
    """The results of ``embedString``; those of a text in ``split`` are the results of its parts."""

    results: list[Any]
    split: list[SplitText] = field(default_factory=list)


def long_texts(texts: Sequence[str]) -> list[SplitText]:
    """The texts that may be longer than the context of some embedding model."""
    return [SplitText(number, [text]) for number, text in enumerate(texts) if may_exceed(text, SMALLEST_CONTEXT)]


def count_all(model: ModelCalls, texts: Sequence[str]) -> tuple[list[Call[int]], list[Parameter]]:
    """The calls that count the tokens of texts, and their parameters."""
    calls = [model.count_tokens(text) for text in texts]
    return calls, [call.parameter for call in calls if call.parameter is not None]


def text_numbers(count: int, split: Sequence[SplitText]) -> list[int]:
    """Which text each request is about, if those in ``split`` are sent in parts."""
    parts = {text.number: len(text.parts) for text in split}
    return [number for number in range(count) for _ in range(parts.get(number, 1))]


def insert_parts(parameters: list[Parameter], split: Sequence[SplitText]) -> list[Parameter]:
    """``parameters`` with those of a split text's parts in the place of the text's."""
    parts = {text.number: [_embedding(part) for part in text.parts] for text in split}
    return [part for number, parameter in enumerate(parameters) for part in parts.get(number, (parameter,))]


def read_embeddings(embedded: Embedded) -> list[list[float]]:
    """One vector for each text, all of one length. Raises ``LMStudioProtocolError``, which has the text's number."""
    call: Call[list[float]] = Call("embedding", "embedString", None, read_embedding)
    parts = sum(len(text.parts) - 1 for text in embedded.split)
    vectors: list[list[float]] = []
    for number, result in zip(
        text_numbers(len(embedded.results) - parts, embedded.split), embedded.results, strict=True
    ):
        try:
            vectors.append(call.answer(result))
            if len(vectors[-1]) != len(vectors[0]):
                raise LMStudioProtocolError(
                    f"its vector has {len(vectors[-1])} numbers, and that of the first text {len(vectors[0])}: the "
                    "model was exchanged meanwhile. Embed all of the texts again"
                )
        except LMStudioProtocolError as error:
            error.text_number = number
            raise
    for text in embedded.split:  # in their order, so that the vectors before it are one for each text
        end = text.number + len(text.parts)
        vectors[text.number : end] = [merge_vectors(vectors[text.number : end], text.tokens)]
    return vectors


def unload(namespace: str, identifier: str | None, device: str | None = None) -> Call[None]:
    """Unload an instance by its identifier. It is never sent again: the second one would fail."""
    if identifier is None:
        raise LMStudioValueError("unload() needs to know which model: get the handle by its key or identifier")
    members = {"identifier": _identifier(identifier), "deviceIdentifier": _device(device)}
    parameter = Parameter.of({key: value for key, value in members.items() if value is not None})
    return Call(namespace, "unloadModel", parameter, lambda _: None, repeatable=False)


_QUERY_KEYS = {
    "identifier": "identifier",
    "path": "path",
    "domain": "domain",
    "vision": "vision",
    "deviceIdentifier": "deviceIdentifier",
    "device_identifier": "deviceIdentifier",
}


def model_info(namespace: str, specifier: Any) -> Call[ModelInstanceInfo]:
    """The loaded instance that ``specifier`` means: an identifier, a query, or one of LM Studio's own specifiers.

    Raises:
        LMStudioValueError: It is none of these.
    """
    if isinstance(specifier, str):
        return ModelCalls(namespace, specifier).get_info_of(query(specifier))
    if isinstance(specifier, Mapping):
        given = dict(specifier)
        kind = given.pop("type", "query")
        reference = given.get("instanceReference", given.get("instance_reference"))
        if kind == "instanceReference" and isinstance(reference, str):
            return ModelCalls(namespace, reference).get_info_of({"type": kind, "instanceReference": reference})
        wanted = given.get("query", given)
        if kind == "query" and isinstance(wanted, Mapping) and wanted.keys() <= _QUERY_KEYS.keys():
            members = {_QUERY_KEYS[key]: value for key, value in wanted.items()}
            return ModelCalls(namespace, str(dict(wanted))).get_info_of({"type": "query", "query": members})
    raise LMStudioValueError(
        f"expected an identifier or a query with the keys {', '.join(sorted(set(_QUERY_KEYS.values())))}, "
        f"got {specifier!r}"
    )


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


def search_models(
    search_term: Any, limit: Any, compatibility_types: Sequence[str] | None
) -> Call[list[ModelSearchResult]]:
    """Search LM Studio's catalog and its other sources for models."""
    opts: dict[str, Any] = {}
    if search_term is not None:
        opts["searchTerm"] = check_text(search_term, "search_term")
    if limit is not None:
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 25:
            raise LMStudioValueError(f"limit={limit!r}: expected an integer from 1 to 25")
        opts["limit"] = limit
    if compatibility_types is not None:
        kinds = [compatibility_types] if isinstance(compatibility_types, str) else list(compatibility_types)
        if unknown := [kind for kind in kinds if kind not in COMPATIBILITY_TYPES]:
            raise LMStudioValueError(
                f"compatibility_types: expected some of {', '.join(COMPATIBILITY_TYPES)}, got {unknown[0]!r}"
            )
        opts["compatibilityTypes"] = kinds
    return Call(
        "repository",
        "searchModels",
        Parameter.of({"opts": opts}),
        lambda result: [ModelSearchResult.model_validate(item) for item in result["results"]],
    )


def download_options(model: ModelSearchResult) -> Call[list[DownloadOptionInfo]]:
    """The files in which a model can be downloaded."""
    return Call(
        "repository",
        "getModelDownloadOptions",
        Parameter.of({"modelSearchResultIdentifier": model.identifier}),
        lambda result: [DownloadOptionInfo.model_validate(item) for item in result["results"]],
    )


def download_parameter(identifier: str) -> Mapping[str, Any]:
    """The creation parameter of ``downloadModel``."""
    return {"downloadIdentifier": check_text(identifier, "the download identifier")}


def lm_link_status() -> Call[LmLinkStatus]:
    """The devices of LM Link."""
    return Call("repository", "lmLinkStatus", None, LmLinkStatus.model_validate)


def version() -> Call[Version]:
    """LM Studio's version and build."""
    return Call("system", "version", None, Version.model_validate)


def upload(file: ImageFile) -> Call[FilePart]:
    """Upload a file; the answer is the part that shows it in a message. Encodes the content: not for the I/O thread."""
    members = UploadFileParameter.validate_args(name=check_text(file.name), content_base64=file.to_base64()).to_wire()
    return Call(
        "files",
        "uploadFileBase64",
        Parameter.of(members),
        lambda result: UploadFileResult.model_validate(result).file_part(file.name),
    )
