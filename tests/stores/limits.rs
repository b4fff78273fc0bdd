//! Limits that documents name, and that other programs count on.

use keyroll::keys::LAST_VERSION;
use keyroll::store::key_file::FILE_SIZE_LIMIT;
use keyroll::store::keystore::records::LAST_GENERATION;
use keyroll::store::{keystore, mark};

#[test]
fn limits_are_those_of_the_documents() {
    // docs/keystore-format.md: 64 MiB, 2^53-1 writes.
    assert_eq!(keystore::KIND.size_limit, 67_108_864);
    assert_eq!(LAST_GENERATION, 9_007_199_254_740_991);
    // docs/stores.md: 32 MiB; file_key_management reads 1 MiB.
    assert_eq!(FILE_SIZE_LIMIT, 33_554_432);
    // The server: 2^32-1 is no version.
    assert_eq!(LAST_VERSION, 4_294_967_294);
    // A mark lists all versions that the largest keystore holds.
    assert_eq!(mark::KIND.size_limit, 4 * keystore::KIND.size_limit);
}
