"""Defaults, limits and names in the tables of the guides are those of the code."""

from __future__ import annotations

import dataclasses
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from lmstudio_integrations import Client, Timeout, errors
from lmstudio_integrations.client.images import MAX_IMAGE_BYTES
from lmstudio_integrations.client.settings import TOKEN_VARIABLES
from lmstudio_integrations.client.transport import batch_rpc
from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.langchain import errors as langchain_errors
from lmstudio_integrations.langchain.middleware import InvalidToolCallMiddleware
from lmstudio_integrations.llama_index import LMStudio

pytestmark = pytest.mark.timeout(60)
ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "guides"


def _text(name: str) -> str:
    return re.sub(r"\s+", " ", (GUIDES / f"{name}.md").read_text("utf-8"))


def test_table_of_time_limits_has_the_defaults() -> None:
    rows = dict(
        re.findall(r"^\| `(\w+)` \| (\w+) \|", (GUIDES / "errors_and_retries.md").read_text("utf-8"), re.MULTILINE)
    )
    defaults = {field.name: field.default for field in dataclasses.fields(Timeout)}
    assert rows == {name: "none" if value is None else f"{value:g}" for name, value in defaults.items()}


def test_errors_on_their_page_are_raised_by_this_package() -> None:
    ours = [getattr(errors, name) for name in errors.__all__]
    ours += [getattr(langchain_errors, name) for name in langchain_errors.__all__ if name.endswith("Error")]
    known = {base.__name__ for error in ours for base in error.__mro__} | {"OutputParserException"}
    named = set(re.findall(r"`(\w+(?:Error|Exception))`", (GUIDES / "errors_and_retries.md").read_text("utf-8")))
    assert named - known == set()
    assert len(named) > 10


def test_retries_on_their_page_are_the_defaults() -> None:
    client = inspect.signature(Client).parameters["max_retries"].default
    assert f"({ChatLMStudio().max_retries} in the adapters, {client} in the client)" in _text("errors_and_retries")
    assert LMStudio().max_retries == ChatLMStudio().max_retries
    words = {1: "once", 2: "twice"}
    assert f"at most {words[InvalidToolCallMiddleware().max_retries]} for one user message" in _text("tools_and_agents")


def test_attempts_of_with_retry_and_retries_of_the_model_multiply(lmstudio_emulator: Emulator) -> None:
    assert "three attempts there and two retries here are up to nine requests" in _text("errors_and_retries")
    lost = lmstudio_emulator.faults.add("drop", times=None)
    lmstudio_emulator.script(*[Reply("lost", progress=())] * 9)
    model = ChatLMStudio(model="emulator/chat", base_url=lmstudio_emulator.url)
    with pytest.raises(errors.LMStudioDisconnectedError):
        model.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke("Hi")
    assert lost.hits == 9


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudio])
def test_check_context_costs_three_requests(lmstudio_emulator: Emulator, kind: Any) -> None:
    assert "`check_context=True` counts beforehand, by three short requests" in _text("loading_and_context")

    def requests_of_a_call(**settings: Any) -> int:
        model = kind(model="emulator/chat", base_url=lmstudio_emulator.url, **settings)
        lmstudio_emulator.clear_record()
        model.invoke("Hi") if kind is ChatLMStudio else model.chat([ChatMessage("Hi")])
        return sum("endpoint" in frame.message for frame in lmstudio_emulator.requests)

    requests_of_a_call()  # loads the model
    assert requests_of_a_call(check_context=True) - requests_of_a_call() == 3


def test_limits_of_images_and_embeddings_are_the_defaults() -> None:
    assert f"at most {MAX_IMAGE_BYTES // 1_000_000} MB each" in _text("images")
    at_once = inspect.signature(batch_rpc.Slots).parameters["size"].default
    assert f"up to {batch_rpc._MAX_PER_BATCH} requests of a batch under way, and {at_once} per server" in _text(
        "embeddings_and_rag"
    )


def test_variables_of_the_token_are_those_that_are_read() -> None:
    first, second = TOKEN_VARIABLES
    assert f"`{first}` (or `{second}`)" in _text("security")


def test_getting_started_names_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    page = (ROOT / "docs" / "getting_started.md").read_text("utf-8")
    assert [extra for extra in extras if f"`{extra}`" not in page] == []


def test_cookbook_page_has_every_program_and_what_its_command_needs() -> None:
    page = (ROOT / "docs" / "cookbook.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+\.py)` \| (.*?) \|", page, re.MULTILINE))
    programs = {path for path in (ROOT / "cookbook").glob("*.py") if not path.name.startswith("_")}
    assert set(rows) == {path.name for path in programs}
    for path in programs:
        (command,) = re.findall(r"^Run it with `(.*)`\.$", path.read_text("utf-8"), re.MULTILINE)
        needed = re.findall(r"--(?:group|with) \w+", command)
        assert re.findall(r"--(?:group|with) \w+", rows[path.name]) == needed, path.name


def test_cookbook_page_has_every_notebook() -> None:
    page = (ROOT / "docs" / "cookbook.md").read_text("utf-8")
    notebooks = {path.name for path in (ROOT / "cookbook" / "notebooks").glob("*.ipynb")}
    assert set(re.findall(r"`(\w+\.ipynb)`", page)) == notebooks
