"""To file_key_management and back."""

import secrets
import time

from host import obey, require, user
from server import Failure
from store_moves import LACKS, OUT_OF_DATE

# The last word counts in an option file.
UNENCRYPTED = [f"{name} = OFF" for name in (
    "innodb_encrypt_tables", "innodb_encrypt_log", "innodb_encrypt_temporary_tables", "encrypt_binlog", "encrypt_tmp_files",
    "encrypt_tmp_disk_tables", "aria_encrypt_tables")]


class _Peer:
    """file_key_management on a plain key file."""

    def __init__(self, path, algorithm):
        self.path, self.algorithm = path, algorithm

    def settings(self):
        """The lines of my.cnf."""
        return ["plugin-load-add = file_key_management", f"file_key_management_filename = {self.path}",
                f"file_key_management_encryption_algorithm = {self.algorithm}"]


def a_key_file_goes_to_file_key_management_and_back(site):
    store = site.key_file()
    host = site.host(store)
    peer = _Peer(store.path, store.algorithm)
    _there_and_back(host, store, peer)
    # The mistake: to leave when there are versions, which the peer does not read.
    host.rotate()
    host.stop()
    host.store = peer
    host.refused("Invalid key|Syntax error")
    host.store = store
    host.start()


def a_keystore_goes_to_file_key_management_and_back(site):
    store = site.keystore(number=0)
    host = site.host(store)
    peer = _Peer(site.folder / "exported", store.algorithm)
    store.run("export", "--no-defaults", "--insecure-plaintext", "--to", peer.path, "--owner", user())
    _there_and_back(host, store, peer)
    # The mistake: a key that was made while away, which the keystore does not have.
    host.stop()
    host.store = peer
    with open(peer.path, "a", encoding="ascii") as keys:
        keys.write(f"91;{secrets.token_hex(16)}\n")
    host.start()
    host.sql("CREATE TABLE moved.made_there (id INT) ENGINE=InnoDB ENCRYPTED=YES ENCRYPTION_KEY_ID=91",
             "INSERT INTO moved.made_there VALUES (1)")
    host.stop()
    host.store = store
    host.start(errors=["key 91 was asked for by moved/made_there.ibd, but the store lacks it", "Put the right store back"])
    store.run("import", "--no-defaults", "--add", "--from-filename", peer.path, "--from-encryption-algorithm", peer.algorithm)
    host.restart()
    if host.sql("SELECT * FROM moved.made_there") != [["1"]]:
        raise Failure("a row that was written while away is missing")


def all_data_is_decrypted_to_leave_after_a_rotation(site):
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    host.more = UNENCRYPTED
    host.restart()
    host.sql(*[f"ALTER TABLE moved.{table} ENCRYPTED=NO" for table in ("other_key", "compressed")],
             "ALTER TABLE moved.aria ENGINE=Aria", "FLUSH BINARY LOGS")
    deadline = time.monotonic() + 30
    while host.sql("SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION "
                   "WHERE MIN_KEY_VERSION > 0 OR ROTATING_OR_FLUSHING") != [["0"]]:
        if time.monotonic() > deadline:
            raise Failure("the decryption does not end")
        time.sleep(0.05)
    host.sql(f"PURGE BINARY LOGS TO '{host.sql('SHOW MASTER STATUS')[0][0]}'")
    host.stop()
    # Nothing is encrypted any more: keys of the peer's own may take over.
    keys = site.key_file("of-peer")
    peer = _Peer(keys.path, keys.algorithm)
    host.store, host.more = peer, []
    host.start()
    host.sql(*[f"ALTER TABLE moved.{table} ENCRYPTED=YES" for table in ("other_key", "compressed")],
             "ALTER TABLE moved.aria ENGINE=Aria")
    host.write("file_key_management")
    host.stop()
    # Back: the mark is of the keys that nothing needs any more.
    host.store = keys
    said = host.refused(LACKS, OUT_OF_DATE)
    obey(said, "rm ")
    host.start()
    host.rotate()
    host.restart()


def _there_and_back(host, store, peer):
    """Each of them changes data, and the other one goes on with it, after a clean stop and after a kill."""
    host.stop()
    host.store = peer
    host.start()
    host.write("file_key_management")
    host.kill()
    host.start()
    host.stop()
    host.store = store
    host.start()
    host.write("keyroll")
