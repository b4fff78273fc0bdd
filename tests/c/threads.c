/* Many threads look up keys and encrypt while another one rotates and reloads. */
#include "host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <valgrind/valgrind.h>

enum { THREADS = 8 };

static atomic_int stopping;
static atomic_uint published; /* the latest version of key 1 that a SET has returned for */

static void *look_up(void *argument) {
  unsigned long *calls = argument;
  unsigned int before = 0;
  struct text *text = malloc(sizeof *text);
  unsigned char *out = malloc(20000);
  for (*calls = 0; !atomic_load(&stopping) || *calls < 50; ++*calls) {
    unsigned int id = 1 + *calls % 2, least = atomic_load(&published), length = 32;
    unsigned char key[32];
    unsigned int latest = lib.crypt->get_latest_key_version(id);
    REQUIRE(latest != INVALID && latest != 0);
    REQUIRE(lib.crypt->get_key(id, latest, key, &length) == 0 && length == 16 * id);
    REQUIRE(lib.crypt->get_key(1, 1, key, &length) == 0);
    if (id == 1) {
      REQUIRE(latest >= least && latest >= before);
      before = latest;
    }
    if (*calls % 16 == 0) {
      random_text(text, length, 500);
      memcpy(text->key, key, length);
      unsigned int done = crypt_at_once(text, KR_FLAG_ENCRYPT, text->src, 500, out);
      REQUIRE(done == lib.crypt->encrypted_length(500, 1, latest));
      REQUIRE(crypt_at_once(text, KR_FLAG_DECRYPT, out, done, out + 1000) == 500);
      REQUIRE(memcmp(out + 1000, text->src, 500) == 0);
    }
    if (*calls % 64 == 0) {
      char shown[20000];
      show_status("key_versions", shown);
      show_status("last_error", shown);
      show_keys(shown, sizeof shown);
      REQUIRE(shown[0] == '[' && strstr(shown, "\"version\":1,"));
    }
  }
  free(text);
  free(out);
  return NULL;
}

void threads(void) {
  int rounds = RUNNING_ON_VALGRIND ? 5 : 40;
  give_print_error_service();
  give_sql_service();
  for BOTH_ALGORITHMS (algorithm) {
    pthread_t thread[THREADS];
    unsigned long calls[THREADS];
    start(algorithm);
    atomic_store(&stopping, 0);
    atomic_store(&published, 4);
    for (int i = 0; i < THREADS; i++)
      REQUIRE(pthread_create(&thread[i], NULL, look_up, &calls[i]) == 0);
    for (int i = 0; i < rounds; i++) {
      REQUIRE(set_global("rotate_key", i % 3 ? 1 : -1) == 0);
      unsigned int latest = lib.crypt->get_latest_key_version(1);
      REQUIRE(latest == 4 + 2 * (unsigned int)(i + 1));
      atomic_store(&published, latest);
      REQUIRE(set_global("reload_keys", 1) == 0);
      REQUIRE(set_global("rotate_key", 99) != 0);
    }
    atomic_store(&stopping, 1);
    for (int i = 0; i < THREADS; i++) {
      REQUIRE(pthread_join(thread[i], NULL) == 0);
      REQUIRE(calls[i] >= 50);
    }
    stop();
    OK("eight threads look up and encrypt without one error while keys rotate and reload");
    OK("no lookup goes back behind a version that a SET has returned for");
  }
}
