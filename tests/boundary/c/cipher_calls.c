/* Cipher calls with everything around them watched. */
#include "host.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <valgrind/memcheck.h>

void random_text(struct text *text, unsigned int klen, unsigned int slen) {
  REQUIRE(slen <= sizeof text->src);
  random_bytes(text->key, sizeof text->key);
  random_bytes(text->iv, sizeof text->iv);
  random_bytes(text->src, slen ? slen : 1);
  text->klen = klen, text->slen = slen;
  text->key_id = text->key_version = 1;
}

int begin(struct guarded *context, const struct text *text, int flags) {
  static _Thread_local int place;
  *context = make_context(place++ % 4);
  int code = lib.crypt->crypt_ctx_init(context->ctx, text->key, text->klen, text->iv, 16, flags, text->key_id,
                                       text->key_version);
  REQUIRE(guards_intact(context));
  return code;
}

struct outcome update(struct guarded *context, const void *src, unsigned int slen, void *dst) {
  unsigned int length = 0xDEADBEEF;
  (void)VALGRIND_MAKE_MEM_UNDEFINED(&length, sizeof length);
  int code = lib.crypt->crypt_ctx_update(context->ctx, src, slen, dst, &length);
  REQUIRE(code == 0 || length == 0);
  REQUIRE(guards_intact(context));
  return (struct outcome){code, length};
}

struct outcome finish(struct guarded *context, void *dst) {
  unsigned int length = 0xDEADBEEF;
  (void)VALGRIND_MAKE_MEM_UNDEFINED(&length, sizeof length);
  int code = lib.crypt->crypt_ctx_finish(context->ctx, dst, &length);
  REQUIRE(code == 0 || length == 0);
  REQUIRE(guards_intact(context));
  REQUIRE(is_wiped(context));
  free_context(context);
  return (struct outcome){code, length};
}

unsigned int crypt_at_once(const struct text *text, int flags, const void *src, unsigned int slen, void *dst) {
  struct guarded context;
  REQUIRE(begin(&context, text, flags) == 0);
  struct outcome first = update(&context, src, slen, dst);
  REQUIRE(first.code == 0);
  struct outcome last = finish(&context, (unsigned char *)dst + first.length);
  REQUIRE(last.code == 0);
  return first.length + last.length;
}

static const EVP_CIPHER *evp(const char *mode, unsigned int klen) {
  char name[32];
  snprintf(name, sizeof name, "aes-%u-%s", klen * 8, mode);
  const EVP_CIPHER *cipher = EVP_get_cipherbyname(name);
  REQUIRE(cipher);
  return cipher;
}

/* A key, two in a row for XTS, and an IV. */
struct keyed {
  const unsigned char *key, *iv;
  unsigned int klen;
};

/* A mode of whole inputs, by the calls that the server makes; -1 where the padding is wrong. */
static int plain_mode(const char *mode, struct keyed with, int flags, const unsigned char *src, int slen,
                      unsigned char *dst) {
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  int first = 0, last = 0;
  REQUIRE(EVP_CipherInit_ex(ctx, evp(mode, with.klen), NULL, with.key, with.iv, flags & KR_FLAG_ENCRYPT) == 1);
  if (flags & NOPAD)
    EVP_CIPHER_CTX_set_padding(ctx, 0);
  REQUIRE(EVP_CipherUpdate(ctx, dst, &first, src, slen) == 1);
  int ended = EVP_CipherFinal_ex(ctx, dst + first, &last);
  EVP_CIPHER_CTX_free(ctx);
  return ended == 1 ? first + last : -1;
}

/* AES of one block, encrypting. */
static void encrypt_block(const unsigned char *key, unsigned int klen, const unsigned char *src, unsigned char *dst) {
  unsigned char block[32];
  struct keyed with = {key, NULL, klen};
  REQUIRE(plain_mode("ecb", with, KR_FLAG_ENCRYPT | NOPAD, src, 16, block) == 16);
  memcpy(dst, block, 16);
}

static int cbc_without_padding(struct keyed with, int flags, const unsigned char *src, int slen, unsigned char *dst) {
  unsigned char mask[16];
  int whole = slen - slen % 16;
  REQUIRE(plain_mode("cbc", with, flags, src, whole, dst) == whole);
  encrypt_block(with.key, with.klen, with.iv, mask);
  for (int i = whole; i < slen; i++)
    dst[i] = src[i] ^ mask[i - whole];
  return slen;
}

