"""The blocking and the awaiting front have the same names in the same order, and take the same things."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import lmstudio_integrations
from lmstudio_integrations import AsyncClient, Client, LMStudioValueError, client
from lmstudio_integrations.client import aio, convenience, sync
from lmstudio_integrations.client._base import CompletionOptions, PredictionOptions
from lmstudio_integrations.client.callbacks import CallbackOptions, Callbacks
from tools import generate_sync

PAIRS = [
    (sync.Client, aio.AsyncClient),
    (sync.LLM, aio.AsyncLLM),
    (sync.EmbeddingModel, aio.AsyncEmbeddingModel),
    (sync.PredictionStream, aio.AsyncPredictionStream),
    (sync.Models, aio.AsyncModels),
    (sync.Files, aio.AsyncFiles),
    (sync.System, aio.AsyncSystem),
    (sync.Repository, aio.AsyncRepository),
    (sync.AvailableModel, aio.AsyncAvailableModel),
    (sync.ModelDownloadOption, aio.AsyncModelDownloadOption),
]
DOWNLOADED = [
    (sync.DownloadedLlm, aio.AsyncDownloadedLlm),
    (sync.DownloadedEmbeddingModel, aio.AsyncDownloadedEmbeddingModel),
]
# `contextlib.aclosing` looks for it; the blocking counterpart is `close`, which both have.
ONLY_ASYNC = {"aclose"}
# Plain on both sides: they send no request, or may be called where nothing can be awaited. The stream's `result` is awaitable
# before the end and the result itself after it, as the official SDK's documentation uses it (issue 12).
PLAIN = {"just_in_time", "events", "cancel", "close", "result", "of"}


def public(kind: type) -> list[str]:
    """Public names in the order of their definition, those of the bases first."""
    names: dict[str, None] = {}
    for base in reversed(kind.__mro__[:-1]):
        names.update(dict.fromkeys(name for name in vars(base) if not name.startswith("_")))
    return list(names)


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS)
def test_both_clients_have_the_same_names_in_the_same_order(blocking: type, awaiting: type) -> None:
    assert public(blocking) == [name for name in public(awaiting) if name not in ONLY_ASYNC]


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS)
def test_both_clients_take_the_same_parameters_with_the_same_defaults(blocking: type, awaiting: type) -> None:
    for name in ("__init__", *public(blocking)):
        one, two = inspect.getattr_static(blocking, name), inspect.getattr_static(awaiting, name)
        if isinstance(one, property):
            assert isinstance(two, property), name
        elif callable(one) and name != "__init__":
            assert shape(one) == shape(two), name
    if blocking is not sync.PredictionStream:
        assert shape(blocking) == shape(awaiting)


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS)
def test_methods_that_block_in_one_client_are_awaited_in_the_other(blocking: type, awaiting: type) -> None:
    for name in public(blocking):
        method = inspect.getattr_static(awaiting, name)
        method = getattr(method, "__func__", method)  # of a static method
        if callable(method) and name not in PLAIN:
            assert inspect.iscoroutinefunction(method), name
        if callable(method) and name in PLAIN - {"close"}:
            assert not inspect.iscoroutinefunction(method), name


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS)
def test_every_public_name_has_a_docstring(blocking: type, awaiting: type) -> None:
    for kind in (blocking, awaiting):
        assert kind.__doc__
        for name in public(kind):
            assert getattr(kind, name).__doc__, f"{kind.__name__}.{name}"


@pytest.mark.parametrize(("blocking", "awaiting"), DOWNLOADED)
def test_downloaded_models_take_the_same_parameters_in_both_clients(blocking: type, awaiting: type) -> None:
    for name in ("model", "load_new_instance"):
        assert shape(getattr(blocking, name)) == shape(getattr(awaiting, name))
        assert inspect.iscoroutinefunction(getattr(awaiting, name))


def test_both_modules_export_the_same_names() -> None:
    assert [f"Async{name}" for name in sorted(sync.__all__)] == sorted(aio.__all__)


def test_convenience_functions_take_the_parameters_of_the_methods() -> None:
    scoped = [item for item in shape(sync.Models.model) if item[0] != "self"]
    assert shape(convenience.llm) == shape(convenience.embedding_model) == scoped


def test_every_option_of_a_prediction_is_declared_once() -> None:
    names = set(PredictionOptions.__annotations__)
    assert names - set(CompletionOptions.__annotations__) == {
        "input",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "fetch_images",
    }
    assert {name for name in names if name.startswith("on_")} == set(CallbackOptions.__annotations__)
    assert set(CallbackOptions.__annotations__) == set(Callbacks.__dataclass_fields__)


@pytest.mark.parametrize("kind", [sync.LLM, aio.AsyncLLM])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("respond", PredictionOptions),
        ("respond_stream", PredictionOptions),
        ("complete", CompletionOptions),
        ("complete_stream", CompletionOptions),
    ],
)
def test_signature_shows_every_option(kind: Any, method: str, options: Any) -> None:
    parameters = inspect.signature(getattr(kind, method)).parameters
    keywords = [name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY]
    assert keywords == ["response_format", *options.__annotations__]
    assert {"config", "on_message"} <= set(keywords)
    assert parameters["config"].annotation == "LlmPredictionConfig | LlmPredictionConfigDict | None"
    assert {name for name in keywords if parameters[name].default is False} == {
        name for name in keywords if parameters[name].annotation == "bool"
    }


@pytest.mark.parametrize("name", client.__all__)
def test_what_adapters_need_can_be_imported_from_the_client(name: str) -> None:
    assert hasattr(client, name)


@pytest.mark.parametrize("name", lmstudio_integrations.__all__)
def test_every_name_in_all_exists(name: str) -> None:
    assert hasattr(lmstudio_integrations, name)


TOKEN = "sk-lm-AbCd1234:abcdefghij0123456789"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_client_opens_no_connection_and_can_be_copied_and_pickled(kind: Any) -> None:
    made = kind("localhost:1", api_token=TOKEN, timeout=5, max_retries=3)
    for again in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(again) is kind
        assert again.url == "ws://localhost:1"
        assert again._limits == made._limits


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_copy_of_a_client_keeps_the_token_and_a_pickle_does_not(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = kind("localhost:1", api_token=TOKEN)
    assert copy.copy(made)._authentication == copy.deepcopy({"c": made})["c"]._authentication == made._authentication
    assert pickle.loads(pickle.dumps(made))._authentication is None
    monkeypatch.setenv("LM_API_TOKEN", TOKEN)
    assert pickle.loads(pickle.dumps(made))._authentication == made._authentication


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_handle_can_be_copied_and_pickled(kind: Any) -> None:
    handle = kind("localhost:1").llm.just_in_time("some/model", ttl=5, config={"contextLength": 8})
    for again in (copy.copy(handle), copy.deepcopy(handle), pickle.loads(pickle.dumps(handle))):
        assert type(again) is type(handle)
        assert (again.identifier, again._reference) == ("some/model", handle._reference)
    assert "some/model" in repr(handle)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_unknown_option_raises_with_the_nearest_name(kind: Any) -> None:
    handle = kind("localhost:1").llm.just_in_time("m")
    for name, words in (
        ("temperature", "pass it in config="),
        ("maxTokens", "pass it in config="),
        ("on_progres", "did you mean 'on_progress'"),
        ("tool", "did you mean 'tools'"),
        ("zzz", "there are"),
    ):
        with pytest.raises(TypeError, match=words):
            handle._start(None, "Hi", {name: 1}, raw=False)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_settings_are_checked_before_anything_is_sent(kind: Any) -> None:
    made = kind("localhost:1")
    for wrong in ({"ttl": 0}, {"config": {"contextLenght": 5}}):
        with pytest.raises(LMStudioValueError):
            made.llm.just_in_time("m", **wrong)
    with pytest.raises(LMStudioValueError):
        made.llm.just_in_time("a\nb")


def test_blocking_client_is_what_the_generator_makes_of_the_async_client() -> None:
    for path, text in generate_sync.files().items():
        assert path.read_text("utf-8") == text, "run python tools/generate_sync.py"


@pytest.mark.parametrize("path", generate_sync.files(), ids=lambda path: path.name)
def test_generated_blocking_code_has_nothing_of_asyncio(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    assert not [node for node in ast.walk(tree) if isinstance(node, kinds)]
    assert not re.search(r"\bAsync|asyncio|\baio_|event loop", path.read_text("utf-8").split('"""', 2)[2])
