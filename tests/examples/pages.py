"""The examples of the documents: blocks of code of the pages, those of `keyroll SUBCOMMAND --help`, those of keyroll.cnf."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CNF = ROOT / "support-files/keyroll.cnf"
# A block without a language, or of `text`, is a drawing, a format or what a program prints.
DRAWINGS = ("", "text")
LOOKS_LIKE_COMMANDS = re.compile(r"^\s*(\$ |sudo |keyroll (init|import|check|list|rotate)|(SET GLOBAL|SELECT|CREATE|ALTER) )", re.MULTILINE)


def anchor(title):
    """What hosts of Markdown make of a heading."""
    return re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")


def _of_page(path, found, drawings):
    name, at, lines = str(path.relative_to(ROOT)), "", iter(path.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("#"):
            at = anchor(line.lstrip("#"))
        fence = re.match(r"\s*```(\S*)\s*$", line)
        if not fence:
            continue
        block = []
        for inner in lines:
            if inner.strip() == "```":
                break
            block.append(inner)
        text = "\n".join(block) + "\n"
        if fence[1] not in DRAWINGS:
            _add(found, f"{name}#{at}", text)
        elif not name.endswith("command.md") and LOOKS_LIKE_COMMANDS.search(text):
            drawings.append(f"{name}#{at}")


def _add(found, name, text):
    number = 2
    first = name
    while name in found:
        name = f"{first}:{number}"
        number += 1
    found[name] = text


def _of_help(command, found):
    def told(*words):
        return subprocess.run([command, *words, "--help"], capture_output=True, text=True, check=True, env={"COLUMNS": "400"}).stdout
    top = told()
    listed = top.split("\nCommands:\n")[1].split("\n\n")[0]
    for name in [[], *([each] for each in re.findall(r"^  ([a-z-]+) ", listed, re.MULTILINE))]:
        if name == ["help"]:
            continue
        examples = told(*name).partition("\nExamples:\n")[2].partition("\n\n")[0]
        # Deeper lines are remarks, unless the one before goes on; so is what stands far behind a command.
        text, goes_on = [], False
        for line in examples.splitlines():
            if goes_on or not line.startswith("      "):
                text.append(re.split(" {3,}", line.strip())[0])
                goes_on = line.rstrip().endswith(("\\", "|"))
        if text:
            _add(found, " ".join(["keyroll", *name, "--help"]), "\n".join(text) + "\n")


def all_examples(command=None):
    """The texts by their names: `PAGE#HEADING`, with `:2` and so on for further ones below the same heading; what the help
    of the command has, as `keyroll SUBCOMMAND --help`; and `support-files/keyroll.cnf`."""
    found, drawings = {}, []
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        # Releases are told of in the past tense.
        if path.name != "CHANGELOG.md":
            _of_page(path, found, drawings)
    found["support-files/keyroll.cnf"] = "".join(
        f"{line[7:]}\n" for line in CNF.read_text(encoding="utf-8").splitlines() if line.startswith("#      "))
    if command:
        _of_help(command, found)
    return found, drawings
