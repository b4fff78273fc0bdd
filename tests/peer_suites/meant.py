"""Where keyroll means to differ from a peer in what a test of the peer's expects: what the test's copy has instead, and why.

A pattern that its file no longer has is an error. docs/differences.md tells users of each.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """`text` takes the place of what `pattern` (of lines) finds in the files of this name."""
    file: str
    pattern: bytes
    text: bytes
    reason: str


OF_THE_PEER = (b"cache_timeout|cache_version_timeout|caching_enabled|check_kv_version|max_retries|timeout|use_cache_on_timeout|"
               b"vault_ca|vault_url")
# What the error log may have in these tests.
SUPPRESSED = [
    (b"keyroll: .* was asked for.*, but the store lacks it", "tests start without keys that tables need, and keyroll says which"),
    (b"keyroll: started without keys, as keyroll_check_kv_version = OFF says", "tests start a server before its mount is there"),
    (b"keyroll: the refresh of the keys failed: ", "tests remove and make the mount of a running server, and keyroll looks for new versions"),
    (b"is missing in the key store; this server goes on with it",
     "tests remove the mount of a running server, and keyroll looks for lost versions"),
]
DIFFERENCES = [
    Difference("mysql-test-run.pl", rb"^sub mysqld_start .*\n.*\n.*\n",
               b'\\g<0>  unlink $mysqld->value("datadir") . "/keyroll.mark";\n',
               "tests start a server with other keys on purpose, which the mark refuses, and some come back without any; without it "
               "keyroll must do as the peer does"),
    *(Difference(f"hashicorp_{test}.{kind}", rb'^SHOW GLOBAL variables LIKE "hashicorp%";',
                 b'SHOW GLOBAL variables WHERE Variable_name RLIKE "^keyroll_(%s)$";' % OF_THE_PEER,
                 "keyroll has more variables; those of the peer are shown")
      for test in ("encode", "key_rotation_age") for kind in ("test", "result")),
    Difference("hashicorp_cache_timeout_update.result",
               rb"^Warnings:\nWarning\t1287\t'@@keyroll_cache_timeout' is deprecated .*\n", b"",
               "the variable has a use here: how often the keys in memory are compared with Vault's"),
    *(Difference(f"hashicorp_{test}.test", rb": hashicorp: \.\*", b": (According|Supplied|Key-value) .*",
                 "the errors have the words of the peer, and not its name before them")
      for test in ("check_kv_version", "url_prefix")),
    *(Difference(f"hashicorp_{test}.result", rb": hashicorp: ", b": ", "the same")
      for test in ("check_kv_version", "url_prefix")),
    *(Difference("mtr_warnings.sql", rb"^INSERT INTO global_suppressions VALUES$", b'\\g<0>\n ("%s"),' % warning, reason)
      for warning, reason in SUPPRESSED),
]
