"""The table of settings: what is generated from it, LM Studio's own list as its witness, and a row that is added."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmstudio_integrations.protocol.config_keys import EMBEDDING_LOAD_KEYS, LLM_LOAD_KEYS, PREDICTION_KEYS, KeyRow
from tests.frame_validation.shared import KEYS_PATH, needs_shared
from tools import generate_settings

ROOT = Path(__file__).resolve().parents[2]
ROWS = [*PREDICTION_KEYS, *LLM_LOAD_KEYS, *EMBEDDING_LOAD_KEYS]
NEW_ROW = """
PREDICTION_SETTINGS: tuple[KeyRow, ...] = (
    KeyRow(
        "mirrorSampling",
        _P + "llama.mirrorSampling",
        _UNIT,
        "A setting that no server has.",
        False,
        0.5,
        common="mirror",
    ),
"""
USE = """
import json
import lmstudio_integrations as lms
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioLLM, _keywords as langchain
from lmstudio_integrations.llama_index import LMStudio, _keywords as llama_index
from lmstudio_integrations.protocol.config_dicts import LlmPredictionConfigDict

with Emulator() as server:
    model = "emulator/chat"
    with lms.Client(server.url) as client:
        client.llm.model(model).respond("Hello", config={"mirrorSampling": 0.1})
        client.llm.model(model).respond("Hello", config={"mirror_sampling": False})
        try:
            client.llm.model(model).respond("Hello", config={"mirrorSampling": 2})
        except lms.LMStudioValueError as error:
            refused = str(error)
    chat = ChatLMStudio(model=model, base_url=server.url, mirror=0.2)
    chat.invoke("Hello")
    chat.invoke("Hello", mirror=0.3)
    LMStudioLLM(model=model, base_url=server.url).invoke("Hello", mirror=0.4)
    llm = LMStudio(model=model, base_url=server.url, mirror=0.5)
    llm.complete("Hello")
    llm.complete("Hello", mirror=0.6)
    layers = [
        layer
        for record in server.requests
        if isinstance(stack := (record.message.get("creationParameter") or {}).get("predictionConfigStack"), dict)
        for layer in stack["layers"]
    ]
    sent = [
        field["value"]
        for layer in layers
        for field in layer["config"]["fields"]
        if field["key"] == "llm.prediction.llama.mirrorSampling"
    ]
known = {
    kind.__module__.split(".")[1] + "." + kind.__name__: kind.__annotations__.get(name)
    for kind, name in [
        (LlmPredictionConfigDict, "mirrorSampling"),
        (langchain.ChatLMStudioKeywords, "mirror"),
        (langchain.ChatCallKeywords, "mirror"),
        (llama_index.LMStudioKeywords, "mirror"),
        (llama_index.CallKeywords, "mirror"),
    ]
}
print(json.dumps({"sent": sent, "refused": refused, "known": {name: str(kind) for name, kind in known.items()}}))
"""


def test_generated_sources_equal_what_the_table_gives() -> None:
    for path, text in generate_settings.files().items():
        assert path.read_text("utf-8") == text, "run python tools/generate_settings.py"


def test_check_of_the_generator_fails_for_a_stale_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stale = tmp_path / "stale.py"
    stale.write_text("old", "utf-8")
    monkeypatch.setattr(generate_settings, "files", lambda: {stale: "new"})
    assert generate_settings.main(["--check"]) == 1
    assert stale.read_text("utf-8") == "old"
    assert generate_settings.main([]) == 0
    assert generate_settings.main(["--check"]) == 0
    assert stale.read_text("utf-8") == "new"


def _known() -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in json.loads(KEYS_PATH.read_text(encoding="utf-8"))}


@needs_shared
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_default_of_the_table_is_lm_studios(row: KeyRow) -> None:
    default = _known()[row.key]["default"]
    if row.checkbox:
        default = default["value"] if default["checked"] else False
    assert row.default == (default if isinstance(default, (bool, int, float, str)) and default != "" else None)
    assert isinstance(row.default, bool) == isinstance(default, bool)


@needs_shared
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_limits_of_the_table_are_lm_studios(row: KeyRow) -> None:
    if row.user == "contextLength":  # LM Studio states none; 0 tokens cannot be meant
        assert row.type.minimum == 1
        return
    limits = _known()[row.key]["params"]
    assert (row.type.minimum, row.type.maximum) == (limits.get("min"), limits.get("max"))


@pytest.mark.slow
def test_added_row_reaches_config_adapters_types_and_wire(tmp_path: Path) -> None:
    for framework in ("langchain_core", "llama_index.core"):
        pytest.importorskip(framework, reason="the row must reach both adapters")
    for name in ("lmstudio_integrations", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    table = tmp_path / "lmstudio_integrations" / "protocol" / "config_keys.py"
    text = table.read_text("utf-8")
    head = "\nPREDICTION_SETTINGS: tuple[KeyRow, ...] = (\n"
    assert text.count(head) == 1
    table.write_text(text.replace(head, NEW_ROW), "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("LMSTUDIO_BASE_URL", None)
    output = ""
    for command in (["tools/generate_settings.py"], ["tools/generate_keywords.py"], ["-c", USE]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        output = done.stdout
    found = json.loads(output.splitlines()[-1])
    ticked = [{"checked": True, "value": value} for value in (0.2, 0.3, 0.4, 0.5, 0.6)]
    assert found["sent"] == [{"checked": True, "value": 0.1}, {"checked": False, "value": 0.5}, *ticked]
    assert found["refused"] == "'mirrorSampling' must be a number from 0 to 1, or false to switch it off, not 2."
    assert all("float" in kind for kind in found["known"].values()), found["known"]
    assert len(found["known"]) == 5
