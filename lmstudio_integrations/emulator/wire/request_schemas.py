"""The shape of every parameter that a client may send, by endpoint (LM Studio's public schema, August 2026).

Written from the schema alone, and deliberately without the models of ``protocol``: those build what our client sends,
and a mistake in them must not make its own judge agree. It also covers what our client never sends.
"""

from __future__ import annotations

from lmstudio_integrations.emulator.wire.validators import (
    Shape,
    anything,
    array,
    boolean,
    constant,
    dictionary,
    integer,
    nullable,
    record,
    tagged,
    text,
)

LAYER_NAMES = (
    "currentlyEditing",
    "currentlyLoaded",
    "apiOverride",
    "conversationSpecific",
    "conversationGlobal",
    "preset",
    "serverSession",
    "httpServerRequestOverride",
    "completeModeFormatting",
    "instance",
    "userModelDefault",
    "virtualModel",
    "modelDefault",
    "hardware",
)
DOMAINS = ("llm", "embedding", "imageGen", "transcription", "tts", "drafter")
COMPATIBILITY_TYPES = ("gguf", "safetensors", "onnx", "ggml", "pte", "mlx_placeholder", "torch_safetensors")
FILE_TYPES = ("image", "text/plain", "application/pdf", "application/word", "text/other", "unknown")


def _identifier(value: object, path: str) -> str | None:
    if problem := text(minimum=1, maximum=1024)(value, path):
        return problem
    if value == "__proto__" or any(ord(mark) < 32 or 127 <= ord(mark) < 160 for mark in str(value)):
        return f"{path}: control characters and __proto__ are not allowed"
    return None


identifier: Shape = _identifier
device: Shape = nullable(text())
kv_config: Shape = record({"fields": array(record({"key": text()}, {"value": anything}))})
kv_stack: Shape = record({"layers": array(record({"layerName": text(choices=LAYER_NAMES), "config": kv_config}))})

model_specifier: Shape = tagged(
    "type",
    {
        "query": record(
            {
                "query": record(
                    {},
                    {
                        "identifier": identifier,
                        "path": identifier,
                        "domain": text(choices=DOMAINS),
                        "vision": boolean,
                        "deviceIdentifier": device,
                    },
                )
            }
        ),
        "instanceReference": record({"instanceReference": text()}),
    },
)

_text_part = record({"text": text()})
_file_part = record(
    {"name": text(), "identifier": text(), "sizeBytes": integer(), "fileType": text(choices=FILE_TYPES)}
)
_request_part = record(
    {
        "toolCallRequest": record(
            {"type": constant("function"), "name": text()}, {"id": text(), "arguments": dictionary(anything)}
        )
    }
)
_result_part = record({"content": text()}, {"toolCallId": text(), "name": text()})
_said = {"text": _text_part, "file": _file_part}


def _message(parts: dict[str, Shape]) -> Shape:
    return record({"content": array(tagged("type", parts))})


history: Shape = record(
    {
        "messages": array(
            tagged(
                "role",
                {
                    "system": _message(_said),
                    "user": _message(_said),
                    "assistant": _message({**_said, "toolCallRequest": _request_part}),
                    "tool": _message({"toolCallResult": _result_part}),
                },
            )
        )
    }
)

tool: Shape = record(
    {
        "type": constant("function"),
        "function": record(
            {"name": text()},
            {
                "description": text(),
                "parameters": record(
                    {"type": constant("object"), "properties": dictionary(anything)},
                    {"required": array(text()), "additionalProperties": anything, "$defs": dictionary(anything)},
                ),
            },
        ),
    }
)

_specifier = {"specifier": model_specifier}
_prediction = {"modelSpecifier": model_specifier, "predictionConfigStack": kv_stack}
_prediction_options = {"fuzzyPresetIdentifier": text(), "ignoreServerSessionConfig": boolean}
_found = record({**_specifier, "throwIfNotFound": boolean})
_tokens = record({**_specifier, "inputString": text()})
_time_to_live = integer(minimum=1)

