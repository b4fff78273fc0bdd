#!/usr/bin/env python3
"""Records scripts/demo.sh as docs/demo.svg, the picture in the README.

Runs the demo in a terminal of its own and draws each line that it prints, to appear in the order and the rhythm of that
run; waits are cut to a second. Where nothing moves (a viewer without animations, a user who wants none) all lines stand
there. Needs what the demo needs, and nothing but Python's standard library.
"""

import argparse
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import textwrap
import time
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 118
LONGEST_WAIT = 1.0
# Of the letters, in units of the drawing. Each line is stretched to its width, whatever font the viewer has.
WIDTH, HEIGHT, MARGIN = 7.8, 19, 18

STYLE = """
.panel { fill: #0d1117; stroke: #30363d }
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #c9d1d9; white-space: pre }
.step { fill: #7ee787; font-weight: bold }
@media (prefers-color-scheme: light) {
  .panel { fill: #f6f8fa; stroke: #d0d7de }
  text { fill: #24292f }
  .step { fill: #116329 }
}
@media (prefers-reduced-motion: no-preference) { text { animation: appear 0.01s backwards } }
@keyframes appear { from { opacity: 0 } to { opacity: 1 } }
"""


def run(command):
    """Runs the command in a terminal; gives its lines, each with the second at which it was whole."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    started, text, lines = time.monotonic(), b"", []
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side has ended
            break
        if not piece:
            break
        text += piece
        *whole, text = text.split(b"\n")
        now = time.monotonic() - started
        lines += [(now, line.decode().rstrip()) for line in whole]
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit("\n".join(["the demo failed:", *(line for _, line in lines)]))
    return lines


def folded(lines):
    """The lines cut to the width of the terminal, as (second, text, whether it is a step's title)."""
    drawn, passed, last = [], 0.0, 0.0
    for second, line in lines:
        passed, last = passed + min(second - last, LONGEST_WAIT), second
        step = line.startswith("\033[1m")
        plain = re.sub(r"\033\[\d*m", "", line)
        indent = plain[: len(plain) - len(plain.lstrip())] + "  "
        for part in textwrap.wrap(plain, COLUMNS, subsequent_indent=indent, drop_whitespace=False) or [""]:
            drawn.append((passed, part.rstrip(), step))
    while drawn and not drawn[0][1]:
        del drawn[0]
    return drawn


def picture(drawn):
    """The drawing."""
    width, height = COLUMNS * WIDTH + 2 * MARGIN, len(drawn) * HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" height="{height}" role="img">',
        "<title>make demo</title>",
        "<!-- made by scripts/record_demo.py from a run of scripts/demo.sh -->",
        f"<style>{STYLE}</style>",
        f'<rect class="panel" x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1}" rx="8"/>',
    ]
    for number, (second, line, step) in enumerate(drawn):
        words = line.lstrip()
        if not words:
            continue
        x, y = MARGIN + (len(line) - len(words)) * WIDTH, MARGIN + number * HEIGHT + 13
        kind = ' class="step"' if step else ""
        parts.append(
            f'<text{kind} x="{x:g}" y="{y}" textLength="{len(words) * WIDTH:g}" xml:space="preserve" '
            f'style="animation-delay:{second:.2f}s">{escape(words)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs/demo.svg", help="where the picture goes (docs/demo.svg)")
    arguments = parser.parse_args()
    drawing = picture(folded(run([str(ROOT / "scripts/demo.sh")])))
    arguments.output.write_text(drawing, encoding="utf-8")
    print(f"{arguments.output}: {len(drawing.encode())} bytes")


if __name__ == "__main__":
    main()
