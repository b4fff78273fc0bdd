/*
  stack LIBRARY DIRECTORY URL TOKEN ADD: how much stack each entry takes. The server promises a plugin little more than 16,000 bytes, on
  threads that may have gone deep before. The directory has a keystore "keystore" with the keys 1 and 2 under the master key
  file "master". At URL is Vault KV with key 1, which TOKEN may read; the command ADD puts key 5 there.
*/
#include "host.h"

#include <pthread.h>
#include <sys/mman.h>

/* What an entry may take, in bytes, and what one may that is called for each page: a page is read by statements that have gone
   deeper than the server has looked. */
enum { OF_AN_ENTRY = 4096, OF_A_PAGE = 2304 };

enum { STACK = 256 * 1024, PAINT = 0xA5 };

static unsigned char *stack;

struct call {
  void (*entry)(void *);
  void *with;
  size_t depth;
};

/* Paints the stack below, makes the call, and looks how far the paint is gone. Calls nothing else in between. */
static void *measure(void *argument) {
  struct call *call = argument;
  volatile unsigned char *here = __builtin_frame_address(0);
  for (volatile unsigned char *at = stack; at < here - 512; at++)
    *at = PAINT;
  call->entry(call->with);
  volatile unsigned char *at = stack;
  while (*at == PAINT)
    at++;
  call->depth = (size_t)(here - at);
  return NULL;
}

/* The bytes that an entry takes in a thread that has never been in the library before. */
static size_t depth_of(void (*entry)(void *), void *with) {
  struct call call = {entry, with, 0};
  pthread_attr_t attributes;
  pthread_t thread;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstack(&attributes, stack, STACK) == 0);
  REQUIRE(pthread_create(&thread, &attributes, measure, &call) == 0);
  REQUIRE(pthread_join(thread, NULL) == 0);
  pthread_attr_destroy(&attributes);
  return call.depth;
}

static void bounded(size_t bound, const char *name, void (*entry)(void *), void *with) {
  size_t depth = depth_of(entry, with);
  if (depth > bound)
    fprintf(stderr, "%s takes %zu bytes of stack\n", name, depth);
  REQUIRE(depth <= bound);
}

/* --- Lookups and ciphers ------------------------------------------------------------------------------- */

struct name {
  unsigned int id, version;
};

static void ask_latest(void *with) {
  const struct name *name = with;
  lib.crypt->get_latest_key_version(name->id);
}

static void ask_key(void *with) {
  const struct name *name = with;
  unsigned char buffer[32];
  unsigned int length = sizeof buffer;
  lib.crypt->get_key(name->id, name->version, buffer, &length);
}

static void ask_sizes(void *with) {
  const struct name *name = with;
  lib.crypt->crypt_ctx_size(name->id, name->version);
  lib.crypt->encrypted_length(16384, name->id, name->version);
}

struct message_call {
  struct guarded context;
  struct text text;
  unsigned char out[20064];
  int flags, status;
  unsigned int length;
};
static struct message_call message;

static void do_init(void *with) {
  (void)with;
  message.status = begin(&message.context, &message.text, message.flags);
}
static void do_update(void *with) {
  (void)with;
  message.status = lib.crypt->crypt_ctx_update(message.context.ctx, message.text.src, message.text.slen, message.out,
                                               &message.length);
}
static void do_finish(void *with) {
  (void)with;
  message.status = lib.crypt->crypt_ctx_finish(message.context.ctx, message.out + message.length, &message.length);
}

static void ciphers(void) {
  static const int flags[] = {KR_FLAG_ENCRYPT | PADDED, KR_FLAG_ENCRYPT | NOPAD, KR_FLAG_DECRYPT | NOPAD};
  static const unsigned int lengths[] = {16, 45, 16384, 20000};
  for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
      /* A salt that no thread has seen: its keys are derived. */
      random_text(&message.text, 16, lengths[l]);
      message.context = make_context(0);
      message.flags = flags[f];
      bounded(OF_A_PAGE, "crypt_ctx_init", do_init, NULL);
      REQUIRE(message.status == 0);
      bounded(OF_A_PAGE, "crypt_ctx_update", do_update, NULL);
      REQUIRE(message.status == 0);
      bounded(OF_A_PAGE, "crypt_ctx_finish", do_finish, NULL);
      free_context(&message.context);
    }
}

/* --- Variables, status and the function ---------------------------------------------------------------- */

static void show_all_status(void *with) {
  static const char *const names[] = {"store", "master_key", "keys", "key_versions", "last_error"};
  static char text[1024];
  (void)with;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    show_status(names[i], text);
}

