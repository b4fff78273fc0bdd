/* Null for every pointer of every entry: an error, never a crash. */
#include "host.h"

static struct text text;

static void of_lookups(unsigned int true_length) {
  unsigned char key[32];
  unsigned int length = 32;
  REQUIRE(lib.crypt->get_key(1, 1, key, NULL) == INVALID);
  REQUIRE(lib.crypt->get_key(1, 1, NULL, NULL) == INVALID);
  REQUIRE(lib.crypt->get_key(1, 1, NULL, &length) == 0 && length == true_length);
  OK("get_key without a length is invalid, without a buffer it tells the length");
}

static void of_init(void) {
  struct guarded context = make_context(0);
  REQUIRE(lib.crypt->crypt_ctx_init(NULL, text.key, 16, text.iv, 16, NOPAD, 1, 1) == KR_CRYPT_BAD_DATA);
  REQUIRE(lib.crypt->crypt_ctx_init(context.ctx, NULL, 16, text.iv, 16, NOPAD, 1, 1) == KR_CRYPT_BAD_KEY_SIZE);
  REQUIRE(lib.crypt->crypt_ctx_init(context.ctx, text.key, 16, NULL, 16, NOPAD, 1, 1) == KR_CRYPT_BAD_DATA);
  REQUIRE(lib.crypt->crypt_ctx_init(NULL, NULL, 0, NULL, 0, 0, 1, 1) != 0);
  REQUIRE(guards_intact(&context));
  free_context(&context);
  OK("init without a context, a key or an IV fails");
}

static void of_update(void) {
  unsigned char out[64];
  unsigned int length = 9;
  struct guarded context;
  REQUIRE(lib.crypt->crypt_ctx_update(NULL, text.src, 16, out, &length) == KR_CRYPT_BAD_DATA && length == 0);
  REQUIRE(lib.crypt->crypt_ctx_update(NULL, NULL, 0, NULL, NULL) != 0);

  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | NOPAD) == 0);
  REQUIRE(update(&context, NULL, 16, out).code == KR_CRYPT_BAD_DATA);
  REQUIRE(finish(&context, out).code == KR_CRYPT_BAD_DATA);
  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | NOPAD) == 0);
  REQUIRE(update(&context, text.src, 16, NULL).code == KR_CRYPT_BAD_DATA);
  REQUIRE(finish(&context, out).code == KR_CRYPT_BAD_DATA);
  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | NOPAD) == 0);
  REQUIRE(lib.crypt->crypt_ctx_update(context.ctx, text.src, 16, out, NULL) == KR_CRYPT_BAD_DATA);
  finish(&context, out + 16);
  OK("update without a context, a source, a destination or a length fails");

  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT | NOPAD) == 0);
  struct outcome empty = update(&context, NULL, 0, NULL);
  REQUIRE(empty.code == 0 && empty.length == 0);
  REQUIRE(finish(&context, NULL).code == 0);
  OK("nothing at no address is a text of no bytes");
}

static void of_finish(void) {
  unsigned char out[64];
  unsigned int length = 9;
  struct guarded context;
  REQUIRE(lib.crypt->crypt_ctx_finish(NULL, out, &length) == KR_CRYPT_BAD_DATA && length == 0);
  REQUIRE(lib.crypt->crypt_ctx_finish(NULL, NULL, NULL) != 0);
  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT) == 0);
  REQUIRE(update(&context, text.src, 16, out).code == 0);
  REQUIRE(finish(&context, NULL).code == KR_CRYPT_BAD_DATA);
  REQUIRE(begin(&context, &text, KR_FLAG_ENCRYPT) == 0);
  REQUIRE(update(&context, text.src, 16, out).code == 0);
  REQUIRE(lib.crypt->crypt_ctx_finish(context.ctx, out + 16, NULL) != 0);
  REQUIRE(is_wiped(&context) && guards_intact(&context));
  free_context(&context);
  OK("finish without a context, a place for its bytes or a length fails, and wipes");
}

