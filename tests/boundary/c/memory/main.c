/*
  memory LIBRARY DIRECTORY ALGORITHM: lets the plugin do everything that it does with keys, and stops at each stage
  to have its memory searched by the test that started it.

  It never makes a key: those of DIRECTORY/keys it has from get_key alone, and the one that stands in for what a
  server derives for a tablespace is read from DIRECTORY/derived. Both lie in one place, which is wiped before each
  stage but "held". Where there is a file DIRECTORY/password, its content is the filekey.

  memory LIBRARY DIRECTORY ALGORITHM keystore: the same with DIRECTORY/keystore, whose master key DIRECTORY/uri names.

  memory LIBRARY DIRECTORY limits: works with a key file while no memory may be locked.
*/
#include "host.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PAGE = 16354, SHORT = 45 };

/* Everything secret that is the caller's own. */
static struct {
  unsigned char data_key[32], derived[32];
  char password[256];
} own;

static void wipe_own(void) { explicit_bzero(&own, sizeof own); }

/*
  Tells the stage and waits for a line, with nothing but system calls: they change no vector register, so that the
  dump has in it what the plugin left there.
*/
static void stop_at(const char *stage) {
  char line;
  REQUIRE(write(STDOUT_FILENO, stage, strlen(stage)) == (ssize_t)strlen(stage));
  REQUIRE(read(STDIN_FILENO, &line, 1) == 1);
}

static size_t read_own(const char *name, void *to, size_t room) {
  int file = open(in_dir(name), O_RDONLY);
  if (file < 0)
    return 0;
  ssize_t length = read(file, to, room);
  REQUIRE(length >= 0 && close(file) == 0);
  return (size_t)length;
}

static void get_data_key(unsigned int id, unsigned int version) {
  unsigned int length = sizeof own.data_key;
  REQUIRE(lib.crypt->get_key(id, version, own.data_key, &length) == 0 && length == 32);
}

struct message_of {
  unsigned int id, version, klen, length;
  int padding, derived;
};

static unsigned char iv[16] = "an IV of 16 byte", plain[PAGE], encrypted[PAGE + 16], decrypted[PAGE + 16];

/* One call of the server. The key is wiped as soon as the plugin has seen it, and so has the plugin when it ends. */
static unsigned int crypt_once(struct message_of m, int flags, const unsigned char *src, unsigned int slen,
                               unsigned char *dst, const char *stage) {
  static _Thread_local unsigned char memory[4096] __attribute__((aligned(64)));
  unsigned int first = 0, last = 0;
  REQUIRE(lib.crypt->crypt_ctx_size(m.id, m.version) <= sizeof memory);
  if (m.derived)
    REQUIRE(read_own("derived", own.derived, sizeof own.derived) == sizeof own.derived);
  else
    get_data_key(m.id, m.version);
  int code = lib.crypt->crypt_ctx_init(memory, m.derived ? own.derived : own.data_key, m.klen, iv, 16,
                                       flags | m.padding, m.id, m.version);
  wipe_own();
  int updated = lib.crypt->crypt_ctx_update(memory, src, slen, dst, &first);
  int finished = lib.crypt->crypt_ctx_finish(memory, dst + first, &last);
  if (stage)
    stop_at(stage);
  REQUIRE(code == 0 && updated == 0 && finished == 0);
  return first + last;
}

static void there_and_back(struct message_of m, int stop) {
  char stages[2][64];
  for (int i = 0; i < 2; i++)
    snprintf(stages[i], sizeof stages[i], "%s %u bytes%s\n", i ? "decrypted" : "encrypted", m.length,
             m.padding == PADDED ? ", padded" : "");
  unsigned int length = crypt_once(m, KR_FLAG_ENCRYPT, plain, m.length, encrypted, stop ? stages[0] : NULL);
  length = crypt_once(m, KR_FLAG_DECRYPT, encrypted, length, decrypted, stop ? stages[1] : NULL);
  REQUIRE(length == m.length && memcmp(plain, decrypted, length) == 0);
}

/* All of both paddings, lengths of keys and messages; the last one is a page. */
static void all_messages(unsigned int id, unsigned int version, int stop) {
  static const unsigned int lengths[] = {1, 16, SHORT, 512, PAGE}, klens[] = {16, 24, 32};
  for (int derived = 0; derived < 2; derived++)
    for (int padded = 0; padded < 2; padded++)
      for (int k = 0; k < 3; k++)
        for (int l = 0; l < 5; l++)
          there_and_back((struct message_of){id, version, klens[k], lengths[l], padded ? PADDED : NOPAD, derived},
                         stop && klens[k] == 32 && lengths[l] > 1 && !derived);
}

static pthread_barrier_t worked, leave;

/* A thread that lives on, with whatever is left on its stack. */
static void *worker(void *none) {
  all_messages(1, 1, 0);
  all_messages(2, 1, 0);
  pthread_barrier_wait(&worked);
  pthread_barrier_wait(&leave);
  return none;
}

static void start_with_password(int algorithm) {
  set_defaults();
  set_text("filename", in_dir("keys"));
  set_choice("encryption_algorithm", (unsigned long)algorithm);
  char *of_environment = getenv("KEYROLL_FILEKEY");
  if (read_own("password", own.password, sizeof own.password - 1))
    set_text("filekey", own.password);
  wipe_own();
  if (of_environment || *shown_text("filekey")) {
    set_choice("digest", 2);
    set_number("use_pbkdf2", 1000);
  }
  REQUIRE(init() == 0);
  if (of_environment)
    explicit_bzero(of_environment, strlen(of_environment));
}

