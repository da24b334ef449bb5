"""Which endpoints there are, by namespace, and the short ones themselves."""

from __future__ import annotations

import os
from typing import Any

from lmstudio_integrations.protocol.model_calls import ApplyPromptTemplateResult, CountTokensResult, TokenizeResult
from lmstudio_integrations.protocol.system import Version

from . import config_fields, loading, parameters, prediction, repository
from . import settings as prediction_settings
from .calls import NOTHING, Endpoint, EndpointTable, RpcCallContext
from .config_fields import kv_config
from .failures import EndpointError
from .models import Instance

VERSION = "emulator"


async def _list_loaded(call: RpcCallContext) -> Any:
    return [one.info().to_wire() for one in call.house.models.loaded.values() if one.model.domain == call.domain]


async def _unload(call: RpcCallContext) -> Any:
    call.house.models.unload(call.parameter["identifier"])
    return NOTHING


def _instance(call: RpcCallContext, key: str = "specifier") -> Instance:
    return call.house.models.find(call.parameter[key], call.domain)


def _instance_or_nothing(call: RpcCallContext) -> Instance | None:
    try:
        return _instance(call)
    except EndpointError:
        if call.parameter["throwIfNotFound"]:
            raise
        return None


async def _model_info(call: RpcCallContext) -> Any:
    instance = _instance_or_nothing(call)
    return NOTHING if instance is None else instance.info().to_wire()


async def _processing_state(call: RpcCallContext) -> Any:
    instance = _instance_or_nothing(call)
    if instance is None:
        return NOTHING
    return {"status": "generating" if instance.active else "idle", "queued": max(0, instance.active - 1)}


async def _load_config(call: RpcCallContext) -> Any:
    return kv_config(_instance(call).config)


async def _base_prediction_config(call: RpcCallContext) -> Any:
    _instance(call)
    return kv_config(config_fields.checked({}, config_fields.PREDICTION))


async def _estimate(call: RpcCallContext) -> Any:
    model = call.house.models.model(call.parameter["modelKey"], call.domain)
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
    return {"memory": memory, "passesGuardrails": True}


async def _apply_template(call: RpcCallContext) -> Any:
    _instance(call)
    settings = prediction_settings.read(call.parameter["predictionConfigStack"])
    given = [tool["function"] for tool in call.parameter["opts"].get("toolDefinitions", [])]
    tools = given or list(settings.tools)
    prompt = await call.house.engine.prompt(call.parameter["history"]["messages"], tools)
    return ApplyPromptTemplateResult(formatted=prompt).to_wire()


async def _tokenize(call: RpcCallContext) -> Any:
    _instance(call)
    return TokenizeResult(tokens=await call.house.engine.token_ids(call.parameter["inputString"])).to_wire()


async def _count_tokens(call: RpcCallContext) -> Any:
    _instance(call)
    ids = await call.house.engine.token_ids(call.parameter["inputString"])
    return CountTokensResult(token_count=len(ids)).to_wire()


async def _preload_draft(call: RpcCallContext) -> Any:
    _instance(call)
    call.house.models.model(call.parameter["draftModelKey"], "llm")
    return NOTHING


async def _embed(call: RpcCallContext) -> Any:
    instance = _instance(call, "modelSpecifier")
    instance.touch()
    # No model: checking and copying hundreds of numbers would be a good part of the answer's time.
    return {"embedding": await call.house.engine.embed(instance, call.parameter["inputString"])}


async def _upload(call: RpcCallContext) -> Any:
    client, parameter = call.connection.client, call.parameter
    return call.house.files.upload(client, parameter["name"], parameter["contentBase64"])


async def _downloaded(call: RpcCallContext) -> Any:
    return [model.info().to_wire() for model in call.house.models.downloaded.values()]


async def _variants(call: RpcCallContext) -> Any:
    model = call.house.models.downloaded.get(call.parameter["modelKey"])
    return [] if model is None else [model.info().to_wire()]


async def _version(call: RpcCallContext) -> Any:
    return Version(version=VERSION, build=0).to_wire()


async def _info(call: RpcCallContext) -> Any:
    return {"pid": os.getpid(), "isDaemon": False, "version": VERSION}


async def _nothing(call: RpcCallContext) -> Any:
    return NOTHING


async def _empty_list(call: RpcCallContext) -> Any:
    return []


_MODELS: EndpointTable = {
    "loadModel": Endpoint(parameters.LOAD_MODEL, channel=loading.load_model),
    "getOrLoad": Endpoint(parameters.GET_OR_LOAD, channel=loading.get_or_load),
    "unloadModel": Endpoint(parameters.UNLOAD, _unload),
    "listLoaded": Endpoint(None, _list_loaded),
    "getModelInfo": Endpoint(parameters.MODEL_INFO, _model_info),
    "getLoadConfig": Endpoint(parameters.LOAD_CONFIG, _load_config),
    "getBasePredictionConfig": Endpoint(parameters.BASE_PREDICTION_CONFIG, _base_prediction_config),
    "getInstanceProcessingState": Endpoint(parameters.PROCESSING_STATE, _processing_state),
    "estimateModelUsage": Endpoint(parameters.ESTIMATE, _estimate),
    "tokenize": Endpoint(parameters.TOKENIZE, _tokenize),
    "countTokens": Endpoint(parameters.COUNT_TOKENS, _count_tokens),
}

ENDPOINTS: dict[str, EndpointTable] = {
    "llm": {
        **_MODELS,
        "predict": Endpoint(parameters.PREDICT, channel=prediction.predict),
        "completeRawText": Endpoint(parameters.COMPLETE_RAW_TEXT, channel=prediction.complete_raw_text),
        "applyPromptTemplate": Endpoint(parameters.APPLY_TEMPLATE, _apply_template),
        "preloadDraftModel": Endpoint(parameters.PRELOAD_DRAFT, _preload_draft),
    },
    "embedding": {**_MODELS, "embedString": Endpoint(parameters.EMBED, _embed)},
    "system": {
        "listDownloadedModels": Endpoint(None, _downloaded),
        "listDownloadedModelVariants": Endpoint(parameters.VARIANTS, _variants),
        "version": Endpoint(None, _version),
        "info": Endpoint(None, _info),
        "notify": Endpoint(parameters.NOTIFY, _nothing),
        "getExperimentFlags": Endpoint(None, _empty_list),
    },
    "files": {"uploadFileBase64": Endpoint(parameters.UPLOAD, _upload)},
    "repository": {
        "searchModels": Endpoint(parameters.SEARCH_MODELS, repository.search),
        "getModelDownloadOptions": Endpoint(parameters.DOWNLOAD_OPTIONS, repository.download_options),
        "downloadModel": Endpoint(parameters.DOWNLOAD_MODEL, channel=repository.download),
    },
    # Namespaces of LM Studio whose endpoints no client of this project uses: the socket opens, every call is unknown.
    "plugins": {},
    "runtime": {},
    "diagnostics": {},
}
