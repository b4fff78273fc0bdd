"""docs/leaving.md: a server with rotated keys decrypts everything; then it encrypts again, and its keys go to the peer."""

import re

from machine import CommandFailed, README_STEPS

ROWS = 3000
DATA = f"""
CREATE DATABASE `a``shop`;
USE `a``shop`;
CREATE TABLE orders (id INT PRIMARY KEY, a VARCHAR(200), KEY(a)) ENGINE=InnoDB;
INSERT INTO orders SELECT seq, CONCAT('row ', seq) FROM seq_1_to_{ROWS};
CREATE TABLE own_key ENGINE=InnoDB ENCRYPTED=YES ENCRYPTION_KEY_ID=3 SELECT * FROM orders;
CREATE TABLE key_alone ENGINE=InnoDB ENCRYPTION_KEY_ID=4 SELECT * FROM orders;
CREATE TABLE `b``c` ENGINE=InnoDB ROW_FORMAT=COMPRESSED ENCRYPTED=YES SELECT * FROM orders;
CREATE TABLE carts (id INT PRIMARY KEY, a VARCHAR(200), KEY(a)) ENGINE=Aria SELECT * FROM orders;
CREATE TABLE deleted ENGINE=InnoDB SELECT * FROM orders;
DELETE FROM deleted WHERE id > 10;
CREATE FUNCTION keyroll_keys RETURNS STRING SONAME 'keyroll.so';
"""
TABLES = ("orders", "own_key", "key_alone", "`b``c`", "carts")
ENCRYPT_ACCOUNTS = "ALTER TABLE mysql.global_priv FORCE; ALTER TABLE `a``shop`.carts FORCE; FLUSH BINARY LOGS"
BEHIND = "SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION " \
         "WHERE min_key_version < current_key_version OR rotating_or_flushing"
ENCRYPTED = "SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION " \
            "WHERE min_key_version > 0 OR rotating_or_flushing"


def test(machine, page):
    """Does what the page says, both ways one after the other."""
    machine.sh(README_STEPS)
    machine.sql(DATA)
    machine.sql(ENCRYPT_ACCOUNTS)
    machine.sql("SET GLOBAL keyroll_rotate_key = -1")
    machine.wait_for(BEHIND, "0")

    page.run("Encrypt nothing new")
    page.run("Tables that ask for encryption")
    if "key_alone" not in (told := machine.sh("cat decrypt.sql")) or "orders" in told:
        raise CommandFailed(f"the statements are others than the page says:\n{told}")
    if told := page.run("Tables of Aria"):
        raise CommandFailed(f"these tables are still encrypted:\n{told}")
    page.run("Binary logs")
    _wait_for_innodb(machine, page)
    page.run("Take keyroll out")
    # Not even by accident.
    machine.sh("mv /var/lib/keyroll/keystore /srv/keyroll-master/key keyroll-left/; systemctl restart mariadb")
    told = page.run("See that nothing is left")
    _all_is_ok(machine, told)
    if plugins := machine.sql("SELECT plugin_name FROM information_schema.PLUGINS WHERE plugin_type = 'ENCRYPTION'"):
        raise CommandFailed(f"an encryption plugin is loaded: {plugins}")
    machine.sql("ALTER TABLE `a``shop`.own_key ADD COLUMN b INT; ALTER TABLE `a``shop`.key_alone FORCE")

    machine.sh(README_STEPS.replace("keyroll init", "keyroll init --key-algorithm aes_ctr"))
    machine.sql(ENCRYPT_ACCOUNTS)
    machine.wait_for(BEHIND, "0")
    # Keys that were never rotated are decrypted, too.
    page.run("Encrypt nothing new")
    _wait_for_innodb(machine, page)
    machine.sh("rm /etc/mysql/mariadb.conf.d/zz-leaving.cnf; systemctl restart mariadb")
    if "warning" in (told := page.run("To file_key_management", only=[0])):
        raise CommandFailed(f"nothing stands in the way:\n{told}")
    page.run("To file_key_management", only=[1, 2])
    _all_is_ok(machine, page.run("To file_key_management", only=[3]))
    if machine.sql("SELECT plugin_name FROM information_schema.PLUGINS WHERE plugin_type = 'ENCRYPTION'").strip() != "file_key_management":
        raise CommandFailed("file_key_management is not loaded")
    machine.wait_for("SELECT COUNT(*) > 5 FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE min_key_version > 0", "1")


def _wait_for_innodb(machine, page):
    """Until nothing is encrypted, which is when the page's query gives no row."""
    page.run("Wait for InnoDB")
    machine.wait_for(ENCRYPTED, "0")
    if told := page.run("Wait for InnoDB"):
        raise CommandFailed(f"something is still encrypted:\n{told}")


def _all_is_ok(machine, told):
    """mariadb-check has said OK of each table, nothing else was said, and every row is there."""
    wrong = [line for line in told.splitlines() if not re.fullmatch(r"\S+\s+OK", line)]
    if wrong:
        raise CommandFailed("\n".join(["mariadb-check or the error log says:", *wrong]))
    for table in TABLES:
        if machine.sql(f"SELECT COUNT(*) FROM `a``shop`.{table}").strip() != str(ROWS):
            raise CommandFailed(f"{table} has lost rows")
