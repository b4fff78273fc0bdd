//! Data keys in memory: the ring that a server reads, sets of keys, their names and fingerprints.
//!
//! Nothing here knows of files, of services, of C or of a server.

pub(crate) mod compare;
pub(crate) mod error;
pub(crate) mod fingerprint;
pub(crate) mod new_versions;
pub(crate) mod ring;
pub(crate) mod set;

pub use compare::{Comparison, Content, Differing};
pub use error::KeysError;
pub use fingerprint::Fingerprint;
pub use new_versions::{HighestVersions, KeySpec, NewVersions, VersionStep};
pub use ring::{Added, Additions, Ring, VersionCipher};
pub use set::{KeyName, KeySet, LAST_VERSION};
