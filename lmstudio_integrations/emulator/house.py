"""What all endpoints and connections of one emulator share."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .calls import EndpointTable
from .clients import Clients
from .engine import IOThread
from .faults import Faults
from .files import FileStore
from .gate import Gate
from .models import EmulatedModel, ModelStore
from .record import Record
from .replies import Reply
from .request import PredictionRequest

ReplyFunction = Callable[[PredictionRequest], Reply | None]


@dataclass
class House:
    """The state of an emulator. ``restart_soon`` is set by the server that runs it."""

    catalog: Sequence[EmulatedModel]
    engine: IOThread
    record: Record
    clients: Clients
    endpoints: Mapping[str, EndpointTable]
    faults: Faults = field(default_factory=Faults)
    presets: Sequence[str] = ()
    auth_timeout: float = 10.0
    evict_just_in_time: bool = False
    load_progress: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
    load_pace: float = 0.0
    load_hold: Gate | threading.Event | None = None
    reply_function: ReplyFunction | None = None
    script: deque[Reply] = field(default_factory=deque)
    restart_soon: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.tool_call_ids = map(str, itertools.count(100_000_000))
        self.reset()

    def reset(self) -> None:
        """As after a start: the models that are loaded from the start, under new references; no files."""
        self.models = ModelStore(self.catalog)
        self.files = FileStore()

    def add_replies(self, replies: Iterable[Reply]) -> None:
        """Queue replies."""
        self.script.extend(replies)

    def next_reply(self, request: PredictionRequest) -> Reply | None:
        """The next scripted reply, else the reply function's, else the engine's; ``None``: the engine streams."""
        try:
            return self.script.popleft()
        except IndexError:
            pass
        made = None if self.reply_function is None else self.reply_function(request)
        return self.engine.reply(request) if made is None else made