static int gcm(struct keyed with, int flags, const unsigned char *src, int slen, unsigned char *dst) {
  int encrypt = flags & KR_FLAG_ENCRYPT, length = 0, none = 0, ended;
  unsigned char tag[16];
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  REQUIRE(EVP_CipherInit_ex(ctx, evp("gcm", with.klen), NULL, with.key, with.iv, encrypt) == 1);
  REQUIRE(EVP_CipherUpdate(ctx, NULL, &none, with.iv + 12, 4) == 1);
  if (!encrypt) {
    slen -= 16;
    memcpy(tag, src + slen, 16);
    REQUIRE(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, 16, tag) == 1);
  }
  REQUIRE(EVP_CipherUpdate(ctx, dst, &length, src, slen) == 1);
  ended = EVP_CipherFinal_ex(ctx, dst + length, &none);
  if (encrypt) {
    REQUIRE(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, dst + length) == 1);
    length += 16;
  }
  EVP_CIPHER_CTX_free(ctx);
  return ended == 1 ? length : -1;
}

/* --- aes_256_xts, as docs/ciphers.md defines it -------------------------------------------------------- */

/* The keys for this label. The data key is what get_key answers, which lookups.c holds against the key file. */
static void derive(const struct text *text, const char *label, unsigned char *keys, size_t length) {
  unsigned char data_key[32], names[8];
  unsigned int known = sizeof data_key;
  REQUIRE(lib.crypt->get_key(text->key_id, text->key_version, data_key, &known) == 0 && known == sizeof data_key);
  for (int i = 0; i < 4; i++) {
    names[i] = (unsigned char)(text->key_id >> (24 - 8 * i));
    names[4 + i] = (unsigned char)(text->key_version >> (24 - 8 * i));
  }
  EVP_PKEY_CTX *hkdf = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
  REQUIRE(hkdf && EVP_PKEY_derive_init(hkdf) == 1);
  REQUIRE(EVP_PKEY_CTX_set_hkdf_md(hkdf, EVP_sha256()) == 1);
  REQUIRE(EVP_PKEY_CTX_set1_hkdf_key(hkdf, data_key, sizeof data_key) == 1);
  REQUIRE(EVP_PKEY_CTX_set1_hkdf_salt(hkdf, text->key, (int)text->klen) == 1);
  REQUIRE(EVP_PKEY_CTX_add1_hkdf_info(hkdf, (const unsigned char *)label, (int)strlen(label)) == 1);
  REQUIRE(EVP_PKEY_CTX_add1_hkdf_info(hkdf, names, sizeof names) == 1);
  size_t derived = length;
  REQUIRE(EVP_PKEY_derive(hkdf, keys, &derived) == 1 && derived == length);
  EVP_PKEY_CTX_free(hkdf);
}

/* The tweak of the next block. */
static void times_x(unsigned char tweak[16]) {
  int carry = 0;
  for (int i = 0; i < 16; i++) {
    int byte = tweak[i] << 1 | carry;
    tweak[i] = (unsigned char)byte;
    carry = byte >> 8;
  }
  if (carry)
    tweak[0] ^= 0x87;
}

/* The lowest `length` bytes of a little-endian number. */
static unsigned __int128 number(const unsigned char *bytes, int length) {
  unsigned __int128 sum = 0;
  while (length-- > 0)
    sum = sum << 8 | bytes[length];
  return sum;
}

static void bytes_of(unsigned __int128 number, unsigned char bytes[16]) {
  for (int at = 0; at < 16; at++)
    bytes[at] = (unsigned char)(number >> 8 * at);
}

static unsigned __int128 encrypt_number(const unsigned char *k1, unsigned __int128 block) {
  unsigned char bytes[16];
  bytes_of(block, bytes);
  encrypt_block(k1, 32, bytes, bytes);
  return number(bytes, 16);
}

/* Zk of a tail of n bytes: the block before it, and its tweak times 64k + 4n + 1. */
static unsigned __int128 secret(const unsigned char *k1, unsigned __int128 before, const unsigned char tweak[16], int n,
                                int k) {
  unsigned char multiple[16];
  memcpy(multiple, tweak, 16);
  for (int polynomial = 64 * k + 4 * n + 1; polynomial > 0; polynomial >>= 1) {
    if (polynomial & 1)
      before ^= number(multiple, 16);
    times_x(multiple);
  }
  return encrypt_number(k1, before);
}

/* The product of a key of 8n bits and a half without carries, from bit 4n - 1 on. */
static uint64_t hash(const unsigned char *key, int n, uint64_t s) {
  uint64_t sum = 0;
  for (int bit = 0; bit < 4 * n; bit++)
    if (s >> bit & 1)
      sum ^= (uint64_t)(number(key, n) >> (4 * n - 1 - bit));
  return sum;
}

