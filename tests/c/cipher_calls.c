/* Cipher calls with everything around them watched. */
#include "host.h"

#include <openssl/evp.h>
#include <valgrind/memcheck.h>

void random_text(struct text *text, unsigned int klen, unsigned int slen) {
  REQUIRE(slen <= sizeof text->src);
  random_bytes(text->key, sizeof text->key);
  random_bytes(text->iv, sizeof text->iv);
  random_bytes(text->src, slen ? slen : 1);
  text->klen = klen, text->slen = slen;
}

int begin(struct guarded *context, const struct text *text, int flags) {
  static _Thread_local int place;
  *context = make_context(place++ % 4);
  int code = lib.crypt->crypt_ctx_init(context->ctx, text->key, text->klen, text->iv, 16, flags, 1, 1);
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

/* CBC or CTR of whole inputs, by the calls that the server makes; -1 where the padding is wrong. */
static int plain_mode(const char *mode, const struct text *text, int flags, const unsigned char *src, int slen,
                      unsigned char *dst) {
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  int first = 0, last = 0;
  REQUIRE(EVP_CipherInit_ex(ctx, evp(mode, text->klen), NULL, text->key, text->iv, flags & KR_FLAG_ENCRYPT) == 1);
  if (flags & NOPAD)
    EVP_CIPHER_CTX_set_padding(ctx, 0);
  REQUIRE(EVP_CipherUpdate(ctx, dst, &first, src, slen) == 1);
  int ended = EVP_CipherFinal_ex(ctx, dst + first, &last);
  EVP_CIPHER_CTX_free(ctx);
  return ended == 1 ? first + last : -1;
}

static int cbc_without_padding(const struct text *text, int flags, const unsigned char *src, int slen,
                               unsigned char *dst) {
  struct text mask_of = *text;
  unsigned char mask[32];
  int whole = slen - slen % 16;
  int length = plain_mode("cbc", text, flags, src, whole, dst);
  REQUIRE(length == whole);
  REQUIRE(plain_mode("ecb", &mask_of, KR_FLAG_ENCRYPT | NOPAD, text->iv, 16, mask) == 16);
  for (int i = whole; i < slen; i++)
    dst[i] = src[i] ^ mask[i - whole];
  return slen;
}

static int gcm(const struct text *text, int flags, const unsigned char *src, int slen, unsigned char *dst) {
  int encrypt = flags & KR_FLAG_ENCRYPT, length = 0, none = 0, ended;
  unsigned char tag[16];
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  REQUIRE(EVP_CipherInit_ex(ctx, evp("gcm", text->klen), NULL, text->key, text->iv, encrypt) == 1);
  REQUIRE(EVP_CipherUpdate(ctx, NULL, &none, text->iv + 12, 4) == 1);
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

int openssl_at_once(enum algorithm algorithm, const struct text *text, int flags, const void *src, unsigned int slen,
                    unsigned char *dst) {
  if (algorithm == AES_CTR)
    return flags & NOPAD ? plain_mode("ctr", text, flags, src, (int)slen, dst) : gcm(text, flags, src, (int)slen, dst);
  return flags & NOPAD ? cbc_without_padding(text, flags, src, (int)slen, dst)
                       : plain_mode("cbc", text, flags, src, (int)slen, dst);
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
