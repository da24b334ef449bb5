"""The state that all endpoints and connections of one emulator share."""

from __future__ import annotations

import base64
import binascii
import inspect
import itertools
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from lmstudio_integrations.emulator.argument_checks import check_name, nonempty_text, unexpected, vector
from lmstudio_integrations.emulator.backends import fake_embeddings
from lmstudio_integrations.emulator.backends.backend import Backend
from lmstudio_integrations.emulator.backends.prediction_request import PredictionRequest
from lmstudio_integrations.emulator.config_schema import Fields
from lmstudio_integrations.emulator.errors import EndpointError, preset_not_found
from lmstudio_integrations.emulator.faults import Faults
from lmstudio_integrations.emulator.models import DOWNLOADABLE_MODELS, Clock, EmulatedModel, Instance, ModelStore
from lmstudio_integrations.emulator.recorded_calls import CallLog
from lmstudio_integrations.emulator.replies import Reply, ToolCall, described
from lmstudio_integrations.emulator.threadsafe_event import ThreadsafeEvent
from lmstudio_integrations.emulator.wire.auth import Authenticator
from lmstudio_integrations.emulator.wire.frame_log import FrameLog
from lmstudio_integrations.emulator.wire.log_streams import LogStreams
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.files import UploadFileResult

ReplyFunction = Callable[[PredictionRequest], Reply | Awaitable[Reply | None] | None]
Vector = Sequence[float] | None
Embeddings = Mapping[str, Sequence[float]] | Callable[[str], Vector | Awaitable[Vector]]


@dataclass
class ServerState:
    """The state of an emulator. ``restart_soon`` is set by its listener."""

    catalog: Sequence[EmulatedModel]
    backend: Backend
    frame_log: FrameLog
    authenticator: Authenticator
    faults: Faults
    calls: CallLog
    presets: Mapping[str, Fields] = field(default_factory=dict)
    origins: Sequence[str] = ()
    auth_timeout: float = 10.0
    evict_just_in_time: bool = True
    load_progress: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
    load_pace: float = 0.0
    load_hold: ThreadsafeEvent | threading.Event | None = None
    reply_function: ReplyFunction | None = None
    script: deque[tuple[str | None, Reply]] = field(default_factory=deque)
    strict: bool | Literal["scripted"] = False
    any_model: bool = False
    embeddings: Embeddings | None = None
    repository: Sequence[EmulatedModel] = DOWNLOADABLE_MODELS
    clock: Clock = field(default_factory=Clock)
    log_streams: LogStreams = field(default_factory=LogStreams)
    problems: list[str] = field(default_factory=list)
    was_scripted: bool = False
    restart_soon: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.tool_call_ids: Iterator[str] = map(str, itertools.count(100_000_000))
        self.reset()

    def reset(self) -> None:
        """As after a start: the models that are loaded from the start, under new references; no files."""
        self.models: ModelStore = ModelStore(self.catalog, self.clock, any_model=self.any_model)
        self.files: FileStore = FileStore()

    def preset(self, name: str) -> Fields:
        """The fields of the preset with this name or identifier (``@local:…``); the case of letters does not matter.

        Guess: that is what LM Studio's "fuzzy" names amount to.

        Raises:
            EndpointError: There is no such preset.
        """
        wanted = name.lower().removeprefix("@local:")
        for known, fields in self.presets.items():
            if wanted == known.lower().removeprefix("@local:"):
                return fields
        raise preset_not_found(name, list(self.presets))

    def allows(self, origin: str) -> bool:
        """Whether a page of this origin may connect."""
        return "*" in self.origins or origin in self.origins

    def add_replies(self, replies: Iterable[Reply], model: str | None = None) -> None:
        """Queue replies, for any model or for the one of this key or identifier.

        Raises:
            LMStudioValueError: One of them is no ``Reply``, or there is no such model.
        """
        if model is not None:
            nonempty_text("script(model=…)", model)
            if not self.any_model:
                known = dict.fromkeys([*self.models.keys("llm"), *self.models.identifiers("llm")])
                check_name("model with the key or identifier", model, known)
        replies = list(replies)
        for reply in replies:
            if not isinstance(reply, Reply):
                raise unexpected("script(…)", "a Reply", reply, 'write Reply("…")')
        self.was_scripted = self.was_scripted or bool(replies)
        self.script.extend((model, reply) for reply in replies)

    async def next_reply(self, request: PredictionRequest) -> Reply | None:
        """The next scripted reply, else the reply function's, else the backend's; ``None``: the backend streams.

        Raises:
            EndpointError: A strict emulator has no reply, the reply calls a tool that was not offered, or the reply
                function failed.
        """
        reply = self._scripted(request)
        if reply is None and self.reply_function is not None:
            reply = await _result("reply function", self.reply_function, request)
            if reply is not None and not isinstance(reply, Reply):
                raise _refused(str(unexpected("the reply function's result", "a Reply or None", reply)))
        if problem := self._problem(reply, request):
            self.problems.append(problem)
            raise _refused(problem)
        return self.backend.reply(request) if reply is None else reply

    def _scripted(self, request: PredictionRequest) -> Reply | None:
        names = (None, request.instance.identifier, request.instance.model.key)
        for place, (model, reply) in enumerate(self.script):
            if model in names:
                del self.script[place]
                return reply
        return None

    def _problem(self, reply: Reply | None, request: PredictionRequest) -> str | None:
        """What is wrong with the script, if the reply is the answer to the request."""
        asked = f"{request.instance.identifier} was asked {request.last_user_text[:200]!r}"
        if reply is None:
            needed = self.was_scripted if self.strict == "scripted" else self.strict
            return f"{asked}, and no reply is scripted for it" if needed else None
        offered = [tool["name"] for tool in request.settings.tools]
        calls = [call for call in reply.tool_calls if isinstance(call, ToolCall) and not call.unoffered]
        known = set(map(_tool_name, offered))
        unknown = sorted({call.name for call in calls if _tool_name(call.name) not in known})
        if unknown and (offered or self.strict is True):
            return (
                f"{asked}, and the reply calls {', '.join(unknown)}; offered are {', '.join(offered) or 'no tools'} "
                "(ToolCall(…, unoffered=True) is for a model that calls a tool it was not offered)"
            )
        return None

    def unused(self) -> list[str]:
        """The problems for which a strict emulator fails at the end, one text for each."""
        replies = [f"a reply was not used: {described(reply)}" for _, reply in self.script]
        return [*self.problems, *replies, *(f"the fault {name!r} did not happen" for name in self.faults.unused())]

    async def embed(self, instance: Instance, text: str) -> Sequence[float]:
        """The embedding of a text: the given one, else a made-up one of the same length, or the backend's."""
        found = await self._given_vector(text)
        if found is not None:
            return found
        if isinstance(self.embeddings, Mapping) and self.embeddings:
            return fake_embeddings.embedding(text, len(next(iter(self.embeddings.values()))))
        return await self.backend.embed(instance, text)

    async def _given_vector(self, text: str) -> list[float] | None:
        """The given embedding of a text, if there is one.

        Raises:
            EndpointError: The function of embeddings failed.
        """
        given = self.embeddings
        if given is None:
            return None
        found = await _result("embeddings function", given, text) if callable(given) else given.get(text)
        if found is None:
            return None
        try:
            vector("the embeddings function's result", found)
        except LMStudioValueError as error:
            raise _refused(str(error)) from None
        return [float(value) for value in found]


