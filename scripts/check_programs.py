#!/usr/bin/env python3
"""Checks that every program that a script calls is in a package that scripts/install_packages.sh installs for it.

A word is a program where a command may stand (at the beginning of a line, behind `|`, `&&`, `$(`, `sudo` and the like)
and where this machine has a program of that name. Its package must be one that each Debian has, or one of those that the
script's set asks for, with all that they depend on. Where a set is not installed here, its scripts are left out, and this
is said.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Which of the sets of install_packages.sh a script may count on.
SETS = {
    ("build",): ["scripts/demo.sh", "scripts/cargo.sh", "scripts/install_packages.sh"],
    ("build", "test"): [
        "scripts/mtr.sh", "scripts/install_openbao.sh", "scripts/install_aws_servers.sh", "scripts/install_cargo_deny.sh",
        "tests/soak/prove.sh", ".ci/run",
    ],
    ("build", "deb"): ["scripts/test_deb.sh", "scripts/test_fresh.sh", "scripts/test_reproducible.sh", "scripts/test_install.sh"],
}
# What README asks for, before anything is installed: make, git, sudo. The Rust of rustup is in no package.
ASSUMED = ["make", "git", "sudo"]
RUST = {"cargo", "rustc"}

# Where a command begins. What stands before it may be a variable that is set for it.
BEFORE = r"(?:^|[|&;(`{]|\$\(|\b(?:then|do|else|if|elif|while|until|exec|sudo|xargs|time|timeout [0-9.]+|env)\s|!\s)\s*"
PROGRAM = re.compile(BEFORE + r"(?:[A-Za-z_]+=(?:\"[^\"]*\"|'[^']*'|\S*)\s+)*([a-z][a-z0-9_.+-]*)(?=\s|$|[);|&])", re.MULTILINE)


def dpkg(*arguments):
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=False).stdout


def packages_of(name):
    """The packages that a set of install_packages.sh asks for."""
    text = (ROOT / "scripts/install_packages.sh").read_text(encoding="utf-8")
    return re.search(rf"^{name}=\((.*?)\)", text, re.MULTILINE | re.DOTALL)[1].split()


def installed():
    """Of each installed package: what it depends on, as lists of alternatives; and what provides a name; and what is everywhere."""
    depends, provided, everywhere = {}, {}, set()
    form = "${Package}\t${db:Status-Status}\t${Essential}\t${Priority}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    for line in dpkg("-W", "-f", form).splitlines():
        package, status, essential, priority, needs, provides = line.split("\t")
        if status != "installed":
            continue
        names = lambda field: [[re.split(r"[ (:]", one.strip())[0] for one in any_of.split("|")] for any_of in field.split(",")]
        depends[package] = [any_of for any_of in names(needs) if any_of != [""]]
        for name in [package, *(one for any_of in names(provides) for one in any_of if one)]:
            provided.setdefault(name, set()).add(package)
        if essential == "yes" or priority == "required":
            everywhere.add(package)
    return depends, provided, everywhere


def with_all_they_need(packages, depends, provided):
    found, waiting = set(), list(packages)
    while waiting:
        for package in provided.get(waiting.pop(), ()):
            if package not in found:
                found.add(package)
                # The first alternative that is there is the one that apt has taken.
                waiting += [next((one for one in any_of if one in provided), any_of[0]) for any_of in depends[package]]
    return found


def programs(script):
    """The words of a script that are programs here, with their paths."""
    text = re.sub(r"(^|\s)#.*", "", (ROOT / script).read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"^\w+=\(.*?\)", "", text, flags=re.MULTILINE | re.DOTALL)
    defined = set(re.findall(r"^\s*(\w+)\(\)", text, re.MULTILINE))
    builtins = subprocess.run(["bash", "-c", "compgen -b"], capture_output=True, text=True, check=True).stdout.split()
    words = set(PROGRAM.findall(text)) - defined - set(builtins) - RUST
    return {word: path for word in sorted(words) if (path := shutil.which(word))}


def owners(programs_of_all):
    """The packages that hold each of these paths, as it is and as it was before /bin and /usr/bin became one."""
    forms = {}
    for path in programs_of_all:
        real = str(Path(path).resolve())
        forms[path] = {path, real, path.removeprefix("/usr"), real.removeprefix("/usr")}
    held = {}
    for line in dpkg("-S", *set().union(*forms.values())).splitlines():
        packages, path = line.rsplit(": ", 1)
        held.setdefault(path, set()).update(package.split(":")[0] for package in packages.split(", "))
    return {path: set().union(*(held.get(form, set()) for form in those)) for path, those in forms.items()}


def main():
    depends, provided, everywhere = installed()
    called = {script: programs(script) for scripts in SETS.values() for script in scripts}
    holders = owners({path for words in called.values() for path in words.values()})
    failed, looked_at = False, 0
    for sets, scripts in SETS.items():
        wanted = [package for one in sets for package in packages_of(one)]
        missing = [package for package in wanted if package not in depends]
        if missing:
            print(f"check_programs.py: not looked at, for want of {' '.join(missing)}: {' '.join(scripts)}")
            continue
        there = with_all_they_need([*wanted, *ASSUMED, *everywhere], depends, provided)
        for script in scripts:
            for word, path in called[script].items():
                looked_at += 1
                # A program of no package was put here by hand: there is nothing to be said of it.
                if holders[path] and not holders[path] & there:
                    failed = True
                    of = " or ".join(sorted(holders[path]))
                    print(f"{script}: {word} is of {of}, which `install_packages.sh {sets[-1]}` does not install", file=sys.stderr)
    if looked_at < 20:
        sys.exit(f"check_programs.py: only {looked_at} programs were found in scripts")
    sys.exit(failed)


if __name__ == "__main__":
    main()
