from __future__ import annotations

import pytest

from tests.fresh import run

OWN = """
import sys
from lmstudio_integrations.llama_index import %s
own = "lmstudio_integrations.llama_index."
print(*sorted(name.removeprefix(own) for name in sys.modules if name.startswith(own)))
"""
FOREIGN = """
import sys
from lmstudio_integrations.llama_index import *
print(sorted({name.split(".")[0] for name in sys.modules} & {"langchain", "langchain_core", "langgraph"}))
"""
UNBUILT = """
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding

class Own(LMStudio):
    mood: str = "good"

ours = ("ConnectionSettings", "GenerationSettings", "LMStudioBase", "GrammarLLM")
for kind in (LMStudio, LMStudioEmbedding, Own):
    print(kind.__pydantic_complete__, *(base.__pydantic_complete__ for base in kind.__mro__ if base.__name__ in ours))
"""


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("LMStudio", {"embedding", "progress"}),
        ("LMStudioEmbedding", {"_base", "llm", "progress", "_response", "_structured", "_tools"}),
        ("PromptProgressEvent", {"_base", "embedding", "llm", "progress", "settings"}),
        ("CancelToken", {"_base", "embedding", "events", "llm", "progress", "settings"}),
    ],
)
def test_import_of_one_name_loads_only_its_modules(name: str, unwanted: set[str]) -> None:
    assert unwanted & set(run(OWN % name).split()) == set()


def test_import_loads_no_other_framework() -> None:
    assert run(FOREIGN).strip() == "[]"


def test_import_builds_models_but_not_their_shared_bases() -> None:
    assert run(UNBUILT).split("\n")[:-1] == ["True" + " False" * 4, "True False", "True" + " False" * 4]


def test_dir_lists_names_before_they_are_imported() -> None:
    code = (
        "import lmstudio_integrations.llama_index as package; print({*package.__all__, 'events'} <= set(dir(package)))"
    )
    assert run(code).strip() == "True"


def test_events_are_an_attribute_of_the_package() -> None:
    code = "import lmstudio_integrations.llama_index as package; print(package.events.dispatcher.name)"
    assert run(code).strip() == "lmstudio_integrations.llama_index.events"


def test_unknown_name_is_in_the_import_error() -> None:
    import lmstudio_integrations.llama_index as package

    with pytest.raises(
        AttributeError, match=r"module 'lmstudio_integrations\.llama_index' has no attribute 'LmStudio'"
    ):
        package.LmStudio  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="LmStudio"):
        from lmstudio_integrations.llama_index import LmStudio  # type: ignore[attr-defined]  # noqa: F401
