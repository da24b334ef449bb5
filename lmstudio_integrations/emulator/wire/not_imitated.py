"""Endpoints of LM Studio that the emulator does not imitate: a call of one gets an error that says so.

The names are those of LM Studio's public schema of August 2026. For an endpoint that is not
in it either, the emulator does as LM Studio: it sends a warning, and no answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from lmstudio_integrations.emulator.errors import EndpointError

__all__ = ["NOT_IMITATED", "not_imitated"]

NOT_IMITATED: Mapping[str, frozenset[str]] = {
    "plugins": frozenset(
        {
            "generateWithGenerator",
            "pluginInitCompleted",
            "processingGetOrLoadTokenSource",
            "processingHandleRequest",
            "processingHandleUpdate",
            "processingHasStatus",
            "processingNeedsNaming",
            "processingPullHistory",
            "processingSetSenderName",
            "processingSuggestName",
            "registerDevelopmentPlugin",
            "reindexPlugins",
            "reportError",
            "setConfigSchematics",
            "setGenerator",
            "setGlobalConfigSchematics",
            "setPredictionLoopHandler",
            "setPromptPreprocessor",
            "setToolsProvider",
            "startToolUseSession",
        }
    ),
    "repository": frozenset(
        {
            "deauthenticate",
            "downloadArtifact",
            "ensureAuthenticated",
            "getAuthenticationStatus",
            "getLocalArtifactFiles",
            "getModelCatalog",
            "getWritableArtifactOwners",
            "installLocalPlugin",
            "installPluginDependencies",
            "isAuthenticated",
            "lmLinkSetDisabled",
            "lmLinkSetPreferredDevice",
            "lmLinkUpdateDeviceName",
            "loginAsComputeDevice",
            "loginWithPreAuthenticatedKeys",
            "pushArtifact",
        }
    ),
    "runtime": frozenset(
        {
            "downloadRuntimeExtension",
            "removeEngine",
            "searchRuntimeExtensions",
            "selectEngine",
        }
    ),
    "system": frozenset({"alive", "requestShutdown", "setExperimentFlag", "startHttpServer", "stopHttpServer"}),
}


def not_imitated(namespace: str, endpoint: str) -> EndpointError | None:
    """The error for an endpoint of LM Studio that is missing here; ``None`` for one that LM Studio lacks, too."""
    if endpoint not in NOT_IMITATED.get(namespace, ()):
        return None
    return EndpointError(
        f"The emulator does not imitate {namespace}.{endpoint}",
        cause="This is the emulator of lmstudio-integrations, not LM Studio.",
        suggestion="Script what the test needs otherwise, or run it against LM Studio.",
    )
