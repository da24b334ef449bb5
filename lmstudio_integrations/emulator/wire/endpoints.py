"""Which endpoints there are, by namespace, and the short ones themselves."""

from __future__ import annotations

import os
from typing import Any

from lmstudio_integrations.emulator import config_schema
from lmstudio_integrations.emulator.backends import prediction_settings
from lmstudio_integrations.emulator.config_schema import kv_config
from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.models import Instance
from lmstudio_integrations.emulator.recorded_calls import RecordedEmbedding
from lmstudio_integrations.emulator.wire import (
    diagnostics_endpoints,
    file_endpoints,
    load_endpoints,
    predict_endpoints,
    repository_endpoints,
    request_schemas,
    runtime_endpoints,
)
from lmstudio_integrations.emulator.wire.calls import NOTHING, Endpoint, EndpointCall, EndpointTable
from lmstudio_integrations.protocol.model_calls import ApplyPromptTemplateResult, CountTokensResult, TokenizeResult
from lmstudio_integrations.protocol.system import Version

VERSION = "emulator"


async def _list_loaded(call: EndpointCall) -> Any:
    return [one.info().to_wire() for one in call.state.models.loaded.values() if one.model.domain == call.domain]


async def _unload(call: EndpointCall) -> Any:
    call.state.models.unload(call.parameter["identifier"])
    return NOTHING


def _instance(call: EndpointCall, key: str = "specifier") -> Instance:
    return call.state.models.find(call.parameter[key], call.domain)


def _instance_or_nothing(call: EndpointCall) -> Instance | None:
    try:
        return _instance(call)
    except EndpointError:
        if call.parameter["throwIfNotFound"]:
            raise
        return None


async def _model_info(call: EndpointCall) -> Any:
    instance = _instance_or_nothing(call)
    return NOTHING if instance is None else instance.info().to_wire()


async def _processing_state(call: EndpointCall) -> Any:
    instance = _instance_or_nothing(call)
    if instance is None:
        return NOTHING
    return {"status": "generating" if instance.active else "idle", "queued": max(0, instance.active - 1)}


async def _load_config(call: EndpointCall) -> Any:
    return kv_config(_instance(call).config)


async def _base_prediction_config(call: EndpointCall) -> Any:
    _instance(call)
    return kv_config(config_schema.checked({}, config_schema.PREDICTION))


async def _estimate(call: EndpointCall) -> Any:
    model = call.state.models.model(call.parameter["modelKey"], call.domain)
    size = model.size_bytes
    memory = {
        "confidence": "low",
        "modelVramBytes": 0,
        "contextVramBytes": 0,
        "totalVramBytes": 0,
        "modelBytes": size,
        "contextBytes": 0,
        "totalBytes": size,
    }
    return {"memory": memory, "passesGuardrails": model.fits}


async def _apply_template(call: EndpointCall) -> Any:
    _instance(call)
    settings = prediction_settings.read(call.parameter["predictionConfigStack"])
    given = [tool["function"] for tool in call.parameter["opts"].get("toolDefinitions", [])]
    tools = given or list(settings.tools)
    prompt = await call.state.backend.prompt(call.parameter["history"]["messages"], tools)
    return ApplyPromptTemplateResult(formatted=prompt).to_wire()


_BEGIN, _END = 101, 102


async def _token_ids(call: EndpointCall) -> list[int]:
    text = call.parameter["inputString"]
    given = _instance(call).model.token_ids(text)
    return await call.state.backend.token_ids(text) if given is None else given


async def _tokenize(call: EndpointCall) -> Any:
    ids = await _token_ids(call)
    if call.domain == "embedding":
        # Observed in lmstudio-python's suite: tokenize has the two markers, countTokens has not. Guess: BERT's numbers.
        ids = [_BEGIN, *ids, _END]
    return TokenizeResult(tokens=ids).to_wire()


async def _count_tokens(call: EndpointCall) -> Any:
    return CountTokensResult(token_count=len(await _token_ids(call))).to_wire()


async def _preload_draft(call: EndpointCall) -> Any:
    _instance(call)
    call.state.models.model(call.parameter["draftModelKey"], "llm")
    return NOTHING


async def _embed(call: EndpointCall) -> Any:
    instance = _instance(call, "modelSpecifier")
    instance.touch(call.state.clock)
    # No model: checking and copying hundreds of numbers would be a good part of the answer's time.
    text = call.parameter["inputString"]
    call.state.calls.embeddings.append(RecordedEmbedding(instance.identifier, text))
    return {"embedding": await call.state.embed(instance, text)}


async def _downloaded(call: EndpointCall) -> Any:
    return [model.info().to_wire() for model in call.state.models.downloaded.values()]


async def _variants(call: EndpointCall) -> Any:
    model = call.state.models.downloaded.get(call.parameter["modelKey"])
    return [] if model is None else [model.info().to_wire()]


