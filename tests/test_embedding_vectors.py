"""Vectors that a server should not send: the same error on both sides."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lmstudio_integrations.errors import LMStudioProtocolError
from lmstudio_integrations.langchain import LMStudioEmbeddings
from lmstudio_integrations.llama_index import LMStudioEmbedding
from tests.client.failure_modes.misbehaving_servers import MisbehavingServer, scripted

MODEL = "some/embedding"
INFO = {"identifier": MODEL, "instanceReference": "a", "modelKey": MODEL, "type": "embedding"}


@pytest.mark.parametrize("entry", [None, math.nan, math.inf], ids=["null", "NaN", "Infinity"])
@pytest.mark.parametrize("kind", [LMStudioEmbeddings, LMStudioEmbedding])
def test_vector_with_an_entry_that_is_not_finite_is_an_error_that_says_so(kind: Any, entry: float | None) -> None:
    """Engines compute such vectors for some texts; LM Studio's JavaScript writes their entries as ``null``."""
    load = [
        {"type": "channelSend", "channelId": "ID", "message": {"type": "alreadyLoaded", "info": INFO}},
        {"type": "channelClose", "channelId": "ID"},
    ]
    vector = [{"type": "rpcResult", "callId": "ID", "result": {"embedding": [0.5, entry]}}]
    with MisbehavingServer(scripted(load, vector)) as server:
        model = kind(model=MODEL, base_url=server.url)
        embed = model.embed_query if kind is LMStudioEmbeddings else model.get_query_embedding
        with pytest.raises(LMStudioProtocolError, match="no finite numbers"):
            embed("a")
