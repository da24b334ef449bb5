"""`.ci/run` takes the test command out of README.md, so that the two cannot drift apart."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.readme.snippets import snippets

SCRIPT = Path(__file__).parents[2] / ".ci" / "run"


@pytest.mark.skipif(shutil.which("awk") is None or shutil.which("bash") is None, reason="needs bash and awk")
def test_the_script_reads_the_second_sh_block() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    function = text[text.index("readme_block() {") : text.index("\n}\n", text.index("readme_block() {")) + 3]
    done = subprocess.run(
        ["bash", "-c", f"{function}\nreadme_block 2"], cwd=SCRIPT.parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout == snippets("sh")[1].text
