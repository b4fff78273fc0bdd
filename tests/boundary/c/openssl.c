/* The ciphers against OpenSSL, called exactly as the server and its own plugin call it. */
#include "host.h"

#include <valgrind/valgrind.h>

static unsigned char ours[20100], theirs[20100], back[20100];

/* A length with the server's favourites among them. */
static unsigned int random_length(void) {
  static const unsigned int favourites[] = {0, 1, 15, 16, 17, 31, 32, 33, 512, 4096, 16354, 16384};
  switch (random_below(4)) {
  case 0:
    return favourites[random_below(sizeof favourites / sizeof *favourites)];
  case 1:
    return random_below(9000);
  default:
    return random_below(130);
  }
}

/* A text under any of the keys, with a key of any length handed over. */
static void any_text(struct text *text, unsigned int slen) {
  static const unsigned int names[][2] = {{1, 1}, {1, 4}, {2, 1}};
  const unsigned int *name = names[random_below(3)];
  random_text(text, 16 + 8 * random_below(3), slen);
  text->key_id = name[0], text->key_version = name[1];
}

/* Both directions of one text, in updates of random lengths. */
static unsigned int in_updates(const struct text *text, int flags, const unsigned char *src, unsigned int slen,
                               unsigned char *dst, int at_once) {
  struct guarded context;
  unsigned int taken = 0, given = 0;
  REQUIRE(begin(&context, text, flags) == 0);
  do {
    unsigned int step = at_once ? slen : random_below(slen - taken + 1);
    if (!at_once && random_below(3) == 0)
      step = slen - taken;
    struct outcome outcome = update(&context, src + taken, step, dst + given);
    REQUIRE(outcome.code == 0);
    taken += step, given += outcome.length;
  } while (taken < slen);
  struct outcome last = finish(&context, dst + given);
  REQUIRE(last.code == 0);
  return given + last.length;
}

static void round_trips(enum algorithm algorithm, int padding, int rounds) {
  static struct text text;
  for (int i = 0; i < rounds; i++) {
    any_text(&text, random_length());
    int expected = openssl_at_once(algorithm, &text, KR_FLAG_ENCRYPT | padding, text.src, text.slen, theirs);
    REQUIRE(expected >= 0);
    /* A first update of aes_256_hctr2 may have to be the whole message. */
    int at_once = algorithm == AES_256_HCTR2 && padding == NOPAD && text.klen == 16;
    unsigned int length = in_updates(&text, KR_FLAG_ENCRYPT | padding, text.src, text.slen, ours, at_once);
    REQUIRE(length == (unsigned int)expected);
    REQUIRE(memcmp(ours, theirs, length) == 0);
    /* GCM's tag ends the text, so its decryption takes all of it at once. */
    at_once |= algorithm != AES_CBC && padding == PADDED;
    REQUIRE(in_updates(&text, padding, theirs, length, back, at_once) == text.slen);
    REQUIRE(memcmp(back, text.src, text.slen) == 0);
    REQUIRE(openssl_at_once(algorithm, &text, padding, ours, length, back) == (int)text.slen);
    REQUIRE(memcmp(back, text.src, text.slen) == 0);
  }
}

static void in_place(enum algorithm algorithm, int padding, int rounds) {
  static struct text text;
  for (int i = 0; i < rounds; i++) {
    any_text(&text, random_length());
    int expected = openssl_at_once(algorithm, &text, KR_FLAG_ENCRYPT | padding, text.src, text.slen, theirs);
    memcpy(ours, text.src, text.slen);
    REQUIRE(crypt_at_once(&text, KR_FLAG_ENCRYPT | padding, ours, text.slen, ours) == (unsigned int)expected);
    REQUIRE(memcmp(ours, theirs, (size_t)expected) == 0);
    REQUIRE(crypt_at_once(&text, padding, ours, (unsigned int)expected, ours) == text.slen);
    REQUIRE(memcmp(ours, text.src, text.slen) == 0);
  }
}

/* What OpenSSL refuses is refused: texts cut, damaged, or made with another key. */
static void damaged(enum algorithm algorithm, int rounds) {
  static struct text text;
  int refused = 0;
  for (int i = 0; i < rounds; i++) {
    any_text(&text, random_below(200));
    int length = openssl_at_once(algorithm, &text, KR_FLAG_ENCRYPT, text.src, text.slen, theirs);
    switch (random_below(3)) {
    case 0:
      theirs[random_below((unsigned int)length)] ^= (unsigned char)(1 << random_below(8));
      break;
    case 1:
      text.key[random_below(text.klen)] ^= 1;
      break;
    default:
      length -= length > 17;
    }
    int expected = openssl_at_once(algorithm, &text, KR_FLAG_DECRYPT, theirs, (unsigned int)length, back);
    struct guarded context;
    REQUIRE(begin(&context, &text, KR_FLAG_DECRYPT) == 0);
    struct outcome first = update(&context, theirs, (unsigned int)length, ours);
    struct outcome last = finish(&context, ours + first.length);
    int accepted = first.code == 0 && last.code == 0;
    REQUIRE(accepted == (expected >= 0));
    REQUIRE(accepted || first.code == KR_CRYPT_BAD_DATA || last.code == KR_CRYPT_BAD_DATA);
    if (accepted) {
      REQUIRE(first.length + last.length == (unsigned int)expected);
      REQUIRE(memcmp(ours, back, (size_t)expected) == 0);
    }
    refused += !accepted;
  }
  REQUIRE(refused > rounds / 4);
}

void openssl(void) {
  int rounds = RUNNING_ON_VALGRIND ? 25 : 2000;
  for EACH_ALGORITHM (algorithm) {
    start(algorithm);
    round_trips(algorithm, NOPAD, rounds);
    OK("random texts in random updates without padding: both directions agree with OpenSSL");
    round_trips(algorithm, PADDED, rounds);
    OK("random texts in random updates with padding: both directions agree with OpenSSL");
    in_place(algorithm, NOPAD, rounds);
    in_place(algorithm, PADDED, rounds);
    OK("in place, padded and not, both directions agree with OpenSSL");
    damaged(algorithm, rounds);
    OK("damaged texts and wrong keys: what OpenSSL refuses is -100, what it accepts has the same bytes");
    stop();
  }
}
