"""Every exception that this package raises on purpose.

```text
LMStudioError
├── LMStudioValueError (ValueError)            what the caller passed would never be accepted
├── LMStudioConnectionError (ConnectionError)  no answer from the network
│   ├── LMStudioServerNotFoundError            no server listens at the addresses tried
│   └── LMStudioDisconnectedError              the socket was lost while waiting for an answer
├── LMStudioAuthenticationError                the server refused the token or the client
├── LMStudioTimeoutError (TimeoutError)        one of the time limits ran out
├── LMStudioProtocolError                      the server broke its own protocol
│   ├── LMStudioIncompleteError                a channel ended without its final packet
│   └── LMStudioLimitError                     a message or an answer exceeds what this package holds
├── LMStudioRequestRejectedError               the server would not take the request at all
├── LMStudioStructuredOutputError (ValueError) the answer is not the complete document that was asked for
├── LMStudioCancelledError                     cancelled before there was any result
├── LMStudioResourcesError                     a model that would not fit was not loaded (``check_resources``)
└── LMStudioServerError                        the server answered with an error object
    ├── LMStudioModelNotFoundError             no model fits the key, identifier or query
    ├── LMStudioModelUnloadedError             the instance was unloaded under the request
    ├── LMStudioPresetNotFoundError            no preset of that name
    ├── LMStudioContextOverflowError           the prompt does not fit the context
    ├── LMStudioInvalidRequestError            the template, the grammar or the engine refuses the content
    ├── LMStudioModelLoadError                 the model does not fit into memory, or its file cannot be read
    ├── LMStudioToolCallError                  a tool call of the model cannot be carried out (``act``)
    └── LMStudioUnsupportedError               the engine lacks a feature that was asked for
```

Each has ``partial`` (what a prediction had produced before the error, or ``None``) and ``response_started`` (whether
the server had started to answer, so that sending the request again might do the work twice).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lmstudio_integrations._surrogates import without_surrogates

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LMStudioAuthenticationError",
    "LMStudioCancelledError",
    "LMStudioConnectionError",
    "LMStudioContextOverflowError",
    "LMStudioDisconnectedError",
    "LMStudioError",
    "LMStudioIncompleteError",
    "LMStudioInvalidRequestError",
    "LMStudioLimitError",
    "LMStudioModelLoadError",
    "LMStudioModelNotFoundError",
    "LMStudioModelUnloadedError",
    "LMStudioPresetNotFoundError",
    "LMStudioProtocolError",
    "LMStudioRequestRejectedError",
    "LMStudioResourcesError",
    "LMStudioServerError",
    "LMStudioServerNotFoundError",
    "LMStudioStructuredOutputError",
    "LMStudioTimeoutError",
    "LMStudioToolCallError",
    "LMStudioUnsupportedError",
    "LMStudioValueError",
]


class LMStudioError(Exception):
    """Base of all. ``partial`` is a ``PartialPrediction`` if an answer broke off, else ``None``.

    Example:
        ```python
        import lmstudio_integrations as lms

        try:
            lms.llm("qwen/qwen3-4bb")
        except lms.LMStudioModelNotFoundError as error:
            print("no such model")
        except lms.LMStudioError as error:
            print(error, error.partial, error.response_started)
        #> no such model
        ```
    """

    partial: Any = None
    response_started: bool = False
    text_number: int | None = None
    """Which of the texts to embed the error is about, from 0; ``None`` if it is about all or none."""

    def __str__(self) -> str:
        words = super().__str__()
        return words if self.text_number is None else f"text {self.text_number}: {words}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class LMStudioValueError(LMStudioError, ValueError):
    """Refused here, before anything was sent: LM Studio would answer it with silence or an error."""


class LMStudioConnectionError(LMStudioError, ConnectionError):
    """The network between this process and LM Studio failed."""


class LMStudioServerNotFoundError(LMStudioConnectionError):
    """No LM Studio server answered. ``addresses`` are those that were tried."""

    def __init__(self, message: str, addresses: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.addresses = addresses


class LMStudioDisconnectedError(LMStudioConnectionError):
    """The socket was lost (server stopped, machine asleep) while this request was under way."""


class LMStudioAuthenticationError(LMStudioError):
    """LM Studio refused the API token, or the client identifier's passkey."""


class LMStudioTimeoutError(LMStudioError, TimeoutError):
    """A time limit ran out.

    ``limit`` is ``"connect"``, ``"first_packet"``, ``"idle"``, ``"load"`` or ``"total"``; ``seconds`` its length;
    ``last_heard``: the last packet of the server, as text.
    """

    def __init__(self, message: str, *, limit: str, seconds: float, last_heard: str) -> None:
        super().__init__(message)
        self.limit = limit
        self.seconds = seconds
        self.last_heard = last_heard


