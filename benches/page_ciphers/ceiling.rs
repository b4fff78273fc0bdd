//! The ceiling: CTR over aligned data in the cache, in a loop with VAES that has nothing else to
//! do.

/// Bytes that the loop works on.
pub(crate) const LENGTH: usize = 16_384;

/// Runs the loop once with the rounds of a key length; `false` where the processor has no VAES with
/// AVX-512.
pub(crate) fn run(key_length: usize, src: &[u8; LENGTH], dst: &mut [u8; LENGTH]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("vaes")
    {
        // SAFETY: the processor has the instructions.
        unsafe {
            match key_length {
                16 => x86_64::run::<11>(src, dst),
                24 => x86_64::run::<13>(src, dst),
                _ => x86_64::run::<15>(src, dst),
            }
        }
        return true;
    }
    let _ = (key_length, src, dst);
    false
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::LENGTH;

    #[target_feature(enable = "avx512f,avx512bw,vaes")]
    pub(super) fn run<const N: usize>(src: &[u8; LENGTH], dst: &mut [u8; LENGTH]) {
        let mut keys = [_mm512_setzero_si512(); N];
        for (at, key) in keys.iter_mut().enumerate() {
            *key = _mm512_set1_epi64(black_box(at as i64));
        }
        let big_endian = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F));
        let mut counters = [_mm512_setzero_si512(); 8];
        for (at, counter) in (0..).step_by(4).zip(counters.iter_mut()) {
            *counter = _mm512_set_epi64(0, at + 3, 0, at + 2, 0, at + 1, 0, at);
        }
        let step = _mm512_set_epi64(0, 32, 0, 32, 0, 32, 0, 32);
        for (src, dst) in src.as_chunks::<512>().0.iter().zip(dst.as_chunks_mut::<512>().0) {
            let mut blocks = counters;
            for (block, counter) in blocks.iter_mut().zip(counters.iter_mut()) {
                *block = _mm512_xor_si512(_mm512_shuffle_epi8(*counter, big_endian), keys[0]);
                *counter = _mm512_add_epi64(*counter, step);
            }
            for key in &keys[1..N - 1] {
                for block in &mut blocks {
                    *block = _mm512_aesenc_epi128(*block, *key);
                }
            }
            for (at, block) in blocks.iter_mut().enumerate() {
                *block = _mm512_aesenclast_epi128(*block, keys[N - 1]);
                // SAFETY: 8 times 64 bytes make the 512 of a chunk.
                unsafe {
                    let data = _mm512_loadu_si512(src.as_ptr().add(64 * at).cast());
                    _mm512_storeu_si512(
                        dst.as_mut_ptr().add(64 * at).cast(),
                        _mm512_xor_si512(*block, data),
                    );
                }
            }
        }
    }
}
