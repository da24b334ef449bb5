"""The kinds of values that LM Studio's settings take, each with its limits (``kv-keys.json`` of the protocol notes)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool

from lmstudio_integrations.protocol._model import Number, WireInt, WireModel
from lmstudio_integrations.protocol.structured import structured_value
from lmstudio_integrations.protocol.tools import tool_choice_value, wire_tool

__all__ = [
    "CacheQuantization",
    "ChatTurn",
    "JinjaPromptTemplate",
    "LoadPromptTemplate",
    "LogitBias",
    "ManualPromptTemplate",
    "Mirostat",
    "MlxKvCacheQuantization",
    "Off",
    "OffloadRatio",
    "PromptTemplate",
    "Raw",
    "ReasoningParsing",
    "Structured",
    "ToolChoiceValue",
    "ToolUse",
]


def _only_false(value: Any) -> Any:
    if value is not False:
        raise ValueError("not false")
    return value


class Setting(WireModel):
    """A setting that is an object; a misspelt key in it is an error."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


Off = Annotated[Literal[False], BeforeValidator(_only_false)]
"""``False``: the setting's checkbox is not ticked."""

OffloadRatio = Annotated[Number, Field(ge=0, le=1)] | Literal["max", "off"]
CacheQuantization = Literal["f32", "f16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"]


class ManualPromptTemplate(Setting):
    """Text around each kind of message."""

    before_system: str = ""
    after_system: str = ""
    before_user: str = ""
    after_user: str = ""
    before_assistant: str = ""
    after_assistant: str = ""


class JinjaPromptTemplate(Setting):
    """A Jinja template over ``messages``."""

    template: str


class PromptTemplate(Setting):
    """How a conversation becomes a prompt. ``stop_strings`` is always sent, the wire requires it."""

    type: Literal["manual", "jinja"]
    manual_prompt_template: ManualPromptTemplate | None = None
    jinja_prompt_template: JinjaPromptTemplate | None = None
    stop_strings: list[str] = Field(default_factory=list)


class LoadPromptTemplate(Setting):
    """The prompt template a model is loaded with: Jinja only."""

    type: Literal["jinja"] = "jinja"
    jinja_prompt_template: JinjaPromptTemplate


class ReasoningParsing(Setting):
    """Which tags mark reasoning; all three keys are required on the wire."""

    enabled: StrictBool = True
    start_string: str = "<think>"
    end_string: str = "</think>"


class Mirostat(Setting):
    """Mirostat sampling; version 0 is off."""

    version: Annotated[Literal[0, 1, 2], BeforeValidator(lambda value: None if isinstance(value, bool) else value)]
    learning_rate: Number = 0.1
    target_entropy: Number = 5


class MlxKvCacheQuantization(Setting):
    """Quantization of the key/value cache in the MLX engine."""

    enabled: StrictBool = True
    bits: Literal[8, 6, 4, 3, 2] = 8
    group_size: Literal[32, 64, 128] = 64
    quantized_start: Annotated[WireInt, Field(ge=0)] = 5000


class ChatTurn(Setting):
    """One entry of a file reference for the context (``jsonFile`` or ``yamlFile``)."""

    type: Literal["jsonFile", "yamlFile"]
    abs_path: str


def _bias_pairs(value: Any) -> Any:
    """Both OpenAI's mapping of token id to bias and LM Studio's list of pairs."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, list | tuple):
        raise ValueError("not a list of pairs")
    made = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError("not a pair")
        token, bias = pair
        if isinstance(token, str) and token.isdecimal():
            token = int(token)
        made.append([token, "-inf" if bias == float("-inf") else bias])
    return made


def _check_pair(pair: list[Any]) -> list[Any]:
    token, bias = pair
    if isinstance(token, bool) or not isinstance(token, int):
        raise ValueError("a token id must be an integer")
    if bias != "-inf" and (isinstance(bias, bool) or not isinstance(bias, int | float) or bias - bias != 0):
        raise ValueError('a bias must be a number or "-inf"')
    return pair


BiasPair = Annotated[list[Any], BeforeValidator(_check_pair)]
LogitBias = Annotated[list[BiasPair], BeforeValidator(_bias_pairs)]


def _tool_use(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError("not a mapping")
    kind, tools = value.get("type"), value.get("tools", [])
    if kind == "none":
        return {"type": "none"}
    if kind != "toolArray" or not isinstance(tools, list | tuple):
        raise ValueError("neither none nor toolArray")
    return {"type": "toolArray", "tools": [wire_tool(tool) for tool in tools]}


def _raw_pairs(value: Any) -> Any:
    """A mapping of keys to values, or LM Studio's own ``{"fields": [{"key", "value"}]}``."""
    if not isinstance(value, Mapping) or set(value) != {"fields"} or not isinstance(value["fields"], list):
        return value
    if not all(isinstance(field, Mapping) and isinstance(field.get("key"), str) for field in value["fields"]):
        raise ValueError("a field needs a key")
    return {field["key"]: field.get("value") for field in value["fields"]}


Raw = Annotated[dict[str, Any], BeforeValidator(_raw_pairs)]
Structured = Annotated[dict[str, Any], BeforeValidator(structured_value)]
ToolChoiceValue = Annotated[dict[str, Any], BeforeValidator(tool_choice_value)]
ToolUse = Annotated[dict[str, Any], BeforeValidator(_tool_use)]
