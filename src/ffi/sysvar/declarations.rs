//! The declarations of the system variables, which the server completes.

use std::ffi::{c_char, c_int};
use std::ptr;

use super::super::abi;
use super::super::cell::ServerCell;
use super::actions;
use super::values::value;
use crate::settings::with_system_variables;

/// Makes the declaration of each row of the table, and the array of all.
macro_rules! declare {
    (
        settings {
            $($kind:ident $name:ident = $default:tt $(, $min:literal, $max:expr)?, $when:ident, $stores:ident, $comment:literal;)*
        }
        actions { $($action:ident $act:ident, $acts_on:ident, $does:literal;)* }
    ) => {
        /// The declarations, which the server completes.
        #[allow(non_upper_case_globals, reason = "named like the variables")]
        mod variable {
            use super::*;
            $(declare!(@variable $kind $name [$default] [$($min, $max)?] $when, $comment);)*
            $(declare!(@variable $action $act [] [] live, $does);)*
        }

        /// What the plugin's declaration points to: all variables and a null at the end.
        pub(in crate::ffi) static VARIABLES:
            ServerCell<[*mut abi::kr_sys_var; [$(stringify!($name),)* $(stringify!($act)),*].len() + 1]> =
            ServerCell::new([
                $(variable::$name.get().cast(),)*
                $(variable::$act.get().cast(),)*
                ptr::null_mut(),
            ]);
    };

    // What a SET does beside storing the value; `None`: the server stores it.
    (@update start $type:ty) => { None };
    (@update live $type:ty) => { None };
    (@update refresh $type:ty) => { Some(actions::tell_refresher::<$type>) };

    (@variable text $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        declare!(@text $name, $default, when::$when, $comment, None, None);
    };
    (@variable adopted_text $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        declare!(@text $name, $default, when::$when, $comment, Some(actions::$name), Some(actions::show_adopted));
    };
    (@text $name:ident, $default:literal, $when:expr, $comment:literal, $check:expr, $update:expr) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_str> = ServerCell::new(abi::kr_sys_var_str {
            header: header(abi::KR_VAR_STR | $when, named!($name), named!($comment), $check, $update),
            value: value::$name.get(),
            // Never null: mariadb-backup builds --name=value from what is shown and crashes on a
            // NULL.
            def_val: concat!($default, "\0").as_ptr().cast(),
        });
    };
    (@variable text_action $name:ident [] [] $when:ident, $comment:literal) => {
        declare!(@text $name, "", when::$when, $comment, Some(actions::$name), Some(actions::stay_at_rest));
    };
    (@variable secret $($row:tt)*) => { declare!(@variable text $($row)*); };
    (@variable choice $name:ident [[$index:literal of $($choice:literal),*]] [] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_enum> = {
            const COUNT: usize = [$($choice),*].len();
            static NAMES: ServerCell<[*const c_char; COUNT + 1]> =
                ServerCell::new([$(concat!($choice, "\0").as_ptr().cast(),)* ptr::null()]);
            static TYPELIB: ServerCell<abi::kr_typelib> = ServerCell::new(abi::kr_typelib {
                count: COUNT as u32,
                name: c"".as_ptr(),
                type_names: NAMES.get().cast(),
                type_lengths: ptr::null_mut(),
                later: ptr::null(),
            });
            ServerCell::new(abi::kr_sys_var_enum {
                header: header(abi::KR_VAR_ENUM | when::$when, named!($name), named!($comment), None, None),
                value: value::$name.get(),
                def_val: $index,
                typelib: TYPELIB.get(),
            })
        };
    };
    (@variable number $name:ident [$default:literal] [$min:literal, $max:expr] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_uint> = ServerCell::new(abi::kr_sys_var_uint {
            header: header(
                abi::KR_VAR_INT | abi::KR_VAR_UNSIGNED | when::$when,
                named!($name), named!($comment), None, declare!(@update $when u32),
            ),
            value: value::$name.get(),
            def_val: $default,
            min_val: $min,
            max_val: $max,
            blk_sz: 0,
        });
    };
    (@variable wide_number $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_longlong> = ServerCell::new(abi::kr_sys_var_longlong {
            header: header(
                abi::KR_VAR_LONGLONG | when::$when, named!($name), named!($comment), None, declare!(@update $when i64),
            ),
            value: value::$name.get(),
            def_val: $default,
            min_val: 0,
            max_val: i64::MAX,
            blk_sz: 0,
        });
    };
    (@variable flag $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        declare!(@bool $name, $default as c_char, when::$when, $comment, None, declare!(@update $when c_char));
    };
    (@variable flag_action $name:ident [] [] $when:ident, $comment:literal) => {
        declare!(@bool $name, 0, when::$when, $comment, Some(actions::$name), Some(actions::stay_at_rest));
    };
    (@bool $name:ident, $default:expr, $when:expr, $comment:literal, $check:expr, $update:expr) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_bool> = ServerCell::new(abi::kr_sys_var_bool {
            header: header(
                abi::KR_VAR_BOOL | abi::KR_VAR_OPTIONAL_ARGUMENT | $when,
                named!($name), named!($comment), $check, $update,
            ),
            value: value::$name.get(),
            def_val: $default,
        });
    };
    (@variable id_action $($row:tt)*) => { declare!(@variable key_action $($row)*); };
    (@variable key_action $name:ident [] [] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_longlong> = ServerCell::new(abi::kr_sys_var_longlong {
            header: header(
                abi::KR_VAR_LONGLONG | when::$when,
                named!($name), named!($comment), Some(actions::$name), Some(actions::stay_at_rest),
            ),
            value: value::$name.get(),
            def_val: 0,
            min_val: -1,
            max_val: u32::MAX as i64,
            blk_sz: 0,
        });
    };
}

/// A name or a literal as a C string.
macro_rules! named {
    ($name:ident) => {
        concat!(stringify!($name), "\0").as_ptr().cast()
    };
    ($text:literal) => {
        concat!($text, "\0").as_ptr().cast()
    };
}

/// When a variable may be set, as flags.
#[allow(non_upper_case_globals, reason = "the words of the table")]
mod when {
    pub(super) const start: u32 = super::abi::KR_VAR_READONLY;
    pub(super) const live: u32 = 0;
    pub(super) const refresh: u32 = 0;
}

with_system_variables!(declare);

const fn header(
    flags: u32,
    name: *const c_char,
    comment: *const c_char,
    check: abi::kr_check_func,
    update: abi::kr_update_func,
) -> abi::kr_sys_var {
    abi::kr_sys_var {
        flags: flags as c_int,
        name,
        comment,
        check,
        update,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::settings;

    #[test]
    fn the_array_ends_with_a_null_and_holds_every_variable_of_the_table() {
        // SAFETY: nobody writes to the array in a test.
        let array = unsafe { &*VARIABLES.get() };
        let (last, variables) = array.split_last().unwrap();
        assert!(last.is_null());
        for (declared, documented) in variables.iter().zip(settings::variables()) {
            // SAFETY: each pointer is that of a static.
            let name = unsafe { CStr::from_ptr((**declared).name) }.to_str().unwrap();
            assert_eq!(format!("keyroll_{name}"), documented.name);
        }
        assert_eq!(variables.len(), settings::variables().len());
    }
}