static void start_with_keystore(int algorithm) {
  char uri[1024] = {0};
  REQUIRE(read_own("uri", uri, sizeof uri - 1));
  set_defaults();
  set_text("keystore", in_dir("keystore"));
  set_text("master_key", uri);
  set_choice("key_algorithm", (unsigned long)algorithm);
  set_number("request_timeout", 120000);
  REQUIRE(init() == 0);
}

static pthread_t thread;

/* From the first look at the running plugin to a thread that has worked and lives on. */
static void look_up_and_encrypt(int stop_at_messages) {
  stop_at("started\n");
  get_data_key(1, 1);
  stop_at("held\n");
  wipe_own();

  REQUIRE(lib.crypt->get_latest_key_version(1) == 1);
  get_data_key(1, 1);
  get_data_key(2, 1);
  wipe_own();
  all_messages(1, 1, stop_at_messages);
  pthread_barrier_init(&worked, NULL, 2);
  pthread_barrier_init(&leave, NULL, 2);
  REQUIRE(pthread_create(&thread, NULL, worker, NULL) == 0);
  pthread_barrier_wait(&worked);
}

static void end(void) {
  pthread_barrier_wait(&leave);
  pthread_join(thread, NULL);
  stop();
  stop_at("ended\n");
}

static void search(int algorithm) {
  start_with_password(algorithm);
  look_up_and_encrypt(1);
  REQUIRE(set_global("rotate_key", -1) == 0 && set_global("rotate_key", 1) == 0);
  REQUIRE(set_global("rotate_key", 77) != 0);
  REQUIRE(set_global("reload_keys", 1) == 0);
  static char keys[1 << 16];
  show_keys(keys, sizeof keys);
  REQUIRE(lib.crypt->get_latest_key_version(1) == 5);
  all_messages(1, 5, 0);
  all_messages(2, 3, 0);
  stop_at("rotated\n");
  end();
}

/* What the test does to the files while the program has stopped makes the next action what its stage says. */
static void search_keystore(int algorithm) {
  start_with_keystore(algorithm);
  look_up_and_encrypt(0);
  stop_at("worked\n");
  REQUIRE(set_global("rotate_key", -1) == 0 && lib.crypt->get_latest_key_version(1) == 3);
  stop_at("rotated\n");
  /* A key is made for CREATE TABLE (the server's number 1), once no data names it. */
  set_up(1);
  set_data_directory(in_dir("."));
  server.command = 1;
  REQUIRE(lib.crypt->get_latest_key_version(77) == 1);
  server.command = -1;
  stop_at("created\n");
  all_messages(77, 1, 0);
  REQUIRE(set_global("rotate_master_key", 1) == 0);
  stop_at("master key rotated\n");
  REQUIRE(set_global("reload_keys", 1) == 0 && lib.crypt->get_latest_key_version(1) == 5);
  stop_at("reloaded\n");
  REQUIRE(set_global("rotate_master_key", 1) != 0);
  stop_at("keystore not written\n");
  REQUIRE(set_global("rotate_master_key", 1) != 0);
  stop_at("master key not read\n");
  REQUIRE(set_global("rotate_key", -1) == 0 && lib.crypt->get_latest_key_version(1) == 7);
  all_messages(1, 7, 0);
  stop_at("recovered\n");
  end();
}

/* With the limit that the warning named there is none. */
static void enough(void) {
  start(AES_CBC);
  CHECK(count_messages("could not be locked", -1) == 0, "a start with the limit that was named locks all keys");
  stop();
}

static void limits(void) {
  start(AES_CBC);
  const char *limit = NULL;
  for (size_t i = 0; i < message_count() && !limit; i++)
    limit = strstr(message_at(i)->text, "LimitMEMLOCK=");
  REQUIRE(limit);
  printf("# needs %d KiB\n", atoi(limit + strlen("LimitMEMLOCK=")));
  CHECK(count_messages("could not be locked", KR_ME_ERROR_LOG_ONLY | KR_ME_WARNING) == 1 &&
            count_messages("LimitMEMLOCK", -1) == 1,
        "a start that may lock no memory warns once and names the remedy");
  unsigned char key[32];
  unsigned int length = sizeof key;
  REQUIRE(lib.crypt->get_key(1, 4, key, &length) == 0 && length == 16);
  struct text text;
  unsigned char out[SHORT + 16], back[SHORT + 16];
  random_text(&text, 16, SHORT);
  REQUIRE(crypt_at_once(&text, KR_FLAG_ENCRYPT | NOPAD, text.src, SHORT, out) == SHORT);
  REQUIRE(crypt_at_once(&text, KR_FLAG_DECRYPT | NOPAD, out, SHORT, back) == SHORT);
  REQUIRE(memcmp(back, text.src, SHORT) == 0);
  OK("and it looks keys up and encrypts");
  REQUIRE(set_global("rotate_key", 1) == 0 && set_global("reload_keys", 1) == 0);
  CHECK(lib.crypt->get_latest_key_version(1) == 6 && count_messages("could not be locked", -1) == 1,
        "and it rotates and reloads, without a word more");
  stop();
}

int main(int argc, char **argv) {
  int keystore = argc == 5 && strcmp(argv[4], "keystore") == 0;
  if (argc != 4 && !keystore) {
    fprintf(stderr, "usage: memory LIBRARY DIRECTORY ALGORITHM [keystore] | limits | enough\n");
    return 2;
  }
  scratch = argv[2];
  load_library(argv[1]);
  /* The one that takes the dump is no ancestor. */
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  memset(plain, 'p', sizeof plain);
  if (strcmp(argv[3], "limits") == 0)
    limits();
  else if (strcmp(argv[3], "enough") == 0)
    enough();
  else if (keystore)
    search_keystore(atoi(argv[3]));
  else
    search(atoi(argv[3]));
  forget_messages();
  free_options();
  return 0;
}