/* The tail of n bytes behind so many blocks, of which `before` is the last. */
static void crypt_tail(const unsigned char *k1, const unsigned char tweak[16], unsigned __int128 before, int blocks,
                       int encrypt, int n, const unsigned char *src, unsigned char *dst) {
  uint64_t half = ((uint64_t)1 << 4 * n) - 1;
  int is_long = blocks >= 16, rounds = is_long ? 4 : n == 1 ? 20 : n == 2 ? 12 : 10;
  unsigned __int128 text = number(src, n), z0 = secret(k1, before, tweak, n, 0);
  unsigned char stream[5 * 16];
  for (int k = 0; k < 5; k++)
    bytes_of(secret(k1, before, tweak, n, k), stream + 16 * k);
  unsigned __int128 whitening = is_long ? number(stream, n) : 0;
  if (encrypt)
    text ^= whitening;
  uint64_t low = (uint64_t)text & half, high = (uint64_t)(text >> 4 * n);
  for (int at = 0; at < rounds; at++) {
    int i = encrypt ? at : rounds - 1 - at;
    uint64_t s = encrypt ? high : low;
    uint64_t output = is_long ? hash(stream + n * (1 + i), n, s)
                              : (uint64_t)encrypt_number(k1, z0 ^ s ^ (unsigned __int128)i << 64);
    uint64_t other = (encrypt ? low : high) ^ (output & half);
    low = encrypt ? s : other;
    high = encrypt ? other : s;
  }
  text = (unsigned __int128)high << 4 * n | low;
  if (!encrypt)
    text ^= whitening;
  for (int at = 0; at < n; at++)
    dst[at] = (unsigned char)(text >> 8 * at);
}

static int xts_without_padding(const char *label, const struct text *text, int flags, const unsigned char *src, int slen,
                               unsigned char *dst) {
  unsigned char keys[64], tweak[16];
  int encrypt = flags & KR_FLAG_ENCRYPT, whole = slen - slen % 16;
  const unsigned char *cipher_text = encrypt ? dst : src;
  derive(text, label, keys, sizeof keys);
  /* OpenSSL's XTS has no message of less than a block. */
  if (whole > 0)
    REQUIRE(plain_mode("xts", (struct keyed){keys, text->iv, 32}, flags, src, whole, dst) == whole);
  encrypt_block(keys + 32, 32, text->iv, tweak);
  for (int done = 0; done < whole; done += 16)
    times_x(tweak);
  if (slen > whole)
    crypt_tail(keys, tweak, whole > 0 ? number(cipher_text + whole - 16, 16) : 0, whole / 16, encrypt, slen - whole,
               src + whole, dst + whole);
  return slen;
}

static int derived_gcm(const char *label, const struct text *text, int flags, const unsigned char *src, int slen,
                       unsigned char *dst) {
  unsigned char key[32];
  derive(text, label, key, sizeof key);
  return gcm((struct keyed){key, text->iv, sizeof key}, flags, src, slen, dst);
}

/* --- aes_256_hctr2, as docs/ciphers.md defines it ------------------------------------------------------ */

static void xor_16(unsigned char *to, const unsigned char *with) {
  for (int i = 0; i < 16; i++)
    to[i] ^= with[i];
}

/* POLYVAL (RFC 8452) of one more block: (state + block) * h * x^-128, a bit of h's partner at a time. */
static void polyval(unsigned char state[16], const unsigned char h[16], const unsigned char block[16]) {
  unsigned __int128 factor = number(h, 16), sum = number(state, 16) ^ number(block, 16), product = 0;
  for (int bit = 0; bit < 128; bit++) {
    if (sum >> bit & 1)
      product ^= factor;
    /* Times x^-1: the modulus, x^128 + x^127 + x^126 + x^121 + 1, makes the lowest bit zero before the shift. */
    product = product >> 1 ^ (product & 1 ? (unsigned __int128)0xE1 << 120 : 0);
  }
  bytes_of(product, state);
}

static void hctr2_hash(const unsigned char h[16], const unsigned char *iv, const unsigned char *bytes, int length,
                       unsigned char hash[16]) {
  unsigned char block[16] = {(unsigned char)(length % 16 ? 3 : 2), 1};
  memset(hash, 0, 16);
  polyval(hash, h, block);
  polyval(hash, h, iv);
  for (; length >= 16; bytes += 16, length -= 16)
    polyval(hash, h, bytes);
  if (length > 0) {
    memset(block, 0, 16);
    memcpy(block, bytes, (size_t)length);
    block[length] = 1;
    polyval(hash, h, block);
  }
}

