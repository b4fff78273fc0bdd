"""Examples that no story runs, each with the reason."""

_TESTS = "the tests themselves"
_BUILD = "scripts/test_install.sh, test_cmake.sh and test_server_tree.sh build and install so"

NOT_RUN = {
    "README.md#two-commands": "scripts/test_fresh.sh runs them in a clean Debian",
    "docs/testing.md#moves": _TESTS,
    "docs/testing.md#examples": _TESTS,
    "docs/testing.md#attacks": _TESTS,
    "docs/testing.md#the-peers-own-tests": _TESTS,
    "docs/testing.md#the-soak": _TESTS,
    "docs/testing.md#the-crowd": _TESTS,
    "docs/keystore-format.md#an-example": "tests/stores/keystore/second_reader.rs runs it, and compares what it prints",
    "docs/outages.md#do-it-again": _TESTS,
    "docs/packaging.md#beside-an-installed-server": _BUILD,
    "docs/packaging.md#in-a-servers-source-tree": _BUILD,
    "docs/packaging.md#vendored-crates": _BUILD,
    "docs/stores.md#a-key-file-that-is-not-read-as-it-looks": "tests/stores/key_file/documented.rs runs it, and what it must not harm",
    "docs/stores.md#a-key-file-that-is-not-read-as-it-looks:2": "tests/stores/key_file/documented.rs runs it, and what it must not harm",
}
