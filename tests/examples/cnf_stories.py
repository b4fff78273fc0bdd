"""support-files/keyroll.cnf, as the package installs it."""

import re
import subprocess
from pathlib import Path

from machine import OPTIONS, require
from stories import of

INSTALLED = OPTIONS / "keyroll.cnf"
SETTING = re.compile(r"#(!?[a-z_]+( /.*| =.*))$", re.MULTILINE)
FIRST = 3


def _uncomment(text, wanted):
    """The file with these lines uncommented, by their numbers among those that can be."""
    numbers = iter(range(1000))
    return SETTING.sub(lambda line: line[1] if next(numbers) in wanted else line[0], text)


@of("support-files/keyroll.cnf")
def keyroll_cnf_makes_an_encrypted_server_by_its_three_steps(machine, commands):
    text = INSTALLED.read_text(encoding="utf-8")
    lines = [line[0] for line in SETTING.findall(text)]
    require(lines[:FIRST] == [line for line in lines if re.match("keyroll_keystore|keyroll_master_key =|!include", line)],
            f"a line of the first three stands elsewhere, too: {lines}")
    machine.sh(commands)
    INSTALLED.write_text(_uncomment(text, range(FIRST)), encoding="utf-8")
    machine.restart()
    machine.serves()
    machine.sql("SET GLOBAL keyroll_rotate_master_key = 1")
    machine.sh("keyroll check")


@of("support-files/keyroll.cnf")
def every_line_of_keyroll_cnf_starts_a_server(machine, commands):
    text = INSTALLED.read_text(encoding="utf-8")
    lines = [line[0] for line in SETTING.findall(text)]
    names = [line.split(" ")[0] for line in lines]
    require(len(lines) > 30 and len(set(names)) == len(names), f"a setting stands there twice: {sorted(names)}")
    machine.sh(commands)
    for number in range(FIRST, len(lines)):
        INSTALLED.write_text(_uncomment(text, [*range(FIRST), number]), encoding="utf-8")
        _starts(machine, lines[number])
    # All together, and as a unit.
    INSTALLED.write_text(_uncomment(text, range(len(lines))), encoding="utf-8")
    machine.restart()
    machine.serves()


def _starts(machine, line):
    """A server with the option files of now comes up and ends, with keyroll and without an error."""
    done = subprocess.run(["setpriv", "--reuid=mysql", "--regid=mysql", "--init-groups", "mariadbd", "--bootstrap"], env=machine.environment,
                          input="SELECT 1;\n", cwd="/var/lib/mysql", capture_output=True, text=True, timeout=60, check=False)
    wrong = [each for each in done.stderr.splitlines() if "[ERROR]" in each]
    require(not done.returncode and not wrong and "keyroll: " in done.stderr, f"{line}: the server does not start:\n{done.stderr}")
