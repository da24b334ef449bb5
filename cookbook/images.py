"""A picture in a question: through the client, LangChain and LlamaIndex. Needs a model that sees ("vision").

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/images.py`.
"""

from __future__ import annotations

import base64
import struct
import sys
import zlib
from typing import TYPE_CHECKING

from _server import lm_studio_or_emulator
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock

from lmstudio_integrations import Chat, Client
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.llama_index import LMStudio

if TYPE_CHECKING:
    from _server import Server

QUESTION = "What colours has this flag, from top to bottom?"


def flag(width: int = 90, stripe: int = 20) -> bytes:
    """A PNG with three stripes, made here, so that this page needs no file."""
    rows = b"".join((b"\0" + bytes(colour) * width) * stripe for colour in ((200, 0, 0), (255, 255, 255), (0, 0, 160)))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, 3 * stripe, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def vision_model(server: Server) -> str:
    """The key of a downloaded model that sees, or the end of the program."""
    with Client(server.url) as client:
        for model in client.llm.list_downloaded():
            if model.vision:
                return model.model_key
    sys.exit("No downloaded model sees pictures: download one with vision in LM Studio, then try again.")


def main() -> None:
    """The same picture three times. LM Studio gets it once: uploads are remembered while it runs."""
    picture = flag()
    with lm_studio_or_emulator() as server:
        key = vision_model(server)

        with Client(server.url) as client:
            chat = Chat()
            chat.add_user_message(QUESTION, images=[picture])  # or paths, open files, handles
            result = client.llm.model(key).respond(chat, config={"temperature": 0, "maxTokens": 60})
            print("The client:", result.content)

        chat_model = ChatLMStudio(model=key, base_url=server.url, temperature=0, max_tokens=60)
        block = {"type": "image", "base64": base64.b64encode(picture).decode(), "mime_type": "image/png"}
        message = HumanMessage(content_blocks=[{"type": "text", "text": QUESTION}, block])  # type: ignore[list-item]
        print("LangChain: ", chat_model.invoke([message]).text)

        llm = LMStudio(model=key, base_url=server.url, temperature=0, max_tokens=60)
        blocks = [TextBlock(text=QUESTION), ImageBlock(image=picture)]
        print("LlamaIndex:", llm.chat([ChatMessage(role="user", blocks=blocks)]).message.content)


if __name__ == "__main__":
    main()
