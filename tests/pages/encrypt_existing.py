"""docs/encrypt-existing.md: a server with tables of every kind in clear, until only what the page names is left so."""

from machine import CommandFailed, README_STEPS

# Each table has it in each row, but for the numbers; what was deleted has another, in pages that were written and are free before any
# is encrypted.
VALUE = "a value that you know"
OLD_DATA = f"""
CREATE DATABASE `a``shop`;
USE `a``shop`;
CREATE TABLE orders (id INT PRIMARY KEY, a VARCHAR(200), KEY(a)) ENGINE=InnoDB;
INSERT INTO orders SELECT seq, CONCAT('{VALUE} ', seq) FROM seq_1_to_5000;
CREATE TABLE left_out ENGINE=InnoDB ENCRYPTED=NO SELECT * FROM orders;
CREATE TABLE deleted ENGINE=InnoDB SELECT seq, CONCAT('a value that was deleted ', seq) FROM seq_1_to_5000;
FLUSH TABLES deleted FOR EXPORT;
UNLOCK TABLES;
DELETE FROM deleted WHERE seq > 10;
CREATE TABLE carts (id INT PRIMARY KEY, a VARCHAR(200), KEY(a)) ENGINE=Aria SELECT * FROM orders;
CREATE TABLE `a``b` ENGINE=Aria TRANSACTIONAL=0 ROW_FORMAT=PAGE SELECT * FROM orders;
CREATE TABLE parts (id INT PRIMARY KEY, a VARCHAR(200)) ENGINE=Aria PARTITION BY HASH(id) PARTITIONS 2 SELECT * FROM orders;
CREATE TABLE dynamic ENGINE=Aria TRANSACTIONAL=0 ROW_FORMAT=DYNAMIC SELECT * FROM orders;
CREATE TABLE old ENGINE=MyISAM SELECT * FROM orders;
CREATE TABLE csv (id INT NOT NULL, a VARCHAR(200) NOT NULL) ENGINE=CSV SELECT * FROM orders;
CREATE SEQUENCE numbers;
CREATE USER 'account in clear'@'%';
SET GLOBAL innodb_fast_shutdown = 0;
"""
UNENCRYPTED = "SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE name <> 'a@0060shop/left_out' " \
              "AND (min_key_version = 0 OR rotating_or_flushing)"


def test(machine, page):
    """Does what the page says, and looks at the disk before and after each step."""
    machine.sh("systemctl start mariadb")
    machine.sql(OLD_DATA)
    machine.sh(README_STEPS)
    machine.wait_for(UNENCRYPTED, "0")
    told = page.run("Wait for InnoDB")
    if "left_out" not in told or "orders" in told:
        raise CommandFailed(f"only left_out has been left in clear:\n{told}")
    machine.sql("ALTER TABLE `a``shop`.left_out ENCRYPTED=DEFAULT")
    machine.wait_for(UNENCRYPTED, "0")
    if told := page.run("Wait for InnoDB"):
        raise CommandFailed(f"nothing is left in clear:\n{told}")
    _has(machine, VALUE, "carts.MAD", "a@0060b.MAD", "parts#P#p0.MAD", "dynamic.MAD", "old.MYD", "csv.CSV", "binlog.000001")
    _has(machine, "account in clear", "global_priv.MAD", "binlog.000001")

    told = page.run("Tables of Aria")
    if sorted(line.rsplit("/", 1)[1] for line in told.splitlines()) != ["dynamic.MAI"]:
        raise CommandFailed(f"dynamic.MAI alone is not encrypted:\n{told}")
    _has(machine, "account in clear", "aria_log.00000001", "binlog.000001")
    told = page.run("Other tables")
    for table in ("dynamic", "old", "csv", "general_log"):
        if table not in told:
            raise CommandFailed(f"{table} is missing:\n{told}")
    machine.sql("ALTER TABLE `a``shop`.old ENGINE=InnoDB; ALTER TABLE `a``shop`.dynamic ENGINE=Aria ROW_FORMAT=PAGE; "
                "ALTER TABLE `a``shop`.csv ENGINE=InnoDB")
    page.run("Old binary logs")

    _has(machine, "a value that was deleted", "deleted.ibd")
    page.run("Pages that were free")
    _has_not(machine, "a value that was deleted", "deleted.ibd")
    if "not found in clear" not in page.run("Look at the disk"):
        raise CommandFailed(f"the value is in clear: {_files(machine, VALUE)}")
    for table in ("orders", "left_out", "carts", "`a``b`", "parts", "dynamic", "old", "csv"):
        if machine.sql(f"SELECT COUNT(*) FROM `a``shop`.{table}").strip() != "5000":
            raise CommandFailed(f"{table} has lost rows")


def _files(machine, value):
    """The names of the files in which the value stands."""
    return [line.rsplit("/", 1)[1] for line in machine.sh(f"grep -rlaF '{value}' /var/lib/mysql || true").splitlines()]


def _has(machine, value, *names):
    """The value stands in these files, or the page is wrong that it does."""
    if missing := set(names) - set(_files(machine, value)):
        raise CommandFailed(f"{value!r} is not in {sorted(missing)}")


def _has_not(machine, value, *names):
    """The value does not stand in these files."""
    if there := set(names) & set(_files(machine, value)):
        raise CommandFailed(f"{value!r} is still in {sorted(there)}")
