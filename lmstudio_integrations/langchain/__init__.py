"""LangChain over LM Studio: chat model, text completion, embeddings and a progress bar.

Needs the extra ``langchain``: ``pip install "lmstudio-integrations[langchain]"``. ``middleware``, for agents, needs the
package ``langchain`` too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import langchain_core  # noqa: F401  # checks that it is installed
except ImportError as error:
    raise ImportError(
        'lmstudio_integrations.langchain needs langchain-core: pip install "lmstudio-integrations[langchain]"'
    ) from error

from lmstudio_integrations._lazy import lazy
from lmstudio_integrations.client.cancellation import CancelToken
from lmstudio_integrations.langchain._block_translator import register

if TYPE_CHECKING:
    from lmstudio_integrations.langchain._progress import LOAD_PROGRESS, PROMPT_PROGRESS, QUEUE_PROGRESS
    from lmstudio_integrations.langchain.callbacks import ProgressBar
    from lmstudio_integrations.langchain.chat_model import ChatLMStudio
    from lmstudio_integrations.langchain.embeddings import LMStudioEmbeddings
    from lmstudio_integrations.langchain.llm import LMStudioLLM
else:  # to a type checker, a module's `__getattr__` means that any name exists
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "LOAD_PROGRESS": "_progress",
            "PROMPT_PROGRESS": "_progress",
            "QUEUE_PROGRESS": "_progress",
            "ChatLMStudio": "chat_model",
            "LMStudioEmbeddings": "embeddings",
            "LMStudioLLM": "llm",
            "ProgressBar": "callbacks",
        },
        submodules=["errors", "middleware"],
    )

__all__ = [
    "LOAD_PROGRESS",
    "PROMPT_PROGRESS",
    "QUEUE_PROGRESS",
    "CancelToken",
    "ChatLMStudio",
    "LMStudioEmbeddings",
    "LMStudioLLM",
    "ProgressBar",
]

register()  # here, so that stored messages can be read before a model object exists