class LMStudioProtocolError(LMStudioError):
    """A message of the server cannot be parsed."""


class LMStudioIncompleteError(LMStudioProtocolError):
    """The server closed a channel without its final packet: the response is incomplete."""


class LMStudioLimitError(LMStudioProtocolError):
    """More arrived than this package holds in memory: one message, one answer, or what a consumer did not read."""


class LMStudioRequestRejectedError(LMStudioError):
    """The server does not know the endpoint or does not accept the parameter (an older or newer LM Studio).

    LM Studio says so only in a warning without an id, so with several requests of one kind under way
    the warning may have meant another of them.
    """


class LMStudioStructuredOutputError(LMStudioError, ValueError):
    """An answer under a schema is incomplete or cannot be parsed: the message names the limit that truncated it.

    ``unparsed_call``: the model made a tool call that LM Studio could not parse, so another attempt may succeed.
    """

    unparsed_call = False


class LMStudioCancelledError(LMStudioError):
    """The request was cancelled before it had any result."""


class LMStudioResourcesError(LMStudioError):
    """A model was not loaded, because LM Studio's guardrails would not let it pass. ``estimate`` has the figures."""

    def __init__(self, message: str, estimate: Any = None) -> None:
        super().__init__(message)
        self.estimate = estimate


class LMStudioServerError(LMStudioError):
    """LM Studio answered with an error object.

    ``title``, ``cause``, ``suggestion`` are its own words; ``code`` is ``displayData.code`` (``"generic.…"``);
    ``data`` the rest of ``displayData``; ``stack`` the server's stack trace, never part of the message because
    it holds the server's paths.
    """

    def __init__(
        self,
        title: str,
        *,
        cause: str | None = None,
        suggestion: str | None = None,
        code: str | None = None,
        data: Mapping[str, Any] | None = None,
        stack: str | None = None,
    ) -> None:
        parts = [_shorten(title)]
        if cause and cause != title:
            parts.append(f"cause: {_shorten(cause)}")
        if suggestion:
            parts.append(_shorten(suggestion))
        super().__init__("\n".join(parts))
        self.title = title
        self.cause = cause
        self.suggestion = suggestion
        self.code = code
        self.data: dict[str, Any] = dict(data or {})
        self.stack = stack


class LMStudioModelNotFoundError(LMStudioServerError):
    """No model fits: the message lists a sample of those that are there."""


class LMStudioModelUnloadedError(LMStudioServerError):
    """The model instance was unloaded (by hand, by its TTL, or to make room) under the request."""


class LMStudioPresetNotFoundError(LMStudioServerError):
    """No preset fits the name."""


class LMStudioContextOverflowError(LMStudioServerError):
    """The prompt is longer than the context. ``needed`` and ``available`` are tokens, ``None`` where unknown."""

    needed: int | None = None
    available: int | None = None


class LMStudioInvalidRequestError(LMStudioServerError):
    """The server cannot process what the request contains (template, grammar, input): sending it again fails, too."""


class LMStudioModelLoadError(LMStudioServerError):
    """The model cannot be loaded: too little memory, a damaged file, or settings that do not fit.

    Loading it again without a change fails, too, and may take minutes.
    """


class LMStudioToolCallError(LMStudioServerError):
    """A tool call of the model cannot be carried out: no such tool, unfit arguments, or the tool raised an exception.

    ``tool_call`` is the call, ``__cause__`` the tool's exception. It is a server error because the model made the call,
    as in the official SDK.
    """

    tool_call: Any = None


class LMStudioUnsupportedError(LMStudioServerError):
    """The engine that runs the model lacks the feature, or its runtime is not installed."""


_BY_CODE: dict[str, type[LMStudioServerError]] = {
    "generic.noModelMatchingQuery": LMStudioModelNotFoundError,
    "generic.pathNotFound": LMStudioModelNotFoundError,
    "generic.identifierNotFound": LMStudioModelNotFoundError,
    "generic.domainMismatch": LMStudioModelNotFoundError,
    "generic.specificModelUnloaded": LMStudioModelUnloadedError,
    "generic.presetNotFound": LMStudioPresetNotFoundError,
    "generic.engineDoesNotSupportFeature": LMStudioUnsupportedError,
    "generic.missingRuntimeExtension": LMStudioUnsupportedError,
}

# Only the head of an error's text is read: it may echo a complete prompt. Each pattern has bounded gaps, so that the
# search takes linear time.
_MAX_TEXT = 4000

