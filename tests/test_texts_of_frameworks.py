"""Objects of LangChain and LlamaIndex in the place of texts to embed."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import QueryBundle, TextNode

from lmstudio_integrations.client.texts import check_text, check_texts
from lmstudio_integrations.errors import LMStudioValueError

HOLDERS = [
    (Document(page_content="x"), "page_content"),
    (TextNode(text="x"), "get_content"),
    (QueryBundle("x"), "query_str"),
]


@pytest.mark.parametrize(("holder", "name"), HOLDERS, ids=[name for _, name in HOLDERS])
def test_object_of_a_framework_that_holds_a_text_is_an_error_that_says_where_the_text_is(
    holder: Any, name: str
) -> None:
    for check in (lambda: check_texts(holder), lambda: check_text(holder), lambda: check_texts(["a", holder])):
        with pytest.raises(LMStudioValueError, match=f"got {type(holder).__name__}.*its {name}"):
            check()