static int hctr2(const struct text *text, int flags, const unsigned char *src, int slen, unsigned char *dst) {
  unsigned char key[32], zero[16] = {0}, one[16] = {1}, h[16], seed[16], mixed[16], block[16];
  derive(text, "keyroll aes-256-hctr2 v1", key, sizeof key);
  encrypt_block(key, 32, zero, h);
  encrypt_block(key, 32, one, seed);
  hctr2_hash(h, text->iv, src + 16, slen - 16, mixed);
  xor_16(mixed, src);
  REQUIRE(plain_mode("ecb", (struct keyed){key, zero, 32}, (flags & KR_FLAG_ENCRYPT) | NOPAD, mixed, 16, block) == 16);
  xor_16(seed, mixed);
  xor_16(seed, block);
  unsigned char stream[20016];
  int blocks = (slen - 1) / 16;
  REQUIRE(16 * blocks <= (int)sizeof stream);
  for (int i = 1; i <= blocks; i++)
    bytes_of(number(seed, 16) ^ (unsigned)i, stream + 16 * (i - 1));
  REQUIRE(plain_mode("ecb", (struct keyed){key, zero, 32}, KR_FLAG_ENCRYPT | NOPAD, stream, 16 * blocks, stream) ==
          16 * blocks);
  for (int i = 16; i < slen; i++)
    dst[i] = src[i] ^ stream[i - 16];
  hctr2_hash(h, text->iv, dst + 16, slen - 16, mixed);
  xor_16(block, mixed);
  memcpy(dst, block, 16);
  return slen;
}

static int is_whole(const struct text *text, unsigned int slen) {
  return text->klen == 16 && (slen > 256 || (slen > 16 && slen % 16 != 0));
}

/* ------------------------------------------------------------------------------------------------------- */

int openssl_in_pieces(enum algorithm algorithm, const struct text *text, int flags, const void *src, unsigned int slen,
                      unsigned char *dst) {
  if (algorithm == AES_256_HCTR2 && flags & NOPAD)
    return xts_without_padding("keyroll aes-256-hctr2 xts v1", text, flags, src, (int)slen, dst);
  return openssl_at_once(algorithm, text, flags, src, slen, dst);
}

int openssl_at_once(enum algorithm algorithm, const struct text *text, int flags, const void *src, unsigned int slen,
                    unsigned char *dst) {
  struct keyed with = {text->key, text->iv, text->klen};
  int length = (int)slen;
  switch (algorithm) {
  case AES_CBC:
    return flags & NOPAD ? cbc_without_padding(with, flags, src, length, dst)
                         : plain_mode("cbc", with, flags, src, length, dst);
  case AES_CTR:
    return flags & NOPAD ? plain_mode("ctr", with, flags, src, length, dst) : gcm(with, flags, src, length, dst);
  case AES_256_XTS:
    return flags & NOPAD ? xts_without_padding("keyroll aes-256-xts v1", text, flags, src, length, dst)
                         : derived_gcm("keyroll aes-256-xts gcm v1", text, flags, src, length, dst);
  case AES_256_HCTR2:
    if (flags & NOPAD)
      return is_whole(text, slen) ? hctr2(text, flags, src, length, dst)
                                  : openssl_in_pieces(algorithm, text, flags, src, slen, dst);
    return derived_gcm("keyroll aes-256-hctr2 gcm v1", text, flags, src, length, dst);
  }
  fail("an unknown algorithm", __FILE__, __LINE__);
}

void write_encrypted(const char *path, const char *text, const char *password) {
  unsigned char salt[8], key[32], iv[16];
  size_t slen = strlen(text);
  unsigned char *file = malloc(slen + 32);
  int first = 0, last = 0;
  random_bytes(salt, sizeof salt);
  REQUIRE(EVP_BytesToKey(EVP_aes_256_cbc(), EVP_sha1(), salt, (const unsigned char *)password, (int)strlen(password), 1,
                         key, iv) == 32);
  memcpy(file, "Salted__", 8);
  memcpy(file + 8, salt, 8);
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  REQUIRE(EVP_EncryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, key, iv) == 1);
  REQUIRE(EVP_EncryptUpdate(ctx, file + 16, &first, (const unsigned char *)text, (int)slen) == 1);
  REQUIRE(EVP_EncryptFinal_ex(ctx, file + 16 + first, &last) == 1);
  EVP_CIPHER_CTX_free(ctx);
  write_file(path, (const char *)file, (size_t)(16 + first + last));
  free(file);
}
