//! The crypt context: a page cipher in memory that the server owns.
//!
//! The server allocates [`Context::SIZE`] bytes on its stack, aligned to 8 at best, and hands them
//! to init, any number of updates, and finish. A failed init is not finished; a failed update is.

use std::arch::asm;
use std::ffi::c_void;
use std::mem::{align_of, offset_of, size_of};
use std::ptr;

use zeroize::Zeroize;

use super::abi;
use super::guard::{Point, test_point};
use crate::crypto::{CipherError, IV_LENGTH, PageCipher, scrub};

/// What lies at the first suitably aligned address of the server's memory.
#[repr(C)]
pub(super) struct Context {
    /// [`LIVE`] from init to finish. Wiping makes it 0, so a context that was ended is not taken
    /// for one.
    live: u32,
    /// Set while an update works and left set by a failure or a panic: the cipher's state is
    /// unknown then.
    failed: bool,
    /// Last, because only its first bytes count; see [`PageCipher::footprint`].
    cipher: PageCipher,
}

/// "keyr": a number that memory holds by chance as rarely as any other.
const LIVE: u32 = u32::from_be_bytes(*b"keyr");

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

    /// The context in the server's memory, if one lives there.
    ///
    /// # Safety
    /// `memory` is null or was given to [`Context::begin`], which succeeded; only this call uses
    /// it.
    unsafe fn live<'a>(memory: *mut c_void) -> Option<&'a mut Context> {
        // SAFETY: by this function's contract.
        let place = unsafe { Context::place(memory) }?;
        // SAFETY: the place is aligned and its bytes are initialised: a context, or the zeroes of a
        // wiped one.
        let live = unsafe { (&raw const (*place).live).read() } == LIVE;
        // SAFETY: it is a context.
        live.then(|| unsafe { &mut *place })
    }

    /// Puts a cipher into the server's memory, and has it started there. If that fails there is no
    /// context.
    ///
    /// # Safety
    /// As [`Context::place`].
    #[inline(always)]
    pub(super) unsafe fn begin(
        memory: *mut c_void,
        start: impl FnOnce(&mut PageCipher) -> Result<(), CipherError>,
    ) -> Result<(), CipherError> {
        // SAFETY: by this function's contract.
        let place = unsafe { Context::place(memory) }.ok_or(CipherError::BadData)?;
        // SAFETY: the place is aligned and has room; what was there before is not a value. Member
        // by member, because a whole context would be moved here with all that does not count.
        let context = unsafe {
            (&raw mut (*place).live).write(0);
            (&raw mut (*place).failed).write(false);
            (&raw mut (*place).cipher).write(PageCipher::idle());
            &mut *place
        };
        start(&mut context.cipher)?;
        context.live = LIVE;
        Ok(())
    }

    /// Encrypts or decrypts a chunk; the number of bytes written to `dst`.
    ///
    /// # Safety
    /// As [`Context::live`]. `src` has `slen` bytes. `dst` has room for what the cipher answers to
    /// that many bytes (the vtable's contract).
    #[inline(always)]
    pub(super) unsafe fn update(memory: *mut c_void, chunk: Chunk) -> Result<usize, CipherError> {
        // SAFETY: by this function's contract.
        let context = unsafe { Context::live(memory) }.ok_or(CipherError::BadData)?;
        if std::mem::replace(&mut context.failed, true) {
            return Err(CipherError::BadData);
        }
        test_point(Point::Work);
        // SAFETY: by this function's contract.
        let written = unsafe { update_cipher(&mut context.cipher, chunk) }?;
        context.failed = false;
        Ok(written)
    }

    /// Writes what is left to `dst`, ends the context and wipes it, whatever happens.
    ///
    /// # Safety
    /// As [`Context::live`]. `dst` is null or has room for a block.
    #[inline(always)]
    pub(super) unsafe fn end(memory: *mut c_void, dst: *mut u8) -> Result<usize, CipherError> {
        // SAFETY: by this function's contract.
        let place = ptr::from_mut(unsafe { Context::live(memory) }.ok_or(CipherError::BadData)?);
        // Wipes the server's memory when this function is left, also by a panic.
        let _ending = Ending(place);
        // SAFETY: the place holds a context until `_ending` is dropped, which comes after the last
        // use.
        let context = unsafe { &mut *place };
        if context.failed {
            return Err(CipherError::BadData);
        }
        test_point(Point::Work);
        let room = context.cipher.finish_length();
        if room == 0 {
            return context.cipher.finish(&mut []);
        }
        if dst.is_null() {
            return Err(CipherError::DestinationTooSmall);
        }
        let mut rest = [0; MAX_FINISH];
        let written = context
            .cipher
            .finish(rest.get_mut(..room).ok_or(CipherError::DestinationTooSmall)?)?;
        if written > 0 {
            // SAFETY: dst is not null and has room for what finish writes, by the vtable's
            // contract.
            unsafe { ptr::copy_nonoverlapping(rest.as_ptr(), dst, written) };
        }
        rest.zeroize();
        Ok(written)
    }
}

/// The most that a finish writes: one block.
const MAX_FINISH: usize = 16;

/// A context whose memory is zeroed when this is dropped. The cipher owns nothing else, and is not
/// dropped itself, as it would wipe its parts one by one.
struct Ending(*mut Context);

impl Drop for Ending {
    #[inline]
    fn drop(&mut self) {
        let place = self.0;
        // SAFETY: the context is a value up to here, and nobody uses it as one after this. What
        // counts of it is in its memory.
        unsafe {
            let used = offset_of!(Context, cipher) + (*place).cipher.footprint();
            place.cast::<u8>().write_bytes(0, used);
            // Might read the zeroes, for all that the compiler knows: so they must be written.
            asm!("/* {0} */", in(reg) place, options(nostack, preserves_flags, readonly));
        }
        // One function of the server calls init, updates and finish, so their frames lay in one
        // place of the stack.
        scrub::after_message();
        scrub::registers();
    }
}

/// # Safety
/// As [`Context::update`].
#[inline(always)]
unsafe fn update_cipher(cipher: &mut PageCipher, chunk: Chunk) -> Result<usize, CipherError> {
    let Chunk { src, slen, dst } = chunk;
    if slen == 0 {
        return cipher.update(&[], &mut []);
    }
    let out = cipher.update_length(slen);
    if src.is_null() || (out > 0 && dst.is_null()) {
        return Err(CipherError::BadData);
    }
    if ptr::eq(src, dst) {
        // SAFETY: `slen` bytes, read and written by this call alone. More come out only where bytes
        // are held back, and that is refused in place.
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
