"""Write the tables of the migration pages: every setting of another integration's class, and the one that it is here.

``python tools/write_migration_tables.py`` writes the tables of ``docs/migration_*.md`` between their marks; ``--check``
exits with 1 if one of them is not up to date. The settings are the pydantic fields of the other classes, as
``tests/compat/peer_fields.py`` has found them (``tests/compat/peer_fields.json``). What each is here is what this
package's own constructor makes of it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from lmstudio_integrations.compat.names import translate_constructor  # noqa: E402  # a script has no other way to it
from lmstudio_integrations.errors import LMStudioValueError  # noqa: E402
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM  # noqa: E402
from lmstudio_integrations.llama_index import LMStudio  # noqa: E402
from tools.generated_files import write_or_check  # noqa: E402

DOCS = ROOT / "docs"
PEER_FIELDS = ROOT / "tests" / "compat" / "peer_fields.json"
_TABLE = re.compile(
    r"(?P<begin><!-- table: (?P<package>[\w-]+) (?P<kind>\w+) -->\n).*?(?P<end><!-- end of table -->)", re.DOTALL
)
OURS: dict[tuple[str, str], Any] = {
    ("langchain-openai", "ChatOpenAI"): ChatLMStudio,
    ("langchain-openai", "OpenAI"): LMStudioLLM,
    ("langchain-openai", "OpenAIEmbeddings"): LMStudioEmbeddings,
    ("langchain-ollama", "ChatOllama"): ChatLMStudio,
    ("langchain-ollama", "OllamaLLM"): LMStudioLLM,
    ("langchain-ollama", "OllamaEmbeddings"): LMStudioEmbeddings,
    ("llama-index-llms-openai", "OpenAI"): LMStudio,
    ("llama-index-llms-openai-like", "OpenAILike"): LMStudio,
    ("llama-index-llms-ollama", "Ollama"): LMStudio,
    ("llama-index-llms-lmstudio", "LMStudio"): LMStudio,
}
"""Another integration's class, and the class of this package that replaces it."""

_VALUES: dict[str, Any] = {
    "client_kwargs": {"headers": {"name": "value"}},
    "is_chat_model": True,
    "keep_alive": "5m",
    "reasoning_effort": "low",
    "top_logprobs": 1,
}
"""A value to find out with what a setting becomes, if it must be a valid one."""

_NOTES = {
    "additional_kwargs": "further prediction settings, under LM Studio's names",
    "client_kwargs": "its `headers` and `auth`; the rest is about the HTTP client",
    "context_window": "LM Studio loads the model with it; not needed, as `metadata` asks LM Studio",
    "extra_body": "further prediction settings, under LM Studio's names",
    "is_chat_model": "`False` is `raw_completion=True`: `complete()` continues the bare text",
    "keep_alive": 'seconds; "5m" is understood, and negative is `None` (never)',
    "n_ctx": "tokens; only if this call loads the model",
    "model_kwargs": "further prediction settings, under LM Studio's names",
    "num_ctx": "tokens; only if this call loads the model",
    "reasoning_effort": '"none" is `False`, "low" 1,024 tokens, "medium" 8,192, "high" `True`',
    "top_logprobs": "one setting: the number of candidates",
    "logprobs": "`True` or the number of candidates",
}
_HTTP = "there is no HTTP client"
_ACCOUNT = "LM Studio has no accounts of that kind"
_SERVICE = "a service of OpenAI"
_TOKENIZER = "the model's own tokenizer counts, in LM Studio"
_LONG = "`long_texts` says what happens to a text that is longer than the model's context"
_BATCHES = "the client has up to 128 requests under way by itself"
_REASONS = {
    **dict.fromkeys(
        [
            "async_client",
            "async_client_kwargs",
            "client",
            "default_query",
            "extra_headers",
            "extra_query",
            "http_async_client",
            "http_client",
            "http_socket_options",
            "openai_proxy",
            "reuse_client",
            "root_async_client",
            "root_client",
            "sync_client_kwargs",
        ],
        _HTTP,
    ),
    **dict.fromkeys(["api_version", "deployment", "openai_api_type", "openai_api_version"], _ACCOUNT),
    **dict.fromkeys(["openai_organization", "organization", "user", "safety_identifier", "metadata"], _ACCOUNT),
    **dict.fromkeys(
        [
            "include",
            "include_response_headers",
            "prompt_cache_key",
            "prompt_cache_options",
            "service_tier",
            "store",
            "use_previous_response_id",
            "use_responses_api",
            "verbosity",
            "betas",
            "cache_control",
        ],
        _SERVICE,
    ),
    **dict.fromkeys(
        [
            "allowed_special",
            "disallowed_special",
            "tiktoken_enabled",
            "tiktoken_model_name",
            "tokenizer",
        ],
        _TOKENIZER,
    ),
    **dict.fromkeys(["batch_size", "chunk_size"], _BATCHES),
    **dict.fromkeys(["retry_max_seconds", "retry_min_seconds"], "the client waits by itself; see `max_retries`"),
    "check_embedding_ctx_length": _LONG,
    "embedding_ctx_length": _LONG,
    "skip_empty": "each text has a vector",
    "disabled_params": "nothing is sent that is not set",
    "prompt_key": "there is no prompt in a mapping",
    "should_use_structured_outputs": "every model gives structured output, by a grammar",
    "stream": "`stream` streams",
    "stream_chunk_timeout": "`timeout` bounds the time without progress",
    "stream_options": "the last chunk always has the token counts",
    "stream_usage": "the last chunk always has the token counts",
    "strict": "a grammar holds the model to every schema",
    "verbose": "LangChain's callbacks and the package's logger show what happens",
}
_SAMPLING_REASON = "embedding models do not sample"
_NO_OPTIONS = "LM Studio takes no settings with a text to embed"
_NOT_FOR_EMBEDDINGS = {"model_kwargs": _NO_OPTIONS, "num_thread": _NO_OPTIONS}


