"""Restored data: older and newer than the key store, to a point in time, on a replica."""

import shutil

from host import Host, copy_while_it_runs, free_port, obey, put_in_place, require, run
from server import Failure
from store_moves import LACKS, OUT_OF_DATE

NEWER = "version 5 of key 1 was asked for.* but the store lacks it"


def a_backup_older_than_the_store_is_restored(site):
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    backup, written, yesterday = site.backup(host), list(host.written), site.copied(store, "yesterday")
    host.rotate()
    host.stop()
    # Over the data directory that is there, whose mark stays.
    host.copy_back(backup)
    host.written = written
    host.start()
    host.rotate()
    host.stop()
    # The mistake: the store of that day as well, after the data has gone on.
    host.store = yesterday
    require(host.refused(LACKS), "put the newest one back")
    host.store = store
    host.start()


def a_backup_newer_than_the_restored_store_waits_for_the_right_one(site):
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    yesterday = site.copied(store, "yesterday")
    host.rotate()
    backup = site.backup(host)
    host.stop()
    restored = site.host(yesterday, "restored", of=host, data=backup)
    require(restored.refused(NEWER), "Put the right store back; until then drop and repair nothing")
    restored.store = site.copied(store, "right")
    restored.start()
    restored.rotate()
    restored.restart()


def a_backup_and_its_store_are_restored_over_a_newer_data_directory(site):
    """The mark that stays knows versions of data that is gone."""
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    backup, saved, written = site.backup(host), site.copied(store, "saved"), list(host.written)
    host.rotate()
    host.stop()
    host.copy_back(backup)
    host.written = written
    host.store = saved
    obey(host.refused(LACKS, OUT_OF_DATE), "rm ")
    host.start()
    host.rotate()
    host.restart()


def the_right_store_comes_after_a_start_with_a_wrong_one(site):
    """A backup has no mark: what the wrong store holds is in it after a start that failed."""
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    wrong = site.copied(store, "wrong")
    wrong.run("rotate", "--no-defaults", "--all")
    host.rotate()
    restored = site.host(wrong, "restored", of=host, data=site.backup(host))
    restored.refused("InnoDB: .*decrypt failed")
    restored.store = site.copied(store, "right")
    obey(restored.refused("holds other bytes than this data knows", OUT_OF_DATE), "rm ")
    restored.start()
    restored.rotate()
    restored.restart()


def a_cold_copy_older_than_the_store_is_restored(site):
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    host.stop()
    yesterday = site.copied(store, "yesterday")
    copy = shutil.copytree(host.data, site.folder / "copy")
    written = list(host.written)
    host.start()
    host.rotate()
    host.stop()
    shutil.rmtree(host.data)
    shutil.copytree(copy, host.data)
    host.written = written
    host.start()
    host.rotate()
    host.stop()
    # The mistake: the store of that day as well, once the data has gone on with the newer one.
    host.store = yesterday
    require(host.refused(LACKS), "put the newest one back")
    host.store = store
    host.start()


def data_and_store_go_back_to_yesterday(site):
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    host.stop()
    yesterday, data, written = site.copied(store, "yesterday"), site.folder / "yesterday-data", list(host.written)
    shutil.copytree(host.data, data)
    host.start()
    host.rotate()
    host.stop()
    today = site.copied(store, "today")
    # The mistake: only the store.
    put_in_place(store, yesterday)
    require(host.refused(LACKS), "put the newest one back")
    put_in_place(store, today)
    host.start()
    host.stop()
    put_in_place(store, yesterday)
    shutil.rmtree(host.data)
    shutil.copytree(data, host.data)
    host.written = written
    host.start()
    host.rotate()
    host.restart()


def a_snapshot_of_a_running_server_is_started(site):
    store = site.keystore()
    host = site.host(store)
    before = site.copied(store, "before")
    host.rotate(wait=False)
    snapshot = copy_while_it_runs(host, "snapshot")
    with_it = site.copied(store, "with-it")
    host.rotate()
    there = site.host(before, "there", of=host, data=snapshot)
    there.written = host.written[:-1]
    require(there.refused(LACKS), "put the newest one back")
    there.store = with_it
    there.start()
    there.rotate()
    there.restart()
    host.restart()


