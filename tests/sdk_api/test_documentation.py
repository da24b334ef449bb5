"""The script for LM Studio's documentation, on pages of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lmstudio", reason="the official SDK is not installed")

from tests.sdk_api import documentation

PAGE = """
```python title="blocking"
import lmstudio as lms
model = lms.llm("some/model")
print(model.respond("Hi"))
```

* Behind what the page takes for granted:

  ```python
  image = lms.prepare_image("path/to/a.jpg")
  chat.add_user_message(input(), images=[image])
  ```

```python
for fragment in await model.respond_stream("Hi"):
    pass
```

```python
async with lms.AsyncClient("localhost:1234") as client:
    stream = await model.respond_stream("Hi")
    async for fragment in stream:
        assert fragment.content
```

```python
lms.Client(api_token="sk-lm-AbCd1234:abcdefghij0123456789")
```

```python
this is no Python
```

```text
not run
```
"""


def test_script_runs_each_snippet_with_both_packages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1_python").mkdir()
    (tmp_path / "1_python" / "page.mdx").write_text(PAGE, "utf-8")
    assert documentation.main([str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "6 snippets: {'both': 3, 'neither': 2, 'only here': 1}" in output
    assert "only here: page.mdx#5" in output
    assert "SyntaxError" in output


def test_script_fails_for_a_snippet_that_runs_with_the_sdk_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text('```python\nassert lms.__name__ == "lmstudio"\n```\n', "utf-8")
    assert documentation.main([str(tmp_path)]) == 1
    assert "only the SDK: page.md#1" in capsys.readouterr().out
    assert documentation.main([]) == 2
