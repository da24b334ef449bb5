"""Every exception: its kind, its words, and that it can be copied and sent to another process."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import lmstudio_integrations
from lmstudio_integrations import errors
from lmstudio_integrations.client.result import PartialPrediction
from lmstudio_integrations.errors import (
    LMStudioContextOverflowError,
    LMStudioError,
    LMStudioInvalidRequestError,
    LMStudioModelLoadError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioPresetNotFoundError,
    LMStudioServerError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
    LMStudioUnsupportedError,
    server_error,
)

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, LMStudioError)]
PARTIAL = PartialPrediction(content="so far", reasoning="", tool_calls=[], failed_tool_calls=[], prompt_progress=None)


def an(kind: type[LMStudioError]) -> LMStudioError:
    """One of the kind, with everything that it may carry."""
    if issubclass(kind, LMStudioTimeoutError):
        made: LMStudioError = kind("too late", limit="idle", seconds=2.5, last_heard="fragment")
    elif issubclass(kind, LMStudioServerError):
        made = kind("Title", cause="cause", suggestion="do this", code="generic.x", data={"a": 1}, stack="/srv/x.js:1")
    elif kind is LMStudioServerNotFoundError:
        made = LMStudioServerNotFoundError("nobody", ("127.0.0.1:1",))
    else:
        made = kind("words")
    made.partial, made.response_started = PARTIAL, True
    return made


def test_every_error_class_is_in_the_docstrings_tree_and_exported() -> None:
    for kind in CLASSES:
        assert kind.__name__ in (errors.__doc__ or "")
        assert kind.__name__ in errors.__all__
        assert getattr(lmstudio_integrations, kind.__name__) is kind


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copy_of_an_error_keeps_all_attributes(kind: type[LMStudioError], again: Any) -> None:
    error = an(kind)
    made = again(error)
    assert made is not error
    assert type(made) is kind
    assert str(made) == str(error)
    assert made.__dict__ == error.__dict__


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_error_survives_every_pickle_protocol(protocol: int) -> None:
    for kind in CLASSES:
        assert str(pickle.loads(pickle.dumps(an(kind), protocol))) == str(an(kind))


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (errors.LMStudioValueError, ValueError),
        (errors.LMStudioConnectionError, ConnectionError),
        (errors.LMStudioDisconnectedError, OSError),
        (errors.LMStudioTimeoutError, TimeoutError),
    ],
)
def test_builtin_exception_classes_catch_the_errors(kind: type[Exception], base: type[Exception]) -> None:
    assert issubclass(kind, base)


def test_new_error_has_no_partial_and_no_response_started() -> None:
    error = LMStudioError("x")
    assert (error.partial, error.response_started) == (None, False)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("generic.noModelMatchingQuery", LMStudioModelNotFoundError),
        ("generic.pathNotFound", LMStudioModelNotFoundError),
        ("generic.identifierNotFound", LMStudioModelNotFoundError),
        ("generic.domainMismatch", LMStudioModelNotFoundError),
        ("generic.specificModelUnloaded", LMStudioModelUnloadedError),
        ("generic.presetNotFound", LMStudioPresetNotFoundError),
        ("generic.engineDoesNotSupportFeature", LMStudioUnsupportedError),
        ("generic.missingRuntimeExtension", LMStudioUnsupportedError),
        ("generic.somethingNew", LMStudioServerError),
        (None, LMStudioServerError),
        (5, LMStudioServerError),
    ],
)
def test_each_error_code_has_its_class(code: Any, kind: type[LMStudioServerError]) -> None:
    error = server_error({"title": "T", "displayData": {"code": code, "more": 1}})
    assert type(error) is kind
    assert error.code == (code if isinstance(code, str) else None)
    assert error.data == {"more": 1}


def test_error_message_has_title_cause_and_advice_but_no_stack() -> None:
    error = server_error(
        {
            "title": "It failed",
            "cause": "No room",
            "suggestion": "Make room",
            "stack": "Error: at /Users/somebody/.lmstudio/server.js:5",
            "errorData": {"path": "/Users/somebody"},
            "rootTitle": "It failed",
        }
    )
    assert str(error) == "It failed\ncause: No room\nMake room"
    assert error.stack == "Error: at /Users/somebody/.lmstudio/server.js:5"
    assert "/Users" not in repr(error)


def test_cause_that_repeats_the_title_is_shown_once() -> None:
    assert str(server_error({"title": "No", "cause": "No"})) == "No"


@pytest.mark.parametrize(
    ("display", "line"),
    [
        ({"code": "generic.noModelMatchingQuery", "loadedModelsSample": ["a", "b"]}, "Loaded models: a, b"),
        ({"code": "generic.noModelMatchingQuery", "loadedModelsSample": []}, "Loaded models: none"),
        ({"code": "generic.pathNotFound", "availablePathsSample": ["x/y"]}, "Downloaded models: x/y"),
        (
            {"code": "generic.presetNotFound", "availablePresetsSample": [{"identifier": "@a/b", "name": "Nice"}]},
            "Presets: Nice",
        ),
        ({"code": "generic.noModelMatchingQuery", "query": {"identifier": "mine"}}, "Requested: mine"),
        (
            {"code": "generic.domainMismatch", "actualDomain": "embedding", "expectedDomain": "llm"},
            "It is of the kind 'embedding', and 'llm' was requested.",
        ),
    ],
)
def test_error_message_lists_the_available_models(display: dict[str, Any], line: str) -> None:
    assert str(server_error({"title": "T", "displayData": display})).splitlines()[-1] == line


@pytest.mark.parametrize("junk", [None, 5, "x", [], {}, {"title": None}, {"title": 5, "cause": [], "displayData": "x"}])
def test_error_object_of_an_unknown_form_is_a_server_error(junk: Any) -> None:
    error = server_error(junk)
    assert type(error) is LMStudioServerError
    assert str(error) == "Unknown error"


def test_root_title_replaces_a_missing_title() -> None:
    assert str(server_error({"rootTitle": "Root"})) == "Root"


OVERFLOWS = [
    ("The prompt needs 5000 tokens, which exceeds the context length of 4096 tokens", 5000, 4096),
    # LM Studio, as users report it (lmstudio-bug-tracker 237, 546, 2256)
    (
        (
            "Trying to keep the first 5178 tokens when context the overflows. However, the model is loaded with context "
            "length of only 4096 tokens, which is not enough. Try to load the model with a larger context length"
        ),
        5178,
        4096,
    ),
    (
        "The number of tokens to keep from the initial prompt is greater than the context length. Try to load",
        None,
        None,
    ),
    (
        "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 10247 >= n_ctx: 4096).",
        10247,
        4096,
    ),
    (
        "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 10937>= n_ctx: 4096)",
        10937,
        4096,
    ),
    ("Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)", 15028, 7424),
    ("Context size has been exceeded.", None, None),
    (
        (
            "Reached context length of 4096 tokens with model (arch: qwen2) that does not currently support mid-generation "
            "context overflow. Try reloading with a larger context length, or provide a shorter prompt."
        ),
        None,
        4096,
    ),
    # llama.cpp's server
    ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 5000, 4096),
    (
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        None,
        None,
    ),
    ('{"type":"exceed_context_size_error","n_prompt_tokens":14429,"n_ctx":8192}', 14429, 8192),
    ("Requested tokens (5000) exceed context window of 4096", 5000, 4096),
    ("the prompt exceeds the model's context", None, None),
    # a text to embed
    ("input (600 tokens) is too large to process. increase the physical batch size (current: 512)", 600, 512),
    ("the input is larger than the max context size. skipping", None, None),
    ("Input length 9000 exceeds maximum allowed token size 8192", 9000, 8192),
]


@pytest.mark.parametrize(("sentence", "needed", "available"), OVERFLOWS, ids=[item[0][:60] for item in OVERFLOWS])
@pytest.mark.parametrize("member", ["title", "cause"])
def test_context_overflow_error_has_needed_and_available_tokens(
    sentence: str, needed: int | None, available: int | None, member: str
) -> None:
    error = server_error({"title": "Prediction failed", member: sentence})
    assert isinstance(error, LMStudioContextOverflowError)
    assert (error.needed, error.available) == (needed, available)
    assert copy.copy(error).needed == needed


@pytest.mark.parametrize(
    "sentence",
    [
        "The model has crashed without additional information. (Exit code: 6)",
        "Failed to parse the tool call",
        "Channel was closed in this context",
        "Timeout: exceeded the time limit in this context",
        "Rate limit exceeded in the current context",
        "The process exceeded its memory, context: worker",
    ],
)
def test_other_error_texts_are_no_context_overflow(sentence: str) -> None:
    assert type(server_error({"title": sentence})) is LMStudioServerError


def test_known_error_code_wins_over_the_text() -> None:
    error = server_error({"title": "context overflow", "displayData": {"code": "generic.specificModelUnloaded"}})
    assert type(error) is LMStudioModelUnloadedError


@pytest.mark.parametrize(
    "text",
    [
        'Error rendering prompt with jinja template: "Conversation roles must alternate"',
        "Failed to parse grammar",
        "failed to compile the JSON schema to a grammar",
        "The model does not support images",
        "Image input is not supported by this model",
        "Only user, assistant and tool roles are supported!",
        "System role not supported",
        "Unexpected message role.",
        "Error compiling grammar: Unsupported JSON Schema structure",
        'Unimplemented keys: ["propertyNames"]',
        "Failed to process regex: Lookahead is not supported",
        'JSON schema conversion failed: Unrecognized schema: {"type":"file"}',
        "Invalid structured output configuration",
        "Cannot access key vision.imageResizeSettings. Key does not exist in the schematics.",
        "Only models that support vision can process images",
        "Vision add-on is not loaded, but images were provided for processing",
        "image input is not available; you must provide the mmproj",
        "Failed to decode image",
        "'url' field must be a base64 encoded image",
        "Draft model is not compatible with the main model: vocab mismatch",
        "Speculative decoding is not supported for vision models",
        "This server does not support embeddings",
        "Model is not an embedding model",
    ],
)
def test_error_that_stays_the_same_is_an_invalid_request(text: str) -> None:
    assert type(server_error({"title": "Prediction failed", "cause": text})) is LMStudioInvalidRequestError


@pytest.mark.parametrize(
    "text",
    [
        "Failed to load model: Model loading was stopped due to insufficient system resources.",
        "Failed to load model: the context length is too large, it exceeds the memory",
        "Requested context length 200000 exceeds the model's maximum context length of 32768",
        "Not enough resources to load the model with the current settings",
        "Error loading model. (Exit code: 18446744073709515000). Unknown error. Try a different model and/or config.",
        "llama_model_load: unable to allocate CUDA0 buffer",
        "Failed to initialize the context: failed to allocate buffer for kv cache",
        "missing tensor 'blk.0.attn_k.weight'",
        "gguf_init_from_file: invalid magic characters",
    ],
)
def test_error_of_a_load_that_fails_again_is_a_model_load_error(text: str) -> None:
    assert type(server_error({"title": "Error", "cause": text})) is LMStudioModelLoadError


def test_load_that_was_cancelled_is_no_model_load_error() -> None:
    assert type(server_error({"title": "Failed to load model", "cause": "Operation canceled."})) is LMStudioServerError


@pytest.mark.parametrize(
    "text",
    [
        "error loading model architecture: unknown model architecture: 'gemma3n'",
        "ValueError: Model type qwen3_next not supported.",
        "No LM Runtime found for model format 'gguf'!",
        "Cannot find a suitable engine for model format 'safetensors'",
    ],
)
def test_error_of_an_engine_that_lacks_the_model_is_unsupported(text: str) -> None:
    assert type(server_error({"title": "Failed to load model", "cause": text})) is LMStudioUnsupportedError


@pytest.mark.parametrize(
    "text",
    [
        "Model is unloaded.",
        "Model unloaded.",
        "The model was unloaded",
        "the model has been unloaded while it processed the input file",
        "Model instance was evicted to make room",
    ],
)
def test_error_of_an_unloaded_model_without_a_code_is_known_by_its_text(text: str) -> None:
    assert type(server_error({"title": "Error in RPC handler", "cause": text})) is LMStudioModelUnloadedError


def test_error_with_half_a_character_can_be_written_to_a_log() -> None:
    error = server_error(
        {
            "title": "half \ud800 here",
            "cause": "a pair \ud83d\ude00",
            "displayData": {
                "code": "generic.pathNotFound",
                "path": "x",
                "query": {"path": "\udc00"},
                "availablePathsSample": ["m\udfff"],
            },
        }
    )
    assert str(error).encode().decode() == (
        "half \ufffd here\ncause: a pair \U0001f600\nRequested: \ufffd\nDownloaded models: m\ufffd"
    )
    assert error.title.encode()


@pytest.mark.parametrize("text", ["The model crashed", "Out of memory", "Channel error", "Operation canceled"])
def test_error_that_may_pass_is_a_server_error(text: str) -> None:
    assert type(server_error({"title": text})) is LMStudioServerError


@pytest.mark.parametrize(
    "piece",
    ["exceed", "context length ", "n_keep 1 ", "(12 tokens) ", "7 tokens ", "grammar ", "image ", "error ", "model "],
)
def test_text_of_an_error_is_read_in_linear_time(piece: str) -> None:
    """Steps, not seconds: a quadratic pattern would take hours for this text."""
    assert isinstance(server_error({"title": "x", "cause": piece * 400_000}), LMStudioServerError)


def test_server_words_are_shortened_in_an_errors_text() -> None:
    error = server_error(
        {
            "title": "t" * 100_000,
            "cause": "c" * 100_000,
            "suggestion": "s" * 100_000,
            "displayData": {
                "code": "generic.pathNotFound",
                "path": "p" * 100_000,
                "query": {"path": "q" * 100_000},
                "availablePathsSample": ["n" * 100_000] * 1000,
            },
        }
    )
    assert len(str(error)) < 5000
    assert len(error.title) == 100_000
    assert "(100000 characters)" in str(error)
