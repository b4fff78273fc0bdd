/* A panic behind every entry: its documented failure, no crash, and all works again afterwards. */
#include "host.h"

enum { NO_PANIC, AT_ENTRY, DURING_WORK };

static struct text text;
static unsigned char out[64];

static void of_lookups_and_sizes(void) {
  unsigned char key[32];
  unsigned int length = 32, size = lib.crypt->crypt_ctx_size(1, 1);
  memset(key, 0x77, sizeof key);
  lib.test_panic(AT_ENTRY);
  unsigned int latest = lib.crypt->get_latest_key_version(1), got = lib.crypt->get_key(1, 1, key, &length);
  unsigned int panicked_size = lib.crypt->crypt_ctx_size(1, 1), padded = lib.crypt->encrypted_length(16, 1, 1);
  lib.test_panic(NO_PANIC);
  CHECK(latest == INVALID, "get_latest_key_version answers invalid");
  CHECK(got == INVALID && length == 32 && all_are(key, 32, 0x77), "get_key answers invalid and leaves buffer and length alone");
  CHECK(panicked_size == size, "crypt_ctx_size is right all the same: the server allocates by it");
  CHECK(padded == 0xFFFFFFFF, "encrypted_length is one that nobody can allocate");
  CHECK(lib.crypt->get_latest_key_version(1) == 4 && lib.crypt->get_key(1, 1, key, &length) == 0 &&
            lib.crypt->encrypted_length(16, 1, 1) == 32,
        "lookups work again");
}

static void of_ciphers(void) {
  struct guarded context;
  lib.test_panic(AT_ENTRY);
  int began = begin(&context, &text, KR_FLAG_ENCRYPT);
  lib.test_panic(NO_PANIC);
  CHECK(began == KR_CRYPT_LIBRARY_ERROR, "crypt_ctx_init fails with -101");
  free_context(&context);

  for (int where = AT_ENTRY; where <= DURING_WORK; where++) {
    REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT) == 0);
    REQUIRE(update(&context, text.src, 20, out).code == 0);
    lib.test_panic(where);
    struct outcome failed = update(&context, text.src, 20, out);
    lib.test_panic(NO_PANIC);
    REQUIRE(failed.code == KR_CRYPT_LIBRARY_ERROR && failed.length == 0);
    struct outcome ended = finish(&context, out);
    /* Before the work began nothing was done; in its midst the state of the cipher is unknown. */
    REQUIRE(ended.code == (where == AT_ENTRY ? 0 : KR_CRYPT_BAD_DATA));
  }
  OK("crypt_ctx_update fails with -101 and length 0, and finish wipes the context it leaves");

  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT) == 0);
  REQUIRE(update(&context, text.src, 20, out).code == 0);
  lib.test_panic(DURING_WORK);
  struct outcome ended = finish(&context, out);
  lib.test_panic(NO_PANIC);
  CHECK(ended.code == KR_CRYPT_LIBRARY_ERROR && ended.length == 0, "crypt_ctx_finish fails with -101 and length 0, and has wiped the context");

  REQUIRE(crypt_at_once(&text, KR_FLAG_ENCRYPT, text.src, 20, out) == lib.crypt->encrypted_length(20, 1, 1));
  OK("ciphers work again");
}

static void of_variables_and_status(void) {
  struct kr_show_var copy = lib.plugin->status_vars[0];
  int (*show)(void *, struct kr_show_var *, char *) = (int (*)(void *, struct kr_show_var *, char *))copy.value;
  char buffer[KR_SHOW_BUFFER];
  forget_messages();
  lib.test_panic(AT_ENTRY);
  int rotated = set_global("rotate_key", 1), reloaded = set_global("reload_keys", 1);
  int shown = show(NULL, &copy, buffer);
  find_variable("rotate_key")->update(NULL, NULL, NULL, NULL);
  lib.test_panic(NO_PANIC);
  CHECK(rotated != 0 && reloaded != 0, "SET GLOBAL of an action fails");
  CHECK(shown != 0, "a status function fails");
  CHECK(lib.crypt->get_latest_key_version(1) == 4, "nothing was rotated");
}

static void of_the_function(void) {
  struct kr_udf_init state = {0};
  struct kr_udf_args args = {0};
  char is_null = 0, error = 0;
  unsigned long length;
  REQUIRE(lib.keys_init(&state, &args, NULL) == 0);
  lib.test_panic(AT_ENTRY);
  struct kr_udf_init other = {0};
  int began = lib.keys_init(&other, &args, NULL);
  const char *answer = lib.keys(&state, &args, NULL, &length, &is_null, &error);
  lib.keys_deinit(&state);
  lib.test_panic(NO_PANIC);
  CHECK(began != 0 && answer == NULL, "keyroll_keys() refuses, or answers NULL");
  CHECK(lib.keys(&state, &args, NULL, &length, &is_null, &error) != NULL, "keyroll_keys() works again");
  lib.keys_deinit(&state);
}

static void of_life(void) {
  lib.test_panic(AT_ENTRY);
  int ended = lib.plugin->deinit(NULL);
  lib.test_panic(NO_PANIC);
  CHECK(ended != 0, "deinit fails");
  stop();
  lib.test_panic(AT_ENTRY);
  int started = init();
  lib.test_panic(NO_PANIC);
  CHECK(started != 0, "init fails");
  CHECK(lib.crypt->get_latest_key_version(1) == INVALID, "and there is no key");
  CHECK(init() == 0 && lib.crypt->get_latest_key_version(1) == 4, "init works again");
}

void panics(void) {
  random_text(&text, 16, 64);
  for EACH_ALGORITHM (algorithm) {
    start(algorithm);
    of_lookups_and_sizes();
    of_ciphers();
    of_variables_and_status();
    of_the_function();
    of_life();
    stop();
  }
}
