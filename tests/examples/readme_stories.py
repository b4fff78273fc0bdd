"""The README, and pages that go on where it ends."""

import re
from pathlib import Path

from machine import require
from stories import of


@of("README.md#install", "README.md#rotate", installs=True)
def the_readme_makes_an_encrypted_server_that_rotates(machine, install, rotate):
    machine.sh(install)
    _leads_nowhere_else(Path("/usr/share/doc/mariadb-plugin-keyroll"))
    machine.fill()
    require("Keyroll_rotations\t" in machine.sql(rotate), "no status")
    machine.restart()
    machine.unharmed()


@of("docs/rotation.md#rotating-keys", "docs/rotation.md#looking-in", "docs/lost-keys.md#saving-what-a-server-still-has")
def a_running_server_is_looked_into_and_saved(machine, rotate, look, save):
    machine.sh("""install -d -o mysql -g mysql -m 0700 /var/lib/keyroll /srv/keyroll-master
        keyroll init --keystore /var/lib/keyroll/keystore --master-key file:/srv/keyroll-master/key >/etc/mysql/mariadb.conf.d/90.cnf""")
    machine.restart()
    machine.fill()
    require("shop/customers" in machine.sql(rotate) + machine.sql("SELECT 'shop/customers'"), "no tablespace")
    rows = [line.split("\t") for line in machine.sql(look).splitlines()]
    require([row[:2] for row in rows if row[0] == "1"] == [["1", "1"], ["1", "3"]], f"other keys: {rows}")
    require(any(row[0] == "Keyroll_rotations" and row[1] == "1" for row in rows), f"other status: {rows}")
    machine.sh("mv /var/lib/keyroll/keystore /var/lib/keyroll/gone")
    machine.sql(save)
    machine.restart()
    machine.unharmed()
    machine.sh("keyroll check --keystore /var/lib/keyroll/saved --master-key file:/srv/keyroll-master/saved "
               "--against /var/lib/keyroll/gone --against-master-key file:/srv/keyroll-master/key")


def _leads_nowhere_else(folder):
    """Every link of every installed page leads to a file that is installed."""
    links = [(page, link) for page in folder.rglob("*.md") for link in
             re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))]
    require(len(links) > 100, f"only {len(links)} links were found")
    wrong = [f"{page}: {link}" for page, link in links if not (page.parent / link).exists()]
    require(not wrong, "links of installed pages to what is not installed:\n" + "\n".join(wrong))
