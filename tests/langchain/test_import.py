from __future__ import annotations

import pytest

from tests.fresh import run

WITHOUT = """
import sys
sys.modules["langchain_core"] = None
try:
    import lmstudio_integrations.langchain
except ImportError as error:
    print(error)
"""
FOREIGN = """
import sys
from lmstudio_integrations.langchain import *
print(sorted({name.split(".")[0] for name in sys.modules} & {"langchain", "langgraph", "llama_index"}))
"""
OWN = """
import sys
from lmstudio_integrations.langchain import %s
own = "lmstudio_integrations.langchain."
print(*sorted(name.removeprefix(own) for name in sys.modules if name.startswith(own)))
print(*sorted({"langchain_core.tools.base", "langchain_core.output_parsers.json"} & set(sys.modules)))
"""
STORED = """
import lmstudio_integrations.langchain
from langchain_core.messages import AIMessageChunk

call = {"name": "add", "args": "{", "id": "1", "index": 0}
piece = AIMessageChunk("", tool_call_chunks=[call], response_metadata={"model_provider": "lmstudio"})
print(piece.content_blocks[0]["index"])
"""
HINTS = """
import sys
from typing import get_type_hints
from lmstudio_integrations.langchain import ChatLMStudio

for name in ("bind_tools", "with_structured_output", "get_num_tokens_from_messages"):
    print(name, "return" in get_type_hints(getattr(ChatLMStudio, name)))
"""
UNBUILT = """
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM

class Own(ChatLMStudio):
    mood: str = "good"

for kind in (ChatLMStudio, LMStudioEmbeddings, LMStudioLLM, Own):
    print(kind.__pydantic_complete__, *(base.__pydantic_complete__ for base in kind.__mro__ if base.__name__.endswith("Settings")))
"""
TOGETHER = """
import threading
import lmstudio_integrations.langchain as package

found, start = [], threading.Barrier(8)

def look():
    start.wait()
    found.append(package.ChatLMStudio)

threads = [threading.Thread(target=look) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found), len(set(found)))
"""


def test_import_without_langchain_core_names_the_extra() -> None:
    assert 'pip install "lmstudio-integrations[langchain]"' in run(WITHOUT)


def test_import_loads_no_other_framework() -> None:
    assert run(FOREIGN).strip() == "[]"


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("ChatLMStudio", {"callbacks", "embeddings", "llm", "_stream_events", "_structured"}),
        ("LMStudioEmbeddings", {"callbacks", "chat_model", "llm", "_request", "_structured"}),
        ("LMStudioLLM", {"callbacks", "chat_model", "embeddings", "_structured"}),
        ("CancelToken", {"callbacks", "chat_model", "embeddings", "llm"}),
    ],
)
def test_import_of_one_name_loads_only_its_modules(name: str, unwanted: set[str]) -> None:
    own, _, foreign = run(OWN % name).partition("\n")
    assert unwanted & set(own.split()) == set()
    assert foreign.split() == [], "tools and parsers of LangChain come with those who use them"


def test_stored_messages_are_read_without_a_model() -> None:
    assert run(STORED).strip() == "lc_tc_0"


def test_type_hints_of_public_methods_resolve() -> None:
    assert run(HINTS).split("\n")[:-1] == [
        "bind_tools True",
        "with_structured_output True",
        "get_num_tokens_from_messages True",
    ]


def test_import_builds_models_but_not_their_shared_bases() -> None:
    lines = run(UNBUILT).split("\n")[:-1]
    assert len(lines) == 4
    for built, *bases in map(str.split, lines):
        assert (built, set(bases)) == ("True", {"False"})


def test_concurrent_first_imports_get_one_class() -> None:
    assert run(TOGETHER).split() == ["8", "1"]


def test_dir_lists_names_before_they_are_imported() -> None:
    code = "import lmstudio_integrations.langchain as package; print({*package.__all__, 'errors'} <= set(dir(package)))"
    assert run(code).strip() == "True"


def test_errors_are_an_attribute_of_the_package() -> None:
    code = "import lmstudio_integrations.langchain as package; print(package.errors.ChatLMStudioValueError.__name__)"
    assert run(code).strip() == "ChatLMStudioValueError"


def test_unknown_name_is_in_the_import_error() -> None:
    import lmstudio_integrations.langchain as package

    with pytest.raises(
        AttributeError, match=r"module 'lmstudio_integrations\.langchain' has no attribute 'ChatLmStudio'"
    ):
        package.ChatLmStudio  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="ChatLmStudio"):
        from lmstudio_integrations.langchain import ChatLmStudio  # type: ignore[attr-defined]  # noqa: F401