LOAD_MODEL = record(
    {"modelKey": text(), "loadConfigStack": kv_stack},
    {"identifier": text(), "deviceIdentifier": device, "ttlMs": _time_to_live},
)
GET_OR_LOAD = record(
    {"identifier": text(), "loadConfigStack": kv_stack},
    {"deviceIdentifier": device, "loadTtlMs": _time_to_live},
)
UNLOAD = record({"identifier": text()}, {"deviceIdentifier": device})
MODEL_INFO = _found
PROCESSING_STATE = _found
LOAD_CONFIG = record(_specifier)
BASE_PREDICTION_CONFIG = record(_specifier, {"ignoreServerSessionConfig": boolean})
PREDICT = record({**_prediction, "history": history}, _prediction_options)
COMPLETE_RAW_TEXT = record({**_prediction, "rawPrompt": text()}, _prediction_options)
TOKENIZE = _tokens
COUNT_TOKENS = _tokens
EMBED = record({"modelSpecifier": model_specifier, "inputString": text()})
APPLY_TEMPLATE = record(
    {
        **_specifier,
        "history": history,
        "predictionConfigStack": kv_stack,
        "opts": record({}, {"omitBosToken": boolean, "omitEosToken": boolean, "toolDefinitions": array(tool)}),
    }
)
ESTIMATE = record({"modelKey": text(), "loadConfigStack": kv_stack}, {"deviceIdentifier": device})
PRELOAD_DRAFT = record({**_specifier, "draftModelKey": text()})
UPLOAD = record({"name": text(), "contentBase64": text()})
_file = {"fileIdentifier": text()}
_parser = record({"library": text(), "version": text()})
LOCAL_PATH = record({"fileName": text()})
PARSING_LIBRARY = record(_file)
PARSE_DOCUMENT = record({**_file, "parseOpts": record({}, {"parserId": _parser})})
VARIANTS = record({"modelKey": text()})
NOTIFY = record({"title": text()}, {"description": text(), "noAutoDismiss": boolean})
SEARCH_MODELS = record(
    {
        "opts": record(
            {},
            {
                "searchTerm": text(),
                "limit": integer(minimum=1, maximum=25),
                "compatibilityTypes": array(text(choices=COMPATIBILITY_TYPES)),
            },
        )
    }
)
_found_model = {"catalog": record({"identifier": text()}), "hf": record({"identifier": text()})}
DOWNLOAD_OPTIONS = record({"modelSearchResultIdentifier": tagged("type", _found_model)})
DOWNLOAD_MODEL = record({"downloadIdentifier": text()})
# Letters and digits of any script, some signs, and spaces within.
_FILE_NAME = r"^[\w!@#$%^&()\-+=,.;'\[\]{}~`][\w!@#$%^&()\-+=,.;'\[\]{}~` ]*(?<![. ])\Z"
_artifact_name = {
    "owner": text(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*\Z"),
    "name": text(pattern=r"^[a-z0-9]+(?:[-.][a-z0-9]+)*\Z"),
}
_file_name = text(pattern=_FILE_NAME)
_preference = {"fileName": record({"fileName": text()}), "quantName": record({"quantName": text()})}
DOWNLOAD_PLAN = record(
    {
        "target": tagged(
            "type",
            {
                "artifact": record(_artifact_name),
                "model": record(
                    {"source": tagged("type", {"huggingface": record({"user": _file_name, "repo": _file_name})})}
                ),
            },
        )
    },
    {
        "opts": record(
            {},
            {
                "resolutionPreference": array(tagged("type", _preference)),
                "compatibilityTypes": array(text(choices=COMPATIBILITY_TYPES)),
            },
        )
    },
)
DOWNLOAD_PLAN_STOP = tagged("type", {"cancelPlan": record({}), "cancelDownload": record({})})
DOWNLOAD_PLAN_INPUT = tagged(
    "type",
    {
        "commit": record({}),
        "setSelectedDownloadOptionIndex": record(
            {
                "nodeIndex": integer(),
                "selectedDownloadOptionIndex": nullable(integer()),
                "requestedPlanVersion": integer(),
            }
        ),
    },
)
STAFF_PICKS = record(
    {},
    {
        "searchTerm": text(),
        "limit": integer(minimum=1),
        "compatibilityTypes": array(text(choices=COMPATIBILITY_TYPES)),
    },
)
RETRIEVE = record({"query": text(), "fileIdentifiers": array(text()), "config": kv_config})
_engine = record({"name": text(), "version": text()})
SURVEY_HARDWARE = tagged(
    "type", {"selected": record({}), "all": record({}), "custom": record({"engines": array(_engine)})}
)
SUPERJSON = record({"json": anything}, {"meta": anything})
STOP = tagged("type", {"stop": record({})})
CANCEL = tagged("type", {"cancel": record({})})
