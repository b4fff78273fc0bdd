/*
  What happens to keys and versions that are not there: made at first use for a statement that makes or alters a table, else
  told once. The test that runs this has made a keystore "keystore" with the keys 1 and 2 under the master key file "master".
*/
#include "host.h"

#include <sys/stat.h>

/* Numbers of statements, by the server's count. */
enum { SELECT = 0, CREATE_TABLE = 1, CREATE_INDEX = 2, ALTER_TABLE = 3, SET_OPTION = 31, NONE = -1 };

static const long ERROR = KR_ME_ERROR_LOG_ONLY;

static void start_keystore(void) {
  char uri[4096];
  snprintf(uri, sizeof uri, "file:%s", in_dir("master"));
  set_defaults();
  set_text("keystore", in_dir("keystore"));
  set_text("master_key", uri);
  REQUIRE(init() == 0);
  forget_messages();
}

static void keystore_is(const char *before, size_t length) {
  size_t now_length;
  char *now = read_file(in_dir("keystore"), &now_length);
  REQUIRE(now_length == length && memcmp(now, before, length) == 0);
  free(now);
}

/* A table's file with pages of 16 KiB, encrypted with this key. */
static void write_table(const char *name, unsigned int id) {
  unsigned char *page = calloc(1, 16384);
  memcpy(page + 54, "\0\0\0\x15", 4);
  memcpy(page + 10428, "s\x0e\x0cREt\x01\x10", 8);
  for (int i = 0; i < 4; i++)
    page[10456 + i] = (unsigned char)(id >> (24 - 8 * i));
  write_file(name, (char *)page, 16384);
  free(page);
}

static unsigned int latest(int command, unsigned int id) {
  server.command = command;
  unsigned int answer = lib.crypt->get_latest_key_version(id);
  server.command = NONE;
  return answer;
}

static void made(void) {
  size_t length;
  char *before = read_file(in_dir("keystore"), &length);
  set_up(0);
  REQUIRE(latest(CREATE_TABLE, 10) == INVALID);
  set_up(1);
  static const int others[] = {SELECT, CREATE_INDEX, SET_OPTION};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    REQUIRE(latest(others[i], 10) == INVALID);
  REQUIRE(latest(NONE, 10) == INVALID);
  server.thread_id = 0;
  REQUIRE(latest(CREATE_TABLE, 10) == INVALID);
  server.thread_id = 1;
  set_flag("auto_create_keys", 0);
  REQUIRE(latest(CREATE_TABLE, 10) == INVALID);
  set_flag("auto_create_keys", 1);
  set_data_directory(in_dir("data"));
  server.is_killed = 1;
  REQUIRE(latest(CREATE_TABLE, 10) == INVALID);
  server.is_killed = 0;
  set_data_directory("data");
  REQUIRE(latest(CREATE_TABLE, 11) == INVALID);
  REQUIRE(count_messages("does not tell its data directory", ERROR) == 1);
  set_data_directory(in_dir("data"));
  keystore_is(before, length);
  free(before);
  OK("no key is made before the server is up, in a thread without a statement or a connection's number, for another statement, for one that is "
     "killed, where it is switched off, or without a data directory");
  CHECK(count_messages("key 10 was asked for", ERROR) == 1, "a key that is asked for and not made is told once");

  CHECK(latest(CREATE_TABLE, 12) == 1, "CREATE TABLE makes a key");
  CHECK(latest(ALTER_TABLE, 13) == 1, "ALTER TABLE makes a key");
  set_up(0), set_bootstrap(1);
  CHECK(latest(CREATE_TABLE, 14) == 1, "the first tables of a new server make a key");
  set_up(1), set_bootstrap(0);
  CHECK(latest(NONE, 12) == 1, "a key that was made is there for everyone");
}

static void refused(void) {
  size_t length;
  char *before = read_file(in_dir("keystore"), &length);
  write_table(in_dir("data/shop/orders.ibd"), 20);
  forget_messages();
  REQUIRE(latest(ALTER_TABLE, 20) == INVALID && latest(CREATE_TABLE, 20) == INVALID);
  keystore_is(before, length);
  static const char *failed = "making key 20 failed: shop/orders.ibd is encrypted with a key 20 that keystore";
  CHECK(count_messages(failed, ERROR) == 1 && count_messages(failed, KR_ME_WARNING) == 1 && message_count() == 2,
        "a key that data is encrypted with is not made again, and the log and the statement are told of a file");
  REQUIRE(latest(NONE, 20) == INVALID && latest(SELECT, 20) == INVALID);
  CHECK(count_messages("key 20 was asked for by shop/orders.ibd, but the store lacks it: it has keys 1, 2, 12, 13, 14.", ERROR) == 1 &&
            message_count() == 3,
        "what opens that data is told once, with what there is");
  keystore_is(before, length);
  free(before);
}

static void versions(void) {
  unsigned char key[32];
  unsigned int size = sizeof key;
  forget_messages();
  for (int i = 0; i < 3; i++) {
    REQUIRE(lib.crypt->get_key(1, 7, key, &size) == INVALID);
    REQUIRE(lib.crypt->get_key(1, 1655319526, key, &size) == INVALID);
    REQUIRE(lib.crypt->get_key(30, 2, key, &size) == INVALID);
  }
  REQUIRE(lib.crypt->get_key(1, 0, key, &size) == INVALID && lib.crypt->get_key(1, INVALID, key, &size) == INVALID);
  REQUIRE(message_count() == 3);
  for (size_t i = 0; i < 3; i++)
    REQUIRE(strlen(message_at(i)->text) < 512 && strstr(message_at(i)->text, "drop and repair nothing"));
  REQUIRE(count_messages("version 7 of key 1 was asked for, but the store lacks it: of key 1 it has version 1.", ERROR) == 1);
  REQUIRE(count_messages("version 1655319526 of key 1", ERROR) == 1 && count_messages("a damaged page asks for any number", ERROR) == 1);
  REQUIRE(count_messages("version 2 of key 30", ERROR) == 1);
  OK("a version that is asked for and missing is told once, in words for a damaged page where it can be none");
  CHECK(latest(CREATE_TABLE, 30) == INVALID, "a key that a page has asked for is not made");
  forget_messages();
  for (unsigned int version = 100; version < 400; version++)
    REQUIRE(lib.crypt->get_key(1, version, key, &size) == INVALID);
  CHECK(message_count() <= 101 && count_messages("no more are told", ERROR) == 1, "no more than a hundred are told");
}

static void limited(void) {
  forget_messages();
  set_number("auto_create_limit", 3);
  static const char *failed = "making key 16 failed: 3 keys were made at their first use since the start";
  CHECK(latest(CREATE_TABLE, 16) == INVALID && latest(CREATE_TABLE, 17) == INVALID && count_messages(failed, ERROR) == 1 &&
            count_messages(failed, KR_ME_WARNING) == 1 && message_count() == 2,
        "no more keys are made between two starts than the limit allows, which is told once");
  set_number("auto_create_limit", 10000);
}

void first_use(void) {
  REQUIRE(mkdir(in_dir("data"), 0700) == 0 && mkdir(in_dir("data/shop"), 0700) == 0);
  start_keystore();
  made();
  refused();
  versions();
  limited();
  stop();
  CHECK(latest(CREATE_TABLE, 40) == INVALID, "after the end no key is made");
}
