//! The settings of a server: the table of system variables, their values, and the key store that
//! they name.
//!
//! The values come from C, where the server has read them, or from text, as option files have it.
//! Both the plugin and the command open the key store of a server through here.

mod error;
mod kms;
pub mod option;
pub mod placeholder;
mod store;
mod table;
mod values;
mod vault;

pub use error::SettingsError;
pub use kms::refuse_keys_of_peer;
pub use option::ServerOption;
pub use placeholder::as_variables;
pub(crate) use table::with_system_variables;
pub use table::{PREFIX, Variable, variables};
pub use values::{HIDDEN, SecretsOfEnvironment, Settings, key_spec, shown_secret};
