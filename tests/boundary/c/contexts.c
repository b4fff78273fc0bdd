/* The crypt functions: lines 4 to 8, 11 and 12 of the vtable's contract. */
#include "host.h"

#include <valgrind/memcheck.h>

static struct text text;
static unsigned char out[20100], back[20100], expected[20100];

static void places(void) {
  for (int place = 0; place < 4; place++) {
    struct guarded context = make_context(place);
    REQUIRE((uintptr_t)context.ctx % 16 == 8);
    random_text(&text, 32, 100);
    memset(out, 0xC3, sizeof out);
    REQUIRE(lib.crypt->crypt_ctx_init(context.ctx, text.key, 32, text.iv, 16, KR_FLAG_ENCRYPT | NOPAD, 2, 1) == 0);
    struct outcome first = update(&context, text.src, 100, out + 64);
    (void)VALGRIND_MAKE_MEM_DEFINED(context.ctx, context.size);
    REQUIRE(!all_are(context.ctx, context.size, 0));
    struct outcome last = finish(&context, out + 64 + first.length);
    REQUIRE(first.code == 0 && last.code == 0 && first.length + last.length == 100);
    REQUIRE(all_are(out, 64, 0xC3) && all_are(out + 164, 100, 0xC3));
  }
  OK("a context at any address that is a multiple of 8 works, and no byte around it or around dst changes");
}

static void versions_do_not_matter(void) {
  unsigned int size = lib.crypt->crypt_ctx_size(1, 1);
  CHECK(size == lib.crypt->crypt_ctx_size(2, 1) && size == lib.crypt->crypt_ctx_size(99, INVALID) && size <= 4096,
        "the size of a context depends on nothing and fits on a stack");
}

static void lengths(enum algorithm algorithm) {
  /* Valgrind is slow; it is here for what is read, which few lengths show. */
  for (unsigned int i = 0; i <= 602; i += RUNNING_ON_VALGRIND ? 7 : 1) {
    unsigned int slen = i == 601 ? 4096 : i == 602 ? 16384 : i;
    random_text(&text, 16, slen);
    REQUIRE(crypt_at_once(&text, KR_FLAG_ENCRYPT, text.src, slen, out) == lib.crypt->encrypted_length(slen, 1, 1));
    REQUIRE(crypt_at_once(&text, KR_FLAG_ENCRYPT | NOPAD, text.src, slen, out) == slen);
    REQUIRE(crypt_at_once(&text, KR_FLAG_DECRYPT | NOPAD, out, slen, back) == slen);
    REQUIRE(memcmp(back, text.src, slen) == 0);
  }
  OK("encrypted_length is exact with padding, and NOPAD keeps every length");
  unsigned int most = lib.crypt->encrypted_length(0xFFFFFFFF, 1, 1);
  CHECK(most == 0xFFFFFFFF, algorithm == AES_CBC ? "encrypted_length does not wrap in CBC" : "encrypted_length does not wrap in GCM");
}

