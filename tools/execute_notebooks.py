"""Run the notebooks of the cookbook and save them with their outputs, without what only this machine has.

Run it with ``uv run --extra all --group model --group notebooks tools/execute_notebooks.py``, then look at the outputs.
"""

# ruff: noqa: T201  # a command line program prints

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "cookbook" / "notebooks"
_PATHS = re.compile(r"(?:/[\w.+-]+)*/(?=site-packages/|lmstudio_integrations/|cookbook/|ipykernel_\d+/)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_REDRAWN = re.compile(r"[^\r\n]*\r(?!\n)")


def clean(notebook: Any) -> None:
    """Remove paths of this machine, times of execution, colours, and the states of a bar before its last one."""
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)
        if "outputs" in cell:
            cell.outputs = _joined(cell.outputs)
        for output in cell.get("outputs", []):
            if "text" in output:
                text = _COLOURS.sub("", output.text)
                output.text = _PATHS.sub("…/", _REDRAWN.sub("", text))
    notebook.metadata.get("language_info", {}).pop("version", None)


def _joined(outputs: list[Any]) -> list[Any]:
    """The outputs with neighbouring pieces of one stream made one: each token printed is a piece of its own."""
    made: list[Any] = []
    for output in outputs:
        if made and output.output_type == "stream" and made[-1].get("name") == output.get("name"):
            made[-1].text += output.text
        else:
            made.append(output)
    return made


def main() -> None:
    """Run those that the command line names, or all."""
    wanted = [NOTEBOOKS / name for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in wanted:
        notebook: Any = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
        clean(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {sum(len(cell.get('outputs', [])) for cell in notebook.cells)} outputs")


if __name__ == "__main__":
    main()
