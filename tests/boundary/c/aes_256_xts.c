/* aes_256_xts: what the data key, which the server names but does not hand over, does to the bytes. */
#include "host.h"

#include <pthread.h>
#include <valgrind/memcheck.h>

enum { LENGTH = 45, ROOM = LENGTH + 16 };

/* The same names with other bytes. */
#define OTHER_KEY_1_1 "f00112233445566778899aabbccddeef" KEY_1_4
#define OTHER_KEY_2_1 "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf" KEY_1_1
#define OTHER_KEY_FILE "1;" OTHER_KEY_1_1 "\n1;4;" LONG_KEY_1_1 "\n2;" OTHER_KEY_2_1 "\n"

static const unsigned int names[][2] = {{1, 1}, {1, 4}, {2, 1}};
enum { NAMES = sizeof names / sizeof *names };

static struct text text;

static void name_it(unsigned int key_id, unsigned int key_version) {
  text.key_id = key_id, text.key_version = key_version;
}

/* Encrypts the text; fails unless OpenSSL gives the same bytes and they decrypt again. */
static unsigned int encrypt(const struct text *this, int padding, unsigned char *out) {
  unsigned char expected[ROOM], back[ROOM];
  unsigned int length = crypt_at_once(this, KR_FLAG_ENCRYPT | padding, this->src, LENGTH, out);
  REQUIRE(length == (padding == NOPAD ? LENGTH : ROOM));
  REQUIRE(openssl_at_once(AES_256_XTS, this, KR_FLAG_ENCRYPT | padding, this->src, LENGTH, expected) == (int)length);
  REQUIRE(memcmp(out, expected, length) == 0);
  REQUIRE(crypt_at_once(this, KR_FLAG_DECRYPT | padding, out, length, back) == LENGTH);
  REQUIRE(memcmp(back, this->src, LENGTH) == 0);
  return length;
}

/* Whether any block of the text, the tail, or the tag is the same in both. */
static int have_anything_in_common(const unsigned char *a, const unsigned char *b, unsigned int length) {
  for (unsigned int at = 0; at < length; at += 16) {
    unsigned int rest = length - at < 16 ? length - at : 16;
    if (memcmp(a + at, b + at, rest) == 0)
      return 1;
  }
  return 0;
}

static void refuse(unsigned int key_id, unsigned int key_version) {
  name_it(key_id, key_version);
  for (int flags = 0; flags <= (KR_FLAG_ENCRYPT | NOPAD); flags++) {
    struct guarded context;
    REQUIRE(begin(&context, &text, flags) == KR_CRYPT_BAD_DATA);
    /* And no key is left behind. */
    (void)VALGRIND_MAKE_MEM_DEFINED(context.ctx, context.size);
    REQUIRE(!memmem(context.ctx, context.size, text.key, 8));
    free_context(&context);
  }
}

static void unknown_names(void) {
  static const unsigned int wrong[][2] = {{1, 0}, {1, INVALID}, {1, 2}, {1, 5}, {2, 4}, {3, 1}, {0, 1}, {0, 0}, {INVALID, 1}};
  random_text(&text, 16, LENGTH);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    refuse(wrong[i][0], wrong[i][1]);
  OK("init under an unknown key id or key version is -100 in every direction and padding");
}

static void names_matter(void) {
  for (int padding = PADDED; padding <= NOPAD; padding += NOPAD) {
    unsigned char out[NAMES][ROOM], back[ROOM];
    unsigned int length = 0;
    random_text(&text, 16, LENGTH);
    for (int i = 0; i < NAMES; i++) {
      name_it(names[i][0], names[i][1]);
      length = encrypt(&text, padding, out[i]);
      for (int before = 0; before < i; before++)
        REQUIRE(!have_anything_in_common(out[before], out[i], length));
    }
    for (int i = 0; i < NAMES; i++) {
      struct guarded context;
      name_it(names[i][0], names[i][1]);
      REQUIRE(begin(&context, &text, padding) == 0);
      struct outcome first = update(&context, out[(i + 1) % NAMES], length, back);
      struct outcome last = finish(&context, back + first.length);
      if (padding == NOPAD)
        REQUIRE(last.code == 0 && !have_anything_in_common(back, text.src, LENGTH));
      else
        REQUIRE(first.code == KR_CRYPT_BAD_DATA && last.code == KR_CRYPT_BAD_DATA);
    }
  }
  OK("another key id or key version gives other bytes in every block, and reads nothing of the first one's");
}