static void of_variables(void) {
  static const char *const actions[] = {"rotate_key", "reload_keys"};
  struct kr_value value = make_value(KR_VALUE_INT, 0), none = {0};
  for (int i = 0; i < 2; i++) {
    struct kr_sys_var *var = find_variable(actions[i]);
    long long save = 1;
    forget_messages();
    REQUIRE(var->check(NULL, NULL, &save, NULL) != 0);
    only_statement_error();
    forget_messages();
    REQUIRE(var->check(NULL, NULL, NULL, &value) != 0);
    only_statement_error();
    forget_messages();
    REQUIRE(var->check(NULL, NULL, &save, &none) != 0);
    only_statement_error();
    REQUIRE(var->check(NULL, NULL, NULL, NULL) != 0);
    /* The statement asks for nothing, so nothing is what it gets. */
    REQUIRE(var->check(NULL, NULL, &save, &value) == 0);
    var->update(NULL, NULL, NULL, NULL);
  }
  OK("a check without a value or a place to save it refuses with an error, and an update takes anything");
}

static void of_status(void) {
  char buffer[KR_SHOW_BUFFER];
  for (struct kr_show_var *var = lib.plugin->status_vars; var->name; var++) {
    int (*show)(void *, struct kr_show_var *, char *) = (int (*)(void *, struct kr_show_var *, char *))var->value;
    struct kr_show_var copy = *var;
    REQUIRE(show(NULL, NULL, NULL) != 0);
    REQUIRE(show(NULL, NULL, buffer) != 0);
    REQUIRE(show(NULL, &copy, NULL) != 0);
    REQUIRE(show(NULL, &copy, buffer) == 0);
  }
  OK("a status function without a variable or a buffer fails");
}

static void of_the_function(void) {
  struct kr_udf_init init_of = {0};
  struct kr_udf_args args = {0};
  char message[KR_UDF_MESSAGE_ROOM], is_null = 0, error = 0;
  unsigned long length;
  REQUIRE(lib.keys_init(NULL, NULL, NULL) != 0);
  REQUIRE(lib.keys_init(NULL, &args, message) != 0);
  REQUIRE(lib.keys_init(&init_of, NULL, message) != 0);
  args.arg_count = 1;
  REQUIRE(lib.keys_init(&init_of, &args, NULL) != 0);
  args.arg_count = 0;
  /* Not initialised. */
  REQUIRE(!lib.keys(&init_of, &args, NULL, &length, &is_null, &error) && is_null);
  REQUIRE(lib.keys_init(&init_of, &args, NULL) == 0);
  REQUIRE(!lib.keys(NULL, NULL, NULL, NULL, NULL, NULL));
  REQUIRE(!lib.keys(NULL, &args, NULL, &length, &is_null, &error));
  REQUIRE(!lib.keys(&init_of, &args, NULL, NULL, &is_null, &error));
  REQUIRE(lib.keys(&init_of, NULL, NULL, &length, NULL, NULL) && length > 0);
  lib.keys_deinit(NULL);
  lib.keys_deinit(&init_of);
  lib.keys_deinit(&init_of);
  OK("keyroll_keys() with nulls answers NULL or refuses, and ends twice without harm");
}

static void of_settings(void) {
  forget_messages();
  set_defaults();
  set_text("filename", NULL);
  REQUIRE(init() != 0);
  REQUIRE(count_messages("keyroll-filename is not set", KR_ME_ERROR_LOG) == 1);
  set_text("filename", in_dir("keys"));
  set_text("filekey", NULL);
  REQUIRE(init() == 0);
  stop();
  OK("a null in a text variable is an empty text");
}

void null_pointers(void) {
  random_text(&text, 16, 64);
  for EACH_ALGORITHM (algorithm) {
    start(algorithm);
    REQUIRE(lib.plugin->deinit(NULL) == 0 && lib.plugin->init(NULL) == 0);
    OK("init and deinit use no argument");
    of_lookups(DERIVES_KEYS(algorithm) ? 32 : 16);
    of_init();
    of_update();
    of_finish();
    of_variables();
    of_status();
    of_the_function();
    stop();
  }
  of_settings();
}
