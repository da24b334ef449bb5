"""LangChain over LM Studio: chat model, text completion, embeddings, and a progress bar.

Needs the extra ``langchain``: ``pip install "lmstudio-integrations[langchain]"``.
"""

try:
    import langchain_core  # noqa: F401  # only whether it is there
except ImportError as error:
    raise ImportError(
        'lmstudio_integrations.langchain needs langchain-core: pip install "lmstudio-integrations[langchain]"'
    ) from error

from lmstudio_integrations.langchain.callbacks import ProgressBar
from lmstudio_integrations.langchain.cancel import CancelToken
from lmstudio_integrations.langchain.chat_model import ChatLMStudio
from lmstudio_integrations.langchain.convert.progress import LOAD_PROGRESS, PROMPT_PROGRESS
from lmstudio_integrations.langchain.embeddings import LMStudioEmbeddings
from lmstudio_integrations.langchain.llm import LMStudioLLM

__all__ = [
    "LOAD_PROGRESS",
    "PROMPT_PROGRESS",
    "CancelToken",
    "ChatLMStudio",
    "LMStudioEmbeddings",
    "LMStudioLLM",
    "ProgressBar",
]
