"""The downloaded models of the emulator, and the loaded instances."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lmstudio_integrations.emulator import config_schema
from lmstudio_integrations.emulator.argument_checks import (
    Check,
    by_text,
    check_all,
    choice,
    error_description,
    flag,
    nonempty_text,
    number,
    numbers,
    optional,
    text,
    unexpected,
)
from lmstudio_integrations.emulator.backends.fake_tokenizer import PromptCache
from lmstudio_integrations.emulator.config_schema import Fields
from lmstudio_integrations.emulator.errors import (
    EndpointError,
    draft_not_found,
    identifier_not_found,
    model_unloaded,
    no_model_matches,
    path_not_found,
    wrong_domain,
)
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo, Quantization

Domain = Literal["llm", "embedding"]
Tokens = Mapping[str, Sequence[int]] | Callable[[str], Sequence[int] | None]


@dataclass(frozen=True)
class EmulatedModel:
    """A downloaded model of the emulator. Nothing is read from a disk.

    Example:
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import EmulatedModel, Emulator

        models = [
            EmulatedModel("qwen/qwen3-4b", loaded=True, vision=True, context_length=8192),
            EmulatedModel("nomic-embed", "embedding", dimensions=256),
        ]
        with Emulator(models) as server, Client(server.url) as client:
            print(client.llm.just_in_time("qwen/qwen3-4b").get_info().vision)
            #> True
            print(len(client.embedding.just_in_time("nomic-embed").embed("Hi")))
            #> 256
        ```

    Args:
        key: Its model key, as ``listDownloadedModels`` shows it.
        domain: ``"llm"`` or ``"embedding"``.
        loaded: Loaded from the start, under its key as identifier, without a TTL.
        vision: Its reported property ``vision``; llm only.
        tools: Its reported property ``trainedForToolUse``; llm only.
        context_length: Tokens when loaded without an explicit length.
        max_context_length: The longest context in tokens.
        dimensions: Length of the vectors; embedding only.
        size_bytes: The reported size of its file.
        architecture: As LM Studio reports it.
        params: As LM Studio reports it, such as ``"4B"``.
        quantization: Its name and bits, such as ``("Q4_K_M", 4)``.
        load_error: A title or an error object; then every load of it fails.
        fits: Whether the estimate says that LM Studio's guardrails would let it pass (loads are not refused for it).
        device: The device of LM Link that it is on; ``None`` is this one.
        path: The reported path, by which (or by its beginning, in any case of letters) the model can be loaded and
            found; ``None`` makes one of the key.
        display_name: As LM Studio reports it; ``None`` takes the name from the key.
        publisher: As LM Studio reports it.
        format: As LM Studio reports it.
        tokens: The token numbers of texts, or a function from a text to them (``None``: the emulator's own), which
            ``tokenize`` and ``countTokens`` answer; without an embedding model's markers.

    Raises:
        LMStudioValueError: A value has the wrong type or is out of range.
    """

    key: str
    domain: Domain = "llm"
    loaded: bool = False
    vision: bool = False
    tools: bool = True
    context_length: int = 4096
    max_context_length: int = 32768
    dimensions: int = 768
    size_bytes: int = 1_000_000
    architecture: str = "emulated"
    params: str | None = None
    quantization: tuple[str, int] | None = None
    load_error: str | Mapping[str, Any] | None = None
    fits: bool = True
    device: str | None = None
    path: str | None = None
    display_name: str | None = None
    publisher: str | None = None
    format: str = "gguf"
    tokens: Tokens | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_all("EmulatedModel", _CHECKS, vars(self))
        if self.vision and self.domain == "embedding":
            raise LMStudioValueError('EmulatedModel(vision=True): expected domain="llm", got "embedding"')

    @property
    def reported_path(self) -> str:
        """``path``, or the one that is made of the key."""
        if self.path is not None:
            return self.path
        return f"{self.key}/model.gguf" if "/" in self.key else f"emulator/{self.key}/model.gguf"

    def has_path(self, path: str) -> bool:
        """Whether ``path`` is the model's, or its beginning: the publisher, or "publisher/name".

        Observed in lmstudio-python's suite: the case of letters does not matter, and the name may lack its end
        ("nomic-ai/nomic-embed-text-v1.5" finds a model of the repository "nomic-ai/nomic-embed-text-v1.5-GGUF").
        """
        own, wanted = self.reported_path.lower(), path.lower().rstrip("/")
        return own == wanted or own.startswith(wanted if "/" in wanted else f"{wanted}/")

    def token_ids(self, text: str) -> list[int] | None:
        """The given tokens of a text; ``None`` if there are none."""
        given = self.tokens
        if given is None:
            return None
        found = given(text) if callable(given) else given.get(text)
        return None if found is None else [int(number) for number in found]

    def members(self) -> dict[str, Any]:
        """The members of the model info that downloaded and loaded models share."""
        llm = self.domain == "llm"
        return {
            "type": self.domain,
            "model_key": self.key,
            "format": self.format,
            "display_name": self.display_name or self.key.rsplit("/", 1)[-1],
            "publisher": self.publisher or "emulator",
            "path": self.reported_path,
            "size_bytes": self.size_bytes,
            "indexed_model_identifier": self.reported_path,
            "device_identifier": self.device,
            "architecture": self.architecture,
            "params_string": self.params,
            "quantization": self.quantization and Quantization(name=self.quantization[0], bits=self.quantization[1]),
            "vision": self.vision if llm else None,
            "trained_for_tool_use": self.tools if llm else None,
            "max_context_length": self.max_context_length,
        }

    def info(self) -> ModelInfo:
        """Model info as ``listDownloadedModels`` and ``resolved`` give it."""
        return ModelInfo(**self.members())


def _quantization(place: str, value: Any) -> None:
    if not isinstance(value, tuple | list) or list(map(type, value)) != [str, int]:
        raise unexpected(place, 'a pair of name and bits, such as ("Q4_K_M", 4)', value)


_CHECKS: dict[str, Check] = {
    "key": nonempty_text,
    "domain": choice("llm", "embedding"),
    "loaded": flag,
    "vision": flag,
    "tools": flag,
    "context_length": number(1, whole=True),
    "max_context_length": number(1, whole=True),
    "dimensions": number(1, whole=True),
    "size_bytes": number(whole=True),
    "architecture": text,
    "params": optional(text),
    "quantization": optional(_quantization),
    "load_error": optional(error_description),
    "fits": flag,
    "device": optional(text),
    "path": optional(nonempty_text),
    "display_name": optional(text),
    "publisher": optional(text),
    "format": text,
    "tokens": optional(by_text("token numbers", numbers(0, whole=True))),
}

DEFAULT_MODELS = (
    EmulatedModel("emulator/chat", loaded=True, vision=True),
    EmulatedModel("emulator/chat-2"),
    EmulatedModel("emulator/embedding", "embedding", loaded=True, context_length=2048, max_context_length=2048),
)


DOWNLOADABLE_MODELS = (
    EmulatedModel("emulator/small", size_bytes=400_000, params="1B", quantization=("Q4_K_M", 4)),
    EmulatedModel("emulator/large", size_bytes=8_000_000, params="70B", quantization=("Q4_K_M", 4), fits=False),
)
"""What a search in the repository finds."""


@dataclass
class Clock:
    """The time by which idle models are unloaded: that of the machine, and what a test has added to it."""

    added_ms: int = 0

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return int(time.time() * 1000) + self.added_ms

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.added_ms += int(seconds * 1000)


@dataclass(eq=False)
class Instance:
    """A loaded model. ``cache`` remembers its prompts, so that cached token counts are real."""

    model: EmulatedModel
    identifier: str
    reference: str
    config: Fields
    ttl_ms: int | None = None
    just_in_time: bool = False
    last_used_ms: int = 0
    unloaded: bool = False
    cache: PromptCache = field(default_factory=PromptCache)
    active: int = 0

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        return int(self.config[f"{self.model.domain}.load.contextLength"])

    def touch(self, clock: Clock) -> None:
        """Set the time of the last use to now."""
        self.last_used_ms = clock.now_ms()

    def expired(self, clock: Clock) -> bool:
        """Whether the instance is idle, and has been for its TTL."""
        idle = not self.active and self.ttl_ms is not None
        return idle and clock.now_ms() - self.last_used_ms >= (self.ttl_ms or 0)

    def info(self) -> ModelInstanceInfo:
        """Instance info as ``listLoaded``, ``getModelInfo`` and ``success`` give it."""
        return ModelInstanceInfo(
            **self.model.members(),
            identifier=self.identifier,
            instance_reference=self.reference,
            ttl_ms=self.ttl_ms,
            last_used_time=self.last_used_ms,
            context_length=self.context_length,
        )


class ModelStore:
    """Downloaded and loaded models. Used on the emulator's loop only, except for reading."""

    def __init__(self, models: Iterable[EmulatedModel], clock: Clock, *, any_model: bool = False) -> None:
        self._clock = clock
        self.downloaded: dict[str, EmulatedModel] = {model.key: model for model in models}
        self._any_model = any_model
        self.loaded: dict[str, Instance] = {}
        self._references = itertools.count(1)
        for model in self.downloaded.values():
            if model.loaded:
                self.load(model, model.key, {})

    def keys(self, domain: Domain | None = None) -> list[str]:
        """The downloaded models' keys."""
        return [key for key, model in self.downloaded.items() if domain in (None, model.domain)]

    def identifiers(self, domain: Domain | None = None) -> list[str]:
        """The loaded instances' identifiers."""
        there = [(name, one) for name, one in list(self.loaded.items()) if not one.expired(self._clock)]
        return [name for name, one in there if domain in (None, one.model.domain)]

    def model(self, key: str, domain: Domain) -> EmulatedModel:
        """The downloaded model with this key or path, of this kind."""
        found = self.downloaded.get(key) or next((m for m in self.downloaded.values() if m.has_path(key)), None)
        if found is None and self._any_model:
            found = self.downloaded[key] = EmulatedModel(key, domain)
        if found is None:
            raise path_not_found(key, self.keys())
        if found.domain != domain:
            raise wrong_domain(key, found.domain, domain)
        return found

    def draft_model(self, key: str) -> EmulatedModel:
        """The downloaded model with this key or path, which drafts for another."""
        try:
            return self.model(key, "llm")
        except EndpointError:
            raise draft_not_found(key) from None

    def free_identifier(self, wanted: str | None, model: EmulatedModel) -> str:
        """The identifier of a new instance: the requested one, else the key, else the key with a number."""
        if wanted is not None:
            if wanted in self.loaded:
                # Observed in lmstudio-python's suite: "Model load error" and then "already exists". Guess: the rest.
                raise EndpointError(f'Model load error: a model with the identifier "{wanted}" already exists')
            return wanted
        names = itertools.chain([model.key], (f"{model.key}:{number}" for number in itertools.count(2)))
        return next(name for name in names if name not in self.loaded)

    def load(
        self,
        model: EmulatedModel,
        identifier: str,
        fields: Fields,
        *,
        ttl_ms: int | None = None,
        just_in_time: bool = False,
    ) -> Instance:
        """Add a loaded instance."""
        instance = Instance(
            model,
            identifier,
            f"emulated-{next(self._references)}",
            load_fields(model, fields),
            ttl_ms,
            just_in_time,
        )
        instance.touch(self._clock)
        self.loaded[identifier] = instance
        return instance

    def unload_expired(self) -> None:
        """Unload what has been idle for its TTL."""
        for instance in list(self.loaded.values()):
            if instance.expired(self._clock):
                self.unload(instance.identifier)

    def unload(self, identifier: str) -> Instance:
        """Remove a loaded instance."""
        instance = self.loaded.pop(identifier, None)
        if instance is None:
            raise identifier_not_found(identifier, self.identifiers())
        instance.unloaded = True
        return instance

    def find(self, specifier: Mapping[str, Any], domain: Domain) -> Instance:
        """The loaded instance that a model specifier means; the least recently loaded if several do."""
        if specifier["type"] == "instanceReference":
            reference = specifier["instanceReference"]
            for instance in self.loaded.values():
                if instance.reference == reference and instance.model.domain == domain:
                    return instance
            raise model_unloaded()
        query = specifier["query"]
        for instance in self.loaded.values():
            if instance.model.domain == domain and _fits(instance, query):
                return instance
        raise no_model_matches(query, self.identifiers(domain))


_AUTO_FIT = "llm.load.llama.autoFit"


def load_fields(model: EmulatedModel, fields: Fields) -> Fields:
    """The complete load configuration of a model, from the client's settings and defaults."""
    table = config_schema.LLM_LOAD if model.domain == "llm" else config_schema.EMBEDDING_LOAD
    length = f"{model.domain}.load.contextLength"
    asked = {length: model.context_length, **fields}
    complete = config_schema.checked(asked, table)
    # Guess: a length beyond the model's own is cut to it rather than refused.
    complete[length] = min(int(complete[length]), model.max_context_length)
    if model.domain == "llm":
        # Guess: once everything is settled, nothing is left to fit. LM Studio's SDK refuses both beside each other, so
        # that what is reported could not be passed again.
        complete[_AUTO_FIT] = fields.get(_AUTO_FIT, False)
    return complete


def _named(instance: Instance, name: str) -> bool:
    """Whether a query for ``name`` as identifier means the instance.

    Observed in lmstudio-python's suite: the beginning of the model's path is understood there, too.
    """
    return name == instance.identifier or instance.model.has_path(name)


def _fits(instance: Instance, query: Mapping[str, Any]) -> bool:
    model = instance.model
    return (
        ("identifier" not in query or _named(instance, query["identifier"]))
        and ("path" not in query or query["path"] == model.key or model.has_path(query["path"]))
        and query.get("domain", model.domain) == model.domain
        and (query.get("vision") is None or query["vision"] == model.vision)
        and query.get("deviceIdentifier", model.device) == model.device
    )
