/* System variables around a start. */
#include "host.h"

#include <stdlib.h>

#define PASSWORD "correct horse battery staple"

static void declared(void) {
  for (struct kr_sys_var **at = lib.plugin->system_vars; *at; at++) {
    struct kr_sys_var *var = *at;
    REQUIRE(var->name && *var->name && var->comment && *var->comment);
    REQUIRE(strncmp(var->name, "keyroll", 7) != 0);
    switch (var->flags & 0x7f) {
    case KR_VAR_STR: {
      struct kr_sys_var_str *text = (void *)var;
      REQUIRE(text->def_val && *text->value && strcmp(text->def_val, *text->value) == 0);
      break;
    }
    case KR_VAR_ENUM: {
      struct kr_sys_var_enum *choice = (void *)var;
      REQUIRE(choice->typelib->count > choice->def_val && !choice->typelib->type_names[choice->typelib->count]);
      for (unsigned int i = 0; i < choice->typelib->count; i++)
        REQUIRE(*choice->typelib->type_names[i]);
      break;
    }
    case KR_VAR_INT: {
      struct kr_sys_var_uint *number = (void *)var;
      REQUIRE(number->min_val <= number->def_val && number->def_val <= number->max_val);
      break;
    }
    }
    /* What can be set at any time either acts in a check of its own or is a plain value, not a text. */
    if (!(var->flags & KR_VAR_READONLY))
      REQUIRE(var->check ? var->update != NULL : (var->flags & 0x7f) != KR_VAR_STR);
    else
      REQUIRE(!var->check && !var->update);
  }
  OK("every variable has a name without a prefix, a comment and a default in its range");
  OK("no text is NULL, in its default or before a start");
}

static void passwords(void) {
  write_encrypted(in_dir("encrypted"), KEY_FILE, PASSWORD);
  set_defaults();
  set_text("filename", in_dir("encrypted"));
  char *option = set_text("filekey", PASSWORD);
  REQUIRE(init() == 0 && lib.crypt->get_latest_key_version(1) == 4);
  CHECK(strcmp(shown_text("filekey"), "(hidden)") == 0, "after a start the password shows as (hidden)");
  CHECK(strlen(option) == strlen(PASSWORD) && all_are((unsigned char *)option, strlen(PASSWORD), option[0]),
        "its old memory is overwritten");
  CHECK(set_global("rotate_key", 1) == 0 && lib.crypt->get_latest_key_version(1) == 6, "a rotation of an encrypted file works");
  char *file = read_file(in_dir("encrypted"), NULL);
  CHECK(memcmp(file, "Salted__", 8) == 0, "and leaves it encrypted");
  free(file);
  stop();

  write_text(in_dir("password"), PASSWORD "\n");
  char setting[4200];
  snprintf(setting, sizeof setting, "FILE:%s", in_dir("password"));
  option = set_text("filekey", setting);
  REQUIRE(init() == 0 && lib.crypt->get_latest_key_version(1) == 6);
  CHECK(shown_text("filekey") == option && strcmp(option, setting) == 0, "the name of a password file stays as it is");
  stop();

  forget_messages();
  set_text("filekey", "(hidden)");
  CHECK(init() != 0 && count_messages("keyroll_filekey is a secret", KR_ME_ERROR_LOG) == 1 && count_messages("FILE:path", -1) == 1,
        "a start with the place-holder fails and says what to do");
  REQUIRE(setenv("KEYROLL_FILEKEY", PASSWORD, 1) == 0);
  CHECK(init() == 0 && lib.crypt->get_latest_key_version(1) == 6, "with the password in the environment it succeeds");
  stop();
  REQUIRE(unsetenv("KEYROLL_FILEKEY") == 0);

  forget_messages();
  set_text("filekey", "wrong");
  CHECK(init() != 0 && lib.crypt->get_latest_key_version(1) == INVALID, "a start with a wrong password fails");
  CHECK(count_messages("Cannot decrypt ", KR_ME_ERROR_LOG) + count_messages("yntax error at", KR_ME_ERROR_LOG) +
                count_messages("Invalid key", KR_ME_ERROR_LOG) == 1,
        "with one message");
}

static void actions_at_a_start(void) {
  size_t before, after;
  write_text(in_dir("keys"), KEY_FILE);
  char *bytes_before = read_file(in_dir("keys"), &before);
  set_defaults();
  set_text("filename", in_dir("keys"));
  struct kr_sys_var_longlong *rotate = (void *)find_variable("rotate_key");
  struct kr_sys_var_bool *reload = (void *)find_variable("reload_keys");
  *rotate->value = 1, *reload->value = 1;
  forget_messages();
  REQUIRE(init() == 0);
  char *bytes_after = read_file(in_dir("keys"), &after);
  CHECK(before == after && memcmp(bytes_before, bytes_after, before) == 0 && lib.crypt->get_latest_key_version(1) == 4,
        "actions in my.cnf rotate nothing: the file has the same bytes");
  CHECK(*rotate->value == 0 && *reload->value == 0, "they show that nothing is asked for");
  CHECK(count_messages("SET GLOBAL alone", KR_ME_ERROR_LOG_ONLY | KR_ME_WARNING) == 1, "a warning says so");
  stop();
  forget_messages();
  REQUIRE(init() == 0);
  CHECK(count_messages("SET GLOBAL alone", -1) == 0, "a start that asks for none gives no warning");
  stop();
  free(bytes_before), free(bytes_after);
}

