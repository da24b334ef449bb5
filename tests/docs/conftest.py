"""Documentation calls LlamaIndex as the cookbook's pages do."""

from tests.cookbook.conftest import closing_event_loop

__all__ = ["closing_event_loop"]
