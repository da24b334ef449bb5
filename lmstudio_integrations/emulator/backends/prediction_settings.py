"""What a prediction's configuration asks for, read out of its key/value stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmstudio_integrations.emulator import config_schema
from lmstudio_integrations.emulator.config_schema import Fields

_P = "llm.prediction."


@dataclass(frozen=True)
class PredictionSettings:
    """The settings that change what the emulator does; ``fields`` has all of them, defaults included."""

    fields: Fields
    max_tokens: int | None
    stop_strings: tuple[str, ...]
    overflow_policy: str
    structured: Mapping[str, Any]
    tools: tuple[Mapping[str, Any], ...]
    tool_choice: str
    thinking: bool
    reasoning_budget: int | None
    reasoning_tags: tuple[str, str]
    reasoning_parsing: bool
    draft_model: str
    log_probs: bool
    seed: int | None
    temperature: float
    raw_template: bool
    system_prompt: str


def read(stack: Mapping[str, Any], preset: Fields | None = None) -> PredictionSettings:
    """Read a ``predictionConfigStack``, which precedes the fields of a preset.

    Raises:
        EndpointError: a known key has a value of the wrong type.
    """
    fields = config_schema.checked({**(preset or {}), **config_schema.merged(stack)}, config_schema.PREDICTION)
    tools = fields[_P + "tools"]
    choice = fields[_P + "toolChoice"]["mode"]
    offered = tools.get("tools", []) if tools["type"] == "toolArray" and choice != "none" else []
    parsing = fields[_P + "reasoning.parsing"]
    template = fields.get(_P + "promptTemplate")
    return PredictionSettings(
        fields=fields,
        max_tokens=_checked_number(fields[_P + "maxPredictedTokens"]),
        stop_strings=tuple(stop for stop in fields[_P + "stopStrings"] if stop),
        overflow_policy=fields[_P + "contextOverflowPolicy"],
        structured=fields[_P + "structured"],
        tools=tuple(tool["function"] for tool in offered),
        tool_choice=choice,
        thinking=fields[_P + "reasoning.enableThinking"],
        reasoning_budget=_checked_number(fields[_P + "reasoning.budgetTokens"]),
        reasoning_tags=(parsing["startString"], parsing["endString"]),
        reasoning_parsing=parsing["enabled"],
        draft_model=fields[_P + "speculativeDecoding.draftModel"],
        log_probs=fields[_P + "logProbs"]["checked"],
        seed=_checked_number(fields[_P + "seed"]),
        temperature=float(fields[_P + "temperature"]),
        raw_template=template is not None and template["type"] == "jinja" and "role" not in _jinja(template),
        system_prompt=fields[_P + "systemPrompt"],
    )


def _checked_number(box: Mapping[str, Any]) -> int | None:
    return int(box["value"]) if box["checked"] else None


def _jinja(template: Mapping[str, Any]) -> str:
    return str(template.get("jinjaPromptTemplate", {}).get("template", ""))
