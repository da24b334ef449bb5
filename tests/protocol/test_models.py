"""Models: names, information, loading, and the calls about them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol import files, model_calls, models, system
from lmstudio_integrations.protocol._model import WireModel
from lmstudio_integrations.protocol.config import kv_config, kv_stack
from lmstudio_integrations.protocol.loading import GetOrLoadCreation, LoadModelCreation
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo, check_identifier
from tests.frame_validation import schema, transcripts
from tests.frame_validation.shared import needs_shared
from tests.protocol.strategies import json_values

STACK = kv_stack(("apiOverride", kv_config({"llm.load.contextLength": 5})))


@pytest.mark.parametrize("name", ["m", "qwen/qwen3-4b", "qwen3@q4_k_m:2", "模型", "a" * 1024, "😀" * 512, " "])
def test_valid_model_names_are_unchanged(name: str) -> None:
    assert check_identifier(name) == name
    assert models.query(name).to_wire() == {"type": "query", "query": {"identifier": name}}


@pytest.mark.parametrize(
    "name", ["", "a" * 1025, "😀" * 513, "a\nb", "a\x00", "\x7f", "\x85", "__proto__", 5, None, b"m"]
)
def test_model_names_that_lm_studio_refuses_are_refused(name: Any) -> None:
    with pytest.raises(LMStudioValueError):
        check_identifier(name)


def test_model_is_specified_by_a_query() -> None:
    assert models.query().to_wire() == {"type": "query", "query": {}}
    with pytest.raises(LMStudioValueError):
        models.query("__proto__")


OURS: list[tuple[str, WireModel]] = [
    ("llm/channel/loadModel/creationParameter", LoadModelCreation(model_key="m", load_config_stack=STACK)),
    (
        "llm/channel/loadModel/creationParameter",
        LoadModelCreation(model_key="m", identifier="i", ttl_ms=1, load_config_stack=STACK),
    ),
    ("embedding/channel/getOrLoad/creationParameter", GetOrLoadCreation(identifier="m", load_config_stack=STACK)),
    (
        "llm/channel/getOrLoad/creationParameter",
        GetOrLoadCreation(identifier="m", load_ttl_ms=3_600_000, load_config_stack=STACK),
    ),
    ("files/rpc/uploadFileBase64/parameter", files.UploadFileParameter(name="a.png", content_base64="AA==")),
]


@needs_shared
@pytest.mark.parametrize(("definition", "ours"), OURS)
def test_every_parameter_model_is_valid_by_the_schema(definition: str, ours: WireModel) -> None:
    schema.check_definition(definition, ours.to_wire())


@pytest.mark.parametrize(("definition", "ours"), OURS)
def test_every_parameter_model_survives_writing_and_reading(definition: str, ours: WireModel) -> None:
    assert type(ours).from_wire(ours.to_wire()) == ours, definition


def test_null_is_written_only_if_set_and_allowed() -> None:
    info = {"modelKey": "m", "identifier": "i"}
    assert "ttlMs" not in ModelInstanceInfo.from_wire(info).to_wire()
    assert ModelInstanceInfo.from_wire({**info, "ttlMs": None}).to_wire()["ttlMs"] is None
    assert LoadModelCreation(model_key="m", identifier=None, load_config_stack=STACK).to_wire().keys() == {
        "modelKey",
        "loadConfigStack",
    }


@pytest.mark.parametrize("ttl", [0, -1, 1.5, None, "60000", True])
def test_ttl_is_at_least_one_millisecond_or_absent(ttl: Any) -> None:
    with pytest.raises(ValueError):
        LoadModelCreation.from_wire({"modelKey": "m", "ttlMs": ttl, "loadConfigStack": STACK})
    with pytest.raises(ValueError):
        GetOrLoadCreation.from_wire({"identifier": "m", "loadTtlMs": ttl, "loadConfigStack": STACK})
    if ttl is not None:
        with pytest.raises(LMStudioValueError, match="ttl"):
            LoadModelCreation.validate_args(model_key="m", ttl_ms=ttl, load_config_stack=STACK)


# --- what servers say -------------------------------------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("name", transcripts.names())
def test_recorded_models_survive_reading_and_writing(name: str) -> None:
    for item in transcripts.load(name):
        message, result = item.frame.get("message"), item.frame.get("result")
        infos = result if isinstance(result, list) else [result]
        if isinstance(message, dict):
            infos += [message.get("info"), message.get("modelInfo")]
        for info in infos:
            if isinstance(info, dict) and "modelKey" in info:
                kind = ModelInstanceInfo if "identifier" in info else ModelInfo
                assert kind.model_validate(info).to_wire() == info


@needs_shared
def test_model_info_has_all_members_of_the_schema() -> None:
    known = set(schema.definition("llmInstanceInfo")["properties"])
    assert known == {field.alias or name for name, field in ModelInstanceInfo.model_fields.items()}


def test_model_info_of_older_and_newer_servers_is_read() -> None:
    old = ModelInstanceInfo.model_validate({"modelKey": "m", "identifier": "m", "contextLength": 4096})
    assert (old.publisher, old.ttl_ms, old.device_identifier) == (None, None, None)
    assert old.to_wire().get("ttlMs", "absent") == "absent"
    new = ModelInfo.model_validate({"modelKey": "m", "format": "yuzu", "reasoning": {"levels": 3}})
    assert new.format == "yuzu"
    assert new.model_extra == {"reasoning": {"levels": 3}}


@given(json_values)
def test_malformed_members_of_a_model_are_read(value: Any) -> None:
    for name, field in ModelInstanceInfo.model_fields.items():
        if not field.is_required():
            raw = {"modelKey": "m", "identifier": "i", (field.alias or name): value}
            assert ModelInstanceInfo.model_validate(raw).model_key == "m"


def test_rpc_results_are_parsed() -> None:
    assert model_calls.TokenizeResult.model_validate({"tokens": [1, 2.0]}).tokens == [1, 2]
    assert model_calls.CountTokensResult.model_validate({"tokenCount": 3}).token_count == 3
    assert model_calls.ApplyPromptTemplateResult.model_validate({"formatted": "x"}).formatted == "x"
    assert model_calls.EmbedStringResult.model_validate({"embedding": [1, 0.5]}).embedding == [1, 0.5]
    assert system.Version.model_validate({"version": "0.4.2", "build": 2}).build == 2


@pytest.mark.parametrize("entry", [None, math.nan, math.inf, -math.inf])
def test_vector_with_an_entry_that_is_not_finite_is_an_error_that_says_so(entry: float | None) -> None:
    with pytest.raises(ValidationError, match="no finite numbers"):
        model_calls.EmbedStringResult.model_validate({"embedding": [0.5, entry]})


@pytest.mark.parametrize("vector", [["0.5x"], [[0.5]], [], None, "0.5"])
def test_vector_of_another_form_is_an_error_that_does_not_speak_of_finite_numbers(vector: object) -> None:
    with pytest.raises(ValidationError) as caught:
        model_calls.EmbedStringResult.model_validate({"embedding": vector})
    assert "finite" not in str(caught.value)