def a_point_in_time_is_restored_to_a_new_data_directory(site):
    store = site.keystore()
    host = site.host(store)
    yesterday = site.copied(store, "yesterday")
    backup, until = _accident(site, host)
    restored = site.host(yesterday, "restored", of=host, data=backup)
    restored.written = restored.written[:1]
    # The mistake: a store from before the backup.
    require(restored.refused("version 3 of key 1 was asked for.* but the store lacks it"), "Put the right store back")
    restored.store = site.copied(store, "right")
    _replay(host, restored, until)


def a_point_in_time_is_restored_where_a_newer_mark_was_left(site):
    store = site.keystore()
    host = site.host(store)
    backup, until = _accident(site, host)
    # The data directory of a server that goes on on a copy of the store.
    other = site.host(site.copied(store, "its-own"), "other")
    other.rotate()
    other.rotate()
    other.stop()
    other.copy_back(backup)
    other.written = host.written[:2]
    other.store = store
    obey(other.refused(LACKS, OUT_OF_DATE), "rm ")
    _replay(host, other, until)


def _accident(site, host):
    """A backup, work, rotations, and a table that is dropped by mistake; where that stands in the binary log."""
    host.rotate()
    backup = site.backup(host)
    host.rotate()
    host.write("after the backup")
    log, position = host.sql("SHOW MASTER STATUS")[0][:2]
    host.sql("DROP TABLE moved.plain")
    return backup, (log, position)


def _replay(host, restored, until):
    """Starts on the backup and does what the other server's binary logs say after it, up to the accident."""
    restored.written = host.written[:2]
    info = (host.site.folder / "backup/xtrabackup_binlog_info").read_text().split()
    restored.start()
    logs = [row[0] for row in host.sql("SHOW BINARY LOGS")]
    events = run("mariadb-binlog", "--no-defaults", "--read-from-remote-server", f"--socket={host.server.socket}",
                 "--user=root", f"--start-position={info[1]}", f"--stop-position={until[1]}",
                 *logs[logs.index(info[0]):logs.index(until[0]) + 1])
    run("mariadb", "--no-defaults", f"--socket={restored.server.socket}", "--user=root", text=events)
    restored.written = list(host.written)
    restored.check()
    restored.rotate()
    restored.restart()


def a_replica_is_seeded_by_a_backup_of_a_primary_that_rotates(site):
    store = site.keystore()
    primary = site.host(store, "primary")
    port = free_port()
    primary.more = ["skip-networking = OFF", "bind-address = 127.0.0.1", f"port = {port}"]
    primary.restart()
    primary.sql("CREATE USER replica@'127.0.0.1'", "GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'")
    primary.rotate()
    too_early = site.copied(store, "too-early")
    primary.rotate()
    # The redo log keeps the version that it was made with.
    primary.sql("SET GLOBAL innodb_log_file_size = 16 * 1024 * 1024")
    backup = site.folder / "backup"
    primary.backup(backup)
    primary.rotate()
    later = site.copied(store, "later")
    # The mistake: the copy of the keystore is older than the backup.
    replica = Host(site, "replica", too_early, site.template)
    require(replica.prepare(backup, codes=(1,)), NEWER, "Put the right store back; until then drop and repair nothing")
    replica.store = later
    replica.prepare(backup)
    shutil.rmtree(replica.data)
    shutil.copytree(backup, replica.data)
    replica.more = ["server-id = 2", "log-slave-updates", "skip-slave-start"]
    replica.start()
    log, position = (backup / "xtrabackup_binlog_info").read_text().split()[:2]
    replica.sql(f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'replica', "
                f"MASTER_LOG_FILE = '{log}', MASTER_LOG_POS = {position}, MASTER_CONNECT_RETRY = 1", "START SLAVE")
    for _ in range(2):
        # Each has keys of its own from now on; what travels is rows.
        primary.rotate()
        replica.sql("SET GLOBAL keyroll_rotate_key = -1")
        log, position = primary.sql("SHOW MASTER STATUS")[0][:2]
        if replica.sql(f"SELECT MASTER_POS_WAIT('{log}', {position}, 30)") in ([[None]], [["-1"]]):
            raise Failure(f"the replica does not follow: {replica.sql('SHOW SLAVE STATUS')}")
        replica.written = list(primary.written)
        replica.check()
        replica.restart()
        replica.sql("START SLAVE")
    replica.stop()
    # The mistake: the primary's keystore on the replica, after both rotated.
    own, replica.store = replica.store, store
    require(replica.refused("holds other bytes than this data knows"), "it has grown apart")
    replica.store = own
    replica.start()
