"""What the emulator's endpoints raise, with the error objects of LM Studio (rpcError, channelError)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class EndpointError(Exception):
    """An error of an endpoint, which is sent as ``rpcError`` or ``channelError``."""

    def __init__(
        self,
        title: str,
        *,
        cause: str | None = None,
        suggestion: str | None = None,
        display: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(title)
        error: dict[str, Any] = {"title": title}
        if cause is not None:
            error["cause"] = cause
        if suggestion is not None:
            error["suggestion"] = suggestion
        if data is not None:
            error["errorData"] = dict(data)
        if display is not None:
            error["displayData"] = dict(display)
        error["stack"] = f"Error: {title}\n    at the LM Studio emulator"
        error["rootTitle"] = title
        self.error = error


def error_object(error: str | Mapping[str, Any]) -> dict[str, Any]:
    """The wire form of an error given as a title or as an object of its own."""
    return {"title": error, "rootTitle": error} if isinstance(error, str) else dict(error)


def given_error(error: str | Mapping[str, Any]) -> EndpointError:
    """The error that a test has given as a title or as an error object, which is sent unchanged."""
    made = EndpointError("given by a test")
    made.error = error_object(error)
    return made


def path_not_found(path: str, available: Sequence[str]) -> EndpointError:
    """No downloaded model has this key."""
    return EndpointError(
        f"Model not found: {path}",
        cause="No downloaded model has this key.",
        suggestion="Run lms ls to see the available models.",
        display={
            "code": "generic.pathNotFound",
            "path": path,
            "availablePathsSample": list(available[:3]),
            "totalModels": len(available),
        },
    )


def draft_not_found(key: str) -> EndpointError:
    """No downloaded model can draft under this key. Observed in lmstudio-js's heavy tests: the title."""
    return EndpointError(f'Cannot find model "{key}"', suggestion="Run lms ls to see the available models.")


def no_model_matches(query: Mapping[str, Any], loaded: Sequence[str]) -> EndpointError:
    """No loaded model fits the query."""
    return EndpointError(
        "No model found that fits the query",
        display={
            "code": "generic.noModelMatchingQuery",
            "query": dict(query),
            "loadedModelsSample": list(loaded[:3]),
            "totalLoadedModels": len(loaded),
        },
    )


def identifier_not_found(identifier: str, loaded: Sequence[str]) -> EndpointError:
    """No loaded instance has the identifier that should be unloaded.

    Observed in lmstudio-python's suite: the code is one of those that the SDK reads as "model not found", and
    ``generic.identifierNotFound`` is not among them. Guess: which of them, and the title.
    """
    return EndpointError(
        f'Cannot unload: no model with identifier "{identifier}"',
        display={
            "code": "generic.noModelMatchingQuery",
            "query": {"identifier": identifier},
            "loadedModelsSample": list(loaded[:3]),
            "totalLoadedModels": len(loaded),
        },
    )


def wrong_domain(path: str, actual: str, expected: str) -> EndpointError:
    """The model exists, but it is of the other kind."""
    return EndpointError(
        f'Model "{path}" has the wrong domain',
        display={
            "code": "generic.domainMismatch",
            "path": path,
            "actualDomain": actual,
            "expectedDomain": expected,
        },
    )


def model_unloaded() -> EndpointError:
    """The instance that was meant has been unloaded."""
    return EndpointError("The model has been unloaded", display={"code": "generic.specificModelUnloaded"})


def preset_not_found(name: str, available: Sequence[str]) -> EndpointError:
    """No preset fits the name. The sample has identifiers as those of LM Studio's own presets (``@local:…``)."""
    return EndpointError(
        f"Preset not found: {name}",
        display={
            "code": "generic.presetNotFound",
            "specifiedFuzzyPresetIdentifier": name,
            "availablePresetsSample": [{"identifier": f"@local:{one}", "name": one} for one in available[:3]],
            "totalAvailablePresets": len(available),
        },
    )


def context_overflow(needed: int, available: int) -> EndpointError:
    """The prompt does not fit. Guess: LM Studio has no code for it; the title names both counts."""
    return EndpointError(
        f"The prompt needs {needed} tokens, which exceeds the context length of {available} tokens",
        suggestion="Load the model with a larger context length, or shorten the input.",
    )


def grammar_rejected(reason: str) -> EndpointError:
    """The engine cannot compile the grammar of a structured answer.

    The title is LM Studio's, from users' reports of llama.cpp's error; ``cause`` has the engine's reason.
    """
    return EndpointError("failed to parse grammar", cause=reason)
