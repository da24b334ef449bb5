"""Every setting of other integrations' classes has a meaning here, is ignored with a warning, or is refused with a hint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmstudio_integrations.compat.names import IGNORED, IGNORED_IN_CONSTRUCTOR, REFUSED, SYNONYMS, translate_constructor
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM
from lmstudio_integrations.llama_index import LMStudio

PEERS: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_name("peer_fields.json").read_text("utf-8"))
OURS = {
    "ChatOpenAI": ChatLMStudio,
    "ChatOllama": ChatLMStudio,
    "OllamaLLM": LMStudioLLM,
    "OpenAIEmbeddings": LMStudioEmbeddings,
    "OllamaEmbeddings": LMStudioEmbeddings,
}


def our_class(package: str, name: str) -> Any:
    return OURS.get(name, LMStudioLLM) if package.startswith("langchain") else LMStudio


FIELDS = [
    pytest.param(our_class(package, kind), name, id=f"{package.split()[0]}.{kind}.{name}")
    for package, kinds in PEERS.items()
    for kind, names in kinds.items()
    for name in names
]


@pytest.mark.parametrize(("ours", "name"), FIELDS)
def test_peer_setting_is_known(ours: Any, name: str) -> None:
    """With a value that sets nothing; a misspelt name would be an error all the same."""
    own = getattr(ours, "OWN_NAMES", {})
    translate_constructor({name: None}, ours.model_fields, own)
    with pytest.raises(LMStudioValueError, match="unknown setting"):
        translate_constructor({f"{name}_x": None}, ours.model_fields, own)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_setting_names_what_to_do_instead(name: str) -> None:
    with pytest.raises(LMStudioValueError, match=f"{name}='x': .{{20,}}"):
        translate_constructor({name: "x"}, set(), {})
    for harmless in REFUSED[name][0]:
        assert translate_constructor({name: harmless}, set(), {}) == {}


@pytest.mark.parametrize("name", sorted(IGNORED_IN_CONSTRUCTOR))
def test_setting_for_another_way_to_a_server_warns_in_a_constructor_only(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert translate_constructor({name: None}, set(), {}) == {}
    assert not caplog.records, "an empty value sets nothing"
    assert translate_constructor({name: "x"}, set(), {}) == {}
    assert name in caplog.text


def test_each_name_has_one_meaning() -> None:
    tables = [set(IGNORED), set(IGNORED_IN_CONSTRUCTOR), set(REFUSED), set(SYNONYMS)]
    assert len(set().union(*tables)) == sum(map(len, tables))


def test_sampling_settings_of_an_embedding_model_warn(caplog: pytest.LogCaptureFixture) -> None:
    LMStudioEmbeddings(model="m", temperature=0.5)  # type: ignore[call-arg]  # OllamaEmbeddings has it
    assert "temperature" in caplog.text


def test_response_format_in_a_constructor_says_where_it_belongs() -> None:
    with pytest.raises(LMStudioValueError, match="'format' is a keyword of each call"):
        translate_constructor({"format": "json"}, {"model"}, {})


def test_reasoning_as_an_effort_is_that_effort() -> None:
    assert ChatLMStudio(reasoning={"effort": "low"}).reasoning == 1024
    assert ChatLMStudio(reasoning={}).reasoning is None


def test_context_window_of_minus_one_is_left_to_the_model() -> None:
    assert LMStudio(context_window=-1).context_window is None