static void list_keys(void *with) {
  static char text[65536];
  (void)with;
  show_keys(text, sizeof text);
}

/* Keys that statements look for in Vault, in the warnings that they get, too. */
static void lookups_in_vault(char *const *arguments) {
  set_defaults();
  set_text("vault_url", arguments[0]);
  set_text("token", arguments[1]);
  REQUIRE(init() == 0);
  set_up(1);
  set_data_directory(scratch);
  forget_messages();
  struct name not_there = {77, 1}, no_version = {1, 3}, added = {5, 1};
  server.command = 0;
  bounded(OF_AN_ENTRY, "get_latest_key_version of a key that Vault lacks", ask_latest, &not_there);
  bounded(OF_AN_ENTRY, "get_key of a version that Vault lacks", ask_key, &no_version);
  REQUIRE(count_messages("key 77 is not to be had: there is none in Vault KV", KR_ME_WARNING) == 1);
  REQUIRE(count_messages("version 3 of key 1 is not to be had: there is none in Vault KV", KR_ME_WARNING) == 1);
  REQUIRE(system(arguments[2]) == 0);
  bounded(OF_AN_ENTRY, "get_latest_key_version of a key that was added to Vault", ask_latest, &added);
  REQUIRE(lib.crypt->get_latest_key_version(5) == 1);
  server.command = -1;
  stop();
  OK("nor does a lookup in Vault");
}

static void set_action(void *with) { set_global(with, 1); }

int main(int argc, char **argv) {
  REQUIRE(argc == 6);
  load_library(argv[1]);
  scratch = argv[2];
  stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(stack != MAP_FAILED);
  struct name known = {1, 1}, unknown_version = {1, 3}, unknown = {9, 1};
  for EACH_ALGORITHM (algorithm) {
    start(algorithm);
    bounded(OF_A_PAGE, "get_latest_key_version", ask_latest, &known);
    bounded(OF_AN_ENTRY, "get_latest_key_version of a key that is not there", ask_latest, &unknown);
    bounded(OF_A_PAGE, "get_key", ask_key, &known);
    bounded(OF_AN_ENTRY, "get_key of a version that is not there", ask_key, &unknown_version);
    bounded(OF_AN_ENTRY, "get_key of a key that is not there", ask_key, &unknown);
    bounded(OF_A_PAGE, "sizes", ask_sizes, &known);
    ciphers();
    bounded(OF_AN_ENTRY, "SHOW STATUS", show_all_status, NULL);
    bounded(OF_AN_ENTRY, "keyroll_keys()", list_keys, NULL);
    bounded(OF_AN_ENTRY, "SET GLOBAL keyroll_rotate_key", set_action, "rotate_key");
    bounded(OF_AN_ENTRY, "SET GLOBAL keyroll_reload_keys", set_action, "reload_keys");
    bounded(OF_AN_ENTRY, "SET GLOBAL keyroll_rotate_master_key", set_action, "rotate_master_key");
    stop();
  }
  OK("what is called for each page takes no more than 2,304 bytes of stack, a status variable, function or action no more than 4 KiB");

  char uri[4096];
  snprintf(uri, sizeof uri, "file:%s", in_dir("master"));
  set_defaults();
  set_text("keystore", in_dir("keystore"));
  set_text("master_key", uri);
  REQUIRE(init() == 0);
  set_up(1);
  set_data_directory(scratch);
  server.command = 1;
  struct name fresh = {77, 1};
  bounded(OF_AN_ENTRY, "get_latest_key_version that makes a key", ask_latest, &fresh);
  REQUIRE(lib.crypt->get_latest_key_version(77) == 1);
  bounded(OF_AN_ENTRY, "SET GLOBAL keyroll_rotate_key of a keystore", set_action, "rotate_key");
  bounded(OF_AN_ENTRY, "SET GLOBAL keyroll_rotate_master_key of a keystore", set_action, "rotate_master_key");
  server.command = -1;
  struct name missing = {1, 99}, missing_key = {88, 1};
  bounded(OF_AN_ENTRY, "get_key of a version that a keystore lacks", ask_key, &missing);
  bounded(OF_AN_ENTRY, "get_latest_key_version of a key that a keystore lacks", ask_latest, &missing_key);
  stop();
  OK("nor does making a key, changing a keystore, or telling what is missing");
  lookups_in_vault(argv + 3);
  munmap(stack, STACK);
  forget_messages();
  free_options();
  return 0;
}
