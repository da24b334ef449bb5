from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from lmstudio_integrations.client.progress_bar import ProgressBars
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.errors import LMStudioError
from lmstudio_integrations.langchain import LMStudioEmbeddings


@pytest.fixture
def embeddings(lmstudio_emulator: Emulator) -> Callable[..., LMStudioEmbeddings]:
    def make(**given: Any) -> LMStudioEmbeddings:
        return LMStudioEmbeddings(**{"model": "emulator/embedding", "base_url": lmstudio_emulator.url, **given})

    return make


def sent(server: Emulator) -> list[str]:
    return [
        record.message["parameter"]["inputString"]
        for record in server.requests
        if record.message.get("endpoint") == "embedString"
    ]


async def test_texts_are_sent_as_text_in_their_order(
    embeddings: Callable[..., LMStudioEmbeddings], lmstudio_emulator: Emulator
) -> None:
    texts = [f"text {number}" for number in range(200)]
    vectors = embeddings().embed_documents(texts)
    assert sent(lmstudio_emulator) == texts
    assert vectors == await embeddings().aembed_documents(texts)
    assert vectors[7] == embeddings().embed_query("text 7")


def test_empty_list_sends_nothing(embeddings: Callable[..., LMStudioEmbeddings], lmstudio_emulator: Emulator) -> None:
    assert embeddings().embed_documents([]) == []
    assert lmstudio_emulator.requests == []


async def test_prefixes_are_prepended_to_the_texts(
    embeddings: Callable[..., LMStudioEmbeddings], lmstudio_emulator: Emulator
) -> None:
    model = embeddings(query_prefix="search_query: ", document_prefix="search_document: ")
    model.embed_query("a")
    model.embed_documents(["b"])
    await model.aembed_query("c")
    await model.aembed_documents(["d"])
    assert sent(lmstudio_emulator) == [
        "search_query: a",
        "search_document: b",
        "search_query: c",
        "search_document: d",
    ]


def test_token_ids_instead_of_text_raise(embeddings: Callable[..., LMStudioEmbeddings]) -> None:
    tokens: Any = [[1, 2, 3]]
    with pytest.raises(ValueError, match=r"\[1, 2, 3\]"):
        embeddings().embed_documents(tokens)


@pytest.mark.parametrize("text", [None, 5, float("nan"), b"a", ["a"], Document(page_content="a")])
async def test_query_that_is_no_string_is_an_error_and_is_not_sent(
    embeddings: Callable[..., LMStudioEmbeddings], lmstudio_emulator: Emulator, text: Any
) -> None:
    model = embeddings(query_prefix="query: ")
    with pytest.raises(ValueError, match="the text: expected a string, got"):
        model.embed_query(text)
    with pytest.raises(ValueError, match="the text: expected a string, got"):
        await model.aembed_query(text)
    assert sent(lmstudio_emulator) == []


async def test_half_a_character_has_its_position_in_the_text_without_prefix(
    embeddings: Callable[..., LMStudioEmbeddings],
) -> None:
    model = embeddings(query_prefix="query: ", document_prefix="text: ")
    with pytest.raises(ValueError, match=r"the text has .* position 1:"):
        model.embed_query("a\ud800")
    with pytest.raises(ValueError, match=r"text 2 has .* position 1:"):
        model.embed_documents(["a", "ä", "a\ud800"])
    with pytest.raises(ValueError, match=r"text 2 has .* position 1:"):
        await model.aembed_documents(["a", "ä", "a\ud800"])


async def test_errors_are_errors_of_langchain(embeddings: Callable[..., LMStudioEmbeddings]) -> None:
    model = embeddings(model="nobody/knows")
    with pytest.raises(core.ModelNotFoundError):
        model.embed_query("a")
    with pytest.raises(core.ModelNotFoundError):
        await model.aembed_query("a")


def test_settings_are_validated_and_pickled(embeddings: Callable[..., LMStudioEmbeddings]) -> None:
    model = embeddings(api_key="sk-lm-aaaaaaaa:bbbbbbbbbbbbbbbbbbbb", ttl=60)
    restored = pickle.loads(pickle.dumps(model))
    assert restored.model_dump(exclude={"api_token"}) == model.model_dump(exclude={"api_token"})
    assert b"bbbb" not in pickle.dumps(model)  # number 15
    assert "bbbb" not in repr(model)
    with pytest.raises(ValidationError, match="modle"):
        embeddings(modle="x")


def test_retriever_finds_similar_texts(embeddings: Callable[..., LMStudioEmbeddings]) -> None:
    store = InMemoryVectorStore(embeddings())
    store.add_documents(
        [Document(text) for text in ("the cat sat on the mat", "stocks fell on monday", "a recipe for onion soup")]
    )
    found = store.as_retriever(search_kwargs={"k": 1}).invoke("where the cat sat")
    assert [document.page_content for document in found] == ["the cat sat on the mat"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_show_progress_draws_a_bar_for_documents(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmstudio_integrations.langchain.embeddings._TEXTS_PER_STEP", 2)
    texts = ["a", "b", "c", "d", "e"]
    model = LMStudioEmbeddings(model="emulator/embedding", base_url=lmstudio_emulator.url)
    expected = model.embed_documents(texts)
    showing = model.model_copy(update={"show_progress": True})
    for way in ("sync", "async"):
        monkeypatch.setattr("sys.stderr", terminal := Terminal())
        vectors = showing.embed_documents(texts) if way == "sync" else await showing.aembed_documents(texts)
        assert vectors == expected
        assert "Embedding: |" in terminal.getvalue()
        assert "0/5" in terminal.getvalue()
        assert showing.embed_documents([]) == []


async def test_show_progress_draws_no_bar_for_a_query(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LMStudioEmbeddings(model="emulator/embedding", base_url=lmstudio_emulator.url, show_progress=True)
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    assert model.embed_query("a") == await model.aembed_query("a")
    assert terminal.getvalue() == ""


def test_show_progress_ends_the_bar_of_documents_that_fail(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmstudio_integrations.langchain.embeddings._TEXTS_PER_STEP", 1)
    ended: list[bool] = []
    monkeypatch.setattr(ProgressBars, "end", lambda bars, call, *, failed=False: ended.append(failed))
    model = LMStudioEmbeddings(model="emulator/embedding", base_url=lmstudio_emulator.url, show_progress=True)
    with pytest.raises(LMStudioError):
        model.embed_documents(["a", "b" * 100_000, "c"])
    model.embed_documents(["a", "b"])
    assert ended == [True, False]
