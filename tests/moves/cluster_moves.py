"""Nodes of a Galera cluster that get all data from another one (SST)."""

import time

from client import ConnectionLost
from host import Host, at_folder, free_port, obey, put_in_place, require, run, user
from server import Failure
from store_moves import LACKS, OUT_OF_DATE

NEWER = "version [0-9]+ of key 1 was asked for.* but the store lacks it"
NOT_REACHED = "failed to reach primary view"
USER = "mysql"


def a_new_node_joins_by_rsync(site):
    _new_node_joins(site, "rsync")


def a_new_node_joins_by_mariabackup(site):
    _new_node_joins(site, "mariabackup")


def _new_node_joins(site, method):
    """The mistake: its copy of the keystore is older than the donor's."""
    store, donor = _first_node(site, method)
    too_early = site.copied(store, "too-early")
    donor.rotate()
    joiner = _Node(site, "joiner", too_early, method, site.template)
    joiner.fails_to_join(donor, NEWER, "Put the right store back")
    put_in_place(too_early, store)
    joiner.own_files()
    joiner.join(donor)
    donor.write("the cluster of two")
    joiner.written = list(donor.written)
    joiner.check()


def a_former_node_joins_again_by_rsync(site):
    _former_node_joins(site, "rsync")


def a_former_node_joins_again_by_mariabackup(site):
    _former_node_joins(site, "mariabackup")


def _former_node_joins(site, method):
    """Its mark is older than the data that it gets. The mistake: it rotated its own copy while it was away."""
    store, donor = _first_node(site, method)
    donor.rotate()
    own = site.copied(store, "own")
    joiner = _Node(site, "joiner", own, method, site.template)
    joiner.join(donor)
    joiner.stop()
    donor.rotate()
    own.run("rotate", "--no-defaults", "--all")
    joiner.forget()
    joiner.fails_to_join(donor)
    put_in_place(own, store)
    joiner.own_files()
    joiner.forget()
    if method == "rsync":
        # Now its mark knows what it rotated by itself, which no data needs any more.
        obey(joiner.fails_to_join(donor, "it has grown apart", OUT_OF_DATE), "rm ")
    joiner.join(donor)


def a_node_catches_up_with_an_older_copy_of_the_keystore(site):
    """What travels is rows, from the donor's cache (IST), and no pages: the donor's rotations do not matter."""
    store, donor = _first_node(site, "rsync")
    own = site.copied(store, "own")
    joiner = _Node(site, "joiner", own, "rsync", site.template)
    joiner.join(donor)
    joiner.stop()
    donor.rotate()
    # The mistake: a copy of its own that is older still than its data.
    too_early = site.copied(own, "too-early")
    own.run("rotate", "--no-defaults", "--all")
    joiner.join(donor)
    donor.write("the cluster of two")
    joiner.written = list(donor.written)
    joiner.check()
    joiner.stop()
    newest = site.copied(own, "newest")
    put_in_place(own, too_early)
    joiner.own_files()
    # Not as a node: one that fails while it joins loses its place and needs all data.
    joiner.more.append("wsrep_on = OFF")
    require(joiner.refused(LACKS), "put the newest one back")
    joiner.more.pop()
    put_in_place(own, newest)
    joiner.own_files()
    joiner.join(donor)


def a_node_joins_on_a_shared_keystore_by_rsync(site):
    _share(site, "rsync")


def a_node_joins_on_a_shared_keystore_by_mariabackup(site):
    _share(site, "mariabackup")


def _share(site, method):
    store, donor = _first_node(site, method)
    joiner = _Node(site, "joiner", store, method, site.template)
    joiner.join(donor)
    donor.rotate()
    joiner.sql("SET GLOBAL keyroll_reload_keys = 1")
    joiner.written = list(donor.written)
    joiner.rotate()
    donor.sql("SET GLOBAL keyroll_reload_keys = 1")
    donor.written = list(joiner.written)
    joiner.stop()
    donor.rotate()
    joiner.forget()
    joiner.join(donor)


def a_server_of_another_keystore_joins_by_rsync(site):
    """Its mark stays, and is of data that is gone: the message says what to do."""
    joiner, donor = _with_another_mark(site, "rsync")
    obey(joiner.fails_to_join(donor, "holds other bytes than this data knows", OUT_OF_DATE), "rm ")
    joiner.join(donor)


