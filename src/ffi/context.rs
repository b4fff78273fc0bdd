//! The crypt context: a page cipher in memory that the server owns.
//!
//! The server allocates [`Context::SIZE`] bytes on its stack, aligned to 8 at best, and hands them to init, any
//! number of updates, and finish. A failed init is not finished; a failed update is.

use std::ffi::c_void;
use std::mem::{MaybeUninit, align_of, size_of};
use std::ptr;

use zeroize::Zeroizing;

use super::abi;
use super::guard::{Point, test_point};
use crate::crypto::{CipherError, IV_LENGTH, PageCipher};

/// What lies at the first suitably aligned address of the server's memory.
///
/// The cipher stays in its place from begin to end and is overwritten there: a moved one would leave its key
/// behind. It owns nothing outside of that place, so it needs no drop.
#[repr(C)]
pub(super) struct Context {
    /// [`ALIVE`] while the cipher may be used: not after finish or a failure, nor during an update, which may
    /// panic. Wiped memory is not alive.
    state: u64,
    cipher: MaybeUninit<PageCipher>,
}

/// A number that memory which holds no context is unlikely to have.
const ALIVE: u64 = 0x6B65_7972_6F6C_6C21;

/// Input and output of one call, as the server hands them over.
pub(super) struct Chunk {
    pub(super) src: *const u8,
    pub(super) slen: usize,
    pub(super) dst: *mut u8,
}

impl Context {
    /// What the server must allocate: the context, and what aligning it may cost.
    pub(super) const SIZE: usize = size_of::<Context>() + align_of::<Context>();

    /// The context in the server's memory; `None` for a null pointer.
    ///
    /// # Safety
    /// `memory` is null or points to [`Context::SIZE`] bytes that only this call uses.
    unsafe fn place(memory: *mut c_void) -> Option<*mut Context> {
        let offset = memory.align_offset(align_of::<Context>());
        // SAFETY: SIZE has room for the offset, which is less than the alignment.
        (!memory.is_null()).then(|| unsafe { memory.byte_add(offset) }.cast())
    }

    /// Puts a cipher into the server's memory.
    ///
    /// # Safety
    /// As [`Context::place`].
    pub(super) unsafe fn begin(memory: *mut c_void, cipher: PageCipher) -> Result<(), CipherError> {
        // SAFETY: by this function's contract.
        let place = unsafe { Context::place(memory) }.ok_or(CipherError::BadData)?;
        // SAFETY: the place is aligned and has room; what was there before is not a value.
        unsafe {
            (&raw mut (*place).cipher).write(MaybeUninit::new(cipher));
            (&raw mut (*place).state).write(ALIVE);
        }
        Ok(())
    }

    /// Encrypts or decrypts a chunk; the number of bytes written to `dst`.
    ///
    /// # Safety
    /// `memory` is null or was given to [`Context::begin`], which succeeded, and not ended since. `src` has
    /// `slen` bytes. `dst` has room for what the cipher answers to that many bytes (the vtable's contract).
    pub(super) unsafe fn update(memory: *mut c_void, chunk: Chunk) -> Result<usize, CipherError> {
        // SAFETY: by this function's contract.
        let context = unsafe { Context::place(memory).and_then(|place| place.as_mut()) };
        let context = context.ok_or(CipherError::BadData)?;
        let cipher = context.take_cipher()?;
        // SAFETY: by this function's contract.
        let written = unsafe { update_cipher(cipher, chunk) }?;
        context.state = ALIVE;
        Ok(written)
    }

    /// The cipher, which is dead from now on unless the caller brings the context back to life.
    fn take_cipher(&mut self) -> Result<&mut PageCipher, CipherError> {
        if std::mem::take(&mut self.state) != ALIVE {
            return Err(CipherError::BadData);
        }
        test_point(Point::Work);
        // SAFETY: `begin` wrote the cipher before it wrote ALIVE.
        Ok(unsafe { self.cipher.assume_init_mut() })
    }

    /// Writes what is left to `dst`, ends the context and wipes it, whatever happens.
    ///
    /// # Safety
    /// As [`Context::update`], and the context is not used afterwards.
    pub(super) unsafe fn end(memory: *mut c_void, dst: *mut u8) -> Result<usize, CipherError> {
        // SAFETY: by this function's contract.
        let place = unsafe { Context::place(memory) }.ok_or(CipherError::BadData)?;
        // Wipes the server's memory when this function is left, also by a panic.
        let _wiped = Wiped(place);
        // SAFETY: the place is aligned and was written by `begin`, or wiped since; nobody else uses it.
        let cipher = unsafe { &mut *place }.take_cipher()?;
        let room = cipher.finish_length();
        if room > 0 && dst.is_null() {
            return Err(CipherError::DestinationTooSmall);
        }
        if room == 0 {
            return cipher.finish(&mut []);
        }
        let mut rest = Zeroizing::new([0; MAX_FINISH]);
        let rest = rest.get_mut(..room).ok_or(CipherError::DestinationTooSmall)?;
        let written = cipher.finish(rest)?;
        // SAFETY: dst is not null and has room for what finish writes, by the vtable's contract.
        unsafe { ptr::copy_nonoverlapping(rest.as_ptr(), dst, written) };
        Ok(written)
    }
}

/// The most that a finish writes: one block.
const MAX_FINISH: usize = 16;

/// Zeroes a context's memory on drop.
struct Wiped(*mut Context);

impl Drop for Wiped {
    fn drop(&mut self) {
        let bytes: *mut u8 = self.0.cast();
        for at in 0..size_of::<Context>() {
            // SAFETY: within the context, to which no reference is left.
            unsafe { bytes.add(at).write_volatile(0) };
        }
    }
}

/// # Safety
/// As [`Context::update`].
unsafe fn update_cipher(cipher: &mut PageCipher, chunk: Chunk) -> Result<usize, CipherError> {
    let Chunk { src, slen, dst } = chunk;
    if slen == 0 {
        return cipher.update(&[], &mut []);
    }
    let out = cipher.update_length(slen);
    if src.is_null() || (out > 0 && dst.is_null()) {
        return Err(CipherError::BadData);
    }
    if out > 0 && out <= slen && ptr::eq(src, dst) {
        // SAFETY: `slen` bytes, read and written by this call alone.
        return cipher.update_in_place(unsafe { std::slice::from_raw_parts_mut(dst, slen) });
    }
    let overlap = src.addr() < dst.addr() + out && dst.addr() < src.addr() + slen;
    if overlap {
        return Err(CipherError::Overlap);
    }
    // SAFETY: `slen` bytes that nobody writes during the call.
    let src = unsafe { std::slice::from_raw_parts(src, slen) };
    if out == 0 {
        return cipher.update(src, &mut []);
    }
    // SAFETY: room for `out` bytes, apart from src as was just checked.
    cipher.update(src, unsafe { std::slice::from_raw_parts_mut(dst, out) })
}

/// A key or an IV as the server hands it over; `None` for a null pointer.
///
/// # Safety
/// `bytes` is null or points to `len` bytes that stay unchanged while the slice is used.
pub(super) unsafe fn input<'a>(bytes: *const u8, len: u32) -> Option<&'a [u8]> {
    // SAFETY: by this function's contract.
    (!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(bytes, len as usize) })
}

/// The server's number for an error (`my_crypt.h`).
pub(super) fn code(error: CipherError) -> i32 {
    match error {
        CipherError::KeyLength => abi::KR_CRYPT_BAD_KEY_SIZE,
        _ => abi::KR_CRYPT_BAD_DATA,
    }
}

const _: () = assert!(IV_LENGTH == 16 && Context::SIZE <= 4096);
