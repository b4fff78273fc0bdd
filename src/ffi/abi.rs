//! The server's structures and numbers, made by bindgen from `include/mariadb_plugin_abi.h`, which
//! `include/abi_check.c` holds against the headers of an installed server.

#![allow(missing_docs, non_camel_case_types, non_upper_case_globals, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks)]

include!(concat!(env!("OUT_DIR"), "/abi.rs"));

#[cfg(test)]
mod tests {
    /// The build script sets this only after the C compiler has accepted every assertion, or to
    /// "cross" where it compiles for another machine.
    #[test]
    fn the_interface_was_held_against_the_headers_of_an_installed_server() {
        let checked = matches!(option_env!("KEYROLL_ABI_CHECKED"), Some("1" | "cross"));
        assert!(checked, "install libmariadbd-dev and build again");
    }
}