static void equal_keys_under_two_names(void) {
  REQUIRE(start_with(AES_256_XTS, "1;" KEY_2_1 "\n1;4;" KEY_2_1 "\n2;" KEY_2_1 "\n") == 0);
  names_matter();
  stop();
  OK("so it is where the data keys themselves are equal");
}

/* The key that init is given is HKDF's salt, which HMAC fills up with zero bytes. */
static void keys_handed_over(void) {
  for (int padding = PADDED; padding <= NOPAD; padding += NOPAD)
    for (int zeroes = 0; zeroes <= 1; zeroes++) {
      unsigned char out[3][ROOM];
      random_text(&text, 16, LENGTH);
      if (zeroes)
        memset(text.key + 16, 0, 16);
      for (int i = 0; i < 3; i++) {
        text.klen = 16 + 8 * (unsigned int)i;
        unsigned int length = encrypt(&text, padding, out[i]);
        for (int before = 0; before < i; before++)
          REQUIRE(zeroes ? memcmp(out[before], out[i], length) == 0 : !have_anything_in_common(out[before], out[i], length));
      }
    }
  OK("more bytes of the key that init is given make other bytes, and zero bytes at its end do not, as documented");
}

static void rotations(void) {
  unsigned char before[ROOM], after[ROOM], rotated[ROOM];
  struct guarded context;
  start(AES_256_XTS);
  random_text(&text, 16, LENGTH);
  refuse(1, 6);
  for (int padding = PADDED; padding <= NOPAD; padding += NOPAD) {
    unsigned int latest = lib.crypt->get_latest_key_version(1);
    name_it(1, latest);
    unsigned int length = encrypt(&text, padding, before);
    /* A message that lasts longer than the ring it was begun under. */
    REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | padding) == 0);
    struct outcome first = update(&context, text.src, 20, after);
    REQUIRE(set_global("rotate_key", -1) == 0 && set_global("reload_keys", 1) == 0);
    struct outcome second = update(&context, text.src + 20, LENGTH - 20, after + first.length);
    struct outcome last = finish(&context, after + first.length + second.length);
    REQUIRE(first.code == 0 && second.code == 0 && last.code == 0);
    REQUIRE(first.length + second.length + last.length == length && memcmp(before, after, length) == 0);
    encrypt(&text, padding, after);
    REQUIRE(memcmp(before, after, length) == 0);
    name_it(1, latest + 2);
    encrypt(&text, padding, rotated);
    REQUIRE(!have_anything_in_common(before, rotated, length));
  }
  OK("a rotation changes no byte under the version before it, in new messages or in those under way");
  OK("the new version is refused before it and encrypts otherwise after it");
  stop();
}

static void short_keys_at_the_start(void) {
  static const struct {
    const char *file, *words;
  } shorter[] = {
      {KEY_FILE, "version 1 of key 1 has 128 bits, but aes_256_xts needs data keys of 256 bits"},
      {"1;" LONG_KEY_1_1 "\n1;4;" KEY_1_4 "\n2;" KEY_2_1 "\n", "version 4 of key 1 has 128 bits"},
      {LONG_KEY_FILE "2;7;" KEY_1_1 "0011223344556677\n", "version 7 of key 2 has 192 bits"},
  };
  char shown[2000];
  for (size_t i = 0; i < sizeof shorter / sizeof *shorter; i++) {
    forget_messages();
    REQUIRE(start_with(AES_256_XTS, shorter[i].file) != 0);
    REQUIRE(count_messages(shorter[i].words, KR_ME_ERROR_LOG) == 1);
    REQUIRE(count_messages("64 hex digits", KR_ME_ERROR_LOG_ONLY | KR_ME_NOTE) == 1);
    REQUIRE(lib.crypt->get_latest_key_version(1) == INVALID && lib.crypt->get_latest_key_version(2) == INVALID);
    show_status("key_versions", shown);
    REQUIRE(strcmp(shown, "0") == 0);
    forget_messages();
    refused_with(set_global("rotate_key", 1), "not running", NULL);
    char *file = read_file(in_dir("keys"), NULL);
    REQUIRE(strcmp(file, shorter[i].file) == 0);
    free(file);
  }
  OK("a data key of under 256 bits makes init fail with its name, nothing is published, and the file stays as it is");
}