# Guess: LM Studio has no code of its own for an overflow; these are the sentences that users report, of LM Studio
# itself (lmstudio-bug-tracker 237, 546, 2256) and of llama.cpp below it (llama.cpp 15780; its server's "too large to
# process" is a text to embed).
_OVERFLOW = re.compile(
    r"context (?:length|size|window)[^.]{0,120}(?:overflow|exceed|too (?:small|short)|not enough)"
    r"|\bexceed\w{0,8}[^.]{0,120}(?:context[ _](?:length|size|window|limit)|(?:the|available|model'?s?|its) context\b)"
    r"|\bexceeds? maximum allowed token|too large to process|too long for (?:the|this) (?:context|model)"
    r"|n_keep\D{0,40}\d{1,12}\D{0,20}>=\D{0,20}n_ctx|context[_ ]overflow"
    r"|(?:greater|longer|larger) than the (?:max(?:imum)? )?context"
    r"|tokens to keep from the initial prompt|maximum context length is",
    re.IGNORECASE,
)
# Other errors that speak of a context: one too large for machine or model, and limits that are no context's.
_NO_OVERFLOW = re.compile(
    r"failed to load|requested context length|(?:time|rate) limit|(?:limit|time|memory) exceeded", re.IGNORECASE
)
_OVERFLOW_COUNTS = (
    re.compile(
        r"n_(?:keep|prompt_tokens)\D{0,40}(?P<needed>\d{1,12})\D{0,80}n_ctx\D{0,40}(?P<available>\d{1,12})",
        re.IGNORECASE,
    ),
    re.compile(
        r"\((?P<needed>\d{1,12})(?: tokens)?\)\D{0,80}(?:exceeds?|>=|>)"
        r"[^(\d]{0,80}\(?(?P<available>\d{1,12})(?: tokens)?",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?P<needed>\d{1,12}) tokens?\b(?! with).{0,200}?"
        r"\b(?:context|limit|only|available)\D{0,80}?(?P<available>\d{1,12})",
        re.IGNORECASE | re.DOTALL,
    ),
    re.compile(
        r"length (?P<needed>\d{1,12}) exceeds\D{0,80}(?:context length|token size)\D{0,40}?(?P<available>\d{1,12})",
        re.IGNORECASE,
    ),
    re.compile(
        r"input \((?P<needed>\d{1,12}) tokens\) is too large(?:\D{0,120}(?P<available>\d{1,12}))?", re.IGNORECASE
    ),
    re.compile(r"context (?:length|size|window)(?: of| is)?(?: only)? (?P<available>\d{1,12})", re.IGNORECASE),
)

# Guess: an unloaded model has a code in LM Studio's sources, and yet users' logs have the sentence alone
# (lmstudio-bug-tracker 914, 1492), of `countTokens`.
_UNLOADED = re.compile(
    r"\bmodel (?:instance )?(?:is|was|has been|got) (?:already )?(?:unloaded|evicted)\b|\bmodel (?:unloaded|evicted)\b",
    re.IGNORECASE,
)

# Guess: the texts of LM Studio and its engines for an engine that cannot run the model at all (bug-tracker, llama.cpp,
# mlx-lm).
_UNSUPPORTED = re.compile(
    r"unknown (?:model|pre-tokenizer|projector) (?:architecture|type)|model type '?[\w.-]{1,60}'? (?:is )?not supported"
    r"|no LM runtime found|cannot find (?:a )?suitable engine",
    re.IGNORECASE,
)

# Guess: the texts for a model that was not loaded (bug-tracker 417, 790, 1562, 1584; llama.cpp).
_LOAD_FAILED = re.compile(
    r"(?:failed to|error|cannot|could not|unable to) load(?:ing)?(?: the)? model|insufficient system resources"
    r"|not enough (?:resources|memory) to (?:load|run)|unable to allocate \w{1,40} buffer"
    r"|failed to (?:initialize the context|allocate (?:compute )?buffer)"
    r"|missing tensor|invalid ggml type|invalid magic|not within the file bounds|requested context length",
    re.IGNORECASE,
)
_LOAD_CANCELLED = re.compile(r"\b(?:cancel|abort|interrupt)", re.IGNORECASE)

# Guess: the texts of LM Studio and its engines for a request that fails in the same way each time: the prompt template
# refuses the conversation, the engine cannot compile the grammar or does not take the input, or a setting is unknown.
_INVALID = re.compile(
    r"jinja|prompt template|chat template|roles must alternate|\broles? (?:is |are )?(?:not )?supported"
    r"|\bunexpected (?:message )?role"
    r"|(?:failed|unable|error|errors)[^.]{0,20}(?:pars|compil|process|convert)\w{0,4}[^.]{0,40}(?:grammar|schema|regex)"
    r"|(?:grammar|schema|regex)[^.]{0,40}(?:invalid|(?:not |un)supported|too large|failed|unrecognized)"
    r"|(?:invalid|unsupported|unrecognized|unimplemented)[^.]{0,20}(?:grammar|schema|structured output|keys:)"
    r"|does not exist in the schematics"
    r"|(?:does not|doesn't|cannot) (?:support|accept|process)[^.]{0,60}"
    r"(?:image|vision|tool|input|audio|file|embedding)"
    r"|(?:image|vision|tool|input|audio|file)s?[^.]{0,40}(?:not |un) ?(?:supported|available)"
    r"|only models that support|vision add-on is not"
    r"|(?:failed|unable) to (?:decode|process|read) (?:the )?(?:image|audio)"
    r"|must be a base64|not an embedding model"
    r"|draft model[^.]{0,60}(?:incompatible|not compatible)|speculative decoding is not",
    re.IGNORECASE,
)


