"""Examples of `keyroll SUBCOMMAND --help`, which the manual pages and docs/command.md have, too."""

from pathlib import Path

from machine import ENCRYPTED, OPTIONS, require
from stories import of

KEYS = "1;a7addd9adea9978fda19f21e6be987880e68ac92632ca052e5bb42b1a506939a\n2;a7addd9adea9978fda19f21e6be98788\n"


def _line(example, words):
    """The one line of the example with these words."""
    lines = [line for line in example.replace("\\\n", "").splitlines() if words in line]
    require(len(lines) == 1, f"{len(lines)} lines have {words!r}:\n{example}")
    return lines[0]


def _server(machine):
    """A server on a keystore where the examples have it."""
    machine.sh("install -d -o mysql -g mysql -m 0700 /var/lib/keyroll /srv/keyroll-master\n"
               "keyroll init --keystore /var/lib/keyroll/keystore --master-key file:/srv/keyroll-master/key >/etc/mysql/mariadb.conf.d/90.cnf")
    machine.restart()
    machine.fill()


@of("keyroll init --help", "keyroll --help", "keyroll list --help", "keyroll rotate --help", "keyroll add-key --help")
def what_the_help_has_of_init_and_rotate_serves_a_server(machine, init, first, show, rotate, add):
    machine.sh(init)
    machine.restart()
    machine.fill()
    machine.sh("rm /var/lib/keyroll/keys /etc/mysql/keyroll.password")
    machine.sh("keyroll init --filename /var/lib/keyroll/keys >/dev/null")
    machine.sh(show)
    machine.sh(rotate)
    require(machine.sql("SHOW GLOBAL STATUS LIKE 'Keyroll_reloads'").split() == ["Keyroll_reloads", "1"], "the server took up no version")
    machine.sh(add)
    machine.restart()
    machine.unharmed()
    machine.sh("systemctl stop mariadb; rm /var/lib/keyroll/keystore* /var/lib/mysql/keyroll.mark")
    machine.sh(_line(first, "keyroll init"))
    machine.sh(_line(first, "check"))


@of("keyroll rotate-master-key --help", "keyroll check --help", "keyroll export --help", "keyroll config --help")
def what_the_help_has_of_other_subcommands_works_on_a_server(machine, rotate, check, export, config):
    _server(machine)
    machine.sh(_line(rotate, "| mariadb"))
    # The other example is for a master key that systemd has.
    machine.sh("umask 77; install -d /run/clear; openssl rand -hex 32 >/run/clear/keyroll-master")
    machine.sh(f"CREDENTIALS_DIRECTORY=/run/clear {_line(rotate, '--to credential:')}\n"
               "CREDENTIALS_DIRECTORY=/run/clear keyroll rotate-master-key --keystore /var/lib/keyroll/keystore --master-key credential:keyroll-master "
               "--to file:/srv/keyroll-master/key | mariadb")
    machine.sh("keyroll init --filename /var/lib/keyroll/keys >/dev/null; mkdir /srv/backup; cp /var/lib/keyroll/keystore /srv/backup\n"
               "cp /srv/keyroll-master/key /srv/backup/master")
    machine.sh(check, {" /backup/": " /srv/backup/", "file:/backup/": "file:/srv/backup/"})
    machine.sh(export)
    machine.sh(config)


@of("keyroll scan --help", "docs/scan.md#where-each-key-version-still-is")
def a_scan_finds_versions_of_a_server_and_of_a_backup_of_it(machine, example, page):
    _server(machine)
    machine.sql("SET GLOBAL keyroll_rotate_key = 1")
    machine.sh("mkdir /srv/backup; mariadb-backup --backup --target-dir=/srv/backup/2026-11-29\n"
               "mariadb-backup --defaults-file=/srv/backup/2026-11-29/backup-my.cnf --prepare --target-dir=/srv/backup/2026-11-29")
    elsewhere = {" /backup/": " /srv/backup/"}
    require("latest" in machine.sh(_line(page, "sudo keyroll scan")), "no version of the server's is the latest")
    require("ibdata1" in machine.sh(_line(example, "--tables"), elsewhere), "the backup has no system tablespace")
    machine.sh(_line(page, "/backup/"), elsewhere)
    require('"key_id": 1' in machine.sh(_line(example, "--json")), "key 1 is used nowhere")


@of("keyroll import --help")
def what_the_help_has_of_import_works_but_for_aws(machine, example):
    Path("/etc/mysql/keys.clear").write_text(KEYS, encoding="ascii")
    machine.sh("install -d -o mysql -g mysql -m 0700 /var/lib/keyroll /srv/keyroll-master\n"
               "(umask 77; openssl rand -hex 16 >/etc/mysql/password)\n"
               "openssl enc -aes-256-cbc -md sha1 -pass file:/etc/mysql/password -in /etc/mysql/keys.clear -out /etc/mysql/keys\n"
               "chown mysql /etc/mysql/keys /etc/mysql/password; chmod 600 /etc/mysql/keys; rm /etc/mysql/keys.clear")
    (OPTIONS / "encryption.cnf").write_text(
        "[mariadb]\nplugin_load_add = file_key_management\nfile_key_management_filename = /etc/mysql/keys\n"
        "file_key_management_filekey = FILE:/etc/mysql/password\nfile_key_management_encryption_algorithm = aes_ctr\n" + ENCRYPTED,
        encoding="utf-8")
    machine.restart()
    machine.fill()
    machine.sh("systemctl stop mariadb")
    commands = example.replace("\\\n", "").splitlines()
    require(["--from-filename" in commands[1], "--from-aws" in commands[2], "--add" in commands[3]] == [True] * 3, f"others: {commands}")
    # The second one, as the first, by what the server's files do not say; docs/aws-kms.md has the third.
    printed = machine.sh(f"{commands[1]} 2>/dev/null")
    machine.sh("rm /var/lib/keyroll/keystore /srv/keyroll-master/key")
    printed = machine.sh(f"{commands[0]} 2>/dev/null")
    (OPTIONS / "encryption.cnf").write_text(printed, encoding="utf-8")
    machine.restart()
    machine.unharmed()
    machine.sh("mkdir /srv/old; cp /var/lib/keyroll/keystore /srv/old; cp /srv/keyroll-master/key /srv/old/master\n"
               "keyroll rotate --no-defaults --keystore /srv/old/keystore --master-key file:/srv/old/master --key 2")
    machine.sh(commands[3], {" /old/": " /srv/old/", "file:/old/": "file:/srv/old/"})
    machine.serves()


@of("keyroll completions --help", "keyroll man --help")
def completions_and_manual_pages_are_written_where_the_help_has_them(machine, completions, pages):
    machine.sh("mkdir -p /usr/share/bash-completion/completions /usr/local/share/zsh/site-functions ~/.config/fish/completions "
               "/usr/local/share/man/man1")
    machine.sh(completions + pages)
    for path in ("/usr/share/bash-completion/completions/keyroll", "/usr/local/share/zsh/site-functions/_keyroll",
                 machine.home / ".config/fish/completions/keyroll.fish", "/usr/local/share/man/man1/keyroll.1"):
        require(Path(path).stat().st_size > 500, f"{path} is short")
