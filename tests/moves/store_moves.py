"""Moves of key stores: shared, turned into another kind, under another master key, in two copies."""

import os

from host import put_in_place, require, run, user

LACKS = "lacks key versions that this data knows"
OUT_OF_DATE = r"The mark is out of date if all data here was replaced since \(restore, SST\) or decrypted, or if a start with"


def two_data_directories_share_a_keystore(site):
    _share(site, site.keystore())


def two_data_directories_share_a_key_file(site):
    _share(site, site.key_file(number=1))


def _share(site, store):
    first, second = site.host(store, "first"), site.host(store, "second")
    old = site.copied(store, "old")
    for host, other in ((first, second), (second, first)):
        host.rotate()
        other.sql("SET GLOBAL keyroll_reload_keys = 1")
        other.write("what the other one made")
    for host in (first, second):
        host.restart()
        host.stop()
    newest = site.copied(store, "newest")
    put_in_place(store, old)
    for host in (first, second):
        require(host.refused(LACKS), "put the newest one back|the newest copy of key file .*, back")
    put_in_place(store, newest)
    for host in (first, second):
        host.start()


def a_key_file_becomes_a_keystore(site):
    _become_keystore(site, site.key_file(number=0))


def an_encrypted_key_file_becomes_a_keystore(site):
    _become_keystore(site, site.key_file(number=1))


def _become_keystore(site, keys):
    host = site.host(keys)
    host.rotate()
    keystore = site.keystore("keystore")
    source = ["--from-filename", keys.path, "--from-encryption-algorithm", keys.algorithm]
    if keys.password:
        source += ["--from-filekey", f"FILE:{keys.password}", "--from-digest", "sha256", "--from-use-pbkdf2", "10"]
    keystore.path.unlink()
    keystore.run("import", "--no-defaults", *source, "--owner", user())
    # The mistake: the key file goes on being rotated after its keys were taken over.
    host.rotate(1)
    host.stop()
    host.store = keystore
    said = host.refused(LACKS, "version 5 of key 1 ")
    require(said, r"add them by `keyroll import --add --from-filename PATH`, or start with key file .* again")
    keystore.run("import", "--no-defaults", "--add", *source)
    host.start()
    host.rotate()
    host.restart()
    # The key file lacks what was made since.
    host.stop()
    host.store = keys
    said = host.refused(LACKS)
    require(said, r"put the one with UUID \S+ back, last seen as keystore ")
    host.store = keystore
    host.start()


def a_keystore_becomes_a_key_file(site):
    keystore = site.keystore()
    host = site.host(keystore)
    host.rotate()
    old = _exported(site, keystore, "old")
    host.rotate(1)
    host.stop()
    host.store = old
    require(host.refused(LACKS, "version 5 of key 1 "), r"put the one with UUID \S+ back, last seen as keystore ")
    host.store = _exported(site, keystore, "new")
    # Another one: a key file records no algorithm. The command has named the one that the data needs.
    host.store.algorithm = "aes_cbc"
    host.refused("InnoDB: ")
    host.store.algorithm = "aes_256_xts"
    host.start()
    host.rotate()
    host.restart()


def _exported(site, keystore, name):
    keys = site.key_file(name, number=2)
    keys.path.unlink()
    told = run(site.command, "export", "--no-defaults", *keystore.options(), "--insecure-plaintext", "--to", keys.path,
               "--owner", user())
    require(told, rf"set keyroll_encryption_algorithm .* = {keys.algorithm}\n")
    return keys


def a_keystore_moves_to_another_master_key_file(site):
    _move_master_key(site, lambda store: f"file:{store.secret}/another", "file:")


def a_keystore_moves_to_a_command(site):
    _move_master_key(site, lambda store: store.next_master_key(), "exec:")


def a_keystore_moves_to_a_systemd_credential(site):
    def credential(store):
        # What systemd does with LoadCredential: a file in a folder that the environment names.
        run(store.command, "init", "--no-defaults", "--keystore",
            site.folder / "unused", "--master-key", f"file:{store.secret}/made-for-systemd", "--owner", user())
        return "credential:made-for-systemd"
    store = site.keystore()
    # No other move looks at it.
    os.environ["CREDENTIALS_DIRECTORY"] = str(store.secret)
    _move_master_key(site, credential, "credential:", store)