def a_server_of_another_keystore_joins_by_mariabackup(site):
    """Its mark is removed with the data that it is of."""
    joiner, donor = _with_another_mark(site, "mariabackup")
    joiner.join(donor)


def _with_another_mark(site, method):
    store, donor = _first_node(site, method)
    donor.rotate()
    other = site.host(site.keystore("other"), "lone")
    other.rotate()
    other.stop()
    own = site.copied(store, "own")
    return _Node(site, "joiner", own, method, other.data), donor


def _first_node(site, method):
    store = site.keystore()
    donor = _Node(site, "donor", store, method, site.template)
    donor.bootstrap()
    donor.make_tables()
    return store, donor


class _Node(Host):
    """A node in a mount namespace of its own, where one and the same path shows its own copy of the key store: what a
    backup's options name is never the donor's by accident."""

    def __init__(self, site, name, own, method, data):
        here = site.folder / "store-of-this-host"
        here.mkdir(exist_ok=True)
        super().__init__(site, name, at_folder(own, here), data)
        self.own = own
        self.group, incremental, self.sst = free_port(), free_port(), free_port()
        self.more = [
            "wsrep_on = ON", "wsrep_sync_wait = 7", "wsrep_mode = REPLICATE_ARIA",
            "wsrep_provider = /usr/lib/galera/libgalera_smm.so", "wsrep_cluster_name = moves",
            "innodb_autoinc_lock_mode = 2", "wsrep_node_address = 127.0.0.1", f"wsrep_node_name = {name}",
            f"wsrep_sst_method = {method}", "wsrep_sst_auth = root:", f"wsrep_sst_receive_address = 127.0.0.1:{self.sst}",
            "wsrep_provider_options = " + ";".join([
                "base_host=127.0.0.1", f"base_port={self.group}", f"gmcast.listen_addr=tcp://127.0.0.1:{self.group}",
                f"ist.recv_addr=127.0.0.1:{incremental}", "gcache.size=8M", "pc.recovery=FALSE",
                # A node that ends on the other one's failure shall not take it along.
                "pc.ignore_sb=TRUE"])]
        self.server.program = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec mariadbd "$@"',
                               own.folder, here]
        self.run_as(USER)
        self.own_files()

    def own_files(self):
        """Gives the store to the server's user."""
        run("chown", "-R", f"{USER}:", self.own.folder)

    def bootstrap(self):
        """Starts as the first node."""
        self.server.launch(["wsrep_cluster_address = gcomm://", "wsrep_new_cluster"])
        self._wait()

    def join(self, donor):
        """Gets all data from the donor, and holds every row."""
        self.written = list(donor.written)
        self._knock(donor)
        try:
            self._wait()
        except Failure:
            if NOT_REACHED not in self.new_text():
                raise
            # On a machine that had no time for it, a node gave up on the other one. It tries again, as a service does.
            self.has_said()
            self._knock(donor)
            self._wait()
        self.check()

    def fails_to_join(self, donor, *texts):
        """Gets data that its store does not fit. Returns what the server and mariadb-backup say about it."""
        self._knock(donor)
        if not self.server.ends_by_itself():
            raise Failure("a node joined whose keystore does not fit the donor's data")
        prepared = self.data / "mariabackup.prepare.log"
        said = self.has_said() + (prepared.read_text() if prepared.exists() else "")
        require(said, *texts)
        return said

    def _knock(self, donor):
        self.server.launch([f"wsrep_cluster_address = gcomm://127.0.0.1:{donor.group}"])

    def forget(self):
        """Needs all data anew when it joins again."""
        (self.data / "grastate.dat").unlink(missing_ok=True)

    def _checks_out(self, *codes):
        self.own.run("check", "--no-defaults", "--user", user(), "--datadir", self.data, codes=codes)

    def stop(self):
        self.server.shut_down()

    def _is_ready(self):
        try:
            return self.sql("SHOW STATUS LIKE 'wsrep_ready'") == [["wsrep_ready", "ON"]]
        except ConnectionLost:
            # A node ends its connections when it becomes a member. One that has ended itself is never ready.
            return False

    def _wait(self):
        try:
            self.server.wait_until_up()
        except Failure as failure:
            raise Failure(f"{failure}:\n{self.short_text()}") from None
        deadline = time.monotonic() + 30
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise Failure(f"{self.server.folder.name} is no ready node of the cluster")
            time.sleep(0.05)
