"""docs/restore.md: a backup, a lost host, everything on another one, to the last change; and the drill, which must be able to
fail."""

from machine import CommandFailed, README_STEPS
from page import PageFailed

ROWS = 3000
DATA = f"""
CREATE DATABASE shop;
USE shop;
CREATE TABLE orders (id INT PRIMARY KEY, a VARCHAR(200), KEY(a)) ENGINE=InnoDB;
INSERT INTO orders SELECT seq, CONCAT('row ', seq) FROM seq_1_to_{ROWS};
CREATE TABLE carts ENGINE=Aria SELECT * FROM orders;
"""


def test(machine, page):
    """Does what the page says, and what it says does not work."""
    machine.sh(README_STEPS)
    machine.sql(DATA)
    machine.sql("SET GLOBAL keyroll_rotate_key = -1")
    machine.sh("install -D -m 0600 /var/lib/keyroll/keystore /backup-keys/older")
    machine.sql("SET GLOBAL keyroll_rotate_key = -1")
    _more_rows(machine, 10000)
    told = page.run("Back up")
    if "it holds all 6 versions that the data in /var/lib/mysql knows" not in told:
        raise CommandFailed(f"the copy of the keystore was not compared with the data:\n{told}")
    told = _fails(page, "When keystore and backup do not belong together")
    if "put the newest one back" not in told:
        raise CommandFailed(f"an older keystore is not told:\n{told}")

    if "the backup is good" not in (told := page.run("A drill")):
        raise CommandFailed(f"the drill does not say what the page says:\n{told}")
    machine.sh("mv /backup-keys/keystore newest; cp -p /backup-keys/older /backup-keys/keystore")
    told = _fails(page, "A drill")
    if "was asked for, but" not in told:
        raise CommandFailed(f"the drill fails for another reason than a keystore that is older than the backup:\n{told}")
    machine.sh('mv newest /backup-keys/keystore; [ -z "$(ls -d /var/tmp/drill.* 2> /dev/null)" ]')

    # After the backup a rotation, rows, and the end of the host, whose binary logs are saved.
    machine.sql("SET GLOBAL keyroll_rotate_key = -1")
    _more_rows(machine, 20000)
    _more_rows(machine, 30000)
    machine.sh("""
install -m 0600 /var/lib/keyroll/keystore /backup-keys/keystore
mkdir /backup/binlog
cp -a /var/lib/mysql/binlog.* /backup/binlog
systemctl stop mariadb
rm -rf /var/lib/mysql/* /var/lib/keyroll /srv/keyroll-master
""")
    told = machine.sh("mariadb-backup --prepare --target-dir=/backup/data --keyroll-keystore=/srv/keys/keystore || true")
    if "unknown variable" not in told:
        raise CommandFailed(f"mariadb-backup does not say what the page says:\n{told[-2000:]}")
    page.run("Restore to another host")
    _holds(machine, ROWS + 100)
    page.run("Restore to a point in time")
    _holds(machine, ROWS + 300)
    machine.sql("SET GLOBAL keyroll_rotate_key = -1")
    machine.sh("systemctl restart mariadb")
    _holds(machine, ROWS + 300)


def _more_rows(machine, first):
    """100 rows in each table, in a binary log of their own."""
    machine.sql("FLUSH BINARY LOGS; USE shop; " + "; ".join(
        f"INSERT INTO {table} SELECT {first} + seq, 'later' FROM seq_1_to_100" for table in ("orders", "carts")))


def _fails(page, title):
    """What is said where the commands under a heading must fail."""
    try:
        told = page.run(title)
    except CommandFailed as failure:
        return str(failure)
    raise PageFailed(f"{page.name}, {title}: the commands should have failed:\n{told}")


def _holds(machine, rows):
    for table in ("orders", "carts"):
        if (found := machine.sql(f"SELECT COUNT(*) FROM shop.{table}").strip()) != str(rows):
            raise CommandFailed(f"{table} has {found} rows, not {rows}:\n{machine.end_of_log()}")
