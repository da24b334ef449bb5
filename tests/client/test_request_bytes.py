"""What is sent, to the byte: no change to a model may change the order of its keys unseen."""

from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.client import requests
from lmstudio_integrations.client.images import ImageFile
from lmstudio_integrations.protocol.json_text import encode

LLM = requests.ModelCalls("llm", "m")
EMBEDDING = requests.ModelCalls("embedding", "m")
QUERY = '{"type":"query","query":{"identifier":"m"}}'
NO_SETTINGS = '{"layers":[{"layerName":"apiOverride","config":{"fields":[]}}]}'


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (LLM.tokenize("Hi").parameter, f'{{"specifier":{QUERY},"inputString":"Hi"}}'),
        (LLM.count_tokens("Hi").parameter, f'{{"specifier":{QUERY},"inputString":"Hi"}}'),
        (requests.embedding_parameters(["Hi"])[0], f'{{"modelSpecifier":{QUERY},"inputString":"Hi"}}'),
        (LLM.get_info().parameter, f'{{"specifier":{QUERY},"throwIfNotFound":true}}'),
        (LLM.get_load_config().parameter, f'{{"specifier":{QUERY}}}'),
        (requests.unload("llm", "m").parameter, '{"identifier":"m"}'),
        (requests.upload(ImageFile("cat.png", bytes(3))).parameter, '{"name":"cat.png","contentBase64":"AAAA"}'),
        (
            requests.get_or_load_parameter("llm", "m", 5, None),
            f'{{"identifier":"m","loadConfigStack":{NO_SETTINGS},"loadTtlMs":5000}}',
        ),
        (
            requests.load_model_parameter("llm", "m", "mine", 5, None),
            f'{{"modelKey":"m","identifier":"mine","ttlMs":5000,"loadConfigStack":{NO_SETTINGS}}}',
        ),
        (
            LLM.apply_prompt_template([], None, None, None, False).parameter,
            (
                f'{{"specifier":{QUERY},"history":{{"messages":[]}},"predictionConfigStack":{NO_SETTINGS},'
                '"opts":{"omitEosToken":false}}'
            ),
        ),
    ],
)
def test_parameter_is_encoded_to_these_bytes(parameter: Any, text: str) -> None:
    sent = parameter.text("m") if isinstance(parameter, requests.Parameter) else encode(parameter)
    assert sent == text
