"""Record ``cookbook/quickstart.py`` in a terminal, and draw the recording as the README's moving picture.

    .uv/bin/uv run --extra all --with pyte --with pillow tools/record_quickstart.py

The program runs in a pseudo-terminal. What it writes is kept with its times, a terminal emulator (pyte) makes screens
of it, and Pillow draws them with DejaVu Sans Mono. Pauses of more than a second are shortened to one, as with
asciinema's ``--idle-time-limit``; nothing else is changed. ``--recording FILE`` keeps the recording as an asciicast
(version 2), or draws it if the file exists; ``--frames FOLDER`` writes each screen as a PNG, to look at.
"""

# ruff: noqa: T201  # a command line program prints

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pyte
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "quickstart.gif"
PROGRAM = ROOT / "cookbook" / "quickstart.py"
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"

COLUMNS, ROWS = 84, 33
FONT_SIZE, CELL_WIDTH, CELL_HEIGHT, MARGIN = 12, 7, 15, 10
LONGEST_PAUSE = 1.0  # seconds
FRAME_SECONDS = 0.1
LAST_FRAME_SECONDS = 8.0
BACKGROUND, FOREGROUND, DIM = "#14181f", "#d7dce2", "#7f8a99"

Recording = list[tuple[float, str]]
"""Seconds since the start, and what was written then."""


def record() -> Recording:
    """Run the program in a pseudo-terminal of ``COLUMNS`` and ``ROWS``."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
        os.execv(sys.executable, [sys.executable, str(PROGRAM)])  # noqa: S606  # no shell is wanted
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    begun, found = time.monotonic(), Recording()
    waiting = b""
    while True:
        select.select([terminal], [], [])
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not data:
            break
        waiting += data
        text = waiting.decode("utf-8", "ignore")
        waiting = waiting[len(text.encode()) :] if len(text.encode()) < len(waiting) else b""
        found.append((time.monotonic() - begun, text))
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit(f"{PROGRAM.name} ended with {os.waitstatus_to_exitcode(status)}")
    return found


def without_long_pauses(recording: Recording) -> Recording:
    """The recording with each pause at most ``LONGEST_PAUSE``."""
    shown, now, before = Recording(), 0.0, 0.0
    for at, text in recording:
        now += min(at - before, LONGEST_PAUSE)
        before = at
        shown.append((now, text))
    return shown


def screens(recording: Recording) -> list[tuple[float, list[str]]]:
    """The screens that differ, each with the seconds for which it is shown."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    stream.feed(f"$ python cookbook/{PROGRAM.name}\r\n")
    found: list[tuple[float, list[str]]] = []
    shown_at = 0.0
    for number, (at, text) in enumerate(recording):
        stream.feed(text)
        later = recording[number + 1][0] if number + 1 < len(recording) else at + LAST_FRAME_SECONDS
        if later - shown_at < FRAME_SECONDS:
            continue
        lines = [line.rstrip() for line in screen.display]
        if found and found[-1][1] == lines:
            found[-1] = (found[-1][0] + later - shown_at, lines)
        else:
            found.append((later - shown_at, lines))
        shown_at = later
    return found


def draw(lines: list[str], font: Any) -> Image.Image:
    """One screen as a picture."""
    size = (COLUMNS * CELL_WIDTH + 2 * MARGIN, ROWS * CELL_HEIGHT + 2 * MARGIN)
    image = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        colour = DIM if line.startswith(("$", "---", "sources:")) else FOREGROUND
        for column, character in enumerate(line):
            if character != " ":
                place = (MARGIN + column * CELL_WIDTH, MARGIN + row * CELL_HEIGHT)
                pen.text(place, character, fill=colour, font=font)
    return image.quantize(16, dither=Image.Dither.NONE)


def read(path: Path) -> Recording:
    """An asciicast of version 2."""
    events = [json.loads(line) for line in path.read_text("utf-8").splitlines()[1:]]
    return [(float(at), str(text)) for at, kind, text in events if kind == "o"]


def write(path: Path, recording: Recording) -> None:
    """The recording as an asciicast of version 2."""
    head = json.dumps({"version": 2, "width": COLUMNS, "height": ROWS})
    path.write_text("\n".join([head, *(json.dumps([at, "o", text]) for at, text in recording)]) + "\n", "utf-8")


def main() -> None:
    """Record, draw, and say how large the picture is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, help="an asciicast: drawn if it exists, else written")
    parser.add_argument("--frames", type=Path, help="a folder for PNGs of the screens")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="the GIF to write")
    options = parser.parse_args()
    recording = read(options.recording) if options.recording and options.recording.exists() else record()
    if options.recording and not options.recording.exists():
        write(options.recording, recording)
    font = ImageFont.truetype(FONT, FONT_SIZE)
    shown = screens(without_long_pauses(recording))
    images = [draw(lines, font) for _, lines in shown]
    images[0].save(
        options.picture,
        save_all=True,
        append_images=images[1:],
        duration=[max(20, round(seconds * 1000)) for seconds, _ in shown],
        loop=0,
        optimize=True,
    )
    if options.frames:
        options.frames.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            image.save(options.frames / f"{number:03d}.png")
    size = options.picture.stat().st_size
    print(f"{options.picture}: {len(images)} screens, {sum(s for s, _ in shown):.0f} s, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
