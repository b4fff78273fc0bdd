//! OpenSSL 3 as the server and its own plugins call it: a context in a buffer on the stack, made
//! for each message and reset after it.

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

use openssl_sys::{
    ERR_clear_error, EVP_CIPHER, EVP_CIPHER_CTX, EVP_CIPHER_CTX_ctrl, EVP_CIPHER_CTX_set_padding,
    EVP_CTRL_GCM_GET_TAG, EVP_CTRL_GCM_SET_TAG, EVP_CipherInit_ex, EVP_CipherUpdate,
};

use crate::cases::{Case, Mode};

unsafe extern "C" {
    fn EVP_CIPHER_CTX_reset(ctx: *mut EVP_CIPHER_CTX) -> c_int;
    fn EVP_CipherFinal_ex(ctx: *mut EVP_CIPHER_CTX, out: *mut u8, length: *mut c_int) -> c_int;
}

/// A context in memory of ours: OpenSSL 3 keeps 184 bytes in it.
#[repr(C, align(16))]
struct Context([u8; 200]);

impl Context {
    fn new() -> Self {
        let mut context = Context([0; 200]);
        // SAFETY: OpenSSL 1.1 to 3 need at most this much, and zeroes are an empty one.
        unsafe { EVP_CIPHER_CTX_reset(context.raw()) };
        context
    }

    fn raw(&mut self) -> *mut EVP_CIPHER_CTX {
        (&raw mut self.0).cast()
    }

    fn init(&mut self, cipher: *const EVP_CIPHER, key: &[u8], iv: *const u8, encrypt: bool) {
        // SAFETY: key and IV have the lengths of the cipher.
        let code =
            unsafe { EVP_CipherInit_ex(self.raw(), cipher, null_mut(), key.as_ptr(), iv, encrypt.into()) };
        assert_eq!(code, 1);
    }

    /// # Safety
    /// `dst` has room for `src` and a block more, or is null for additional data.
    unsafe fn update(&mut self, src: &[u8], dst: *mut u8) -> usize {
        let mut length = 0;
        // SAFETY: by this function's contract.
        let code =
            unsafe { EVP_CipherUpdate(self.raw(), dst, &mut length, src.as_ptr(), src.len() as c_int) };
        assert_eq!(code, 1);
        length as usize
    }

    /// # Safety
    /// `dst` has room for a block.
    unsafe fn end(&mut self, dst: *mut u8) -> usize {
        let mut length = 0;
        // SAFETY: by this function's contract.
        assert_eq!(unsafe { EVP_CipherFinal_ex(self.raw(), dst, &mut length) }, 1);
        length as usize
    }

    fn control(&mut self, what: c_int, tag: *mut c_void) {
        // SAFETY: the tag has 16 bytes.
        assert_eq!(unsafe { EVP_CIPHER_CTX_ctrl(self.raw(), what, 16, tag) }, 1);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context was made by `new`.
        unsafe {
            EVP_CIPHER_CTX_reset(self.raw());
            ERR_clear_error();
        }
    }
}

fn cipher(mode: &str, key_length: usize) -> *const EVP_CIPHER {
    use openssl_sys::*;
    // SAFETY: these only look a static up.
    unsafe {
        match (mode, key_length) {
            ("ecb", 16) => EVP_aes_128_ecb(),
            ("ecb", 24) => EVP_aes_192_ecb(),
            ("ecb", _) => EVP_aes_256_ecb(),
            ("cbc", 16) => EVP_aes_128_cbc(),
            ("cbc", 24) => EVP_aes_192_cbc(),
            ("cbc", _) => EVP_aes_256_cbc(),
            ("ctr", 16) => EVP_aes_128_ctr(),
            ("ctr", 24) => EVP_aes_192_ctr(),
            ("ctr", _) => EVP_aes_256_ctr(),
            (_, 16) => EVP_aes_128_gcm(),
            (_, 24) => EVP_aes_192_gcm(),
            _ => EVP_aes_256_gcm(),
        }
    }
}

/// One message: init, updates, finish. `dst` has room for a block more than comes out.
pub(crate) fn run(case: &Case, key: &[u8], iv: &[u8; 16], src: &[u8], dst: &mut [u8]) -> usize {
    match case.mode {
        Mode::Cbc => cbc_without_padding(case, key, iv, src, dst),
        Mode::Ctr | Mode::Xts | Mode::Hctr2 => {
            let mut context = Context::new();
            context.init(cipher("ctr", key.len()), key, iv.as_ptr(), case.encrypt);
            let done = updates(&mut context, case, src, dst);
            // SAFETY: as in `updates`.
            done + unsafe { context.end(dst[done..].as_mut_ptr()) }
        }
        Mode::Gcm => gcm(case, key, iv, src, dst),
    }
}

fn updates(context: &mut Context, case: &Case, src: &[u8], dst: &mut [u8]) -> usize {
    let mut done = 0;
    for piece in src.chunks(case.step) {
        assert!(dst.len() >= done + piece.len() + 16);
        // SAFETY: room for the piece and a block more, as was just checked.
        done += unsafe { context.update(piece, dst[done..].as_mut_ptr()) };
    }
    done
}

fn cbc_without_padding(case: &Case, key: &[u8], iv: &[u8; 16], src: &[u8], dst: &mut [u8]) -> usize {
    let mut context = Context::new();
    context.init(cipher("cbc", key.len()), key, iv.as_ptr(), case.encrypt);
    // SAFETY: the context is made.
    unsafe { EVP_CIPHER_CTX_set_padding(context.raw(), 0) };
    let mut done = updates(&mut context, case, src, dst);
    let tail = src.len() % 16;
    if tail > 0 {
        let mut mask = [0; 32];
        let mut second = Context::new();
        second.init(cipher("ecb", key.len()), key, null(), true);
        // SAFETY: the mask has room for two blocks.
        unsafe {
            EVP_CIPHER_CTX_set_padding(second.raw(), 0);
            second.update(iv, mask.as_mut_ptr());
        }
        drop(second);
        // The server keeps a copy of the tail; OpenSSL 3 does not show the one that it holds back.
        let held = &src[src.len() - tail..];
        for ((out, held), mask) in dst[done..].iter_mut().zip(held).zip(mask) {
            *out = held ^ mask;
        }
        done += tail;
    }
    done
}

fn gcm(case: &Case, key: &[u8], iv: &[u8; 16], src: &[u8], dst: &mut [u8]) -> usize {
    let mut context = Context::new();
    context.init(cipher("gcm", key.len()), key, iv.as_ptr(), case.encrypt);
    let (text, tag) = if case.encrypt {
        (src, None)
    } else {
        let (text, tag) = src.split_at(src.len() - 16);
        (text, Some(tag))
    };
    if let Some(tag) = tag {
        context.control(EVP_CTRL_GCM_SET_TAG, tag.as_ptr().cast_mut().cast());
    }
    // SAFETY: additional data has no output.
    unsafe { context.update(&iv[12..], null_mut()) };
    let done = updates(&mut context, case, text, dst);
    // SAFETY: as in `updates`; GCM has no last block.
    unsafe { context.end(dst[done..].as_mut_ptr()) };
    if case.encrypt {
        context.control(EVP_CTRL_GCM_GET_TAG, dst[done..].as_mut_ptr().cast());
        return done + 16;
    }
    done
}
