"""Hypothesis without its time limit for an example, which a busy machine exceeds."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("without_deadline", settings.default, deadline=None)
settings.load_profile("without_deadline")
