"""Names of settings: synonyms of other integrations, ignored and refused keywords, the nearest right name.

The names are those of the pydantic fields of langchain-openai 1.7.4, langchain-ollama 1.1.0, llama-index-llms-openai
0.8.3, -openai-like 0.8.1, -ollama 0.11.0 and -lmstudio 0.6.0 (``tests/compat/peer_fields.json``, which a test compares
with these tables), those of langchain-anthropic 1.7 and LlamaIndex's embeddings, the parameters of OpenAI's API, the
options of Ollama's, and the per-call keywords that frameworks and applications pass to every model.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from lmstudio_integrations.client import LlmPredictionConfigDict, Timeout
from lmstudio_integrations.client.common_settings import COMMON_NAMES
from lmstudio_integrations.client.server_headers import basic_authorization
from lmstudio_integrations.errors import LMStudioValueError

__all__ = [
    "CALL_ONLY",
    "IGNORED",
    "IGNORED_IN_CONSTRUCTOR",
    "REFUSED",
    "SYNONYMS",
    "translate_call",
    "translate_constructor",
    "unknown_name",
]

logger: logging.Logger = logging.getLogger("lmstudio_integrations")

CALL_ONLY: frozenset[str] = frozenset(
    {
        *("cancel", "config", "raise_incomplete", "response_format"),
        *("tools", "tool_choice", "parallel_tool_calls"),
    }
)
"""What only a call has, and no constructor."""

SYNONYMS: dict[str, str] = {
    "api_key": "api_token",
    "openai_api_key": "api_token",
    "anthropic_api_key": "api_token",
    "base_url": "base_url",
    "api_base": "base_url",
    "openai_api_base": "base_url",
    "anthropic_api_url": "base_url",
    "url": "base_url",
    "host": "base_url",
    "model_name": "model",
    "model_id": "model",
    "request_timeout": "timeout",
    "default_request_timeout": "timeout",
    "default_headers": "headers",
    "keep_alive": "ttl",
    "num_ctx": "context_length",
    "n_ctx": "context_length",
    "context_window": "context_length",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_tokens_to_sample": "max_tokens",
    "num_predict": "max_tokens",
    "num_output": "max_tokens",
    "stop_sequences": "stop",
    "repetition_penalty": "repeat_penalty",
    "thinking": "reasoning",
    "think": "reasoning",
    "enable_thinking": "reasoning",
    "reasoning_options": "reasoning",
    "model_kwargs": "prediction_config",
    "extra_body": "prediction_config",
    "options": "prediction_config",
    "additional_kwargs": "prediction_config",
    "ollama_additional_kwargs": "prediction_config",
    "allow_parallel_tool_calls": "parallel_tool_calls",
    "cancellation": "cancel",
    "show_progress_bar": "show_progress",
}
"""Other integrations' names and the setting that each means. An adapter's own names win over them."""

IGNORED = frozenset(
    {
        "betas",
        "cache_control",
        "extra_headers",
        "extra_query",
        "include",
        "metadata",
        "moderation",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "stream_usage",
        "strict",
        "user",
        "verbose",
        "verbosity",
    }
)
"""Keywords that frameworks and applications pass to every model, and that have no meaning for LM Studio."""

IGNORED_IN_CONSTRUCTOR = frozenset(
    {
        # HTTP clients
        "async_client",
        "async_client_kwargs",
        "async_http_client",
        "async_openai_client",
        "anthropic_proxy",
        "client",
        "default_query",
        "http_async_client",
        "http_client",
        "http_socket_options",
        "openai_client",
        "openai_proxy",
        "reuse_client",
        "root_async_client",
        "root_client",
        "stream_chunk_timeout",
        "sync_client_kwargs",
        # accounts and versions of OpenAI's API
        "api_version",
        "deployment",
        "openai_api_type",
        "openai_api_version",
        "openai_organization",
        "organization",
        "include_response_headers",
        "use_previous_response_id",
        "use_responses_api",
        "call_metadata",
        "inference_geo",
        "reuse_last_container",
        "track_previous_responses",
        "user_profile_id",
        # tokenizers that stand in for the model's own
        "allowed_special",
        "disallowed_special",
        "tiktoken_enabled",
        "tiktoken_model_name",
        "tokenizer",
        # batches and retries, which are the client's own
        "batch_size",
        "check_embedding_ctx_length",
        "chunk_size",
        "embedding_ctx_length",
        "mode",
        "retry_max_seconds",
        "retry_min_seconds",
        "skip_empty",
        # how the other integration puts a request together
        "disabled_params",
        "prompt_key",
        "should_use_structured_outputs",
    }
)
"""Settings of other integrations that configure their own client. A constructor warns of them, unless they are
empty."""

REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "n": ((1,), "LM Studio gives one answer per request: send the request several times"),
    "best_of": ((1,), "LM Studio gives one answer per request: send the request several times"),
    "functions": ((), "functions are OpenAI's former tools: pass tools=[…]"),
    "function_call": ((), "function_call is OpenAI's former tool choice: pass tool_choice=…"),
    "logit_bias": ((), "LM Studio cannot change the probability of single tokens"),
    "mirostat": ((0,), "LM Studio has no Mirostat sampling: use top_p, top_k or min_p"),
    "mirostat_eta": ((), "LM Studio has no Mirostat sampling: use top_p, top_k or min_p"),
    "mirostat_tau": ((), "LM Studio has no Mirostat sampling: use top_p, top_k or min_p"),
    "tfs_z": ((1, 1.0), "LM Studio has no tail-free sampling: use top_p, top_k or min_p"),
    "repeat_last_n": ((), "LM Studio chooses the range of the repeat penalty itself: use repeat_penalty"),
    "num_gpu": ((), "the layers on the GPU are set when a model is loaded: pass load_config={'gpu': {'ratio': 0.5}}"),
    "num_thread": ((), "pass prediction_config={'cpuThreads': …}"),
    "num_batch": ((), "the batch is set when a model is loaded: pass load_config={'evalBatchSize': …}"),
    "use_mmap": ((), "it is set when a model is loaded: pass load_config={'tryMmap': …}"),
    "use_mlock": ((), "it is set when a model is loaded: pass load_config={'keepModelInMemory': …}"),
    "main_gpu": ((0,), "the GPUs are set when a model is loaded: pass load_config={'gpu': {'mainGpu': …}}"),
    "low_vram": ((), "the layers on the GPU are set when a model is loaded: pass load_config={'gpu': {'ratio': 0.5}}"),
    "num_keep": ((), "pass context_overflow_policy='truncateMiddle', which keeps the beginning"),
    "typical_p": ((1, 1.0), "LM Studio has no typical sampling: use top_p, top_k or min_p"),
    "penalize_newline": ((), "LM Studio's repeat penalty has no such choice: use repeat_penalty"),
    "f16_kv": ((True,), "LM Studio's engines have no such option: load_config sets what they have"),
    "numa": ((), "LM Studio's engines have no such option: load_config sets what they have"),
    "vocab_only": ((), "LM Studio's engines have no such option: load_config sets what they have"),
    "logits_all": ((), "LM Studio's engines have no such option: logprobs gives log probabilities"),
    "embedding_only": ((), "LM Studio's engines have no such option: use the class for embeddings"),
    "messages": ((), "the messages are the first argument of a call"),
    "input": ((), "the prompt or the texts are the first argument of a call"),
    "prompt": ((), "the prompt is the first argument of a call"),
    "instructions": ((), "pass a system message in its place"),
    "previous_response_id": ((), "LM Studio keeps no conversation for a client: pass all of its messages"),
    "conversation": ((), "LM Studio keeps no conversation for a client: pass all of its messages"),
    "background": ((), "LM Studio answers while the client is connected: use a thread or a task"),
    "max_tool_calls": (
        (),
        "limit the rounds of the agent; parallel_tool_calls=False keeps the first call of an answer",
    ),
    "web_search_options": ((), "LM Studio has no web search of its own: pass a tool that searches"),
    "built_in_tools": ((), "LM Studio runs no tools for a client: pass tools=[…]"),
    "mcp_servers": ((), "LM Studio runs no tools for a client: pass those of the servers as tools=[…]"),
    "container": ((), "LM Studio runs no tools for a client: pass tools=[…]"),
    "output_config": ((), "pass reasoning_effort=… and response_format=…"),
    "text": ((), "pass the form of the answer as response_format=…"),
    "prediction": ((), "LM Studio takes no predicted answer: draft_model=… makes answers faster"),
    "suffix": ((), "LM Studio completes only at the end of a text"),
    "echo": ((), "LM Studio does not repeat the prompt in its answer"),
    "encoding_format": (("float",), "vectors are lists of numbers"),
    "audio": ((), "LM Studio's models answer with text"),
    "modalities": ((["text"],), "LM Studio's models answer with text"),
    "audio_config": ((), "LM Studio's models answer with text"),
    "truncation": (("disabled",), "pass context_overflow_policy='truncateMiddle' or 'rollingWindow'"),
    "context_management": ((), "pass context_overflow_policy='truncateMiddle' or 'rollingWindow'"),
    "dimensions": ((), "only embeddings have dimensions"),
}
"""Settings that would change the answer, and that have no counterpart of the same form here: the values that are
ignored, because they change nothing, and the advice for all other values. Empty values are ignored, too."""

_EFFORT: dict[str, bool | int] = {
    "none": False,
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": True,
    "xhigh": True,
    "max": True,
}
"""What ``reasoning`` is for each effort: off, a budget in tokens, or on without a budget. Guess: LM Studio has no
efforts of its own; the budgets are our choice."""

_DEFAULT_IF_NONE = frozenset({"max_retries", "prediction_config", "raw_completion"})
"""Settings of which ``None`` means the default in other integrations."""

_DURATION = re.compile(r"-?(?:(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h)\s*)+|\d+(?:\.\d+)?)")
_PART_OF_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}

_LM_STUDIO_NAMES = frozenset(LlmPredictionConfigDict.__annotations__)


def unknown_name(name: str, known: Collection[str], what: str, names: Iterable[str] = ()) -> str:
    """The message for a name that is not among ``known`` and the synonyms ``names``, with the nearest one that is."""
    near = difflib.get_close_matches(name, sorted({*known, *names}), n=1)
    if near:
        return f"unknown {what} {name!r}: did you mean {near[0]!r}?"
    if "prediction_config" in known or "additional_kwargs" in known:
        return f"unknown {what} {name!r}: settings without a name here go into prediction_config"
    return f"unknown {what} {name!r}: settings for loading the model go into load_config"


def translate_constructor(values: Mapping[str, Any], fields: Collection[str], own: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a constructor under the names of ``fields``.

    ``own``: for each common name under which this class has no field, the name of its field. Names in ``IGNORED`` and
    ``IGNORED_IN_CONSTRUCTOR`` are dropped, with a warning if they have a value.

    Raises:
        LMStudioValueError: An unknown name, with the nearest right one; one setting under two names; a refused name.
    """
    return _translate(values, fields, own, LMStudioValueError, "setting", warn=True)


