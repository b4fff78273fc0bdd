/* SET GLOBAL keyroll_rotate_key and keyroll_reload_keys. */
#include "host.h"

#include <sys/stat.h>

static void rotations(void) {
  forget_messages();
  CHECK(set_global("rotate_key", 1) == 0 && lib.crypt->get_latest_key_version(1) == 6,
        "a rotation is visible when the check returns, two versions above the latest");
  unsigned char key[32];
  unsigned int length = 32;
  CHECK(lib.crypt->get_key(1, 6, key, &length) == 0 && length == 16, "the new version has the length of the old one");
  CHECK(lib.crypt->get_latest_key_version(2) == 1, "other keys stay as they are");
  char *file = read_file(in_dir("keys"), NULL);
  CHECK(strstr(file, "1;" KEY_1_1 "\n1;4;" KEY_1_4 "\n1;6;") == file && strstr(file, "\n2;" KEY_2_1 "\n"),
        "the file has the new version and every old line");
  free(file);
  set_number("rotate_version_step", 10);
  CHECK(set_global("rotate_key", -1) == 0 && lib.crypt->get_latest_key_version(1) == 16 &&
            lib.crypt->get_latest_key_version(2) == 11,
        "-1 rotates all keys, by the step that is set");
  set_number("rotate_version_step", 2);
  CHECK(lib.crypt->get_key(1, 1, key, &length) == 0 && lib.crypt->get_key(1, 4, key, &length) == 0,
        "the old versions are still there");
  CHECK(count_messages("rotated key 1: version 6", KR_ME_ERROR_LOG_ONLY | KR_ME_NOTE) == 1, "the log tells of each rotation");
  CHECK(set_global("rotate_key", 0) == 0 && lib.crypt->get_latest_key_version(1) == 16, "0 asks for nothing");
}

static void reloads(void) {
  char *file = read_file(in_dir("keys"), NULL), more[2000];
  snprintf(more, sizeof more, "%s3;9;%s\n", file, KEY_1_1);
  write_text(in_dir("keys"), more);
  free(file);
  CHECK(set_global("reload_keys", 0) == 0 && set_global_word("reload_keys", "off") == 0 &&
            lib.crypt->get_latest_key_version(3) == INVALID,
        "a reload set to OFF does nothing");
  CHECK(set_global("reload_keys", 1) == 0 && lib.crypt->get_latest_key_version(3) == 9, "a reload takes up a key that was added");
  CHECK(set_global_word("reload_keys", "ON") == 0 && set_global_word("reload_keys", "true") == 0, "ON and TRUE reload, too");
  forget_messages();
  refused_with(set_global("reload_keys", 7), "keyroll_reload_keys", "1", NULL);
  refused_with(set_global_word("reload_keys", "perhaps"), "keyroll_reload_keys", "1", NULL);
  OK("a reload takes nothing but ON and OFF");
}

static void failures(void) {
  unsigned int latest = lib.crypt->get_latest_key_version(1);
  char *before = read_file(in_dir("keys"), NULL);
  forget_messages();
  refused_with(set_global("rotate_key", 77), "rotation of key 77", "no key 77", in_dir("keys"), "Hint: ", "-1 for all", NULL);
  OK("the rotation of an unknown key fails with the id, the store and what there is");
  refused_with(set_global("rotate_key", -2), "-2 is not a key id", "Hint: ", NULL);
  refused_with(set_global("rotate_key", 1LL << 32), "4294967296 is not a key id", "Hint: ", NULL);
  struct kr_value null = make_value(KR_VALUE_INT, 1);
  long long save;
  refused_with(find_variable("rotate_key")->check(NULL, NULL, &save, &null), "takes a key id", NULL);
  OK("what is no key id is refused");

  REQUIRE(rename(in_dir("keys"), in_dir("away")) == 0);
  refused_with(set_global("rotate_key", 1), "rotation of key 1", in_dir("keys"), "not found", "Hint: ", "may read", NULL);
  refused_with(set_global("reload_keys", 1), "reload", in_dir("keys"), "not found", "Hint: ", NULL);
  REQUIRE(rename(in_dir("away"), in_dir("keys")) == 0);
  OK("without the file both fail and say how to mend it");

  char *changed = strdup(before);
  *strstr(changed, "f0\n") = 'e';
  write_text(in_dir("keys"), changed);
  refused_with(set_global("rotate_key", 1), "version 4 of key 1", "other bytes", "Hint: ", "newest copy", NULL);
  refused_with(set_global("reload_keys", 1), "version 4 of key 1", "other bytes", "Hint: ", NULL);
  char *now = read_file(in_dir("keys"), NULL);
  REQUIRE(strcmp(now, changed) == 0);
  free(now);
  OK("a key changed by hand fails both, and the file stays as it was found");
  free(changed);

  char *gone = strdup(before), *line = strstr(gone, "1;4;");
  memmove(line, strchr(line, '\n') + 1, strlen(strchr(line, '\n') + 1) + 1);
  write_text(in_dir("keys"), gone);
  refused_with(set_global("rotate_key", 2), "version 4 of key 1", "no longer holds", "Hint: ", NULL);
  refused_with(set_global("reload_keys", 1), "version 4 of key 1", "no longer holds", "Hint: ", NULL);
  free(gone);
  OK("a line taken out by hand fails both");

  write_text(in_dir("keys"), "1;nonsense\n");
  refused_with(set_global("rotate_key", 1), in_dir("keys"), "line 1", "Hint: ", NULL);
  write_text(in_dir("keys"), before);
  OK("nonsense in the file fails with its line");

  char shown[2000];
  show_status("last_error", shown);
  CHECK(strstr(shown, "rotation of key 1") && strstr(shown, "line 1"), "the status variable last_error keeps the last one");
  show_status("last_error_time", shown);
  CHECK(strlen(shown) == 19, "with its time");
  REQUIRE(set_global("rotate_key", 1) == 0 && lib.crypt->get_latest_key_version(1) == latest + 2);
  OK("after all that the next rotation succeeds");
  free(before);
}

