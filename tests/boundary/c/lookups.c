/* get_latest_key_version and get_key: lines 1, 2, 3 and 10 of the contract in the server's plugin_encryption.h. */
#include "host.h"

#include <valgrind/memcheck.h>

static unsigned char expected[32];

static void versions(void) {
  CHECK(lib.crypt->get_latest_key_version(1) == 4, "the latest version is the highest");
  CHECK(lib.crypt->get_latest_key_version(2) == 1, "a line without a version is version 1");
  CHECK(lib.crypt->get_latest_key_version(3) == INVALID, "an unknown key has no latest version");
  CHECK(lib.crypt->get_latest_key_version(0) == INVALID, "key id 0 is no key");
  CHECK(lib.crypt->get_latest_key_version(INVALID) == INVALID, "key id 2^32-1 is unknown like any other");

  static const unsigned int wrong[][2] = {{1, 0}, {1, INVALID}, {1, 2}, {1, 5}, {2, 4}, {3, 1}, {0, 1}, {0, 0}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    unsigned char buffer[32];
    unsigned int length = 31;
    memset(buffer, 0x77, sizeof buffer);
    REQUIRE(lib.crypt->get_key(wrong[i][0], wrong[i][1], buffer, &length) == INVALID);
    REQUIRE(all_are(buffer, sizeof buffer, 0x77));
    REQUIRE(length == 31);
  }
  OK("version 0, version 2^32-1, an unknown id and an unknown version are invalid, and leave buffer and length alone");
}

static void copies(unsigned int id, unsigned int version, const char *hex) {
  unsigned int true_length = (unsigned int)strlen(hex) / 2;
  unhex(hex, expected);
  for (unsigned int room = 0; room <= 40; room++) {
    unsigned char buffer[48];
    unsigned int length = room;
    memset(buffer, 0x77, sizeof buffer);
    unsigned int answer = lib.crypt->get_key(id, version, buffer, &length);
    REQUIRE(length == true_length);
    if (room < true_length) {
      REQUIRE(answer == KR_KEY_BUFFER_TOO_SMALL);
      REQUIRE(all_are(buffer, sizeof buffer, 0x77));
    } else {
      REQUIRE(answer == 0);
      REQUIRE(memcmp(buffer, expected, true_length) == 0);
      REQUIRE(all_are(buffer + true_length, sizeof buffer - true_length, 0x77));
    }
  }
}

void lookups(void) {
  for EACH_ALGORITHM (algorithm) {
    start(algorithm);
    versions();
    copies(1, 1, DERIVES_KEYS(algorithm) ? LONG_KEY_1_1 : KEY_1_1);
    copies(1, 4, DERIVES_KEYS(algorithm) ? LONG_KEY_1_4 : KEY_1_4);
    copies(2, 1, KEY_2_1);
    OK("too small a buffer is 100 with the true length and stays as it was, a larger one gets the key and no byte more");

    unsigned int length = 0xDEADBEEF;
    (void)VALGRIND_MAKE_MEM_UNDEFINED(&length, sizeof length);
    REQUIRE(lib.crypt->get_key(2, 1, NULL, &length) == 0);
    CHECK(length == 32, "without a buffer the length is written and never read, uninitialised as it is");
    (void)VALGRIND_MAKE_MEM_UNDEFINED(&length, sizeof length);
    CHECK(lib.crypt->get_key(1, 2, NULL, &length) == INVALID, "an unknown version without a buffer is invalid");

    for (unsigned int id = 1; id <= 2; id++) {
      unsigned char key[32];
      length = sizeof key;
      REQUIRE(lib.crypt->get_key(id, lib.crypt->get_latest_key_version(id), key, &length) == 0);
    }
    OK("what get_latest_key_version answers, get_key has");

    /* The store is gone: lookups answer from what is in hand. */
    REQUIRE(remove(in_dir("keys")) == 0);
    CHECK(lib.crypt->get_latest_key_version(1) == 4 && lib.crypt->get_key(1, 1, NULL, &length) == 0,
          "keys that were loaded stay when their file is gone");
    stop();
    CHECK(lib.crypt->get_latest_key_version(1) == INVALID, "after deinit there is no key");
  }

  /* Many ids, among them neighbours and those that differ in high bits alone. */
  char *text = malloc(1 << 20), *end = text;
  for (unsigned int i = 0; i < 4000; i++) {
    unsigned int id = i < 2000 ? i + 1 : (i << 20) + 5000;
    end += sprintf(end, "%u;%u;%08x%08x%08x%08x\n", id, i % 7 + 1, id, i, i, i);
  }
  write_text(in_dir("many"), text);
  free(text);
  set_defaults();
  set_text("filename", in_dir("many"));
  REQUIRE(init() == 0);
  for (unsigned int i = 0; i < 4000; i++) {
    unsigned int id = i < 2000 ? i + 1 : (i << 20) + 5000, length = 16;
    unsigned char key[16];
    REQUIRE(lib.crypt->get_latest_key_version(id) == i % 7 + 1);
    REQUIRE(lib.crypt->get_key(id, i % 7 + 1, key, &length) == 0);
    REQUIRE((unsigned int)(key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3]) == id);
  }
  stop();
  OK("each of 4000 keys is found");
}