# A server's words in an error's text: it may echo a conversation, and error trackers and logs keep the text.
_MAX_WORDS = 1200
_MAX_NAMES, _MAX_NAME = 20, 100


def _shorten(words: str, limit: int = _MAX_WORDS) -> str:
    """The words, with their middle left out if they are too long."""
    if len(words) <= limit:
        return words
    return f"{words[: limit * 2 // 3]} … ({len(words)} characters) … {words[-limit // 4 :]}"


def server_error(error: Any) -> LMStudioServerError:
    """The exception for an error object as it came in an ``rpcError`` or ``channelError``, malformed or not."""
    raw: Mapping[str, Any] = error if isinstance(error, dict) else {}

    def text(key: str) -> str | None:
        value = raw.get(key)
        return without_surrogates(value) if isinstance(value, str) else None

    title = text("title") or text("rootTitle") or "Unknown error"
    cause, suggestion = text("cause"), text("suggestion")
    display = raw.get("displayData")
    data = dict(display) if isinstance(display, dict) else {}
    code = data.pop("code", None)
    code = code if isinstance(code, str) else None
    words = "\n".join(filter(None, (title, cause)))[:_MAX_TEXT]
    kind = _BY_CODE.get(code or "")
    if kind is None:
        kind = _kind_by_text(words)
    made = kind(
        title,
        cause=cause,
        suggestion=_advice(code, data, suggestion),
        code=code,
        data=data,
        stack=text("stack"),
    )
    if isinstance(made, LMStudioContextOverflowError):
        for pattern in _OVERFLOW_COUNTS:
            if found := pattern.search(words):
                counts = found.groupdict()
                made.needed = int(counts["needed"]) if counts.get("needed") else None
                made.available = int(counts["available"]) if counts.get("available") else None
                break
    return made


def _kind_by_text(text: str) -> type[LMStudioServerError]:
    """The class of an error without a code of LM Studio's."""
    if _OVERFLOW.search(text) and not _NO_OVERFLOW.search(text):
        return LMStudioContextOverflowError
    if _UNLOADED.search(text):
        return LMStudioModelUnloadedError
    if _UNSUPPORTED.search(text):
        return LMStudioUnsupportedError
    if _LOAD_FAILED.search(text) and not _LOAD_CANCELLED.search(text):
        return LMStudioModelLoadError
    return LMStudioInvalidRequestError if _INVALID.search(text) else LMStudioServerError


def _advice(code: str | None, data: Mapping[str, Any], suggestion: str | None) -> str | None:
    """LM Studio's own suggestion, plus the names that its error object carries as data."""
    lines = [suggestion] if suggestion else []
    query = data.get("query")
    if isinstance(query, dict) and (asked := query.get("identifier") or query.get("path")):
        lines.append(f"Requested: {_shorten(without_surrogates(str(asked)), _MAX_NAME)}")
    for key, words in (
        ("loadedModelsSample", "Loaded models"),
        ("availablePathsSample", "Downloaded models"),
        ("availablePresetsSample", "Presets"),
    ):
        sample = data.get(key)
        if isinstance(sample, list):
            names = [
                _shorten(without_surrogates(str(item.get("name", item) if isinstance(item, dict) else item)), _MAX_NAME)
                for item in sample[:_MAX_NAMES]
            ]
            lines.append(f"{words}: {', '.join(names) if names else 'none'}")
    if code == "generic.domainMismatch":
        lines.append(
            f"It is of the kind {_shorten(repr(data.get('actualDomain')), _MAX_NAME)}, "
            f"and {_shorten(repr(data.get('expectedDomain')), _MAX_NAME)} was requested."
        )
    return "\n".join(lines) or None


def _rebuild(kind: type[LMStudioError], args: tuple[Any, ...], state: dict[str, Any]) -> LMStudioError:
    """Unpickle: the constructors of some errors take keywords, which ``Exception`` does not remember."""
    made = kind.__new__(kind, *args)
    made.args = args
    made.__dict__.update(state)
    return made
