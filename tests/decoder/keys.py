"""Data keys out of a keystore (docs/keystore-format.md), whose master key is in a file (docs/master-keys.md), or out of a
plain key file (docs/stores.md). What a strict reader refuses of their syntax, tests/stores/keystore/vectors has."""

import base64
import hashlib
import hmac
import json
import re
import uuid

import aes
import ciphers
from ciphers import Refused

MEMBERS = (("uuid", "generation", "created"), ("provider", "key_version", "wrapped", "wrapped_at", "key_check"),
           ("id", "version", "algorithm", "bits", "created", "nonce", "wrapped"))
LINE_OF_KEY_FILE = re.compile(
    rb"[ \t\v\f\r]*([0-9]+);(?:([0-9]{1,10});)?([0-9A-Fa-f]{64}|[0-9A-Fa-f]{48}|[0-9A-Fa-f]{32})(?![0-9A-Fa-f])")
LINE_OF_MASTER_KEYS = re.compile(rb"[ \t\f\r]*([0-9]+);([0-9A-Fa-f]{64})[ \t\f\r]*")


class Keys:
    """Data keys: (key id, key version) -> (algorithm, bytes)."""

    def __init__(self, keys):
        self.keys = keys

    def handed_in(self, name, message):
        """What the server passes as the key where it derives one: AES of 16 bytes that stand in the file in clear."""
        return aes.encrypt(self._key(name)[1], message)

    def decrypt(self, name, handed_in, iv, ciphertext, first_update=None):
        """A message without padding under the data key of that id and version; None: the data key itself is handed in."""
        algorithm, data_key = self._key(name)
        return ciphers.decrypt(algorithm, data_key, name, handed_in or data_key, iv, ciphertext, first_update)

    def _key(self, name):
        if name not in self.keys:
            raise Refused(f"key {name[0]} has no version {name[1]}")
        return self.keys[name]


def read_key_file(text, algorithm):
    """The keys of a plain key file. It records no algorithm: that is a setting."""
    keys = {}
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip(b" \t\v\f\r") or line.lstrip(b" \t\v\f\r").startswith(b"#"):
            continue
        found = LINE_OF_KEY_FILE.match(line)
        if not found:
            raise Refused(f"line {number} of the key file is no key")
        key = bytes.fromhex(found[3].decode())
        if keys.setdefault((int(found[1]), int(found[2] or 1)), (algorithm, key))[1] != key:
            raise Refused(f"line {number} of the key file has another key for a version that stands before it")
    return Keys(keys)


def read_master_keys(text):
    """The versions of a master key file."""
    lines = [line for line in text.split(b"\n") if line.strip(b" \t\f\r") and not line.lstrip(b" \t\f\r").startswith(b"#")]
    found = [LINE_OF_MASTER_KEYS.fullmatch(line) for line in lines]
    if not all(found):
        raise Refused("a line of the master key file is no key")
    return {int(line[1]): bytes.fromhex(line[2].decode()) for line in found}


def record(line, members):
    """One line of a keystore: exactly these members, each once."""
    pairs = json.loads(line, object_pairs_hook=list)
    if sorted(name for name, _ in pairs) != sorted(members):
        raise Refused(f"a record of the keystore has other members than {', '.join(members)}")
    return dict(pairs)


def read_keystore(text, master_keys):
    """Opens a keystore in the order of the document; each step has a message of its own."""
    if not text.startswith(b"keyroll keystore 1\n"):
        raise Refused("no keystore")
    body, found, checksum = text.rpartition(b"checksum ")
    if not found or not re.fullmatch(rb"[0-9a-f]{64}\n", checksum):
        raise Refused("cut off")
    if hashlib.sha256(body).hexdigest() != checksum.strip().decode():
        raise Refused("damaged")
    _, store, master, *keys, mac = body.decode().splitlines()
    store, master = record(store, MEMBERS[0]), record(master, MEMBERS[1])
    keys = [record(line, MEMBERS[2]) for line in keys]

    keystore_key = unwrapped_by_file(master_keys, master, store["uuid"])
    salt = uuid.UUID(store["uuid"]).bytes
    wrapping, authentic, check = (ciphers.hkdf(keystore_key, salt, b"keyroll keystore v1 " + info, length) for info, length
                                  in ((b"wrapping key", 32), (b"mac key", 32), (b"key check", 8)))
    if check != base64.b64decode(master["key_check"]):
        raise Refused("another master key")
    covered = body[:body.rindex(b"mac ")]
    if mac != "mac " + hmac.new(authentic, covered, "sha256").hexdigest():
        raise Refused("changed by someone who does not hold its key")
    return Keys({(key["id"], key["version"]): (key["algorithm"], unwrapped(wrapping, store["uuid"], key)) for key in keys})


def unwrapped_by_file(master_keys, master, name):
    """The keystore key, which a master key file has wrapped."""
    version = master["key_version"]
    wrapped = base64.b64decode(master["wrapped"])
    if version not in map(str, master_keys):
        raise Refused("another master key")
    try:
        return ciphers.gcm(master_keys[int(version)], wrapped[:12], f"keyroll master key\0{name}\0{version}".encode(),
                           wrapped[12:])
    except Refused:
        raise Refused("another master key") from None


def unwrapped(wrapping, name, key):
    """One data key."""
    named = " ".join(str(word) for word in (name, key["id"], key["version"], key["algorithm"], key["bits"], key["created"]))
    return ciphers.gcm(wrapping, base64.b64decode(key["nonce"]), named.encode(), base64.b64decode(key["wrapped"]))
