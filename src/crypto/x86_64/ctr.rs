//! CTR (NIST SP 800-38A, 6.5) with AES-NI, and with VAES for all that is longer than a few blocks.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U128;

use super::aes::{Aes, by_key_length, encrypt};
use super::blocks::{Blocks, load, store};
use super::ctr_wide;
use crate::crypto::mode::{Block, KeyStream};

/// The bytes of key stream that are made together where few are needed: as many blocks as take no
/// longer than one. Messages come in small pieces.
const AHEAD: usize = 64;

/// Blocks that fill the pipeline of AESENC.
const WIDTH: usize = 8;

/// From this length on, in bytes, the wide path is worth its start.
const WIDE_FROM: usize = 2 * AHEAD;

/// A message in CTR, in either direction: both are the same XOR.
pub(in crate::crypto) struct Ctr {
    aes: Aes,
    /// Key stream that was made already; its last `left` bytes are not used yet.
    keystream: Blocks<4>,
    left: usize,
    /// The block that comes after `keystream`. A number with all 128 bits, big-endian in the block.
    counter: u128,
}

impl Ctr {
    #[inline]
    pub(super) fn new(aes: Aes, first: &Block) -> Self {
        Ctr {
            aes,
            keystream: Blocks::ZERO,
            left: 0,
            counter: u128::from_be_bytes(*first),
        }
    }

    #[inline]
    pub(super) fn set_key(&mut self, key: &[u8]) {
        self.aes.set_key(key);
    }

    #[inline]
    pub(super) fn aes(&self) -> &Aes {
        &self.aes
    }

    /// As [`apply`](KeyStream::apply) for more bytes than are left.
    #[inline(never)]
    fn apply_more(&mut self, data: InOutBuf<'_, '_, u8>) {
        let (head, mut rest) = data.split_at(self.left);
        self.use_left(head);
        if rest.len() >= WIDE_FROM {
            if self.aes.is_wide() {
                return self.apply_wide(rest);
            }
            // SAFETY: an `Aes` exists only where the processor has AES-NI and SSSE3.
            rest = unsafe { by_key_length!(self.aes, apply(&self.aes, &mut self.counter, rest)) };
        }
        while !rest.is_empty() {
            self.refill();
            let length = rest.len().min(AHEAD);
            let (head, others) = rest.split_at(length);
            self.use_left(head);
            rest = others;
        }
    }

    /// XORs at most `left` bytes.
    #[inline(always)]
    fn use_left(&mut self, data: InOutBuf<'_, '_, u8>) {
        let length = data.len();
        xor(data, &self.keystream.bytes()[AHEAD - self.left..]);
        self.left -= length;
    }

    fn refill(&mut self) {
        #[target_feature(enable = "aes,ssse3")]
        fn run<const N: usize>(aes: &Aes, counter: u128, to: &mut Blocks<4>) {
            let keystream = keystream::<N, 4>(&aes.round_keys(), counter);
            for (at, block) in keystream.into_iter().enumerate() {
                to.store(at, block);
            }
        }
        // SAFETY: an `Aes` exists only where the processor has AES-NI and SSSE3.
        unsafe { by_key_length!(self.aes, run(&self.aes, self.counter, &mut self.keystream)) };
        self.counter = self.counter.wrapping_add(4);
        self.left = AHEAD;
    }

    fn apply_wide(&mut self, data: InOutBuf<'_, '_, u8>) {
        // SAFETY: the processor has what `Level::Vaes` needs.
        self.left = unsafe {
            by_key_length!(
                self.aes,
                ctr_wide::apply(&self.aes, &mut self.counter, data, &mut self.keystream)
            )
        };
    }
}

impl KeyStream for Ctr {
    #[inline(always)]
    fn apply(&mut self, data: InOutBuf<'_, '_, u8>) {
        if data.len() <= self.left {
            return self.use_left(data);
        }
        self.apply_more(data);
    }
}

/// Works on groups of [`WIDTH`] blocks and gives back the rest.
#[target_feature(enable = "aes,ssse3")]
fn apply<'i, 'o, const N: usize>(
    aes: &Aes,
    counter: &mut u128,
    data: InOutBuf<'i, 'o, u8>,
) -> InOutBuf<'i, 'o, u8> {
    let keys = aes.round_keys::<N>();
    let (groups, rest) = data.into_chunks::<U128>();
    for mut group in groups {
        let keystream = keystream::<N, WIDTH>(&keys, *counter);
        *counter = counter.wrapping_add(WIDTH as u128);
        let mut out = keystream;
        for (block, input) in out.iter_mut().zip(group.get_in().as_chunks().0) {
            *block = _mm_xor_si128(*block, load(input));
        }
        for (block, output) in out.into_iter().zip(group.get_out().as_chunks_mut().0) {
            store(output, block);
        }
    }
    rest
}

/// The key stream of `W` blocks from `counter` on.
#[inline]
#[target_feature(enable = "aes,ssse3")]
fn keystream<const N: usize, const W: usize>(keys: &[__m128i; N], counter: u128) -> [__m128i; W] {
    let mut blocks = [_mm_setzero_si128(); W];
    let low = counter as u64;
    if low <= u64::MAX - W as u64 {
        let first = _mm_set_epi64x((counter >> 64) as i64, low as i64);
        let big_endian = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F);
        for (at, block) in blocks.iter_mut().enumerate() {
            *block = _mm_shuffle_epi8(_mm_add_epi64(first, _mm_set_epi64x(0, at as i64)), big_endian);
        }
    } else {
        for (at, block) in blocks.iter_mut().enumerate() {
            *block = load(&counter.wrapping_add(at as u128).to_be_bytes());
        }
    }
    encrypt(keys, &mut blocks);
    blocks
}

/// XORs the first bytes of `keystream` onto at most [`AHEAD`] bytes. The last step overlaps the one
/// before it, so its input is read first.
#[inline(always)]
pub(super) fn xor(data: InOutBuf<'_, '_, u8>, keystream: &[u8]) {
    let length = data.len();
    assert!(length <= keystream.len());
    let (src, dst) = data.into_raw();
    macro_rules! steps {
        ($number:ty) => {{
            const STEP: usize = size_of::<$number>();
            // SAFETY: every access ends at `length` at the latest, which is at least STEP, and that
            // many bytes are readable at `src`, writable at `dst` and initialised in `keystream`.
            // These do not overlap, but that `dst` may be `src`: then a place is read before it is
            // written, and again never.
            unsafe {
                let value = |at: usize| {
                    let keystream = keystream.as_ptr().add(at).cast::<$number>().read_unaligned();
                    src.add(at).cast::<$number>().read_unaligned() ^ keystream
                };
                let last = length - STEP;
                let at_end = value(last);
                let mut at = 0;
                while at < last {
                    let value = value(at);
                    dst.add(at).cast::<$number>().write_unaligned(value);
                    at += STEP;
                }
                dst.add(last).cast::<$number>().write_unaligned(at_end);
            }
        }};
    }
    match length {
        16.. => steps!(u128),
        8.. => steps!(u64),
        4.. => steps!(u32),
        2.. => steps!(u16),
        1 => steps!(u8),
        0 => {}
    }
}
