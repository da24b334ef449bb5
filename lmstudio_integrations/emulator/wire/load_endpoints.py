"""The channels ``loadModel`` and ``getOrLoad``."""

from __future__ import annotations

from lmstudio_integrations.emulator import config_schema
from lmstudio_integrations.emulator.errors import given_error, wrong_domain
from lmstudio_integrations.emulator.models import EmulatedModel, Instance, load_fields
from lmstudio_integrations.emulator.recorded_calls import RecordedLoad, setting_names
from lmstudio_integrations.emulator.wire.calls import ChannelCall
from lmstudio_integrations.protocol import packets

# Observed in lmstudio-js's heavy tests: a load just in time without a TTL gets one of an hour.
_JUST_IN_TIME_TTL = 3_600_000


async def load_model(call: ChannelCall) -> None:
    """Always a new instance."""
    parameter = call.parameter
    store = call.state.models
    model = store.model(parameter["modelKey"], call.domain)
    await call.send(packets.ResolvedPacket(info=model.info()).to_wire())
    identifier = store.free_identifier(parameter.get("identifier"), model)
    instance = await _load(call, model, identifier, packets.ProgressPacket, parameter.get("ttlMs"), just_in_time=False)
    await call.send(packets.SuccessLoadPacket(info=instance.info()).to_wire())


async def get_or_load(call: ChannelCall) -> None:
    """The loaded instance of this identifier, else a new one of the model of this key."""
    wanted = call.parameter["identifier"]
    store = call.state.models
    instance = store.loaded.get(wanted)
    if instance is not None and instance.model.domain != call.domain:
        raise wrong_domain(wanted, instance.model.domain, call.domain)
    if instance is None:
        model = store.model(wanted, call.domain)
        instance = store.loaded.get(model.key)  # requested by its path
        if instance is None:
            await _load_just_in_time(call, model)
            return
    instance.touch(call.state.clock)
    await call.send(packets.AlreadyLoadedPacket(info=instance.info()).to_wire())


async def _load_just_in_time(call: ChannelCall, model: EmulatedModel) -> None:
    store = call.state.models
    if call.state.evict_just_in_time:
        # Observed in lmstudio-python's suite: an LLM and an embedding model evict each other, too.
        # Looked up anew each time: another client may unload some while a packet is sent.
        while other := next((one for one in store.loaded.values() if one.just_in_time), None):
            store.unload(other.identifier)
            await call.send(packets.UnloadingOtherJitModelPacket(info=other.info()).to_wire())
    await call.send(packets.StartLoadingPacket(identifier=model.key, info=model.info()).to_wire())
    ttl = call.parameter.get("loadTtlMs", _JUST_IN_TIME_TTL)
    instance = await _load(call, model, model.key, packets.LoadProgressPacket, ttl, just_in_time=True)
    await call.send(packets.LoadSuccessPacket(info=instance.info()).to_wire())


async def _load(
    call: ChannelCall,
    model: EmulatedModel,
    identifier: str,
    progress: type[packets.ProgressPacket | packets.LoadProgressPacket],
    ttl_ms: int | None,
    *,
    just_in_time: bool,
) -> Instance:
    state = call.state
    fields = config_schema.merged(call.parameter["loadConfigStack"])
    load_fields(model, fields)  # an ill-typed field fails before anything is loaded
    seconds = None if ttl_ms is None else ttl_ms / 1000
    state.calls.loads.append(RecordedLoad(model.key, identifier, setting_names(fields), seconds))
    with call.interruptible():
        await call.send_progress(lambda share: progress(progress=share).to_wire())
    if model.load_error is not None:
        raise given_error(model.load_error)
    # If two clients load the same model at once, the second gets the instance of the first.
    there = state.models.loaded.get(identifier)
    if there is not None and just_in_time:
        return there
    identifier = identifier if there is None else state.models.free_identifier(None, model)
    return state.models.load(model, identifier, fields, ttl_ms=ttl_ms, just_in_time=just_in_time)
