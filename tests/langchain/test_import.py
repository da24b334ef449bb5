from __future__ import annotations

import subprocess
import sys

WITHOUT = """
import sys
sys.modules["langchain_core"] = None
try:
    import lmstudio_integrations.langchain
except ImportError as error:
    print(error)
"""
LAZY = """
import sys
import lmstudio_integrations.langchain
print(sorted({name.split(".")[0] for name in sys.modules} & {"rich", "langchain", "langgraph", "llama_index"}))
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_without_langchain_the_error_says_what_to_install() -> None:
    assert 'pip install "lmstudio-integrations[langchain]"' in run(WITHOUT)


def test_importing_takes_langchain_core_and_nothing_more() -> None:
    assert run(LAZY).strip() == "[]"