static void short_keys_later(void) {
  unsigned char before[ROOM], after[ROOM];
  start(AES_256_XTS);
  REQUIRE(set_global("rotate_key", 2) == 0);
  random_text(&text, 16, LENGTH);
  name_it(2, 3);
  encrypt(&text, NOPAD, before);
  char *file = read_file(in_dir("keys"), NULL), with_short[2000];
  snprintf(with_short, sizeof with_short, "%s3;%s\n", file, KEY_1_1);
  write_text(in_dir("keys"), with_short);
  forget_messages();
  refused_with(set_global("reload_keys", 1), "reload of the keys failed", "version 1 of key 3 has 128 bits", "Hint: ", "64 hex digits", NULL);
  refused_with(set_global("rotate_key", 2), "rotation of key 2 failed", "version 1 of key 3 has 128 bits", "Hint: ", NULL);
  refused_with(set_global("rotate_key", -1), "rotation of all keys failed", "version 1 of key 3 has 128 bits", NULL);
  char *now = read_file(in_dir("keys"), NULL);
  REQUIRE(strcmp(now, with_short) == 0);
  REQUIRE(lib.crypt->get_latest_key_version(3) == INVALID && lib.crypt->get_latest_key_version(2) == 3);
  refuse(3, 1);
  name_it(2, 3);
  encrypt(&text, NOPAD, after);
  REQUIRE(memcmp(before, after, LENGTH) == 0);
  OK("a short key that came into the file later fails reloads and rotations, and changes neither the file nor the keys");

  write_text(in_dir("keys"), file);
  REQUIRE(set_global("reload_keys", 1) == 0 && set_global("rotate_key", 2) == 0);
  REQUIRE(lib.crypt->get_latest_key_version(2) == 5);
  OK("once it is gone, both succeed");
  free(file);
  free(now);
  stop();
}

/* What one thread gets in two runs of the plugin, in both modes and under all names. */
struct runs {
  pthread_barrier_t *between;
  const struct text *texts;
  unsigned char out[2][2 * NAMES][ROOM];
};

static void *encrypt_in_both_runs(void *argument) {
  struct runs *runs = argument;
  for (int run = 0; run < 2; run++) {
    pthread_barrier_wait(runs->between);
    for (int i = 0; i < 2 * NAMES; i++)
      encrypt(&runs->texts[i % NAMES], i < NAMES ? PADDED : NOPAD, runs->out[run][i]);
    pthread_barrier_wait(runs->between);
  }
  return NULL;
}

/* Threads of a server live on while a plugin is uninstalled and installed again; so does what they keep. */
static void another_run(void) {
  static struct text texts[NAMES];
  static struct runs other, this;
  pthread_barrier_t between;
  pthread_t thread;
  REQUIRE(pthread_barrier_init(&between, NULL, 2) == 0);
  for (int i = 0; i < NAMES; i++) {
    random_text(&texts[i], 16, LENGTH);
    texts[i].key_id = names[i][0], texts[i].key_version = names[i][1];
  }
  other.between = &between, other.texts = this.texts = texts;
  REQUIRE(pthread_create(&thread, NULL, encrypt_in_both_runs, &other) == 0);
  for (int run = 0; run < 2; run++) {
    unsigned char key[32], expected[32];
    unsigned int length = sizeof key;
    REQUIRE(start_with(AES_256_XTS, run ? OTHER_KEY_FILE : LONG_KEY_FILE) == 0);
    unhex(run ? OTHER_KEY_1_1 : LONG_KEY_1_1, expected);
    REQUIRE(lib.crypt->get_key(1, 1, key, &length) == 0 && memcmp(key, expected, sizeof key) == 0);
    /* The other thread first, so that it meets the new keys with nothing but what it kept. */
    pthread_barrier_wait(&between);
    pthread_barrier_wait(&between);
    for (int i = 0; i < 2 * NAMES; i++)
      encrypt(&texts[i % NAMES], i < NAMES ? PADDED : NOPAD, this.out[run][i]);
    stop();
  }
  REQUIRE(pthread_join(thread, NULL) == 0);
  REQUIRE(pthread_barrier_destroy(&between) == 0);
  for (int i = 0; i < 2 * NAMES; i++) {
    unsigned int length = i < NAMES ? ROOM : LENGTH;
    REQUIRE(memcmp(this.out[0][i], other.out[0][i], length) == 0 && memcmp(this.out[1][i], other.out[1][i], length) == 0);
    REQUIRE(!have_anything_in_common(this.out[0][i], this.out[1][i], length));
  }
  OK("after another start with other keys of the same names no thread uses a key that it derived before");
}

void aes_256_xts(void) {
  start(AES_256_XTS);
  unknown_names();
  names_matter();
  keys_handed_over();
  stop();
  equal_keys_under_two_names();
  rotations();
  short_keys_at_the_start();
  short_keys_later();
  another_run();
}
