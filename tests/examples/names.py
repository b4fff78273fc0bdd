"""Names that documents and comments use: settings, subcommands and options of the command. Each must exist."""

import re
import subprocess

from pages import ROOT

# Where a word of this form is no setting: the function, the word that stands for any setting, and a test of keyroll.cnf.
NO_SETTINGS = {"keyroll_keys", "keyroll_x", "keyroll_cnf"}
CALL = re.compile(r"(?:`|^\s*|sudo -u mysql )keyroll ([a-z][a-z-]+)([^`\n|;&>]*)", re.MULTILINE)
COMMENT = re.compile(r"^\s*(?://[/!]?|#) ?(.*)$", re.MULTILINE)


def wrong_names(command):
    """What is named and does not exist, as sentences."""
    settings = set(re.findall(r"^\| `(keyroll_\w+)`", (ROOT / "docs/variables.md").read_text(encoding="utf-8"), re.MULTILINE))
    suites = {folder.name for folder in (ROOT / "mariadb-test").iterdir()}
    options, wrong = {}, []
    for path in _files():
        text = path.read_text(encoding="utf-8")
        told = text if path.suffix in (".md", ".cnf") else "\n".join(COMMENT.findall(text))
        if path.suffix in (".md", ".cnf"):
            wrong += [f"{path.relative_to(ROOT)}: no setting is named {name}"
                      for name in sorted(set(re.findall(r"\bkeyroll_[a-z][a-z0-9_]*[a-z0-9]\b(?![./(])", told)))
                      if name not in settings | suites | NO_SETTINGS and not any(each.startswith(f"{name}_") for each in settings)]
        for subcommand, rest in CALL.findall(told.replace("\\\n", " ")):
            if subcommand not in options:
                options[subcommand] = _options(command, subcommand)
            if options[subcommand] is None:
                # Prose that begins a line with the name.
                if rest.startswith(" --"):
                    wrong.append(f"{path.relative_to(ROOT)}: no subcommand is named {subcommand}")
            else:
                wrong += [f"{path.relative_to(ROOT)}: keyroll {subcommand} has no option {option}"
                          for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest) if option not in options[subcommand]]
    return wrong


def _files():
    """Pages, option files and sources; releases are told of in the past tense."""
    for folder, kinds in ((".", ("*.md",)), ("docs", ("**/*.md",)), ("support-files", ("*.cnf",)), ("src", ("**/*.rs",)),
                          ("include", ("*",)), ("examples", ("*",)), ("scripts", ("*",))):
        for kind in kinds:
            for path in sorted((ROOT / folder).glob(kind)):
                if path.is_file() and path.name != "CHANGELOG.md":
                    yield path


def _options(command, subcommand):
    """The options that the subcommand's help names; None if there is no such subcommand."""
    told = subprocess.run([command, subcommand, "--help"], capture_output=True, text=True, check=False)
    return None if told.returncode else set(re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]+)", told.stdout, re.MULTILINE)) | {"--help"}