static void key_lengths(enum algorithm algorithm) {
  for (unsigned int klen = 16; klen <= 32; klen += 8)
    for (unsigned int id = 1; id <= 2; id++) {
      struct guarded context;
      random_text(&text, klen, 64);
      text.key_id = id;
      REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | NOPAD) == 0);
      struct outcome first = update(&context, text.src, 64, out);
      REQUIRE(first.code == 0 && finish(&context, out + first.length).code == 0);
      REQUIRE(openssl_at_once(algorithm, &text, KR_FLAG_ENCRYPT | NOPAD, text.src, 64, expected) == 64);
      REQUIRE(memcmp(out, expected, 64) == 0);
    }
  OK("a key of 16, 24 or 32 bytes works, whatever the length of the data key");

  for (unsigned int klen = 0; klen <= 64; klen++) {
    unsigned char key[64] = {0};
    if (klen == 16 || klen == 24 || klen == 32)
      continue;
    for (int flags = 0; flags <= (KR_FLAG_ENCRYPT | NOPAD); flags++) {
      struct guarded context = make_context(1);
      REQUIRE(lib.crypt->crypt_ctx_init(context.ctx, key, klen, text.iv, 16, flags, 1, 1) == KR_CRYPT_BAD_KEY_SIZE);
      REQUIRE(guards_intact(&context));
      free_context(&context);
    }
  }
  OK("a key of any other length up to 64 bytes is -102");
  for (unsigned int ivlen = 0; ivlen <= 32; ivlen++) {
    unsigned char iv[32] = {0};
    struct guarded context = make_context(2);
    int code = lib.crypt->crypt_ctx_init(context.ctx, text.key, 16, iv, ivlen, KR_FLAG_ENCRYPT | NOPAD, 1, 1);
    REQUIRE(code == (ivlen == 16 ? 0 : KR_CRYPT_BAD_DATA));
    if (code == 0)
      REQUIRE(finish(&context, out).code == 0);
    else
      free_context(&context);
  }
  OK("an IV of any length but 16 is -100");
}

static void failed_updates(void) {
  struct guarded context;
  unsigned char both[64];
  random_text(&text, 16, 64);
  memcpy(both, text.src, 64);
  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | NOPAD) == 0);
  REQUIRE(update(&context, both, 48, both + 8).code == KR_CRYPT_BAD_DATA);
  REQUIRE(memcmp(both, text.src, 64) == 0);
  REQUIRE(update(&context, text.src, 16, out).code == KR_CRYPT_BAD_DATA);
  struct outcome last = finish(&context, out);
  CHECK(last.code == KR_CRYPT_BAD_DATA && last.length == 0,
        "after a failed update every update fails with length 0, and finish fails, too, and wipes");

  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT) == 0);
  REQUIRE(update(&context, text.src, 40, out).code == 0);
  unsigned int length = 1;
  REQUIRE(lib.crypt->crypt_ctx_finish(context.ctx, out + 48, &length) == 0 && length > 0);
  REQUIRE(is_wiped(&context));
  memset(out, 0xC3, 64);
  REQUIRE(update(&context, text.src, 16, out).code == KR_CRYPT_BAD_DATA);
  last = finish(&context, out);
  CHECK(last.code == KR_CRYPT_BAD_DATA && all_are(out, 64, 0xC3), "finish ends a context: a second one is -100 and writes nothing");

  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | NOPAD) == 0);
  last = finish(&context, out);
  CHECK(last.code == 0 && last.length == 0, "a finish without an update has no bytes");
}

static void secrets_do_not_stay(void) {
  struct guarded context;
  random_text(&text, 32, 33);
  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | NOPAD) == 0);
  REQUIRE(update(&context, text.src, 33, out).code == 0);
  /* finish checks that all of the memory is zero. */
  REQUIRE(finish(&context, out + 33).code == 0);
  OK("finish leaves nothing but zeroes in the context's memory");
}

/* The redo log: many updates of whole blocks in place, of 256 bytes at most, one of fewer than 16 bytes, finish. */
static void redo_log(enum algorithm algorithm) {
  for (int round = 0; round < (RUNNING_ON_VALGRIND ? 10 : 100); round++) {
    unsigned int blocks = random_below(30), tail = random_below(16);
    random_text(&text, 16, blocks * 16 + tail);
    memcpy(out, text.src, text.slen);
    for (int flags = KR_FLAG_ENCRYPT | NOPAD; flags >= NOPAD; flags--) {
      struct guarded context;
      unsigned int done = 0;
      REQUIRE(begin(&context, &text, flags) == 0);
      while (done < blocks * 16) {
        unsigned int left = blocks - done / 16;
        unsigned int step = 16 * (1 + random_below(left < 16 ? left : 16));
        struct outcome outcome = update(&context, out + done, step, out + done);
        REQUIRE(outcome.code == 0 && outcome.length == step);
        done += step;
      }
      if (tail > 0) {
        struct outcome outcome = update(&context, out + done, tail, out + done);
        REQUIRE(outcome.code == 0 && outcome.length <= tail);
        done += outcome.length;
      }
      struct outcome last = finish(&context, out + done);
      REQUIRE(last.code == 0 && done + last.length == text.slen);
      if (flags & KR_FLAG_ENCRYPT) {
        REQUIRE(openssl_in_pieces(algorithm, &text, flags, text.src, text.slen, expected) == (int)text.slen);
        REQUIRE(memcmp(out, expected, text.slen) == 0);
      }
    }
    REQUIRE(memcmp(out, text.src, text.slen) == 0);
  }
  OK("as the redo log calls: in place, each update of whole blocks gives all its bytes back at once");
}

