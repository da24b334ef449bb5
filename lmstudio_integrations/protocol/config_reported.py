"""Settings as a server reports them: how a model was loaded, what a prediction was made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lmstudio_integrations.protocol.config_kv import ConfigKind, from_kv, user_names
from lmstudio_integrations.protocol.config_models import (
    Config,
    EmbeddingLoadModelConfig,
    GpuSetting,
    LlmLoadModelConfig,
    LlmPredictionConfig,
)

__all__ = [
    "ReportedConfig",
    "ReportedEmbeddingLoadConfig",
    "ReportedLlmLoadConfig",
    "ReportedPredictionConfig",
    "reported_config",
]


class ReportedConfig(dict[str, Any]):
    """A dictionary under LM Studio's names (camelCase) whose values are attributes under ours, too.

    ``config["contextLength"]`` is ``config.context_length``; an attribute that the server did not report is ``None``,
    as it is in the class of settings that users write. It may be passed on as ``config=``.
    """

    _kind: type[Config] = Config

    if not TYPE_CHECKING:  # checkers know the attributes from the classes below

        def __getattr__(self, name: str) -> Any:
            keys = user_names(self._kind)
            if name not in keys:
                raise AttributeError(f"{type(self).__name__!r} has no setting {name!r}")
            value = self.get(keys[name])
            if name == "gpu" and isinstance(value, dict):
                return GpuSetting.model_construct(
                    **{key: value.get(alias) for key, alias in user_names(GpuSetting).items()}
                )
            return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *user_names(self._kind)})

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dictionary."""
        return dict(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({super().__repr__()})"


if TYPE_CHECKING:
    # For checkers and editors the attributes are those of the settings that users write.

    class ReportedLlmLoadConfig(ReportedConfig, LlmLoadModelConfig):  # type: ignore[misc]  # pydantic's own methods
        """How an LLM was loaded."""

    class ReportedEmbeddingLoadConfig(ReportedConfig, EmbeddingLoadModelConfig):  # type: ignore[misc]  # pydantic's own methods
        """How an embedding model was loaded."""

    class ReportedPredictionConfig(ReportedConfig, LlmPredictionConfig):  # type: ignore[misc]  # pydantic's own methods
        """What a prediction was made with."""

else:

    class ReportedLlmLoadConfig(ReportedConfig):
        """How an LLM was loaded."""

        _kind = LlmLoadModelConfig

    class ReportedEmbeddingLoadConfig(ReportedConfig):
        """How an embedding model was loaded."""

        _kind = EmbeddingLoadModelConfig

    class ReportedPredictionConfig(ReportedConfig):
        """What a prediction was made with."""

        _kind = LlmPredictionConfig


C = TypeVar("C", bound=ReportedConfig)


def reported_config(kv: Any, kind: type[C]) -> C:
    """The settings of a key/value configuration, as an object of ``kind``."""
    return kind(from_kv(kv, _KINDS[kind]))


_KINDS: dict[type[ReportedConfig], ConfigKind] = {
    ReportedLlmLoadConfig: "llm.load",
    ReportedEmbeddingLoadConfig: "embedding.load",
    ReportedPredictionConfig: "llm.prediction",
}
