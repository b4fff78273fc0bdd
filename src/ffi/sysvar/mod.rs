//! The system variables, as the server knows them.
//!
//! | module | holds |
//! |---|---|
//! | [`values`] | the statics that the server writes to, and what is read from them |
//! | `actions` | what a SET does |
//! | `declarations` | name, type, default and functions of each variable |

mod actions;
mod declarations;
pub(super) mod values;

pub(in crate::ffi) use declarations::VARIABLES;
