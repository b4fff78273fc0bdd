"""The commands of a page of the documentation, as they stand there."""

import re
from dataclasses import dataclass

# A block with its language, or a heading.
PART = re.compile(r"^```(\w*)\n(.*?)^```$|^#+ ([^\n]*)$", re.MULTILINE | re.DOTALL)
# What is run, and how; blocks of another kind hold what a command prints.
RUN = ("sh", "sql", "ini")


class PageFailed(Exception):
    """The page is not as the test takes it to be, or not true."""


@dataclass
class Block:
    """What stands between two fences."""
    language: str
    text: str
    run: bool = False


class Page:
    """The blocks of a page, by the heading that they stand under."""

    def __init__(self, path, machine):
        self.name, self.machine, self.sections = path.name, machine, {}
        blocks = []
        for language, text, title in PART.findall(path.read_text(encoding="utf-8")):
            if title:
                blocks = self.sections[title] = []
            else:
                blocks.append(Block(language, text))

    def run(self, title, only=None):
        """Runs all blocks under a heading in their order, or `only` those of these numbers, from 0. A block that is no
        command holds lines that those before it must have printed. Returns what was printed."""
        if not (blocks := self.sections.get(title)):
            raise PageFailed(f"{self.name} has no commands under the heading {title!r}")
        told = ""
        for block in blocks if only is None else [blocks[number] for number in only]:
            block.run = True
            if block.language in RUN:
                told += getattr(self, f"_{block.language}")(block.text)
            elif missing := [line for line in block.text.splitlines() if words(line) not in words(told)]:
                raise PageFailed(f"{self.name}, {title}: nothing printed {missing}:\n{told}")
        return told

    def _sh(self, text):
        return self.machine.sh(text)

    def _sql(self, text):
        self.machine.path("/tmp/block.sql").write_text(text)
        return self.machine.sh("mariadb --table < /tmp/block.sql")

    def _ini(self, text):
        """Appends to the file that the first line names in a comment."""
        file = text.splitlines()[0].removeprefix("# ")
        if not file.startswith("/etc/mysql/"):
            raise PageFailed(f"{self.name}: no file is named by {text!r}")
        with self.machine.path(file).open("a") as options:
            options.write(text)
        return ""

    def end(self):
        """Fails if the page has a command that was not run."""
        left = [block.text for blocks in self.sections.values() for block in blocks if not block.run]
        if left:
            raise PageFailed("\n".join([f"{self.name} has commands that no test runs:", *left]))


def words(text):
    """The text without the lines of a table."""
    return " ".join(re.sub(r"[|+]|--+", " ", text).split())
