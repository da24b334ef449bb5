"""The emulator's shapes against LM Studio's published schema: both accept and refuse the same parameters."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lmstudio_integrations.emulator import config_schema
from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.wire import request_schemas
from lmstudio_integrations.emulator.wire.endpoints import ENDPOINTS
from tests.emulator.raw_client import prediction
from tests.frame_validation import schema

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "protocol"
pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(
        not SHARED.exists(), reason="LM Studio's schema (../shared/protocol) is not beside this checkout"
    ),
]


@cache
def definitions() -> Any:
    def stripping(node: Any) -> Any:
        """LM Studio strips unknown keys; the published form of its schema forbids them."""
        if isinstance(node, dict):
            kept = {key: value for key, value in node.items() if (key, value) != ("additionalProperties", False)}
            return {key: stripping(value) for key, value in kept.items()}
        return [stripping(item) for item in node] if isinstance(node, list) else node

    return stripping(schema.definitions())


def published(name: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(
        {"$ref": f"#/definitions/{name.replace('/', '~1')}", "definitions": definitions()}
    )


MESSAGES = [
    {"role": "system", "content": [{"type": "text", "text": "s"}]},
    {
        "role": "user",
        "content": [{"type": "file", "name": "n", "identifier": "i", "sizeBytes": 1, "fileType": "image"}],
    },
    {
        "role": "assistant",
        "content": [
            {
                "type": "toolCallRequest",
                "toolCallRequest": {"type": "function", "name": "f", "id": "1", "arguments": {"a": 1}},
            }
        ],
    },
    {"role": "tool", "content": [{"type": "toolCallResult", "content": "r", "toolCallId": "1", "name": "f"}]},
]
SPECIFIER = {
    "type": "query",
    "query": {"identifier": "a", "path": "b", "domain": "llm", "vision": True, "deviceIdentifier": None},
}
REFERENCE = {"type": "instanceReference", "instanceReference": "x"}
STACK = prediction(temperature=1)["predictionConfigStack"]
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "d",
        "parameters": {
            "type": "object",
            "properties": {"a": {}},
            "required": ["a"],
            "additionalProperties": False,
            "$defs": {},
        },
    },
}
SEEDS: list[tuple[str, Any, Any]] = [
    ("llm/channel/predict/creationParameter", request_schemas.PREDICT, {**prediction(MESSAGES), "fuzzyPresetIdentifier": "p", "ignoreServerSessionConfig": True}),
    ("llm/channel/completeRawText/creationParameter", request_schemas.COMPLETE_RAW_TEXT, {"modelSpecifier": REFERENCE, "rawPrompt": "x", "predictionConfigStack": STACK}),
    ("llm/channel/getOrLoad/creationParameter", request_schemas.GET_OR_LOAD, {"identifier": "a", "loadConfigStack": STACK, "loadTtlMs": 5, "deviceIdentifier": None}),
    ("llm/channel/loadModel/creationParameter", request_schemas.LOAD_MODEL, {"modelKey": "a", "identifier": "b", "loadConfigStack": STACK, "ttlMs": 5, "deviceIdentifier": "d"}),
    ("llm/rpc/unloadModel/parameter", request_schemas.UNLOAD, {"identifier": "a", "deviceIdentifier": None}),
    ("llm/rpc/getModelInfo/parameter", request_schemas.MODEL_INFO, {"specifier": SPECIFIER, "throwIfNotFound": True}),
    ("llm/rpc/getLoadConfig/parameter", request_schemas.LOAD_CONFIG, {"specifier": REFERENCE}),
    ("llm/rpc/getBasePredictionConfig/parameter", request_schemas.BASE_PREDICTION_CONFIG, {"specifier": REFERENCE, "ignoreServerSessionConfig": True}),
    ("llm/rpc/tokenize/parameter", request_schemas.TOKENIZE, {"specifier": SPECIFIER, "inputString": "x"}),
    ("llm/rpc/applyPromptTemplate/parameter", request_schemas.APPLY_TEMPLATE, {"specifier": SPECIFIER, "history": {"messages": MESSAGES}, "predictionConfigStack": STACK, "opts": {"omitBosToken": True, "toolDefinitions": [TOOL]}}),
    ("llm/rpc/estimateModelUsage/parameter", request_schemas.ESTIMATE, {"modelKey": "a", "loadConfigStack": STACK, "deviceIdentifier": None}),
    ("llm/rpc/preloadDraftModel/parameter", request_schemas.PRELOAD_DRAFT, {"specifier": SPECIFIER, "draftModelKey": "x"}),
    ("embedding/rpc/embedString/parameter", request_schemas.EMBED, {"modelSpecifier": SPECIFIER, "inputString": "x"}),
    ("files/rpc/uploadFileBase64/parameter", request_schemas.UPLOAD, {"name": "a", "contentBase64": "x"}),
    ("system/rpc/notify/parameter", request_schemas.NOTIFY, {"title": "a", "description": "x", "noAutoDismiss": False}),
    ("system/rpc/listDownloadedModelVariants/parameter", request_schemas.VARIANTS, {"modelKey": "a"}),
    ("files/channel/retrieve/creationParameter", request_schemas.RETRIEVE, {"query": "q", "fileIdentifiers": ["a"], "config": {"fields": [{"key": "retrieval.limit", "value": 3}]}}),
    ("repository/channel/createDownloadPlan/creationParameter", request_schemas.DOWNLOAD_PLAN, {"target": {"type": "model", "source": {"type": "huggingface", "user": "a", "repo": "b 1.5"}}, "opts": {"resolutionPreference": [{"type": "quantName", "quantName": "q"}, {"type": "fileName", "fileName": "f"}], "compatibilityTypes": ["gguf"]}}),
    ("repository/channel/createDownloadPlan/creationParameter", request_schemas.DOWNLOAD_PLAN, {"target": {"type": "artifact", "owner": "a-1", "name": "b-1.5"}}),
    ("repository/channel/createDownloadPlan/toServerPacket", request_schemas.DOWNLOAD_PLAN_INPUT, {"type": "setSelectedDownloadOptionIndex", "nodeIndex": 0, "selectedDownloadOptionIndex": None, "requestedPlanVersion": 3}),
    ("repository/rpc/fuzzyFindStaffPicks/parameter", request_schemas.STAFF_PICKS, {"searchTerm": "a", "limit": 3, "compatibilityTypes": ["gguf"]}),
    ("runtime/rpc/surveyHardware/parameter", request_schemas.SURVEY_HARDWARE, {"type": "custom", "engines": [{"name": "a", "version": "1"}]}),
]  # fmt: skip
ODD = [None, True, 0, 1, -1, 1.5, 2.0, "", "text", "llm", [], [1], {}, {"type": "query"}, {"a": None}]


def corrupted(value: Any) -> Iterator[Any]:
    """Copies with one place missing or replaced by something else."""
    for path in places(value):
        for odd in [..., *ODD]:
            changed = copy.deepcopy(value)
            target = changed
            for step in path[:-1]:
                target = target[step]
            if odd is ...:
                del target[path[-1]]
            else:
                target[path[-1]] = odd
            yield changed


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from places(entry, (*path, key))


@pytest.mark.parametrize(("name", "shape", "good"), SEEDS, ids=[seed[0] for seed in SEEDS])
def test_request_schemas_agree_with_the_published_schema(name: str, shape: Any, good: Any) -> None:
    validator = published(name)
    assert validator.is_valid(good)
    assert shape(good, "parameter") is None
    verdicts = set()
    for value in corrupted(good):
        valid = validator.is_valid(value)
        verdicts.add(valid)
        problem = shape(value, "parameter")
        assert (problem is None) == valid, (value, problem)
    assert verdicts == {True, False}


def test_every_endpoint_of_the_emulator_is_published() -> None:
    for namespace, table in ENDPOINTS.items():
        for name, endpoint in table.items():
            kind = "rpc" if endpoint.rpc is not None else "channel"
            assert f"pseudo/{namespace}/{kind}/{name}" in definitions() or any(
                key.startswith(f"{namespace}/{kind}/{name}/") for key in definitions()
            ), (namespace, name)


TABLES = {
    **config_schema.PREDICTION,
    **config_schema.LLM_LOAD,
    **config_schema.EMBEDDING_LOAD,
    **config_schema.RETRIEVAL,
}
KEYS = json.loads((SHARED / "kv-keys.json").read_text(encoding="utf-8")) if SHARED.exists() else []
KNOWN = [entry for entry in KEYS if entry["key"] in TABLES]


def test_config_tables_have_nearly_all_published_keys() -> None:
    wanted = {entry["key"] for entry in KEYS if entry["key"].startswith(("llm.", "embedding.", "load.", "retrieval."))}
    assert len(wanted - set(TABLES)) < 10, wanted - set(TABLES)
    assert set(TABLES) <= wanted


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: entry["key"])
def test_config_limits_and_defaults_are_the_published_ones(entry: dict[str, Any]) -> None:
    shape, default = TABLES[entry["key"]]
    assert shape(entry["default"], "value") is None
    if default is not None and "contextLength" not in entry["key"]:
        assert default == entry["default"]
    if entry["valueType"] not in ("numeric", "checkboxNumeric"):
        return
    boxed = entry["valueType"] == "checkboxNumeric"
    limits = entry["params"]
    bad: list[Any] = [True, "1", None]
    bad += [limits["min"] - 1] if "min" in limits else []
    bad += [limits["max"] + 1] if "max" in limits else []
    bad += [1.5 + limits.get("min", 0)] if limits.get("int") else []
    for value in bad:
        with pytest.raises(EndpointError, match="does not satisfy"):
            config_schema.checked({entry["key"]: {"checked": True, "value": value} if boxed else value}, TABLES)
    if boxed:
        with pytest.raises(EndpointError, match="does not satisfy"):
            config_schema.checked({entry["key"]: {"checked": False}}, TABLES)


def test_later_config_layer_wins_for_each_key() -> None:
    layers = [
        {"layerName": "apiOverride", "config": {"fields": [{"key": "a", "value": 1}, {"key": "b", "value": 1}]}},
        {"layerName": "instance", "config": {"fields": [{"key": "b", "value": 2}, {"key": "c"}]}},
    ]
    assert config_schema.merged({"layers": layers}) == {"a": 1, "b": 2}
