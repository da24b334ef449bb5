"""The notebooks: they run as they stand, and are saved with outputs that have nothing of the machine they ran on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lmstudio_integrations.emulator import Emulator

NOTEBOOKS = sorted((Path(__file__).parents[2] / "cookbook" / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
_MACHINE = re.compile(r"(?<![\w:/.])/(?:home|root|tmp|work|usr|Users|var|opt)/|[A-Z]:\\\\")


def _outputs(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def test_notebooks_cover_chat_rag_agent_and_speed() -> None:
    assert NAMES == ["agent_with_events", "chat_with_progress", "rag_with_sources", "speed_over_prompt_length"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_is_saved_with_outputs_of_one_run(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert _outputs(path)
    assert not [output for output in _outputs(path) if output["output_type"] == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_says_whether_a_model_wrote_its_answers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "The answers in this notebook are scripted" in text or "come from the emulator with SmolLM2" in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_has_no_path_of_a_machine_in_its_outputs(path: Path) -> None:
    for output in _outputs(path):
        text = "".join(output.get("text", [])) + "".join(output.get("data", {}).get("text/plain", []))
        assert not _MACHINE.search(text), text


def test_saved_plot_is_a_picture() -> None:
    path = next(path for path in NOTEBOOKS if path.stem == "speed_over_prompt_length")
    assert any("image/png" in output.get("data", {}) for output in _outputs(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
@pytest.mark.filterwarnings("default")  # of Jupyter's own modules
def test_notebook_runs_from_top_to_bottom(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs the dependency group `notebooks`")
    nbformat = pytest.importorskip("nbformat", reason="needs the dependency group `notebooks`")
    pytest.importorskip("ipykernel", reason="needs the dependency group `notebooks`")
    pytest.importorskip("matplotlib", reason="needs the dependency group `notebooks`")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # an import of the other examples' packages may have set it
    notebook = nbformat.read(path, as_version=4)
    saved = _cells_with_outputs(notebook)
    for cell in notebook.cells:
        cell.pop("outputs", None)
    with Emulator() as server:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", server.url)
        nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}).execute()
        scripted = "The answers in this notebook are scripted" in path.read_text(encoding="utf-8")
        asked = [frame for frame in server.requests if frame.message.get("endpoint") == "predict"]
        assert bool(asked) != scripted
    assert _cells_with_outputs(notebook) == saved


def _cells_with_outputs(notebook: Any) -> set[int]:
    return {at for at, cell in enumerate(notebook.cells) if cell.get("outputs")}
