#!/usr/bin/env -S python3 -B
"""Runs the examples of the documents as they stand there, each on a private machine laid out as they say.

A story runs the examples that it names in the order of their page, with a real server and real services. An example that no
story names is in not_run.py with the reason. The last line is `N examples, N ran, M are not run here, 0 failed`; anything else is a
failure. Root runs it: each story has a file system, a network and processes of its own.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/soak"), str(ROOT / "scripts")]
import aws_stories  # noqa: E402, the folders of what it needs are known only now
import cnf_stories  # noqa: E402
import command_stories  # noqa: E402
import readme_stories  # noqa: E402
import store_stories  # noqa: E402
import vault_stories  # noqa: E402
from installed_mariadb import SetupFailed, make_template  # noqa: E402
from machine import Failure, Machine, enter  # noqa: E402
from names import wrong_names  # noqa: E402
from not_run import NOT_RUN  # noqa: E402
from pages import all_examples, anchor  # noqa: E402
from server import parsed  # noqa: E402

MODULES = (cnf_stories, aws_stories, vault_stories, command_stories, store_stories, readme_stories)


def all_stories():
    """The functions by their names."""
    return {name: value for module in MODULES for name, value in vars(module).items() if hasattr(value, "examples")}


def check_lists(stories, examples, drawings, command):
    """Each example is in one story at least or in the list of those that are not run, none is there that no page has, and all
    names of settings, subcommands and options are those of something."""
    told = {name for story in stories.values() for name in story.examples}
    wrong = [f"{name}: no story runs it, and not_run.py does not say why" for name in examples if name not in told | set(NOT_RUN)]
    wrong += [f"{name}: no such example, but {where}" for names, where in
              ((told, "a story runs it"), (NOT_RUN, "not_run.py has it")) for name in sorted(names) if name not in examples]
    wrong += [f"{name}: a story runs it, but not_run.py says why not" for name in sorted(told & set(NOT_RUN))]
    wrong += [f"{name}: a block without a language has commands" for name in drawings]
    wrong += wrong_names(command)
    if wrong:
        raise Failure("\n".join(wrong))


def elsewhere(examples):
    """Those that other tests take from the pages, with what these are: tests/pages runs whole pages, mtr sections of pages."""
    run = (ROOT / "tests/pages/run.py").read_text(encoding="utf-8")
    pages = {f"docs/{name}.md" for name in re.findall(r'"([\w-]+)": \w+\.test', run)}
    sections = {}
    for test in ROOT.glob("mariadb-test/*/t/*.test"):
        page = ""
        for word, value in re.findall(r"^\s*--let (PAGE|SECTION)= *(.*?) *$", test.read_text(encoding="utf-8"), re.MULTILINE):
            if word == "PAGE":
                page = value
            else:
                sections[f"docs/{page}#{anchor(value)}"] = f"{test.parent.parent.name}.{test.stem}"
    found = {name: "tests/pages" for name in examples if name.split("#")[0] in pages}
    return found | {name: sections[at] for name in examples if (at := re.sub(r":\d+$", "", name)) in sections}


def tell(story, arguments, folder):
    """Runs one story, on a machine of its own."""
    upper = folder / story.__name__
    upper.mkdir()
    examples, _ = all_examples(arguments.command)
    machine = Machine(enter(upper), arguments.template, arguments.library, arguments.command, arguments.bao)
    if not getattr(story, "installs", False):
        machine.install()
    story(machine, *[examples[name] for name in story.examples])


def passes(name, arguments, folder):
    """Whether a story does; tells about it."""
    started = time.monotonic()
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-B", __file__,
         "--tell", str(folder), name], capture_output=True, text=True, check=False)
    print(f"{'FAILED' if done.returncode else 'ok'}  {name.replace('_', ' ')} ({time.monotonic() - started:.1f} s)", file=sys.stderr)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr, flush=True)
    return not done.returncode


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stories", nargs="*", metavar="STORY", help="these alone; words of a name are enough (all)")
    parser.add_argument("--list", action="store_true", help="check the lists, and print each example with what runs it")
    parser.add_argument("--jobs", type=int, default=3, help="how many at once (3)")
    parser.add_argument("--tell", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    arguments = parsed(parser)
    if arguments.list:
        return arguments
    arguments.bao = shutil.which(os.environ.get("KEYROLL_BAO", ROOT / "target/tools/openbao/bin/bao"))
    if not arguments.bao:
        parser.error("no OpenBao: scripts/install_openbao.sh installs it; KEYROLL_BAO names another")
    return arguments


def main():
    stories, arguments = all_stories(), parse()
    if arguments.tell:
        arguments.template = arguments.tell / "template"
        try:
            return tell(stories[arguments.stories[0]], arguments, arguments.tell)
        except (Failure, SetupFailed) as error:
            line = next(frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith("_stories.py"))
            sys.exit(f"line {line}: {error}")
    examples, drawings = all_examples(arguments.command)
    others = elsewhere(examples)
    examples = {name: text for name, text in examples.items() if name not in others}
    try:
        check_lists(stories, examples, drawings, arguments.command)
    except Failure as error:
        sys.exit(f"examples: {error}")
    if arguments.list:
        for name in examples:
            runs = [story.replace("_", " ") for story, function in stories.items() if name in function.examples]
            print(f"{name}: {', '.join(runs) or 'not run: ' + NOT_RUN[name]}")
        for name, test in others.items():
            print(f"{name}: {test}")
        return None
    if os.geteuid():
        if not shutil.which("sudo"):
            sys.exit("examples: root must run this, or a user who has sudo")
        keep = "--preserve-env=KEYROLL_SO,KEYROLL_BIN,KEYROLL_BAO,KEYROLL_AWS_SERVERS,TMPDIR,PATH"
        os.execvp("sudo", ["sudo", keep, sys.executable, "-B", *sys.argv])
    wanted = [name for name in stories if not arguments.stories or
              any(words.replace(" ", "_") in name for words in arguments.stories)]

    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    with tempfile.TemporaryDirectory(prefix="keyroll-examples.") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        make_template(folder / "template")
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            done = list(pool.map(lambda name: passes(name, arguments, folder), wanted))
    ran = {example for name in wanted for example in stories[name].examples}
    failed = done.count(False)
    print(f"{len(examples)} examples, {len(ran)} ran, {len(NOT_RUN)} are not run here, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