@dataclass(frozen=True)
class Row:
    """A setting of the other class, the setting here (or ``None``), and what there is to say about it."""

    theirs: str
    ours: str | None
    note: str

    def __str__(self) -> str:
        return f"| `{self.theirs}` | {f'`{self.ours}`' if self.ours else '–'} | {self.note} |"


def rows(package: str, kind: str) -> list[Row]:
    """One row for each setting of the other class, in the order of the alphabet."""
    peers: dict[str, dict[str, list[str]]] = json.loads(PEER_FIELDS.read_text("utf-8"))
    (fields,) = (kinds[kind] for name, kinds in peers.items() if name.split()[0] == package)
    return [_row(name, OURS[package, kind]) for name in fields]


def _row(name: str, ours: Any) -> Row:
    known, own = ours.model_fields, getattr(ours, "OWN_NAMES", {})
    try:
        made = translate_constructor({name: _VALUES.get(name, "value")}, known, own)
    except LMStudioValueError as error:
        text = str(error)
        if "keyword of each call" in text:
            return Row(name, "response_format", "a keyword of each call, or of `bind`")
        reason = _NOT_FOR_EMBEDDINGS.get(name) if ours is LMStudioEmbeddings else None
        reason = reason or text.partition(": ")[2]
        return Row(name, None, f"not {'under this name' if 'pass ' in reason else 'possible'}: {reason}")
    if not made:
        reason = _REASONS.get(name) or (_SAMPLING_REASON if ours is LMStudioEmbeddings else None)
        if reason is None:
            raise SystemExit(f"write_migration_tables.py has no reason why {name!r} is not needed: add one to _REASONS")
        return Row(name, None, f"not needed: {reason}")
    (setting,) = made
    note = _NOTES.get(name, "")
    return Row(name, setting, "; ".join(filter(None, ("same" if setting == name else "renamed", note))))


def table(package: str, kind: str) -> str:
    """The table of one class, in Markdown."""
    home = "LlamaIndex" if package.startswith("llama") else "LangChain"
    ours = OURS[package, kind].__name__
    head = f"| `{kind}` ({home}) | `{ours}` | |\n| --- | --- | --- |\n"
    return f"\n{head}" + "\n".join(map(str, rows(package, kind))) + "\n\n"


def files() -> dict[Path, str]:
    """The path and the content of each page that has tables."""
    found = {}
    for page in sorted(DOCS.glob("migration_*.md")):
        text = page.read_text("utf-8")
        if _TABLE.search(text):
            found[page] = _TABLE.sub(lambda one: one["begin"] + table(one["package"], one["kind"]) + one["end"], text)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write the tables, or compare them. 1 if ``--check`` finds one that is not up to date."""
    logging.disable(logging.WARNING)  # the constructor warns of what it ignores
    return write_or_check(files(), Path(__file__).name, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
