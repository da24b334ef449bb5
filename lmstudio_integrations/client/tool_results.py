"""What a tool returned -> its text and its images, without binary data in the text. Pure; nothing is imported.

Both adapters and ``act`` use it. Frameworks make text of results whose form they do not know: LangChain writes JSON of
a single block and of a list with a block of audio or MCP, LlamaIndex writes ``str`` of whatever is no block of its own.
The data of such blocks then stands in the text as base64, which no model can read and which fills its context.

* A text that is JSON (or Python's notation) of content blocks, at least one of which embeds data, is read as these
  blocks: its images are shown, its text documents are text.
* In any other text, base64 of at least ``LONG`` characters becomes a placeholder if it is certain that it is binary
  data: in a ``data:`` URL, by the first bytes of a known format, or as the value of a block's key beside its MIME type.

Everything else stays as it is: tokens, keys, certificates, digests and identifiers may be what the tool was asked for.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from lmstudio_integrations.client.attachments import (
    LINE,
    LONG,
    Attachment,
    decode_text_document,
    is_text_type,
    json_without_binaries,
    read_attachment,
    read_image_content,
)
from lmstudio_integrations.client.content_blocks import BlockContent, block_type, embeds_data, is_text_block, read_block
from lmstudio_integrations.client.images import ImagePart

__all__ = ["tool_result"]

_Image: TypeAlias = "dict[str, Any] | ImagePart"

_STEP = 128
"""Distance of the places where base64 is looked for: each run of ``LONG`` characters has several."""
_NEAR = 300
"""Characters on each side of a value in which its neighbours are looked for."""
_MAX_WRAPPED = 100
"""Characters of the longest line of base64 that encoders wrap: most write 64 or 76."""
_LETTERS = "[A-Za-z0-9+/_-]"
_BREAK = r"(?:\\+[nr]|[\r\n])+"
_RUN = re.compile(rf"{_LETTERS}+(?:\\+/{_LETTERS}*|{_BREAK}{_LETTERS}{{20,}})*(?:{_BREAK}{_LETTERS}+)?={{0,2}}")
"""Base64, as it stands in a text or in a string of JSON or Python, with line breaks and escaped slashes. Short lines
end it, so that lists of words cost little."""
_LINE_BREAK = re.compile(r"\r|\n|\\\\*[nr]")
_AFTER_RUN = frozenset("\"'\\\r\n)]}<,")
_BLOCKS = re.compile(r"\s*(?:\{|\[\s*[\[{\"'])")
_TYPE = re.compile(r"""["']type["']\s*:\s*["'](?:image|audio|video|file|document|media|resource|input_)""")
_DATA_URL = re.compile(r"data:([\w.+-]+\\*/[\w.+-]+)?(?:;[\w.+=-]+)*;base64,$", re.IGNORECASE)
_KEY = re.compile(r"""\b(?:base64|data|blob|file_data|image|audio|video)\\*["']?\s*[:=]\s*b?\\*["']$""")
_MIME_TYPE = re.compile(r"""(?:mime_?type|media_?type)\\*["']?\s*[:=]\s*\\*["']([\w.+-]+\\*/[\w.+-]+)""", re.IGNORECASE)
_AUDIO_FORMAT = re.compile(r"""\bformat\\*["']?\s*[:=]\s*\\*["'](aac|flac|m4a|mp3|ogg|opus|pcm16|wav|webm)\b""")
_IMAGE_CLASS = re.compile(r"Image(?:Content|Block)\($")
"""MCP's and LlamaIndex's class of an image, as ``repr`` shows its objects."""
_SIGNATURES = (
    (re.compile("iVBORw0KGgo"), "image/png"),
    (re.compile("/9j/"), "image/jpeg"),
    (re.compile("R0lGOD"), "image/gif"),
    (re.compile("UklGR.{6}XRUJQ"), "image/webp"),
    (re.compile("SUkqA|TU0AK"), "image/tiff"),
    (re.compile("UklGR.{6}XQVZF"), "audio/wav"),
    (re.compile("T2dnUw"), "audio/ogg"),
    (re.compile("SUQz"), "audio/mpeg"),
    (re.compile("AAAA.GZ0eX"), "video/mp4"),
    (re.compile("JVBERi0"), "application/pdf"),
    (re.compile("UEsDB"), "application/zip"),
    (re.compile("H4sI"), "application/gzip"),
)
"""How binary formats begin, in base64."""


def tool_result(contents: Iterable[BlockContent]) -> tuple[str, list[_Image]]:
    """The text of a tool's result and its images: some to upload, or file parts of images on the server."""
    texts: list[str] = []
    images: list[_Image] = []
    for content in contents:
        blocks = _read_blocks(content) if isinstance(content, str) else None
        for item in [content] if blocks is None else blocks:
            if isinstance(item, str):
                text, shown = _without_base64(item)
                texts.append(text)
                images += shown
            elif isinstance(item, Attachment):
                texts.append(item.placeholder())
            else:
                images.append(item)
    return "\n".join(texts), images


def _read_blocks(text: str) -> list[BlockContent] | None:
    """The contents of the blocks that ``text`` is the notation of; ``None`` if it is anything else."""
    if not _BLOCKS.match(text) or not _TYPE.search(text):
        return None
    blocks = _blocks_of(_parsed(text))
    if not any(map(embeds_data, blocks)):
        return None
    contents: list[BlockContent] = []
    for block in blocks:
        if isinstance(block, str) or is_text_block(block) or embeds_data(block):
            contents += [json_without_binaries(block) if item is None else item for item in read_block(block)]
        else:
            contents.append(json_without_binaries(block))
    return contents


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _blocks_of(value: Any) -> list[Any]:
    """The blocks in a list of them, in the result of an MCP server, or a single one; none of anything else."""
    if isinstance(value, Mapping) and isinstance(value.get("content"), list) and not value.keys() - _MCP_RESULT:
        value = value["content"]
    blocks = value if isinstance(value, list) else [value]
    return blocks if all(isinstance(block, str) or block_type(block) is not None for block in blocks) else []


_MCP_RESULT = {"content", "isError", "structuredContent", "_meta", "meta"}


def _without_base64(text: str) -> tuple[str, list[ImagePart]]:
    """``text`` with placeholders for binary data, and the images among it."""
    if not _may_have_base64(text):
        return text, []
    pieces: list[str] = []
    images: list[ImagePart] = []
    done = 0
    for start, end in _base64_runs(text):
        found = _read_run(text, start, end)
        if found is None:
            continue
        begin, content = found
        if isinstance(content, ImagePart):
            images.append(content)
            content = "(image)"
        elif isinstance(content, Attachment):
            content = content.placeholder()
        pieces += [text[done:begin], content]
        done = end
    return "".join([*pieces, text[done:]]), images


def _may_have_base64(text: str) -> bool:
    """Whether there is any long run; a text without one costs microseconds, as all results do in every call."""
    for place in range(0, len(text) - LONG // 2, _STEP):
        run = _RUN.match(text, place)
        if run is not None and run.end() - place >= LONG // 4:
            return True
    return False


def _base64_runs(text: str) -> Iterator[tuple[int, int]]:
    """Where base64 may be: in one line, or in lines of one width and a shorter last one."""
    for run in _RUN.finditer(text):
        if run.end() - run.start() < LONG:
            continue
        starts, ends = [run.start()], []
        for found in _LINE_BREAK.finditer(text, run.start(), run.end()):
            if found.start() == starts[-1]:  # one of several in a row
                starts[-1] = found.end()
            else:
                ends.append(found.start())
                starts.append(found.end())
        ends.append(run.end())
        widths = [len(_joined(text[start:end])) for start, end in zip(starts, ends, strict=True)]
        first = 0
        while first < len(starts):
            last = first
            width = widths[first]
            if LINE <= width <= _MAX_WRAPPED:
                while last + 1 < len(starts) and widths[last + 1] == width:
                    last += 1
                after = text[ends[last + 1] : ends[last + 1] + 1] if last + 1 < len(starts) else None
                if after is not None and widths[last + 1] < width and (not after or after in _AFTER_RUN):
                    last += 1
            if ends[last] - starts[first] >= LONG:
                yield starts[first], ends[last]
            first = last + 1


def _joined(run: str) -> str:
    """The base64 itself, without line breaks and escapes."""
    for escaped in ("\\n", "\\r", "\n", "\r", "\\"):
        run = run.replace(escaped, "")
    return run


def _read_run(text: str, start: int, end: int) -> tuple[int, str | ImagePart | Attachment] | None:
    """What the run is and where it begins, with the head of its ``data:`` URL; ``None`` if that is not certain."""
    data = _joined(text[start:end])
    if url := _DATA_URL.search(text, max(0, start - _NEAR), start):
        mime_type = _unescaped(url[1])
        around = (text[: url.start()], text[end:]) if url.start() < _STEP > len(text) - end else ("text",)
        alone = not "".join(around).strip(" \t\r\n\"'")
        return url.start(), _read_data(data, mime_type, image=alone, text=alone)
    signature = next((mime_type for known, mime_type in _SIGNATURES if known.match(data)), None)
    if _KEY.search(text, max(0, start - _NEAR), start) and text[end : end + 1] in {'"', "'", "\\"}:
        before = text[max(0, start - _NEAR) : start]
        opening = max(before.rfind("{"), before.rfind("(")) + 1
        after = re.split(r"[})]", text[end : end + _NEAR], maxsplit=1)[0]
        neighbours = f"{before[opening:]} {after}"
        mime_type = _unescaped(named[1]) if (named := _MIME_TYPE.search(neighbours)) else signature
        if mime_type is None and (named := _AUDIO_FORMAT.search(neighbours)):
            mime_type = f"audio/{named[1]}"
        if mime_type is not None and is_text_type(mime_type):
            document = decode_text_document(data, mime_type)
            return None if document is None else (start, json.dumps(document, ensure_ascii=False)[1:-1])
        if mime_type is not None:
            is_image = _IMAGE_CLASS.search(before[:opening]) is not None
            return start, _read_data(data, mime_type, image=is_image)
    return None if signature is None else (start, _read_data(data, signature))


def _read_data(
    data: str, mime_type: str | None, *, image: bool = False, text: bool = False
) -> str | ImagePart | Attachment:
    """The content of base64. ``image``: an image is shown; ``text``: a text document is text."""
    if image and isinstance(shown := read_image_content(data=data, mime_type=mime_type), ImagePart):
        return shown
    if text and (document := decode_text_document(data, mime_type)) is not None:
        return document
    return read_attachment("data", data, mime_type)


def _unescaped(mime_type: str | None) -> str | None:
    return None if mime_type is None else mime_type.replace("\\", "").lower()
