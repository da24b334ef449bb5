"""Where the evidence lies: LM Studio's schema and recorded frames, beside the checkout and never committed."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "protocol"
SCHEMA_PATH = SHARED / "schema.json"
KEYS_PATH = SHARED / "kv-keys.json"
TRANSCRIPTS_PATH = SHARED / "transcripts"

needs_shared = pytest.mark.skipif(
    not SCHEMA_PATH.is_file(), reason=f"../{SHARED.relative_to(SHARED.parents[1])} is not beside this checkout"
)
"""Put it on tests that read the evidence."""
