"""Headers and basic authentication of a reverse proxy in the classes of both adapters."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.load import dumps
from pydantic import SecretStr, ValidationError

from lmstudio_integrations import LMStudioAuthenticationError
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding
from tests.client.reverse_proxy import ReverseProxy

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")

USER, PASSWORD, KEY = "ann", "hunter2", "key-4711-4711"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, BASIC[6:], KEY)
CLASSES: list[Any] = [ChatLMStudio, LMStudioLLM, LMStudioEmbeddings, LMStudio, LMStudioEmbedding]
MODELS = {LMStudioEmbeddings: "emulator/embedding", LMStudioEmbedding: "emulator/embedding"}


@pytest.fixture
def guarded(lmstudio_emulator: Emulator) -> Iterator[ReverseProxy]:
    with ReverseProxy(lmstudio_emulator.url, {"Authorization": BASIC, "X-Key": KEY}) as proxy:
        yield proxy


def made(kind: Any, host: str, **settings: Any) -> Any:
    settings = {"base_url": f"http://{USER}:{PASSWORD}@{host}/v1", "headers": {"X-Key": KEY}} | settings
    return kind(model=MODELS.get(kind, "emulator/chat"), **settings)


def ask(model: Any) -> Any:
    if isinstance(model, LMStudioEmbeddings):
        return model.embed_query("x")
    if isinstance(model, LMStudioEmbedding):
        return model.get_text_embedding("x")
    return model.complete("x") if isinstance(model, LMStudio) else model.invoke("x")


async def aask(model: Any) -> Any:
    if isinstance(model, LMStudioEmbeddings):
        return await model.aembed_query("x")
    if isinstance(model, LMStudioEmbedding):
        return await model.aget_text_embedding("x")
    return await (model.acomplete("x") if isinstance(model, LMStudio) else model.ainvoke("x"))


def shown(model: Any) -> list[str]:
    """Every secret that some form of ``model`` shows."""
    forms = [repr(model), str(model), repr(vars(model)), model.model_dump_json(), repr(model.model_dump())]
    forms.append(repr(pickle.dumps(model)))
    if hasattr(model, "to_json"):
        forms.append(str(model.to_json()))
    if hasattr(model, "to_dict"):
        forms.append(json.dumps(model.to_dict(), default=str))
    if isinstance(model, (ChatLMStudio, LMStudioLLM)):
        forms += [dumps(model), repr(model._identifying_params), repr(model.asdict())]
    return [secret for secret in (*SECRETS, f"{USER}:") if any(secret in form for form in forms)]


@pytest.mark.parametrize("kind", CLASSES)
def test_model_sends_headers_and_basic_authentication(guarded: ReverseProxy, kind: Any) -> None:
    model = made(kind, guarded.host)
    assert model.base_url == guarded.url
    assert ask(model)
    assert asyncio.run(aask(model))
    assert {(head["authorization"], head["x-key"]) for head in guarded.heads} == {(BASIC, KEY)}


@pytest.mark.parametrize("kind", CLASSES)
def test_model_without_the_headers_raises_the_refusal_of_the_proxy(guarded: ReverseProxy, kind: Any) -> None:
    with pytest.raises(LMStudioAuthenticationError, match="401"):
        ask(made(kind, guarded.host, headers=None))


@pytest.mark.parametrize("kind", CLASSES)
def test_no_form_of_a_model_shows_its_headers(kind: Any) -> None:
    model = made(kind, "localhost:1")
    assert shown(model) == []
    assert shown(copy.deepcopy(model)) == []
    assert shown(model.model_copy(update={"base_url": f"ws://{USER}:{PASSWORD}@localhost:2"})) == []
    model.base_url = f"ws://{USER}:{PASSWORD}@localhost:3"
    assert model.base_url == "ws://localhost:3"
    model.headers = {"X-Key": KEY}
    assert shown(model) == []


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize(
    "wrong",
    [
        {"no_such_setting": 1},
        {"max_retries": "x"},
        {"headers": {"X-Key": "hunter2\n"}},
        {"headers": {"authorization": "hunter2"}},
        {"base_url": f"ftp://{USER}:{PASSWORD}@host"},
        {"base_url": f"ws://{USER}:12/{PASSWORD}@host"},
    ],
)
def test_error_of_a_constructor_shows_neither_headers_nor_token(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        made(kind, "localhost:1", api_key="sk-lm-AbCd1234:abcdefghij0123456789", **wrong)
    assert not [secret for secret in (*SECRETS, "AbCd", "0123456789") if secret in str(caught.value)]


@pytest.mark.parametrize("kind", CLASSES)
def test_copies_keep_headers_and_another_address_gets_no_basic_authentication(guarded: ReverseProxy, kind: Any) -> None:
    model = made(kind, guarded.host)
    assert ask(copy.deepcopy(model))
    assert ask(model.model_copy())
    moved = model.model_copy(update={"base_url": "ws://localhost:1"})
    assert list(moved.headers) == ["X-Key"]
    model.base_url = "ws://localhost:1"
    assert list(model.headers) == ["X-Key"]


@pytest.mark.parametrize("kind", CLASSES)
def test_unpickled_model_takes_basic_authentication_from_the_environment_or_says_so(
    lmstudio_emulator: Emulator, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReverseProxy(lmstudio_emulator.url, {"Authorization": BASIC}) as proxy:
        stored = pickle.dumps(made(kind, proxy.host, headers=None))
        with pytest.raises(LMStudioAuthenticationError, match="pickles do not hold"):
            ask(pickle.loads(stored))
        monkeypatch.setenv("LMSTUDIO_BASE_URL", f"ws://{USER}:{PASSWORD}@{proxy.host}")
        assert ask(pickle.loads(pickle.dumps(pickle.loads(stored))))


@pytest.mark.parametrize("kind", CLASSES)
def test_peers_names_for_headers_are_understood(guarded: ReverseProxy, kind: Any) -> None:
    headers = {"X-Key": KEY, "Authorization": BASIC}
    assert ask(made(kind, "", base_url=guarded.url, headers=None, default_headers=headers))
    assert ask(made(kind, "", base_url=guarded.url, headers=None, client_kwargs={"headers": headers}))
    client_kwargs = {"auth": (USER, PASSWORD), "headers": {"X-Key": SecretStr(KEY)}}
    assert ask(made(kind, "", base_url=guarded.url, headers=None, client_kwargs=client_kwargs))


def test_headers_in_a_call_are_refused_with_the_place_where_they_belong(lmstudio_emulator: Emulator) -> None:
    lc: Any = ChatLMStudio(base_url=lmstudio_emulator.url)
    li: Any = LMStudio(base_url=lmstudio_emulator.url)
    for call in (lc.invoke, li.complete):
        for name in ("headers", "default_headers"):
            with pytest.raises((TypeError, ValueError), match="constructor"):
                call("x", **{name: {"X-Key": KEY}})
