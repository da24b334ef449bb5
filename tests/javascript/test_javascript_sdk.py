"""LM Studio's JavaScript SDK as a witness: it drops every packet that its strict schemas refuse, and then hangs.

Needs node and npm, and the packages that ``package.json`` names; without them the tests are skipped, with the reason.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from lmstudio_integrations.emulator import Emulator, Reply

HERE = Path(__file__).parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the SDK saw, by scenario."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("javascript")
    for name in ("package.json", "witness.mjs"):
        shutil.copy(HERE / name, folder / name)
    install = subprocess.run(
        [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if install.returncode:
        pytest.skip(f"the JavaScript SDK cannot be installed here: {install.stderr[-300:]}")
    hold = threading.Event()
    replies = {
        "Hello": Reply("Hello there, world! 😀 你好", cached_tokens=1, prompt_tokens=5),
        "Why?": Reply(reasoning="Let me think.", text="Because."),
        "count": Reply(fragments=["one", " two", " three"], hold=hold, hold_after=1),
    }
    with Emulator(replies=lambda request: replies.get(request.last_user_text)) as server:
        run = subprocess.run(
            [node, "witness.mjs", server.url], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        hold.set()
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"name"')]
    return {line["name"]: line["value"] for line in lines}


def test_streamed_answer_is_exact_with_progress_and_statistics(seen: dict[str, Any]) -> None:
    seen_answer = seen["respond"]
    assert seen_answer["joined"] == seen_answer["content"] == "Hello there, world! 😀 你好"
    assert (seen_answer["progress"][0], seen_answer["progress"][-1]) == (0, 1)
    assert seen_answer["stats"]["stopReason"] == "eosFound"
    assert seen_answer["stats"]["promptTokensCount"] == 5
    assert seen_answer["identifier"] == "emulator/chat"


def test_reasoning_is_separate_from_the_answer(seen: dict[str, Any]) -> None:
    assert seen["reasoning"]["content"].strip() == "Because."
    assert "Let me think." in seen["reasoning"]["reasoning"]


def test_tokens_are_counted_as_they_are_listed(seen: dict[str, Any]) -> None:
    assert seen["tokens"]["count"] == len(seen["tokens"]["ids"]) > 0


def test_the_prompt_template_shows_the_message(seen: dict[str, Any]) -> None:
    assert "hi" in seen["template"]


def test_models_are_listed(seen: dict[str, Any]) -> None:
    assert seen["downloaded"] == ["emulator/chat", "emulator/chat-2", "emulator/embedding"]
    assert seen["loaded"] == ["emulator/chat"]
    assert seen["context"] == 4096


def test_texts_are_embedded_singly_and_as_a_list(seen: dict[str, Any]) -> None:
    assert seen["embedding"] == 768
    assert seen["embeddings"] == [768, 768]


def test_new_instance_is_loaded_under_its_identifier_with_progress(seen: dict[str, Any]) -> None:
    assert seen["load"]["identifier"] == "mine"
    assert seen["load"]["context"] == 2048
    assert seen["load"]["loads"][-1] == 1


def test_raw_completion_answers(seen: dict[str, Any]) -> None:
    assert seen["complete"]


def test_structured_answer_is_valid_by_its_schema(seen: dict[str, Any]) -> None:
    assert {key: type(value) for key, value in seen["structured"].items()} == {"setup": str, "punchline": str}


def test_act_runs_call_result_and_answer(seen: dict[str, Any]) -> None:
    assert seen["act"] == ["assistant", "tool", "assistant"]


def test_uploaded_image_is_accepted(seen: dict[str, Any]) -> None:
    assert seen["image"] == "eosFound"


def test_cancelling_ends_with_user_stopped(seen: dict[str, Any]) -> None:
    assert seen["cancel"] == "userStopped"


def test_unknown_model_error_lists_the_available_models(seen: dict[str, Any]) -> None:
    assert "nope" in seen["notFound"]
    assert "emulator/chat" in seen["notFound"]
