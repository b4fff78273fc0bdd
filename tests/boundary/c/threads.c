/* Many threads look up keys, encrypt and derive keys while another one rotates and reloads. */
#include "host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <valgrind/valgrind.h>

/* More salts for each of both modes than the 256 that a thread keeps derived keys for, so that some make room. */
enum { THREADS = 8, SALTS = 2 * 300, SALTED = 45 };

static enum algorithm algorithm;
static atomic_int stopping;
static atomic_uint published; /* the latest version of key 1 that a SET has returned for */

static struct salted {
  struct text text;
  int flags;
  unsigned int length;
  unsigned char expected[SALTED + 16];
} *salted;

/* Texts under keys of their own, one half of them padded, and what OpenSSL makes of them. */
static void make_salted(void) {
  salted = malloc(SALTS * sizeof *salted);
  for (int i = 0; i < SALTS; i++) {
    struct salted *this = &salted[i];
    random_text(&this->text, 16 + 8 * random_below(3), SALTED);
    this->text.key_version = random_below(2) ? 4 : 1;
    this->flags = i % 2 ? NOPAD : PADDED;
    this->length = (unsigned int)openssl_at_once(algorithm, &this->text, KR_FLAG_ENCRYPT | this->flags, this->text.src,
                                                 SALTED, this->expected);
  }
}

/* Both directions: the first one may derive keys, the second one mostly finds them. */
static void check_salted(const struct salted *this) {
  unsigned char out[SALTED + 16], back[SALTED + 16];
  REQUIRE(crypt_at_once(&this->text, KR_FLAG_ENCRYPT | this->flags, this->text.src, SALTED, out) == this->length);
  REQUIRE(memcmp(out, this->expected, this->length) == 0);
  REQUIRE(crypt_at_once(&this->text, KR_FLAG_DECRYPT | this->flags, out, this->length, back) == SALTED);
  REQUIRE(memcmp(back, this->text.src, SALTED) == 0);
}

/* `argument` is how often to look up at least, and afterwards how often it was. */
static void *look_up(void *argument) {
  unsigned long *calls = argument, least_calls = *calls;
  unsigned int before = 0, first = random_below(SALTS);
  struct text *text = malloc(sizeof *text);
  unsigned char *out = malloc(20000);
  for (*calls = 0; !atomic_load(&stopping) || *calls < least_calls; ++*calls) {
    unsigned int id = 1 + *calls % 2, least = atomic_load(&published), length = 32;
    unsigned char key[32];
    unsigned int latest = lib.crypt->get_latest_key_version(id);
    REQUIRE(latest != INVALID && latest != 0);
    REQUIRE(lib.crypt->get_key(id, latest, key, &length) == 0);
    REQUIRE(length == (DERIVES_KEYS(algorithm) ? 32 : 16 * id));
    REQUIRE(lib.crypt->get_key(1, 1, key, &length) == 0);
    check_salted(&salted[(first + *calls) % SALTS]);
    if (id == 1) {
      REQUIRE(latest >= least && latest >= before);
      before = latest;
    }
    /* Odd, for both ids. */
    if (*calls % 15 == 0) {
      random_text(text, length, 500);
      memcpy(text->key, key, length);
      text->key_id = id, text->key_version = latest;
      unsigned int done = crypt_at_once(text, KR_FLAG_ENCRYPT, text->src, 500, out);
      REQUIRE(done == lib.crypt->encrypted_length(500, id, latest));
      REQUIRE(openssl_at_once(algorithm, text, KR_FLAG_ENCRYPT, text->src, 500, out + 1000) == (int)done);
      REQUIRE(memcmp(out, out + 1000, done) == 0);
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
  give_sql_service();
  for EACH_ALGORITHM (each) {
    pthread_t thread[THREADS];
    unsigned long calls[THREADS];
    algorithm = each;
    /* Round all salts where keys are derived from them, twice, so that all come back. Valgrind takes minutes for that,
       so there one thread goes round once. */
    unsigned long least[THREADS];
    for (int i = 0; i < THREADS; i++)
      least[i] = !DERIVES_KEYS(algorithm) ? 50 : !RUNNING_ON_VALGRIND ? 2 * SALTS : i == 0 ? SALTS + 50 : 5;
    start(algorithm);
    make_salted();
    atomic_store(&stopping, 0);
    atomic_store(&published, 4);
    for (int i = 0; i < THREADS; i++) {
      calls[i] = least[i];
      REQUIRE(pthread_create(&thread[i], NULL, look_up, &calls[i]) == 0);
    }
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
      REQUIRE(calls[i] >= least[i]);
    }
    stop();
    free(salted);
    OK("eight threads look up and encrypt without one error while keys rotate and reload");
    OK("under more keys than a thread keeps derived ones for, every one of them gets the bytes that OpenSSL gives");
    OK("no lookup goes back behind a version that a SET has returned for");
  }
}