static void binlog_and_temporary_files(enum algorithm algorithm) {
  for (unsigned int slen = 1; slen <= 200; slen++) {
    random_text(&text, 32, slen);
    REQUIRE(crypt_at_once(&text, KR_FLAG_ENCRYPT | NOPAD, text.src, slen, out) == slen);
    REQUIRE(openssl_at_once(algorithm, &text, KR_FLAG_ENCRYPT | NOPAD, text.src, slen, expected) == (int)slen);
    REQUIRE(memcmp(out, expected, slen) == 0);
  }
  OK("as the binary log calls: init, one update and finish without padding");
  for (unsigned int slen = 4000; slen <= 4100; slen += RUNNING_ON_VALGRIND ? 9 : 1) {
    random_text(&text, 16, slen);
    unsigned int length = crypt_at_once(&text, KR_FLAG_ENCRYPT, text.src, slen, out);
    REQUIRE(crypt_at_once(&text, KR_FLAG_DECRYPT, out, length, back) == slen);
    REQUIRE(memcmp(back, text.src, slen) == 0);
  }
  OK("as temporary files call: init, one update and finish with padding");
}

static void wrong_tags(void) {
  for (unsigned int slen = 0; slen <= 100; slen += 4)
    for (int spot = 0; spot < 3; spot++) {
      struct guarded context;
      random_text(&text, 16, slen);
      unsigned int length = crypt_at_once(&text, KR_FLAG_ENCRYPT, text.src, slen, out);
      /* The tag's last bit, the text's first, the additional data. */
      if (spot == 2)
        text.iv[15] ^= 1;
      else
        out[spot ? 0 : length - 1] ^= 1;
      memset(back, 0xC3, sizeof back);
      REQUIRE(begin(&context, &text, KR_FLAG_DECRYPT) == 0);
      REQUIRE(update(&context, out, length, back).code == KR_CRYPT_BAD_DATA);
      for (unsigned int at = 0; at + 4 <= slen; at += 4)
        REQUIRE(memcmp(back + at, text.src + at, 4) != 0);
      REQUIRE(all_are(back + slen, 32, 0xC3));
      REQUIRE(finish(&context, back).code == KR_CRYPT_BAD_DATA);
    }
  OK("a wrong tag is -100, and no byte of the text is released");
  struct guarded context;
  random_text(&text, 16, 15);
  REQUIRE(begin(&context, &text, KR_FLAG_DECRYPT) == 0);
  REQUIRE(update(&context, text.src, 15, back).code == KR_CRYPT_BAD_DATA);
  REQUIRE(finish(&context, back).code == KR_CRYPT_BAD_DATA);
  REQUIRE(begin(&context, &text, KR_FLAG_DECRYPT) == 0);
  REQUIRE(finish(&context, back).code == KR_CRYPT_BAD_DATA);
  OK("a text without a whole tag is -100");
}

void contexts(void) {
  for EACH_ALGORITHM (algorithm) {
    start(algorithm);
    versions_do_not_matter();
    places();
    lengths(algorithm);
    key_lengths(algorithm);
    failed_updates();
    secrets_do_not_stay();
    redo_log(algorithm);
    binlog_and_temporary_files(algorithm);
    if (algorithm != AES_CBC)
      wrong_tags();
    stop();
  }
}
