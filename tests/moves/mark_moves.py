"""Moves of files: other paths, hosts, owners and modes, and what may become of the mark."""

import hashlib
import json
import os
import shutil

from host import obey, put_in_place, require, run
from client import StatementFailed
from server import Failure
from store_moves import LACKS


def a_keystore_gets_another_path(site):
    _another_path(site, site.keystore())


def a_key_file_gets_another_path(site):
    _another_path(site, site.key_file(number=1))


def _another_path(site, store):
    host = site.host(store)
    old = site.copied(store, "forgotten")
    host.rotate()
    host.stop()
    moved = site.copied(store, "elsewhere")
    shutil.rmtree(store.folder)
    # The mistake: a copy that someone made one day is at hand as well.
    host.store = old
    require(host.refused(LACKS), "put the newest one back|the newest copy of key file .*, back")
    host.store = moved
    host.start()
    host.rotate()
    host.restart()


def data_and_store_move_to_another_host(site):
    store = site.keystore()
    host = site.host(store)
    too_early = site.copied(store, "too-early")
    host.rotate()
    host.stop()
    there = site.copied(store, "there")
    moved = site.host(too_early, "moved", of=host)
    require(moved.refused(LACKS), "put the newest one back")
    moved.store = there
    moved.start()
    moved.rotate()
    moved.restart()
    # The old host is not what it was for the new one's data any more, but it is for its own.
    host.start()


def the_data_directory_gets_another_name(site):
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    host.stop()
    uuid = json.loads(store.path.read_text().splitlines()[1])["uuid"]
    host.server.folder.rename(site.folder / "renamed")
    host.server.folder = site.folder / "renamed"
    host.data = host.server.folder / "data"
    host.mark = host.data / "keyroll.mark"
    host.server.socket, host.server.log = host.server.folder / "socket", host.server.folder / "error.log"
    # The mistake: the data directory of another server is taken for this one.
    host.store = site.keystore("of-another-server")
    require(host.refused(LACKS), f"put the one with UUID {uuid} back, last seen as keystore ")
    host.store = store
    host.start()
    host.rotate()
    host.restart()


def the_mode_of_the_store_is_put_right(site):
    """A key file that others can read is refused where permissions are strict, a master key file always."""
    store = site.key_file()
    host = site.host(store)
    host.rotate()
    host.stop()
    store.path.chmod(0o644)
    host.more = ["keyroll_strict_permissions = ON"]
    obey(host.refused("others may read or change .*keys"), "chmod ")
    host.start()
    host.stop()
    keystore = site.keystore("keystore")
    other = site.host(keystore, "other")
    other.rotate()
    other.stop()
    master = keystore.master_key.removeprefix("file:")
    os.chmod(master, 0o644)
    obey(other.refused(master), "chmod ")
    other.start()


def the_owner_of_the_store_is_put_right(site):
    """As root copied it for a server of the user mysql."""
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    host.stop()
    host.run_as("mysql")
    shutil.chown(store.folder, "mysql", "mysql")
    run("chown", "-R", "mysql:mysql", store.folder)
    host.start()
    host.rotate()
    host.stop()
    shutil.chown(store.path, "root", "root")
    host.refused(f"{store.path}.*Permission denied", "the server's user may read it")
    shutil.chown(store.path, "mysql", "mysql")
    host.start()


def a_damaged_mark_is_set_aside(site):
    host = _with_mark(site)
    mark = host.mark.read_bytes()
    host.mark.write_bytes(mark[:len(mark) // 2])
    host.start(warns=["the mark .* was damaged and is kept as .*keyroll.mark.unreadable"])
    if (host.data / "keyroll.mark.unreadable").read_bytes() != mark[:len(mark) // 2] or not host.mark.exists():
        raise Failure("the damaged mark was not kept, or there is no new one")
    host.restart()
    _still_guards(site, host)


def a_mark_of_a_newer_format_is_set_aside(site):
    host = _with_mark(site)
    lines = host.mark.read_text().splitlines(keepends=True)
    text = "".join(lines[:-1]).replace('"version":1,', '"version":2,', 1)
    host.mark.write_text(f'{text}"checksum":"{hashlib.sha256(text.encode()).hexdigest()}"}}\n')
    said = host.refused("it has version 2 of the format", "install the keyroll that wrote it")
    obey(said, "mv ")
    host.start()
    _still_guards(site, host)


def a_lost_mark_is_written_anew(site):
    host = _with_mark(site)
    host.mark.unlink()
    host.start()
    if not host.mark.exists():
        raise Failure("there is no new mark")
    _still_guards(site, host)


def a_mark_that_cannot_be_written_does_not_keep_a_server_down(site):
    host = _with_mark(site)
    host.store.run("rotate", "--no-defaults", "--key", "1")
    # A directory where each may change only what is his own.
    host.run_as("mysql")
    run("chown", "-R", "mysql:", host.store.folder)
    for path, mode in ((host.data, 0o1777), (host.mark, 0o644)):
        shutil.chown(path, "root")
        path.chmod(mode)
    host.start(warns=["the mark could not be written: .*Hint: the server's user may not read and write in .*: give it these rights"])
    try:
        host.sql("SET GLOBAL keyroll_rotate_key = 1")
    except StatementFailed as error:
        require(str(error), "the mark could not be written", "then SET GLOBAL keyroll_reload_keys = 1 takes them up")
    else:
        raise Failure("a version is in use that the mark does not know")
    host.has_said("the mark could not be written")
    host.run_as("mysql")
    host.sql("SET GLOBAL keyroll_reload_keys = 1")
    host.rotate(1)
    host.restart()


def _with_mark(site):
    """A stopped server with rows of two versions."""
    store = site.keystore()
    site.first = site.copied(store, "first")
    host = site.host(store)
    host.rotate()
    host.stop()
    if not host.mark.exists():
        raise Failure("there is no mark")
    return host


def _still_guards(site, host):
    """The mark that is there now refuses the keystore of the beginning."""
    host.stop()
    newest = site.copied(host.store, "newest")
    put_in_place(host.store, site.first)
    require(host.refused(LACKS), "put the newest one back")
    put_in_place(host.store, newest)
    host.start()
