"""`.ci/run` takes the test command out of README.md, so that the two cannot drift apart."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.readme.snippets import snippets

SCRIPT = Path(__file__).parents[2] / ".ci" / "run"


def function_of_script(name: str) -> str:
    text = SCRIPT.read_text(encoding="utf-8")
    start = text.index(f"{name}() {{")
    return text[start : text.index("\n}\n", start) + 3]


@pytest.mark.skipif(shutil.which("awk") is None or shutil.which("bash") is None, reason="needs bash and awk")
def test_ci_script_reads_the_second_sh_block() -> None:
    function = function_of_script("readme_block")
    done = subprocess.run(
        ["bash", "-c", f"{function}\nreadme_block 2"], cwd=SCRIPT.parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout == snippets("sh")[1].text


@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("timeout") is None, reason="needs bash and timeout")
@pytest.mark.parametrize(
    ("output", "status", "fails", "left_out"),
    [
        ("no known vulnerabilities", 0, False, False),
        ("found 1 known vulnerability in starlette", 1, True, False),
        ("error: Request failed after 3 retries", 2, False, True),
        ("", 124, False, True),
        ("error: unexpected argument", 2, True, False),
    ],
)
def test_audit_fails_for_a_vulnerability_and_says_when_it_could_not_look(
    tmp_path: Path, output: str, status: int, fails: bool, left_out: bool
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\necho '{output}'\nexit {status}\n", encoding="utf-8")
    uv.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", f"{function_of_script('known_vulnerabilities')}\nknown_vulnerabilities"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is fails
    assert ("LEFT OUT" in done.stdout) is left_out
    assert output in done.stdout