def _tool_name(name: str) -> str:
    """A tool's name as LM Studio's tool naming may rewrite it: "wiki-page" is "wiki_page" or "wikiPage" for a model."""
    return re.sub(r"[\W_]", "", name).lower()


async def _result(what: str, function: Callable[[Any], Any], argument: Any) -> Any:
    """The result of a test's function, which may be a coroutine function."""
    try:
        made = function(argument)
        return await made if inspect.isawaitable(made) else made
    except EndpointError:
        raise
    except Exception as error:  # the test's own code
        raise _refused(f"the {what} raised {type(error).__name__}: {error}") from error


def _refused(problem: str) -> EndpointError:
    return EndpointError(f"The emulator has no answer: {problem}")


_STARTS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM")
_BY_SUFFIX = {
    ".pdf": "application/pdf",
    ".docx": "application/word",
    ".doc": "application/word",
    ".txt": "text/plain",
    ".md": "text/other",
    ".csv": "text/other",
    ".json": "text/other",
}


class FileStore:
    """Uploaded files, each visible to the client that uploaded it only."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], bytes] = {}
        self._numbers = itertools.count(1)

    def upload(self, client: str, name: str, content_base64: str) -> dict[str, Any]:
        """Store a file; the result of ``uploadFileBase64``."""
        content = _decoded(content_base64)
        identifier = f"emulated {next(self._numbers)}{PurePath(name).suffix}"
        self._files[client, identifier] = content
        kind = _file_type(name, content)
        return UploadFileResult(identifier=identifier, file_type=kind, size_bytes=len(content)).to_wire()

    def content(self, client: str, identifier: str) -> bytes:
        """The bytes of a file that was uploaded, or is in the identifier."""
        self.require(client, identifier)
        if identifier.startswith("base64:"):
            return _decoded(identifier.removeprefix("base64:"))
        return self._files[client, identifier.removeprefix("local:")]

    def require(self, client: str, identifier: str) -> None:
        """Guess: a file that this client has not uploaded is an error; a ``base64:`` identifier is the file itself."""
        if not identifier.startswith("base64:") and (client, identifier.removeprefix("local:")) not in self._files:
            raise EndpointError(f"File not found: {identifier}", cause="This client has uploaded no such file.")


def _decoded(content_base64: str) -> bytes:
    try:
        return base64.b64decode(content_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EndpointError("The content of the file is not valid base64", cause=str(error)) from None


def _file_type(name: str, content: bytes) -> str:
    if content.startswith(_STARTS) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        return "image"
    return _BY_SUFFIX.get(PurePath(name).suffix.lower(), "unknown")
