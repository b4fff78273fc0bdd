"""Brings a redo log back under the key of a weaker cipher, after the keystore was moved to aes_256_xts.

The older version of the data key is still in the keystore, as data may need it, and the version that the redo log uses
stands in its header. The pair that `chosen_redo_key` takes from a binary log of that time is good for ever.
"""

from chosen_redo_key import REFUSED, WAYS, log_of, put, read, stopped_server
from redo_log import RedoLog
from server import Failure

OLD, NEW = 1, 3
# What keyroll says of it as it is set by default, and where it refuses it.
REPORTED = f"version {OLD} of key 1, for aes_c(tr|bc), still encrypts, although the latest version, {NEW}, is for aes_256_xts"
STRICT = "keyroll_algorithm_downgrade = strict"
STRICTLY_REFUSED = f"ib_logfile0 goes on under version {OLD} of key 1"


def attack(site, store):
    """A row that the redo log holds, read without a key; None if there is no way back."""
    host, event = stopped_server(site, store)
    # As docs/rotation.md says: the new version, and the redo log made anew under it.
    store.algorithm = "aes_256_xts"
    host.start()
    host.sql("SET GLOBAL keyroll_rotate_key = -1")
    host.server.shut_down()
    host.more = ["innodb_log_file_size = 12M"]
    host.has_said()
    host.start()
    host.stop()
    if RedoLog(log_of(host)).key_version() != NEW:
        raise Failure("the redo log was not made anew under the new version")
    before = log_of(host).read_bytes()
    for pair, way in WAYS:
        block, key = pair(event)
        lsn = put(host, way, block, key, OLD)
        if host.starts():
            secret = read(host, way, block, key, lsn)
            host.has_said(REPORTED)
            _is_refused_by_strict(host)
            return f"the redo log is back under version {OLD}, which the error log says, and this was read in it: {secret}"
        host.has_said(REFUSED)
        log_of(host).write_bytes(before)
    host.start()
    return None


def _is_refused_by_strict(host):
    """The same file does not get past the setting that is there against it."""
    host.more.append(STRICT)
    if host.starts():
        raise Failure(f"the server took a redo log under version {OLD} although {STRICT}")
    host.has_said(STRICTLY_REFUSED)
