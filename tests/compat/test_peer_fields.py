"""Every setting of other integrations' classes has a meaning here, is ignored with a warning, or is refused with a hint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmstudio_integrations.compat.names import IGNORED, IGNORED_IN_CONSTRUCTOR, REFUSED, SYNONYMS, translate_constructor
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding

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


MORE: dict[Any, str] = {
    ChatLMStudio: (  # ChatAnthropic, OpenAI's API, Ollama's options
        "anthropic_api_key anthropic_api_url anthropic_proxy container default_request_timeout effort inference_geo "
        "max_tokens_to_sample mcp_servers output_config reuse_last_container user_profile_id "
        "messages audio moderation prediction prompt_cache_retention web_search_options background conversation input "
        "instructions max_tool_calls previous_response_id prompt text echo suffix "
        "embedding_only f16_kv logits_all low_vram main_gpu num_batch num_keep numa penalize_newline typical_p use_mlock "
        "use_mmap vocab_only"
    ),
    LMStudio: (  # OpenAIResponses
        "reasoning_options instructions track_previous_responses built_in_tools previous_response_id call_metadata "
        "async_http_client openai_client async_openai_client"
    ),
    LMStudioEmbedding: "mode async_http_client openai_client ollama_additional_kwargs",
    LMStudioEmbeddings: "input encoding_format",
}


@pytest.mark.parametrize(("ours", "name"), [(ours, name) for ours, names in MORE.items() for name in names.split()])
def test_name_of_another_api_is_known(ours: Any, name: str) -> None:
    translate_constructor({name: None}, ours.model_fields, getattr(ours, "OWN_NAMES", {}))


def test_names_of_chat_anthropic_mean_the_same_here() -> None:
    made: Any = ChatLMStudio
    model = made(
        anthropic_api_url="ws://127.0.0.1:9", max_tokens_to_sample=5, effort="low", default_request_timeout=7.0
    )
    assert (model.base_url, model.max_tokens, model.reasoning, model.timeout) == ("ws://127.0.0.1:9", 5, 1024, 7.0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("base_url", "is a setting of the model, not a keyword of a call: pass it to the constructor"),
        ("openai_api_key", "is a setting of the model, not a keyword of a call: pass it to the constructor"),
        ("rate_limiter", "is a setting of the model"),
        ("cache", "is a setting of the model"),
        ("http_client", "has no meaning for LM Studio, so leave it out"),
        ("use_responses_api", "has no meaning for LM Studio, so leave it out"),
        ("default_headers", "headers belong to the connection"),
        ("is_chat_model", "the class decides"),
    ],
)
def test_setting_in_a_call_says_where_it_belongs(name: str, words: str) -> None:
    model: Any = ChatLMStudio()
    with pytest.raises(TypeError, match=f"{name}.*{words}"):
        model.invoke("x", **{name: "y"})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("api_base", "is a setting of the model, not a keyword of a call: pass it to the constructor"),
        ("openai_api_key", "is a setting of the model"),
        ("system_prompt", "is a setting of the model"),
        ("reuse_client", "has no meaning for LM Studio, so leave it out"),
    ],
)
def test_setting_in_a_call_of_llama_index_says_where_it_belongs(name: str, words: str) -> None:
    model: Any = LMStudio()
    with pytest.raises(LMStudioValueError, match=f"{name}.*{words}"):
        model.complete("x", **{name: "y"})


@pytest.mark.parametrize("name", ["tools", "tool_choice", "parallel_tool_calls", "response_format"])
@pytest.mark.parametrize("ours", [ChatLMStudio, LMStudio])
def test_keyword_of_a_call_in_a_constructor_says_where_it_belongs(ours: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}' is a keyword of each call, not a setting: pass or bind {name}=…"):
        ours(**{name: "x"})


def test_hint_names_only_what_the_call_takes() -> None:
    with pytest.raises(LMStudioValueError) as caught:
        translate_constructor({"response_fromat": 1}, {"model", "base_url"}, {})
    assert "did you mean" not in str(caught.value)


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
    with pytest.raises(LMStudioValueError, match="'format' is a keyword of each call, not a setting"):
        translate_constructor({"format": "json"}, {"model"}, {})


def test_reasoning_as_an_effort_is_that_effort() -> None:
    assert ChatLMStudio(reasoning={"effort": "low"}).reasoning == 1024
    assert ChatLMStudio(reasoning={}).reasoning is None


@pytest.mark.parametrize("name", ["extra_body", "model_kwargs", "options"])
def test_common_names_in_a_dictionary_mean_the_same_on_both_sides(name: str) -> None:
    given: Any = {name: {"reasoning": {"effort": "low"}, "context_length": 512, "topKSampling": 5}}
    langchain, llama_index = ChatLMStudio(**given), LMStudio(**given)
    assert (langchain.reasoning, langchain.context_length) == (1024, 512)
    assert (llama_index.thinking, llama_index.context_window) == (1024, 512)
    assert langchain.prediction_config == llama_index.additional_kwargs == {"topKSampling": 5}


def test_context_window_of_minus_one_is_left_to_the_model() -> None:
    assert LMStudio(context_window=-1).context_window is None
