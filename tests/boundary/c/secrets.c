/* No key and no password reaches the log, an error, a status value, a shown variable or keyroll_keys(). */
#include "host.h"

#include <ctype.h>

#define PASSWORD "Tr0ub4dor-and-3"

static char seen[1 << 20];
static size_t seen_length;

static void see(const char *text) {
  size_t length = strlen(text);
  REQUIRE(seen_length + length + 2 < sizeof seen);
  memcpy(seen + seen_length, text, length + 1);
  seen_length += length;
  seen[seen_length++] = '\n';
  seen[seen_length] = 0;
}

static void see_all(void) {
  static char text[1 << 17];
  static const char *const status[] = {"store", "keys", "key_versions", "rotations", "reloads", "last_error", "last_error_time"};
  for (size_t i = 0; i < message_count(); i++)
    see(message_at(i)->text);
  forget_messages();
  for (size_t i = 0; i < sizeof status / sizeof *status; i++) {
    show_status(status[i], text);
    see(text);
  }
  show_keys(text, sizeof text);
  see(text);
  for (struct kr_sys_var **at = lib.plugin->system_vars; *at; at++)
    if (((*at)->flags & 0x7f) == KR_VAR_STR)
      see(shown_text((*at)->name));
}

/* Whether the digits, or the bytes that they stand for, or any eight of them in a row, were seen. */
static int was_seen(const char *hex) {
  char lower[80], part[17];
  static char all[sizeof seen];
  for (size_t i = 0; i <= seen_length; i++)
    all[i] = (char)tolower((unsigned char)seen[i]);
  for (size_t i = 0; i <= strlen(hex); i++)
    lower[i] = (char)tolower((unsigned char)hex[i]);
  for (size_t at = 0; at + 16 <= strlen(lower); at += 2) {
    unsigned char bytes[9] = {0};
    memcpy(part, lower + at, 16);
    part[16] = 0;
    if (strstr(all, part))
      return 1;
    unhex(part, bytes);
    if (memmem(seen, seen_length, bytes, 8))
      return 1;
  }
  return 0;
}

static void of_a_plain_file(void) {
  start(AES_CTR);
  REQUIRE(set_global("rotate_key", -1) == 0 && set_global("reload_keys", 1) == 0);
  char *file = read_file(in_dir("keys"), NULL);
  see_all();

  /* Every way to fail that has a key at hand. */
  static const char *const damaged[] = {
      "1;" KEY_1_1 "\n1;" KEY_2_1 "\n",  "1;" KEY_1_1 "00\n", "1;4;" KEY_1_1 "0\n", "2;" KEY_2_1 "\n",
      "1;" KEY_1_1 "\n1;4" KEY_1_4 "\n", KEY_1_1 "\n",        "1;;" KEY_1_1 "\n",   "1;" KEY_1_1 ";" KEY_1_4 "\n",
      "1 " KEY_2_1 "\n",                 ";" KEY_2_1 "\n",    "1;x" KEY_2_1 "\n",   "1;" KEY_1_1 "\n1;1;" KEY_1_4 "\n",
  };
  int failed = 0;
  for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
    write_text(in_dir("keys"), damaged[i]);
    failed += set_global("rotate_key", 1) != 0;
    failed += set_global("reload_keys", 1) != 0;
    see_all();
  }
  REQUIRE(failed == 2 * sizeof damaged / sizeof *damaged);
  stop();
  for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
    write_text(in_dir("keys"), damaged[i]);
    if (init() == 0)
      stop();
    see_all();
  }

  int keys = 0;
  for (char *line = strtok(file, "\n"); line; line = strtok(NULL, "\n")) {
    const char *hex = strrchr(line, ';');
    if (!hex || *line == '#')
      continue;
    keys++;
    REQUIRE(!was_seen(hex + 1));
  }
  free(file);
  CHECK(keys == 5, "no part of a key is seen, the old ones' or the new ones', whatever fails");
}

static void of_short_keys(void) {
  REQUIRE(start_with(AES_256_XTS, KEY_FILE) != 0);
  see_all();
  start(AES_256_XTS);
  write_text(in_dir("keys"), LONG_KEY_FILE "3;" KEY_1_4 "\n");
  REQUIRE(set_global("reload_keys", 1) != 0 && set_global("rotate_key", 3) != 0);
  see_all();
  stop();
  CHECK(!was_seen(LONG_KEY_1_1) && !was_seen(LONG_KEY_1_4), "no part of a key that is too short for aes_256_xts is seen, nor of those beside it");
}

static void of_a_password(void) {
  write_encrypted(in_dir("encrypted"), KEY_FILE, PASSWORD);
  set_defaults();
  set_text("filename", in_dir("encrypted"));
  set_text("filekey", PASSWORD);
  REQUIRE(init() == 0);
  REQUIRE(set_global("rotate_key", 1) == 0 && set_global("rotate_key", 99) != 0);
  see_all();
  write_text(in_dir("encrypted"), KEY_FILE);
  REQUIRE(set_global("rotate_key", 1) != 0);
  write_encrypted(in_dir("encrypted"), KEY_FILE, "another");
  REQUIRE(set_global("reload_keys", 1) != 0);
  see_all();
  stop();
  CHECK(!strstr(seen, PASSWORD) && !strstr(seen, "Tr0ub4dor"), "no part of a password is seen");
  CHECK(!was_seen(KEY_1_1) && !was_seen(KEY_1_4) && !was_seen(KEY_2_1), "and no key of an encrypted file");
}

static void of_the_search_itself(void) {
  char text[40];
  snprintf(text, sizeof text, "x%.16sx", KEY_1_4 + 6);
  see(text);
  CHECK(was_seen(KEY_1_4), "half a key would have been found");
}

static void without_sql(void) {
  take_sql_service_away();
  start(AES_CBC);
  CHECK(lib.crypt->get_latest_key_version(1) == 4, "a server without sql_service runs the plugin");
  CHECK(set_global("rotate_key", 1) == 0 && set_global("rotate_key", 99) != 0 && set_global("reload_keys", 1) == 0,
        "and its actions, which succeed and fail as they should");
  stop();
  forget_messages();
  start(AES_CBC);
  REQUIRE(set_global("rotate_key", 1) == 0);
  CHECK(count_messages("SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION", KR_ME_ERROR_LOG_ONLY | KR_ME_NOTE) == 1,
        "without sql_service a rotation logs the statement that wakes InnoDB");
  stop();
}

void secrets(void) {
  of_a_plain_file();
  of_short_keys();
  of_a_password();
  without_sql();
  of_the_search_itself();
}