def translate_call(
    values: Mapping[str, Any],
    keywords: Collection[str],
    own: Mapping[str, str],
    error: Callable[[str], Exception] = LMStudioValueError,
    *,
    settings: Collection[str] = (),
) -> dict[str, Any]:
    """The keywords of one call under the names of ``keywords``; as ``translate_constructor``, without warnings.

    ``error`` makes the exception for an unknown name. ``settings``: the fields of the model, for the messages.
    """
    return _translate(values, keywords, own, error, "keyword", warn=False, settings=settings)


def _translate(
    values: Mapping[str, Any],
    known: Collection[str],
    own: Mapping[str, str],
    error: Callable[[str], Exception],
    what: str,
    *,
    warn: bool,
    settings: Collection[str] = (),
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    named: dict[str, str] = {}
    values = _with_named_settings(values, known, own)
    if values.get("logprobs") is True and values.get("top_logprobs") is not None:  # OpenAI's pair is one setting here
        values = {**values, "logprobs": values["top_logprobs"] or True, "top_logprobs": None}
    for name, value in values.items():
        if name in known or name in own or name in _MEANINGS:
            pairs = _settings_of(name, value, known, own)
        elif _is_ignored(name, value, in_constructor=warn):
            if warn and not _is_empty(value) and name not in REFUSED:
                logger.warning("the setting %r has no meaning for LM Studio and is ignored", name)
            continue
        else:
            raise error(_misplaced(name, name, known, what, own, settings))
        for setting, item in pairs.items():
            if item is None and setting in _DEFAULT_IF_NONE | {own.get("prediction_config")}:
                continue
            if setting not in known:
                if warn and _is_empty(item):
                    continue
                raise error(_misplaced(setting, name, known, what, own, settings))
            if item is None and setting in made:
                continue
            if made.get(setting) is not None and made[setting] != item:
                raise LMStudioValueError(
                    f"{named[setting]!r} and {name!r} are one setting under two names: pass one of them"
                )
            made[setting] = item
            named[setting] = name
    return made


def _misplaced(
    setting: str, name: str, known: Collection[str], what: str, own: Mapping[str, str], settings: Collection[str]
) -> str:
    """The message for ``name``, which is known nowhere or whose ``setting`` is not among ``known``."""
    if setting == "headers":
        return f"{name!r} is no {what}: headers belong to the connection, so pass them to the constructor"
    if setting == "prediction_config":
        return f"{name!r} is no {what} of embeddings, which have no settings of a prediction: pass load_config"
    if setting == "raw_completion":
        return f"{name!r} is no {what}: the class decides (ChatLMStudio has the chat template, LMStudioLLM has none)"
    if setting in settings:
        return f"{name!r} is a setting of the model, not a {what} of a call: pass it to the constructor"
    if name in IGNORED_IN_CONSTRUCTOR:
        return f"{name!r} is no {what}: it has no meaning for LM Studio, so leave it out"
    if setting in CALL_ONLY or setting == own.get("parallel_tool_calls"):
        return f"{name!r} is a keyword of each call, not a {what}: pass or bind {name}=…"
    return unknown_name(
        name, known, what, [synonym for synonym, meant in _MEANINGS.items() if own.get(meant, meant) in known]
    )


def _with_named_settings(
    values: Mapping[str, Any], known: Collection[str], own: Mapping[str, str]
) -> Mapping[str, Any]:
    """``values`` with what ``extra_body``, ``options`` and the like hold under other names than LM Studio's.

    Those settings are passed as if they stood beside the dictionary (``extra_body={"ttl": 300}``), unless the same
    setting does stand there, under this name or another, which wins. The dictionary keeps the others.

    Raises:
        LMStudioValueError: Two of the dictionaries hold different values of one name.
    """
    bundles = {
        name: value
        for name, value in values.items()
        if isinstance(value, Mapping) and SYNONYMS.get(name, name) == "prediction_config"
    }
    if not bundles:  # as in most calls
        return values
    made = dict(values)
    beside = {_meant(name, own) for name, value in values.items() if value is not None}
    found: dict[str, Any] = {}
    for name, bundle in bundles.items():
        moved = [key for key in bundle if key not in _LM_STUDIO_NAMES and (key in own or _is_known_name(key, known))]
        if moved:
            made[name] = {key: item for key, item in bundle.items() if key not in moved}
        for key in moved:
            if key in found and found[key] != bundle[key]:
                raise LMStudioValueError(f"{key!r} has two values in different dictionaries: pass one of them")
            if _meant(key, own) not in beside:
                found[key] = bundle[key]
    return {**found, **made}


def _meant(name: str, own: Mapping[str, str]) -> str:
    """The field that a name stands for."""
    setting = own.get(name) or _MEANINGS.get(name, name)
    return own.get(setting, setting)


def _is_known_name(name: Any, known: Collection[str]) -> bool:
    """Whether a name in a dictionary of further settings is one of a setting, or known to be ignored or refused."""
    return isinstance(name, str) and any(name in names for names in (known, _MEANINGS, IGNORED, REFUSED))


def _settings_of(name: str, value: Any, known: Collection[str], own: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a known name or synonym stands for."""
    if name in known:
        setting = name
    elif name in own:
        setting = own[name]
    elif name in _CONVERTED:
        return {own.get(setting, setting): item for setting, item in _CONVERTED[name][1](value).items()}
    else:
        setting = own.get(SYNONYMS[name], SYNONYMS[name])
    return {setting: _read_value(setting, value)}


def _read_value(setting: str, value: Any) -> Any:
    """A value in the form of another integration as ours."""
    if setting in ("reasoning", "thinking"):
        if isinstance(value, Mapping):
            return _reasoning_object(setting, value)
        if isinstance(value, str) and value in _EFFORT:
            return _EFFORT[value]
    if setting == "context_window" and value == -1:  # LlamaIndex's Ollama: as the model says
        return None
    if setting == "timeout":
        return _time_limits(value)
    return value


def _time_limits(value: Any) -> Any:
    """``(connect, read)`` or an ``httpx.Timeout``, as OpenAI's client takes them, as a mapping; others unchanged."""
    if isinstance(value, tuple) and len(value) == 2:
        connect, read = value
    elif not isinstance(value, Timeout) and hasattr(value, "connect") and hasattr(value, "read"):
        connect, read = value.connect, value.read
    else:
        return value
    return {"connect": connect, "first_packet": read, "idle": read}


def _is_ignored(name: str, value: Any, *, in_constructor: bool) -> bool:
    """Whether a name is known to have no meaning here. Raises ``LMStudioValueError`` for a refused value."""
    if name in REFUSED:
        harmless, instead = REFUSED[name]
        if not _is_empty(value) and value not in harmless:
            raise LMStudioValueError(f"{name}={value!r}: {instead}")
        return True
    # Embedding models of other integrations have sampling settings, too.
    return name in IGNORED or (in_constructor and (name in IGNORED_IN_CONSTRUCTOR or name in COMMON_NAMES))


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", {}, [], ())


def _keep_alive(value: Any) -> dict[str, Any]:
    """Ollama's ``keep_alive``: seconds, or text like "5m"; negative is for ever."""
    given = value
    if value is None or value == "":
        return {}
    if isinstance(value, str) and _DURATION.fullmatch(text := value.strip()) is not None:
        value = sum(float(number) * _UNITS[unit] for number, unit in _PART_OF_DURATION.findall(text))
        value = -1 if text.startswith("-") else value
    if isinstance(value, (str, bool)):
        raise LMStudioValueError(f"keep_alive={given!r}: expected seconds or a duration like '5m', '1h30m' or '-1'")
    if isinstance(value, (int, float)) and value < 0:
        value = None
    if value == 0:
        raise LMStudioValueError(
            f"keep_alive={given!r}: LM Studio cannot unload a model right after an answer; pass some seconds, such as 1"
        )
    return {"ttl": value}


def _format(value: Any) -> dict[str, Any]:
    """Ollama's ``format``: "json", or a JSON schema."""
    if value is None or value == "":
        return {}
    return {"response_format": {"type": "json_object"} if value == "json" else value}


def _json_mode(value: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_object"}} if value else {}


def _effort(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, str) or value not in _EFFORT:
        raise LMStudioValueError(f"reasoning_effort={value!r}: expected one of {', '.join(_EFFORT)}")
    return {"reasoning": _EFFORT[value]}


def _reasoning_object(setting: str, value: Mapping[str, Any]) -> bool | int | None:
    """OpenAI's ``{"effort": "low"}``, Anthropic's ``{"type": "enabled", "budget_tokens": 2000}``, OpenRouter's form."""
    unknown = sorted(map(str, value.keys() - _REASONING_KEYS))
    if unknown:
        raise LMStudioValueError(unknown_name(unknown[0], _REASONING_KEYS, f"key of {setting}"))
    if value.get("type") not in (None, "enabled", "disabled", "adaptive"):
        raise LMStudioValueError(f"{setting}={dict(value)!r}: expected the type 'enabled', 'disabled' or 'adaptive'")
    if value.get("type") == "disabled" or value.get("enabled") is False:
        return False
    budget = _first_given(value, "budget_tokens", "max_tokens")
    if budget is not None:
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise LMStudioValueError(f"{setting}={dict(value)!r}: expected the budget as an integer of tokens")
        return budget
    effort: bool | int | None = _effort(value.get("effort")).get("reasoning")
    if effort is None and (value.get("type") == "enabled" or value.get("enabled") is True):
        return True
    return effort


def _first_given(values: Mapping[str, Any], *names: str) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


_REASONING_KEYS = frozenset(
    {
        *("effort", "type", "budget_tokens", "enabled", "max_tokens"),
        *("summary", "generate_summary", "exclude", "display"),  # what is shown of the reasoning
    }
)


def _top_logprobs(value: Any) -> dict[str, Any]:
    return {} if value is None else {"logprobs": value}


def _is_chat_model(value: Any) -> dict[str, Any]:
    return {} if value is None else {"raw_completion": not value}


def _chat_template_kwargs(value: Any) -> dict[str, Any]:
    """Arguments of a chat template, as vLLM takes them: LM Studio has the one that switches reasoning."""
    other = [name for name in value or {} if name != "enable_thinking"]
    if other:
        raise LMStudioValueError(
            f"chat_template_kwargs has {other[0]!r}: of such arguments LM Studio takes 'enable_thinking' only"
        )
    return {"reasoning": value["enable_thinking"]} if value else {}


def _client_kwargs(value: Any) -> dict[str, Any]:
    """What ChatOllama passes to httpx: headers, basic authentication and the time limit mean the same here."""
    found: dict[str, Any] = {}
    for name, item in (value or {}).items():
        if item is None:
            continue
        if name == "headers":
            found["headers"] = {**found.get("headers", {}), **dict(item)}
        elif name == "timeout":
            found["timeout"] = _time_limits(item)
        elif name == "auth" and isinstance(item, tuple) and len(item) == 2:
            found["headers"] = {**found.get("headers", {}), "Authorization": basic_authorization(*item)}
        else:
            logger.warning("client_kwargs has %r, which has no meaning for this client and is ignored", name)
    return found


_CONVERTED: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "chat_template_kwargs": ("reasoning", _chat_template_kwargs),
    "client_kwargs": ("headers", _client_kwargs),
    "effort": ("reasoning", _effort),
    "keep_alive": ("ttl", _keep_alive),
    "format": ("response_format", _format),
    "json_mode": ("response_format", _json_mode),
    "reasoning_effort": ("reasoning", _effort),
    "top_logprobs": ("logprobs", _top_logprobs),
    "is_chat_model": ("raw_completion", _is_chat_model),
}
"""Names whose value has another form than the setting's: the setting, and what reads the value."""

_MEANINGS = SYNONYMS | {name: setting for name, (setting, _) in _CONVERTED.items()}
"""Other integrations' names, whatever the form of their values, and the setting that each means."""
