from __future__ import annotations

import pytest

from lmstudio_integrations.langchain._request import CALL_KEYWORDS, call_keywords


@pytest.mark.parametrize(
    ("name", "hint"), [("temprature", "'temperature'"), ("max_token", "'max_tokens'"), ("zzz", "prediction_config")]
)
def test_call_keywords_of_an_unknown_name_raises_type_error_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=f"{name!r}.*{hint}"):
        call_keywords({name: 1}, CALL_KEYWORDS)
