"""What the model classes share: what tracing and caching read of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.language_models import BaseLanguageModel, LangSmithParams
from pydantic import model_validator

from lmstudio_integrations._version import __version__
from lmstudio_integrations.compat.context_length import warn_of_context_length
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain._block_translator import PROVIDER
from lmstudio_integrations.langchain._request import CHAT_KEYWORDS, TEXT_KEYWORDS, call_keywords
from lmstudio_integrations.langchain.settings import GenerationSettings

if TYPE_CHECKING:
    from lmstudio_integrations import ModelInstanceInfo

__all__ = ["LMStudioBase", "ls_params"]

_served: dict[str | None, str] = {}
"""Server address -> the model that answered the last request without a model name."""
_lock = threading.Lock()


class LMStudioBase(GenerationSettings, BaseLanguageModel[Any]):
    """A model as tracing sees it. Traces contain its settings, and of its API token only the name."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        return ["lmstudio_integrations", "langchain"]

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"api_token": "LMSTUDIO_API_TOKEN"}

    @model_validator(mode="after")
    def _set_lmstudio_version(self) -> Self:
        with suppress(AttributeError):  # a private method of langchain-core: without it, traces lack the version
            self._add_version("lmstudio-integrations", __version__)
        return self

    # langchain-core caches the serialized form in `__dict__`, and pydantic copies it with the fields.

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied.__dict__.pop("_serialized", None)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = super().__deepcopy__(memo)
        copied.__dict__.pop("_serialized", None)
        return copied

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name != "_serialized":
            self.__dict__.pop("_serialized", None)

    def _learn(self, model: str | None, info: ModelInstanceInfo, context_length: int | None) -> None:
        warn_of_context_length(info.identifier, context_length, info.context_length)
        if model is None:
            with _lock:
                _served[self.base_url] = info.model_key or info.identifier


def ls_params(
    settings: GenerationSettings, kind: Literal["chat", "llm"], stop: list[str] | None, changes: Mapping[str, Any]
) -> LangSmithParams:
    """LangChain's standard parameters of one call.

    Without a model name it is the model that answered the last such request of this process, if there was one.
    """
    with suppress(TypeError, LMStudioValueError):  # the call itself raises it
        changes = call_keywords(changes, CHAT_KEYWORDS if kind == "chat" else TEXT_KEYWORDS)
    model = settings._pick("model", changes)
    values: dict[str, Any] = {
        "ls_model_name": model if model is not None else _served.get(settings.base_url),
        "ls_temperature": settings._pick("temperature", changes),
        "ls_max_tokens": settings._pick("max_tokens", changes) or None,
        "ls_stop": stop if stop is not None else settings.stop,
    }
    params = LangSmithParams(ls_provider=PROVIDER, ls_model_type=kind)
    params.update({name: value for name, value in values.items() if value is not None})  # type: ignore[typeddict-item]
    return params
