//! keyroll as the server calls it: through its vtable, with keys that init published from a key
//! file.

use std::ffi::{CStr, CString, c_char, c_ulong, c_void};
use std::hint::black_box;
use std::io::Write;
use std::ptr::null_mut;

use keyroll::ffi::{ENCRYPTION, abi};
use tempfile::NamedTempFile;

use crate::cases::{Case, Mode};

unsafe extern "C" {
    // What the server looks up in the library.
    static _maria_plugin_declarations_: [abi::kr_plugin; 2];
}

/// The plugin with a key file of its own.
pub(crate) struct Plugin {
    key_file: NamedTempFile,
    file_name: CString,
    vtable: &'static abi::kr_encryption,
    context_size: usize,
}

impl Plugin {
    pub(crate) fn new() -> Self {
        let mut key_file = NamedTempFile::new().expect("a temporary file");
        writeln!(key_file, "1;{}", "2b7e151628aed2a6".repeat(4)).expect("the temporary file is writable");
        let file_name =
            CString::new(key_file.path().as_os_str().as_encoded_bytes()).expect("a path has no zero");
        // The compiler must not see through to the functions; the server's cannot either.
        let vtable = &black_box(&ENCRYPTION).0;
        let size = vtable.crypt_ctx_size.expect("the vtable is complete");
        // SAFETY: the function has no conditions.
        let context_size = unsafe { size(1, 1) } as usize;
        Plugin {
            key_file,
            file_name,
            vtable,
            context_size,
        }
    }

    pub(crate) fn context_size(&self) -> usize {
        self.context_size
    }

    /// Runs init with the algorithm that a mode belongs to.
    pub(crate) fn start(&self, mode: Mode) {
        assert!(self.key_file.path().exists());
        // SAFETY: the server writes to the variables before init and calls init once at a time, as
        // we do; the file's name lives as long as `self`.
        unsafe {
            let plugin = &_maria_plugin_declarations_[0];
            *variable::<*mut c_char>(plugin, c"filename") = self.file_name.as_ptr().cast_mut();
            *variable::<c_ulong>(plugin, c"encryption_algorithm") = match mode {
                Mode::Cbc => 0,
                Mode::Ctr | Mode::Gcm => 1,
                Mode::Xts => 2,
                Mode::Hctr2 => 3,
            };
            assert_eq!(plugin.init.expect("there is an init")(null_mut()), 0);
        }
    }

    pub(crate) fn stop(&self) {
        // SAFETY: nothing of the plugin is in use.
        unsafe {
            let plugin = &_maria_plugin_declarations_[0];
            assert_eq!(plugin.deinit.expect("there is a deinit")(null_mut()), 0);
        }
    }

    /// One message: init, updates, finish. `dst` has room for a block more than comes out.
    #[inline]
    pub(crate) fn run(&self, case: &Case, key: &[u8], iv: &[u8; 16], src: &[u8], dst: &mut [u8]) -> usize {
        let mut memory = [const { std::mem::MaybeUninit::<u64>::uninit() }; 512];
        assert!(self.context_size <= size_of_val(&memory));
        let context: *mut c_void = memory.as_mut_ptr().cast();
        let flags = u32::from(case.encrypt)
            | if case.mode == Mode::Gcm {
                0
            } else {
                abi::KR_FLAG_NOPAD
            };
        // SAFETY: as the server does it: a context of the size told, lengths that are right, and
        // room for all that comes out.
        unsafe {
            let init = self.vtable.crypt_ctx_init.unwrap_unchecked();
            let (klen, ivlen) = (key.len() as u32, iv.len() as u32);
            let code = init(
                context,
                key.as_ptr(),
                klen,
                iv.as_ptr(),
                ivlen,
                flags as i32,
                1,
                1,
            );
            assert_eq!(code, 0);
            let (mut done, mut length) = (0, 0);
            let update = self.vtable.crypt_ctx_update.unwrap_unchecked();
            // A tag stands at the end, so its decryption takes all at once.
            for piece in src.chunks(if case.mode == Mode::Gcm {
                src.len()
            } else {
                case.step
            }) {
                let to = dst[done..].as_mut_ptr();
                let code = update(context, piece.as_ptr(), piece.len() as u32, to, &mut length);
                assert_eq!(code, 0);
                done += length as usize;
            }
            let finish = self.vtable.crypt_ctx_finish.unwrap_unchecked();
            assert_eq!(finish(context, dst[done..].as_mut_ptr(), &mut length), 0);
            done + length as usize
        }
    }
}

/// The place of a system variable's value.
///
/// # Safety
/// The plugin's variable of this name has this type.
unsafe fn variable<T>(plugin: &abi::kr_plugin, name: &CStr) -> *mut T {
    let mut at = plugin.system_vars;
    // SAFETY: the array ends with a null; each kind of variable begins with the same header, and
    // all that we ask for have the pointer to the value behind it.
    unsafe {
        while !(*at).is_null() {
            if CStr::from_ptr((**at).name) == name {
                return (*(*at).cast::<abi::kr_sys_var_str>()).value.cast();
            }
            at = at.add(1);
        }
    }
    panic!("no variable {name:?}")
}