/* Those of hashicorp_key_management that can be set while the server runs, here too, with its ranges. */
static void set_while_running(void) {
  static const struct {
    const char *name;
    int kind;
    long long most;
  } live[] = {
      {"timeout", KR_VAR_INT, 86400},
      {"max_retries", KR_VAR_INT, 2147483647},
      {"caching_enabled", KR_VAR_BOOL, 1},
      {"cache_timeout", KR_VAR_LONGLONG, 9223372036854775807LL},
      {"cache_version_timeout", KR_VAR_LONGLONG, 9223372036854775807LL},
      {"use_cache_on_timeout", KR_VAR_BOOL, 1},
      {"check_kv_version", KR_VAR_BOOL, 1},
  };
  start(AES_CBC);
  for (size_t i = 0; i < sizeof live / sizeof *live; i++) {
    struct kr_sys_var *var = find_variable(live[i].name);
    REQUIRE(!(var->flags & KR_VAR_READONLY) && !var->check && (var->flags & 0x7f) == live[i].kind);
    for (long long wanted = 0; wanted <= 1; wanted++) {
      /* The server's room for a checked value, and what lies beside the variable's own. */
      long long save = wanted ? live[i].most : 0;
      void *place = ((struct kr_sys_var_longlong *)var)->value;
      if (var->update) {
        var->update(NULL, var, place, &save);
        size_t length = live[i].kind == KR_VAR_BOOL ? 1 : live[i].kind == KR_VAR_INT ? 4 : 8;
        REQUIRE(memcmp(place, &save, length) == 0);
        var->update(NULL, var, place, NULL);
        var->update(NULL, var, NULL, &save);
        REQUIRE(memcmp(place, &save, length) == 0);
      }
    }
    if (live[i].kind == KR_VAR_INT)
      REQUIRE(((struct kr_sys_var_uint *)var)->min_val == 0 && ((struct kr_sys_var_uint *)var)->max_val == live[i].most);
    if (live[i].kind == KR_VAR_LONGLONG)
      REQUIRE(((struct kr_sys_var_longlong *)var)->min_val == 0 && ((struct kr_sys_var_longlong *)var)->max_val == live[i].most);
  }
  OK("what the peer for Vault can set while it runs can be set, in its range, and shows");
  stop();
}

/* Takes the fingerprints out of a list of keys: 16 digits each, of keys that are random. Returns how many there were. */
static int take_fingerprints_out(char *list) {
  static const char member[] = ",\"fingerprint\":\"";
  const size_t length = sizeof member - 1 + 16 + 1;
  int found = 0;
  for (char *at = list; (at = strstr(at, member)); found++) {
    REQUIRE(strspn(at + sizeof member - 1, "0123456789abcdef") == 16 && at[length - 1] == '"');
    memmove(at, at + length, strlen(at + length) + 1);
  }
  return found;
}

static void status(void) {
  char shown[2000];
  start(AES_CBC);
  show_status("store", shown);
  CHECK(strstr(shown, in_dir("keys")), "the status names the key store");
  show_status("keys", shown);
  CHECK(strcmp(shown, "2") == 0, "and counts keys");
  show_status("key_versions", shown);
  CHECK(strcmp(shown, "3") == 0, "and versions");
  show_status("rotations", shown);
  unsigned long long rotations = strtoull(shown, NULL, 10);
  REQUIRE(set_global("rotate_key", -1) == 0);
  show_status("rotations", shown);
  CHECK(strtoull(shown, NULL, 10) == rotations + 1, "and rotations");
  show_keys(shown, sizeof shown);
  CHECK(take_fingerprints_out(shown) == 5, "keyroll_keys() tells each version's fingerprint");
  CHECK(strcmp(shown, "[{\"id\":1,\"version\":1,\"latest\":false,\"bits\":128,\"algorithm\":\"aes_cbc\",\"created\":null,\"wrapped_at\":null},"
                      "{\"id\":1,\"version\":4,\"latest\":false,\"bits\":128,\"algorithm\":\"aes_cbc\",\"created\":null,\"wrapped_at\":null},"
                      "{\"id\":1,\"version\":6,\"latest\":true,\"bits\":128,\"algorithm\":\"aes_cbc\",\"created\":null,\"wrapped_at\":null},"
                      "{\"id\":2,\"version\":1,\"latest\":false,\"bits\":256,\"algorithm\":\"aes_cbc\",\"created\":null,\"wrapped_at\":null},"
                      "{\"id\":2,\"version\":3,\"latest\":true,\"bits\":256,\"algorithm\":\"aes_cbc\",\"created\":null,\"wrapped_at\":null}]") == 0,
        "keyroll_keys() lists every version");
  stop();
  show_keys(shown, sizeof shown);
  CHECK(*shown == 0, "keyroll_keys() is NULL when the plugin does not run");
}

void variables(void) {
  declared();
  passwords();
  actions_at_a_start();
  set_while_running();
  status();
}
