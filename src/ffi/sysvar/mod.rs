//! The system variables, as the server knows them.

mod actions;
mod declarations;
pub(super) mod values;

pub(in crate::ffi) use declarations::VARIABLES;