async def _version(call: EndpointCall) -> Any:
    return Version(version=VERSION, build=0).to_wire()


async def _info(call: EndpointCall) -> Any:
    return {"pid": os.getpid(), "isDaemon": False, "version": VERSION}


async def _nothing(call: EndpointCall) -> Any:
    return NOTHING


async def _empty_list(call: EndpointCall) -> Any:
    return []


_MODELS: EndpointTable = {
    "loadModel": Endpoint(request_schemas.LOAD_MODEL, channel=load_endpoints.load_model),
    "getOrLoad": Endpoint(request_schemas.GET_OR_LOAD, channel=load_endpoints.get_or_load),
    "unloadModel": Endpoint(request_schemas.UNLOAD, _unload),
    "listLoaded": Endpoint(None, _list_loaded),
    "getModelInfo": Endpoint(request_schemas.MODEL_INFO, _model_info),
    "getLoadConfig": Endpoint(request_schemas.LOAD_CONFIG, _load_config),
    "getBasePredictionConfig": Endpoint(request_schemas.BASE_PREDICTION_CONFIG, _base_prediction_config),
    "getInstanceProcessingState": Endpoint(request_schemas.PROCESSING_STATE, _processing_state),
    "estimateModelUsage": Endpoint(request_schemas.ESTIMATE, _estimate),
    "tokenize": Endpoint(request_schemas.TOKENIZE, _tokenize),
    "countTokens": Endpoint(request_schemas.COUNT_TOKENS, _count_tokens),
}

ENDPOINTS: dict[str, EndpointTable] = {
    "llm": {
        **_MODELS,
        "predict": Endpoint(request_schemas.PREDICT, channel=predict_endpoints.predict),
        "completeRawText": Endpoint(request_schemas.COMPLETE_RAW_TEXT, channel=predict_endpoints.complete_raw_text),
        "applyPromptTemplate": Endpoint(request_schemas.APPLY_TEMPLATE, _apply_template),
        "preloadDraftModel": Endpoint(request_schemas.PRELOAD_DRAFT, _preload_draft),
    },
    "embedding": {**_MODELS, "embedString": Endpoint(request_schemas.EMBED, _embed)},
    "system": {
        "listDownloadedModels": Endpoint(None, _downloaded),
        "listDownloadedModelVariants": Endpoint(request_schemas.VARIANTS, _variants),
        "version": Endpoint(None, _version),
        "info": Endpoint(None, _info),
        "notify": Endpoint(request_schemas.NOTIFY, _nothing),
        "getExperimentFlags": Endpoint(None, _empty_list),
    },
    "files": {
        "uploadFileBase64": Endpoint(request_schemas.UPLOAD, file_endpoints.upload),
        "getLocalFileAbsolutePath": Endpoint(request_schemas.LOCAL_PATH, file_endpoints.local_path),
        "getDocumentParsingLibrary": Endpoint(request_schemas.PARSING_LIBRARY, file_endpoints.parsing_library),
        "parseDocument": Endpoint(request_schemas.PARSE_DOCUMENT, channel=file_endpoints.parse_document),
        "retrieve": Endpoint(request_schemas.RETRIEVE, channel=file_endpoints.retrieve, stop=request_schemas.STOP),
    },
    "repository": {
        "searchModels": Endpoint(request_schemas.SEARCH_MODELS, repository_endpoints.search),
        "getModelDownloadOptions": Endpoint(request_schemas.DOWNLOAD_OPTIONS, repository_endpoints.download_options),
        "lmLinkStatus": Endpoint(None, repository_endpoints.lm_link_status),
        "downloadModel": Endpoint(request_schemas.DOWNLOAD_MODEL, channel=repository_endpoints.download),
        "createDownloadPlan": Endpoint(
            request_schemas.DOWNLOAD_PLAN,
            channel=repository_endpoints.download_plan,
            stop=request_schemas.DOWNLOAD_PLAN_STOP,
            input=request_schemas.DOWNLOAD_PLAN_INPUT,
        ),
        "fuzzyFindStaffPicks": Endpoint(request_schemas.STAFF_PICKS, repository_endpoints.staff_picks),
    },
    "diagnostics": {
        "streamLogs": Endpoint(None, channel=diagnostics_endpoints.stream_logs, stop=request_schemas.STOP),
    },
    "runtime": {
        "listEngines": Endpoint(None, runtime_endpoints.list_engines),
        "getEngineSelections": Endpoint(request_schemas.SUPERJSON, runtime_endpoints.engine_selections, optional=True),
        "surveyHardware": Endpoint(request_schemas.SURVEY_HARDWARE, runtime_endpoints.survey_hardware, optional=True),
    },
    # The socket opens, and every call is answered with an error.
    "plugins": {},
}

CHANNELS = frozenset(name for table in ENDPOINTS.values() for name, one in table.items() if one.channel is not None)