def _move_master_key(site, new_uri, kind, store=None):
    """While a server runs, and while it is stopped."""
    store = store or site.keystore()
    host = site.host(store)
    host.rotate()
    old_uri, older = store.master_key, site.copied(store, "older")
    new = new_uri(store)
    statements = store.run("rotate-master-key", "--no-defaults", "--to", new, "--owner", user())
    if kind != "exec:":
        # A statement may not name a program.
        host.sql(*[line.rstrip(";") for line in statements.splitlines() if line.startswith("SET GLOBAL")])
        host.rotate(1)
    host.stop()
    # The mistake: my.cnf still has the old one.
    host.refused("was wrapped by another master key", "name the master key that wrapped this keystore")
    store.master_key = new
    host.start()
    if kind != "credential:":
        # A credential is read only.
        host.sql("SET GLOBAL keyroll_rotate_master_key = 1")
    host.rotate(1)
    host.stop()
    # The other one: the keystore and the master key of before the move.
    newest = site.copied(store, "newest")
    put_in_place(store, older)
    store.master_key = old_uri
    require(host.refused(LACKS), "it is an older copy, written .* put the newest one back")
    put_in_place(store, newest)
    store.master_key = new
    # Back, while the server is stopped.
    back = f"file:{store.secret}/back"
    store.run("rotate-master-key", "--no-defaults", "--to", back, "--owner", user())
    store.master_key = back
    host.start()


def the_master_key_is_rotated_while_the_server_is_stopped(site):
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    host.stop()
    before = site.copied(store, "before")
    store.run("rotate-master-key", "--no-defaults")
    host.start()
    host.rotate(1)
    host.stop()
    newest = site.copied(store, "newest")
    put_in_place(store, before)
    require(host.refused(LACKS), "put the newest one back")
    put_in_place(store, newest)
    host.start()


def an_older_keystore_that_lacks_no_version_is_put_back(site):
    store = site.keystore()
    host = site.host(store)
    host.rotate()
    before = site.copied(store, "before")
    host.sql("SET GLOBAL keyroll_rotate_master_key = 1")
    host.stop()
    newest = site.copied(store, "newest")
    put_in_place(store, before)
    host.start(warns=["is an older copy, written .* no key is missing in it. Put the newest one back if there is one"])
    host.stop()
    put_in_place(store, newest)
    host.start()
    host.rotate()
    host.restart()


def two_copies_of_a_keystore_grew_apart(site):
    ours = site.keystore()
    host = site.host(ours)
    host.rotate()
    host.stop()
    theirs = site.copied(ours, "theirs")
    other = site.host(theirs, "other", of=host)
    host.start()
    other.start()
    for each in (host, other):
        each.rotate()
    other.sql("CREATE TABLE moved.made_there (id INT) ENCRYPTED=YES ENCRYPTION_KEY_ID=90",
              "INSERT INTO moved.made_there VALUES (1)")
    host.stop()
    other.stop()
    # The data of the one with the copy of the other.
    host.store, kept = theirs, ours
    said = host.refused("holds other bytes than this data knows for version 5 of key 1 ")
    require(said, "it has grown apart .*`keyroll check --datadir DIR --against COPY` tells which it is")
    told = run(site.command, "check", "--no-defaults", "--user", user(), *theirs.options(), "--datadir", host.data, "--against", kept.path,
               "--against-master-key", kept.master_key, codes=(2,))
    require(told, f"keystore {kept.path} belongs to the data")
    host.store = kept
    host.start()
    # Nothing is mixed where both hold other bytes under one name; what only they have is added.
    mix = ["import", "--no-defaults", "--add", "--from-keystore", theirs.path, "--from-master-key", theirs.master_key]
    refused = run(site.command, *mix, *ours.options(), codes=(2,))
    require(refused, "hold other keys under one name, so nothing was added: version 5 of key 1 ")
    ours.run(*mix, "--from-id", "90")
    host.restart()
    other.start()
    if other.sql("SELECT * FROM moved.made_there") != [["1"]]:
        raise Failure("a row of the other data directory is missing")
