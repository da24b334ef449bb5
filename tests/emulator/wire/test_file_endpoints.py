"""Retrieval from files that were uploaded to the emulator."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from lmstudio_integrations.emulator import Emulator, ThreadsafeEvent
from tests.emulator.raw_client import RawClient, packets

MODEL = "emulator/embedding"


@pytest.fixture
def server() -> Iterator[Emulator]:
    vectors = {"Which animal?": [1.0, 0.0], "The cat sat.": [0.9, 0.1], "The sum is 4.": [0.0, 1.0], "a b": [0.0, 0.0]}
    with Emulator(embeddings=vectors) as server:
        yield server


@pytest.fixture
def raw_client(server: Emulator) -> Iterator[RawClient]:
    with RawClient(server, "files") as raw_client:
        yield raw_client


def upload(raw_client: RawClient, name: str, text: str) -> str:
    content = {"name": name, "contentBase64": base64.b64encode(text.encode()).decode()}
    return str(raw_client.call("uploadFileBase64", content)["result"]["identifier"])


def retrieval(query: str, files: list[str], **settings: Any) -> dict[str, Any]:
    fields = [{"key": f"retrieval.{key}", "value": value} for key, value in settings.items()]
    return {"query": query, "fileIdentifiers": files, "config": {"fields": fields}}


def chunking(size: float, overlap: float) -> dict[str, Any]:
    return {"type": "recursive-v1", "chunkSize": size, "chunkOverlap": overlap}


def test_retrieval_reports_its_steps_and_the_nearest_chunks_first(raw_client: RawClient) -> None:
    files = [upload(raw_client, "sums.txt", "The sum is 4."), upload(raw_client, "cats.txt", "The cat sat.")]
    parameter = retrieval("Which animal?", files, embeddingModel=MODEL)
    sent = packets(raw_client.until_end(raw_client.create("retrieve", parameter)))
    steps = ["onFileProcessingStart"]
    steps += ["onFileProcessingStepStart", "onFileProcessingStepEnd"] * 2
    steps += ["onFileProcessingStepStart", "onFileProcessingStepProgress", "onFileProcessingStepEnd"]
    steps += ["onFileProcessingEnd"]
    expected = ["onFileProcessList", *steps, *steps, "onSearchingStart", "onSearchingEnd", "result"]
    assert [packet["type"] for packet in sent] == expected
    entries = sent[-1]["result"]["entries"]
    assert [(entry["content"], entry["sourceIndex"]) for entry in entries] == [
        ("The cat sat.", 1),
        ("The sum is 4.", 0),
    ]
    assert entries[0]["score"] > 0.9 > entries[1]["score"] == 0


def test_retrieval_cuts_a_text_into_overlapping_chunks_and_limits_their_number(raw_client: RawClient) -> None:
    words = [f"word{number}" for number in range(40)]
    parameter = retrieval(
        "Which animal?",
        [upload(raw_client, "words.txt", " ".join(words))],
        embeddingModel=MODEL,
        chunkingMethod=chunking(50, 10),
        limit=100,
    )
    entries = packets(raw_client.until_end(raw_client.create("retrieve", parameter)))[-1]["result"]["entries"]
    chunks = [entry["content"] for entry in entries]
    assert set(words) <= {word for chunk in chunks for word in chunk.split()}
    assert max(map(len, chunks)) <= 50
    assert sum(map(len, chunks)) > len(" ".join(words))
    parameter = retrieval(
        "Which animal?",
        parameter["fileIdentifiers"],
        embeddingModel=MODEL,
        chunkingMethod=chunking(50.0, 10.0),
        limit=2.0,
    )
    assert len(packets(raw_client.until_end(raw_client.create("retrieve", parameter)))[-1]["result"]["entries"]) == 2


@pytest.mark.parametrize(
    ("settings", "title"),
    [
        ({}, "No model found"),
        ({"embeddingModel": "emulator/chat"}, "No model found"),
        ({"embeddingModel": MODEL, "limit": 0}, "does not satisfy the schema"),
        ({"embeddingModel": MODEL, "chunkingMethod": chunking(10, 10)}, "cannot overlap"),
    ],
    ids=["no model", "no embedding model", "no results", "chunks that never end"],
)
def test_retrieval_with_impossible_settings_is_an_error(
    raw_client: RawClient, settings: dict[str, Any], title: str
) -> None:
    file = upload(raw_client, "a.txt", "a b")
    (error,) = raw_client.until_end(raw_client.create("retrieve", retrieval("a", [file], **settings)))
    assert title in error["error"]["title"]


@pytest.mark.parametrize("prefix", ["", "local:", "base64:"])
def test_each_form_of_identifier_has_the_text_of_its_file(raw_client: RawClient, prefix: str) -> None:
    file = base64.b64encode(b"a b").decode() if prefix == "base64:" else upload(raw_client, "a.txt", "a b")
    parameter = {"fileIdentifier": f"{prefix}{file}", "parseOpts": {}}
    assert packets(raw_client.until_end(raw_client.create("parseDocument", parameter)))[-1]["content"] == "a b"


def test_file_whose_identifier_is_not_base64_is_an_error(raw_client: RawClient) -> None:
    parameter = {"fileIdentifier": "base64:?", "parseOpts": {}}
    (error,) = raw_client.until_end(raw_client.create("parseDocument", parameter))
    assert error["error"]["title"] == "The content of the file is not valid base64"


def test_retrieval_from_a_missing_file_is_an_error(raw_client: RawClient) -> None:
    (error,) = raw_client.until_end(raw_client.create("retrieve", retrieval("a", ["no"], embeddingModel=MODEL)))
    assert error["error"]["title"] == "File not found: no"


def test_stopped_retrieval_ends_without_a_result() -> None:
    asked, hold = ThreadsafeEvent(), ThreadsafeEvent()

    async def vector(text: str) -> list[float]:
        asked.set()
        await hold.wait()
        return [1.0]

    with Emulator(embeddings=vector) as server, RawClient(server, "files") as raw_client:
        file = upload(raw_client, "a.txt", "a b")
        channel = raw_client.create("retrieve", retrieval("a", [file], embeddingModel=MODEL))
        assert raw_client.receive()["message"]["type"] == "onFileProcessList"
        raw_client.send({"type": "channelSend", "channelId": channel, "message": {"type": "stop"}})
        assert raw_client.receive()["type"] == "channelError"
        assert asked.is_set()
