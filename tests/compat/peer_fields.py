"""Prints the settings of other integrations' classes, as ``peer_fields.json`` has them.

Run it in an environment with the packages of ``CLASSES`` of one framework (both frameworks' packages conflict), and
replace that part of the file by its output.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import version
from typing import Any

CLASSES = {
    "langchain-openai": ("langchain_openai", ["ChatOpenAI", "OpenAI", "OpenAIEmbeddings"]),
    "langchain-ollama": ("langchain_ollama", ["ChatOllama", "OllamaLLM", "OllamaEmbeddings"]),
    "llama-index-llms-openai": ("llama_index.llms.openai", ["OpenAI"]),
    "llama-index-llms-openai-like": ("llama_index.llms.openai_like", ["OpenAILike"]),
    "llama-index-llms-ollama": ("llama_index.llms.ollama", ["Ollama"]),
    "llama-index-llms-lmstudio": ("llama_index.llms.lmstudio", ["LMStudio"]),
}


def names_of(kind: Any) -> list[str]:
    """Field names and their aliases."""
    fields = kind.model_fields
    return sorted({*fields, *(field.alias for field in fields.values() if field.alias)})


def main() -> None:
    """Print the fields of all classes that are installed."""
    found = {}
    for package, (module, kinds) in CLASSES.items():
        try:
            home = import_module(module)
        except ImportError:
            continue
        found[f"{package} {version(package)}"] = {kind: names_of(getattr(home, kind)) for kind in kinds}
    print(json.dumps(found, indent=1))  # noqa: T201  # a program


if __name__ == "__main__":
    main()