/* A path so long that the reason and its hint do not fit into the 512 bytes of a message. */
static void long_paths(void) {
  char path[1200];
  strcpy(path, scratch);
  for (int i = 0; i < 4; i++) {
    strcat(path, "/");
    memset(path + strlen(path), 0, 220);
    memset(path + strlen(path), 'a' + i, 200);
    REQUIRE(mkdir(path, 0700) == 0);
  }
  strcat(path, "/keys");
  write_text(path, KEY_FILE);
  set_defaults();
  set_text("filename", path);
  REQUIRE(init() == 0);
  forget_messages();
  refused_with(set_global("rotate_key", 77), "rotation of key 77 failed: there is no key 77", "Hint: name one of these, or -1 for all keys", NULL);
  stop();
  OK("a message with a very long path keeps its reason and its hint");
}

static void wakes(void) {
  give_sql_service();
  REQUIRE(set_global("rotate_key", 1) == 0);
  CHECK(sql.queries == 1 && strstr(sql.statement, "INNODB_TABLESPACES_ENCRYPTION"), "a rotation wakes InnoDB's threads by a query");
  REQUIRE(set_global("reload_keys", 1) == 0);
  CHECK(sql.queries == 2, "a reload does, too");
  REQUIRE(set_global("rotate_key", 77) != 0);
  CHECK(sql.queries == 2, "a failed one does not");
  forget_messages();
  sql.threads = "0";
  REQUIRE(set_global("rotate_key", 1) == 0);
  CHECK(count_messages("innodb_encryption_threads is 0", KR_ME_ERROR_LOG_ONLY | KR_ME_NOTE) == 1, "the log says when no thread runs");
  sql.threads = "4", sql.rotate_key_age = "5";
  REQUIRE(set_global("rotate_key", 1) == 0);
  CHECK(count_messages("keyroll_rotate_version_step", KR_ME_ERROR_LOG_ONLY | KR_ME_NOTE) == 1, "the log says when the age is not exceeded");
  sql.rotate_key_age = "1";
  for (sql.fail_at = 1; sql.fail_at <= 5; sql.fail_at++) {
    forget_messages();
    REQUIRE(set_global("rotate_key", 1) == 0);
    REQUIRE(count_messages("run this statement", KR_ME_ERROR_LOG_ONLY | KR_ME_NOTE) == 1);
  }
  sql.threads = NULL, sql.fail_at = 0;
  REQUIRE(set_global("rotate_key", 1) == 0);
  sql.threads = "4";
  OK("where SQL fails, at whatever step, the rotation has succeeded and the log names the statement");
  CHECK(sql.opened > 0 && sql.opened == sql.closed && sql.results == sql.freed, "every connection and result is given back");
}

void actions(void) {
  start(AES_CTR);
  rotations();
  reloads();
  failures();
  wakes();
  stop();
  forget_messages();
  refused_with(set_global("rotate_key", 1), "not running", "Hint: ", NULL);
  refused_with(set_global("reload_keys", 1), "not running", NULL);
  OK("before a start and after the end an action fails");
  long_paths();
}
