"""The client's exceptions as subclasses of LangChain's, so that either can be caught.

LangChain's agents read ``is_retryable`` (``ModelRetryMiddleware``) and the class (``ContextOverflowError``); the
fields of the client's error (``needed``, ``available``, ``partial``, ``suggestion``) are copied, and the client's error
is the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from langchain_core import exceptions as core

from lmstudio_integrations import errors

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "ChatLMStudioAPIError",
    "ChatLMStudioAuthenticationError",
    "ChatLMStudioCancelledError",
    "ChatLMStudioConnectionError",
    "ChatLMStudioContextOverflowError",
    "ChatLMStudioDisconnectedError",
    "ChatLMStudioIncompleteError",
    "ChatLMStudioInvalidRequestError",
    "ChatLMStudioLimitError",
    "ChatLMStudioModelLoadError",
    "ChatLMStudioModelNotFoundError",
    "ChatLMStudioModelUnloadedError",
    "ChatLMStudioPresetNotFoundError",
    "ChatLMStudioProtocolError",
    "ChatLMStudioRequestRejectedError",
    "ChatLMStudioResourcesError",
    "ChatLMStudioServerNotFoundError",
    "ChatLMStudioStructuredOutputError",
    "ChatLMStudioTimeoutError",
    "ChatLMStudioUnsupportedError",
    "ChatLMStudioValueError",
    "LangChainErrors",
    "langchain_error",
]


class ChatLMStudioValueError(errors.LMStudioValueError, core.ModelInvalidRequestError):
    """An argument is invalid, and nothing was sent. Also a ``ValueError``."""


class ChatLMStudioConnectionError(errors.LMStudioConnectionError, core.ModelConnectionError):
    """The network between this process and LM Studio failed."""


class ChatLMStudioServerNotFoundError(errors.LMStudioServerNotFoundError, ChatLMStudioConnectionError):
    """No LM Studio server answered at ``addresses``."""


class ChatLMStudioDisconnectedError(errors.LMStudioDisconnectedError, ChatLMStudioConnectionError):
    """The connection was lost before the answer was complete."""


class ChatLMStudioAuthenticationError(errors.LMStudioAuthenticationError, core.ModelAuthenticationError):
    """LM Studio refused the API token."""


class ChatLMStudioTimeoutError(errors.LMStudioTimeoutError, core.ModelTimeoutError):
    """A time limit was exceeded; ``limit`` is its name."""


class ChatLMStudioProtocolError(errors.LMStudioProtocolError, core.ModelAPIError):
    """The server sent something that cannot be parsed."""


class ChatLMStudioIncompleteError(errors.LMStudioIncompleteError, ChatLMStudioProtocolError):
    """The server ended the answer without its final packet."""


class ChatLMStudioLimitError(errors.LMStudioLimitError, ChatLMStudioProtocolError):
    """More arrived than this package holds in memory. It would again."""

    is_retryable = False


class ChatLMStudioRequestRejectedError(errors.LMStudioRequestRejectedError, core.ModelInvalidRequestError):
    """The server rejected the request."""


class ChatLMStudioStructuredOutputError(
    errors.LMStudioStructuredOutputError, core.OutputParserException, core.ModelError
):
    """The answer is not the requested document, or not complete. A retry would most likely fail the same way."""

    is_retryable = False
    observation = None
    llm_output = None
    send_to_llm = False

    def __init__(self, *args: object) -> None:
        Exception.__init__(self, *args)  # LangChain's constructor takes other arguments


class ChatLMStudioResourcesError(errors.LMStudioResourcesError, core.ModelInvalidRequestError):
    """A model that would not fit was not loaded (``check_resources=True``)."""


class ChatLMStudioCancelledError(errors.LMStudioCancelledError, core.ModelError):
    """The request was cancelled before it had a result."""


class ChatLMStudioAPIError(errors.LMStudioServerError, core.ModelAPIError):
    """LM Studio answered with an error object for which there is no other class."""


class ChatLMStudioModelNotFoundError(errors.LMStudioModelNotFoundError, core.ModelNotFoundError):
    """No model has the key or identifier, or matches the query."""


class ChatLMStudioModelUnloadedError(errors.LMStudioModelUnloadedError, core.ModelAPIError):
    """The model was unloaded during the request. Retryable only if the answer had not started."""

    @property
    def is_retryable(self) -> bool:  # type: ignore[override]  # the base has a plain class attribute
        return not self.response_started


class ChatLMStudioPresetNotFoundError(errors.LMStudioPresetNotFoundError, core.ModelInvalidRequestError):
    """No preset of that name."""


class ChatLMStudioContextOverflowError(errors.LMStudioContextOverflowError, core.ContextOverflowError):
    """The prompt does not fit: ``needed`` and ``available`` are tokens, ``None`` if LM Studio does not say."""


class ChatLMStudioInvalidRequestError(errors.LMStudioInvalidRequestError, core.ModelInvalidRequestError):
    """The chat template, the grammar or the engine rejects the content of the request."""


class ChatLMStudioModelLoadError(errors.LMStudioModelLoadError, ChatLMStudioAPIError):
    """The model does not fit into memory, or its file cannot be read: loading it again fails, too."""

    is_retryable = False


class ChatLMStudioUnsupportedError(errors.LMStudioUnsupportedError, core.ModelInvalidRequestError):
    """The engine that runs the model lacks a requested feature."""


# The nearest ancestor of an error decides, so the order does not matter.
_TWINS: dict[type[errors.LMStudioError], type[errors.LMStudioError]] = {
    errors.LMStudioValueError: ChatLMStudioValueError,
    errors.LMStudioConnectionError: ChatLMStudioConnectionError,
    errors.LMStudioServerNotFoundError: ChatLMStudioServerNotFoundError,
    errors.LMStudioDisconnectedError: ChatLMStudioDisconnectedError,
    errors.LMStudioAuthenticationError: ChatLMStudioAuthenticationError,
    errors.LMStudioTimeoutError: ChatLMStudioTimeoutError,
    errors.LMStudioProtocolError: ChatLMStudioProtocolError,
    errors.LMStudioIncompleteError: ChatLMStudioIncompleteError,
    errors.LMStudioLimitError: ChatLMStudioLimitError,
    errors.LMStudioRequestRejectedError: ChatLMStudioRequestRejectedError,
    errors.LMStudioStructuredOutputError: ChatLMStudioStructuredOutputError,
    errors.LMStudioResourcesError: ChatLMStudioResourcesError,
    errors.LMStudioCancelledError: ChatLMStudioCancelledError,
    errors.LMStudioServerError: ChatLMStudioAPIError,
    errors.LMStudioModelNotFoundError: ChatLMStudioModelNotFoundError,
    errors.LMStudioModelUnloadedError: ChatLMStudioModelUnloadedError,
    errors.LMStudioPresetNotFoundError: ChatLMStudioPresetNotFoundError,
    errors.LMStudioContextOverflowError: ChatLMStudioContextOverflowError,
    errors.LMStudioInvalidRequestError: ChatLMStudioInvalidRequestError,
    errors.LMStudioModelLoadError: ChatLMStudioModelLoadError,
    errors.LMStudioUnsupportedError: ChatLMStudioUnsupportedError,
}


def langchain_error(error: errors.LMStudioError) -> errors.LMStudioError:
    """``error`` as a LangChain exception; unchanged if it is one or has no counterpart."""
    if isinstance(error, core.ModelError):
        return error
    for kind in type(error).__mro__:
        twin = _TWINS.get(cast("type[errors.LMStudioError]", kind))
        if twin is not None:
            made = twin.__new__(twin, *error.args)
            made.args = error.args
            made.__dict__.update(error.__dict__)
            return made
    return error


class LangChainErrors:
    """``with LangChainErrors():`` converts the client's errors to LangChain's; the client's error is the cause."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, errors.LMStudioError):
            twin = langchain_error(error)
            if twin is not error:
                raise twin from error
