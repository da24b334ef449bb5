from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from langchain_core import exceptions as core
from pydantic import SecretStr

from lmstudio_integrations import errors
from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.langchain.errors import LangChainErrors, langchain_error

SAMPLES = [
    (errors.LMStudioValueError("x"), core.ModelInvalidRequestError, ValueError, False),
    (errors.LMStudioConnectionError("x"), core.ModelConnectionError, ConnectionError, True),
    (errors.LMStudioServerNotFoundError("x", ("a",)), core.ModelConnectionError, ConnectionError, True),
    (errors.LMStudioDisconnectedError("x"), core.ModelConnectionError, ConnectionError, True),
    (errors.LMStudioAuthenticationError("x"), core.ModelAuthenticationError, Exception, False),
    (
        errors.LMStudioTimeoutError("x", limit="idle", seconds=1.0, last_heard="nothing"),
        core.ModelTimeoutError,
        TimeoutError,
        True,
    ),
    (errors.LMStudioProtocolError("x"), core.ModelAPIError, Exception, True),
    (errors.LMStudioIncompleteError("x"), core.ModelAPIError, errors.LMStudioProtocolError, True),
    (errors.LMStudioLimitError("too large"), core.ModelAPIError, errors.LMStudioProtocolError, False),
    (errors.LMStudioStructuredOutputError("x"), core.ModelError, ValueError, False),
    (errors.LMStudioRequestRejectedError("x"), core.ModelInvalidRequestError, Exception, False),
    (errors.LMStudioResourcesError("x"), core.ModelInvalidRequestError, Exception, False),
    (errors.LMStudioCancelledError("x"), core.ModelError, Exception, False),
    (errors.LMStudioServerError("x"), core.ModelAPIError, Exception, True),
    (errors.LMStudioModelNotFoundError("x"), core.ModelNotFoundError, errors.LMStudioServerError, False),
    (errors.LMStudioModelUnloadedError("x"), core.ModelAPIError, errors.LMStudioServerError, True),
    (errors.LMStudioPresetNotFoundError("x"), core.ModelInvalidRequestError, errors.LMStudioServerError, False),
    (errors.LMStudioContextOverflowError("x"), core.ContextOverflowError, errors.LMStudioServerError, False),
    (errors.LMStudioInvalidRequestError("x"), core.ModelInvalidRequestError, errors.LMStudioServerError, False),
    (errors.LMStudioModelLoadError("x"), core.ModelAPIError, errors.LMStudioServerError, False),
    (errors.LMStudioUnsupportedError("x"), core.ModelInvalidRequestError, errors.LMStudioServerError, False),
]


@pytest.mark.parametrize(("error", "kind", "builtin", "retryable"), SAMPLES, ids=lambda v: getattr(v, "__name__", None))
def test_error_is_caught_as_ours_and_as_langchains(
    error: errors.LMStudioError, kind: type[core.ModelError], builtin: type[Exception], retryable: bool
) -> None:
    twin = langchain_error(error)
    assert isinstance(twin, kind)
    assert isinstance(twin, type(error))
    assert isinstance(twin, builtin)
    assert twin.is_retryable is retryable
    assert str(twin) == str(error)


@pytest.mark.parametrize("error", [sample[0] for sample in SAMPLES], ids=lambda error: type(error).__name__)
def test_langchain_error_keeps_its_fields_and_pickles(error: errors.LMStudioError) -> None:
    twin = langchain_error(error)
    again = pickle.loads(pickle.dumps(twin))
    assert type(again) is type(twin)
    assert again.__dict__ == twin.__dict__ == error.__dict__
    assert again.args == error.args


def test_every_client_error_has_a_langchain_class() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        # Only act() raises LMStudioToolCallError, and no adapter uses act().
        if kind not in (errors.LMStudioError, errors.LMStudioToolCallError):
            assert any(isinstance(sample[0], kind) for sample in SAMPLES), name


def test_model_unloaded_error_is_retryable_only_before_the_answer_started() -> None:
    error = errors.LMStudioModelUnloadedError("x")
    error.response_started = True
    twin = langchain_error(error)
    assert isinstance(twin, core.ModelAPIError)
    assert twin.is_retryable is False


def test_client_error_is_the_cause() -> None:
    error = errors.LMStudioServerError("x")
    with pytest.raises(core.ModelAPIError) as caught, LangChainErrors():
        raise error
    assert caught.value.__cause__ is error


def test_other_errors_are_not_converted() -> None:
    with pytest.raises(KeyError), LangChainErrors():
        raise KeyError("x")


def test_error_is_converted_once() -> None:
    twin = langchain_error(errors.LMStudioServerError("x"))
    assert langchain_error(twin) is twin


def test_context_overflow_has_needed_and_available_tokens(
    chat: Callable[..., ChatLMStudio],
) -> None:
    with pytest.raises(core.ContextOverflowError) as caught:
        chat().invoke("word " * 6000)
    error = caught.value
    assert isinstance(error, errors.LMStudioContextOverflowError)
    assert error.available == 4096
    assert error.needed is not None
    assert error.needed > 4096


def test_unknown_model_raises_model_not_found(chat: Callable[..., ChatLMStudio]) -> None:
    with pytest.raises(core.ModelNotFoundError, match="emulator/chat"):
        chat(model="nobody/knows").invoke("hello")


async def test_server_error_is_langchains_in_all_four_ways(
    chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator
) -> None:
    model = chat()
    lmstudio_emulator.script(*[Reply(error="out of memory")] * 4)
    with pytest.raises(core.ModelAPIError, match="out of memory"):
        model.invoke("x")
    with pytest.raises(core.ModelAPIError, match="out of memory"):
        list(model.stream("x"))
    with pytest.raises(core.ModelAPIError, match="out of memory"):
        await model.ainvoke("x")
    with pytest.raises(core.ModelAPIError, match="out of memory"):
        [chunk async for chunk in model.astream("x")]


async def test_connection_error_names_the_address() -> None:
    model = ChatLMStudio(model="x", base_url="ws://127.0.0.1:9")
    with pytest.raises(core.ModelConnectionError, match=r"127\.0\.0\.1:9"):
        model.invoke("hello")
    with pytest.raises(core.ModelConnectionError, match=r"127\.0\.0\.1:9"):
        await model.ainvoke("hello")


def test_wrong_token_raises_authentication_error() -> None:
    with Emulator(api_token="sk-lm-aaaaaaaa:bbbbbbbbbbbbbbbbbbbb") as server:
        model = ChatLMStudio(
            model="emulator/chat", base_url=server.url, api_token=SecretStr("sk-lm-aaaaaaaa:cccccccccccccccccccc")
        )
        with pytest.raises(core.ModelAuthenticationError) as caught:
            model.invoke("hello")
        assert "cccc" not in str(caught.value)


def test_incomplete_answer_raises_with_the_partial_answer(
    chat: Callable[..., ChatLMStudio], lmstudio_emulator: Emulator
) -> None:
    lmstudio_emulator.script(Reply(fragments=["one ", "two ", "three"]))
    lmstudio_emulator.faults.add("drop", after=2)
    with pytest.raises(core.ModelConnectionError) as caught:
        chat().invoke("count")
    assert isinstance(caught.value, errors.LMStudioError)
    assert caught.value.partial.content == "one two "
