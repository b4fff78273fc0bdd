#include "host.h"

#include <dlfcn.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>
#include <valgrind/memcheck.h>

struct library lib;
const char *scratch;

void fail(const char *what, const char *file, int line) {
  fflush(stdout);
  fprintf(stderr, "not ok - %s:%d: %s\n", file, line, what);
  for (size_t i = 0; i < message_count(); i++)
    fprintf(stderr, "  message: %s\n", message_at(i)->text);
  /* Not exit: it would take OpenSSL down under threads that still use it, and hide the failure behind a crash. */
  _exit(1);
}

const char *in_dir(const char *name) {
  /* Freed by nobody: reachable until the end, as the server's options are. */
  static char *paths[256];
  static size_t count;
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", scratch, name);
  for (size_t i = 0; i < count; i++)
    if (strcmp(paths[i], path) == 0)
      return paths[i];
  REQUIRE(count < sizeof paths / sizeof *paths);
  return paths[count++] = strdup(path);
}

/* --- The library --------------------------------------------------------------------------------------- */

static void *symbol(const char *name) {
  void *address = dlsym(lib.handle, name);
  if (!address) {
    fprintf(stderr, "the library does not export %s\n", name);
    exit(1);
  }
  return address;
}

void load_library(const char *path) {
  lib.handle = dlopen(path, RTLD_NOW);
  if (!lib.handle) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  lib.plugin = symbol("_maria_plugin_declarations_");
  lib.crypt = lib.plugin->info;
  lib.sql_service = symbol("sql_service");
  /* Not in a shipped library. */
  lib.test_panic = (void (*)(int))dlsym(lib.handle, "keyroll_test_panic");
  lib.keys_init = symbol("keyroll_keys_init");
  lib.keys = symbol("keyroll_keys");
  lib.keys_deinit = symbol("keyroll_keys_deinit");
}

/* --- System variables ---------------------------------------------------------------------------------- */

enum { KIND_MASK = 0x7f };

struct kr_sys_var *find_variable(const char *name) {
  for (struct kr_sys_var **at = lib.plugin->system_vars; *at; at++)
    if (strcmp((*at)->name, name) == 0)
      return *at;
  fprintf(stderr, "there is no variable %s\n", name);
  exit(1);
}

static struct kr_sys_var *find_kind(const char *name, int kind) {
  struct kr_sys_var *var = find_variable(name);
  REQUIRE((var->flags & KIND_MASK) == kind);
  return var;
}

void set_defaults(void) {
  for (struct kr_sys_var **at = lib.plugin->system_vars; *at; at++) {
    switch ((*at)->flags & KIND_MASK) {
    case KR_VAR_STR: {
      struct kr_sys_var_str *var = (void *)*at;
      *var->value = (char *)var->def_val;
      break;
    }
    case KR_VAR_BOOL: {
      struct kr_sys_var_bool *var = (void *)*at;
      *var->value = var->def_val;
      break;
    }
    case KR_VAR_INT: {
      struct kr_sys_var_uint *var = (void *)*at;
      *var->value = var->def_val;
      break;
    }
    case KR_VAR_LONGLONG: {
      struct kr_sys_var_longlong *var = (void *)*at;
      *var->value = var->def_val;
      break;
    }
    case KR_VAR_ENUM: {
      struct kr_sys_var_enum *var = (void *)*at;
      *var->value = var->def_val;
      break;
    }
    default:
      fail("a variable of an unknown kind", __FILE__, __LINE__);
    }
  }
}

static char *options[64];
static size_t options_used;

void free_options(void) {
  while (options_used > 0)
    free(options[--options_used]);
}

char *set_text(const char *name, const char *text) {
  REQUIRE(options_used < sizeof options / sizeof *options);
  char *option = text ? strdup(text) : NULL;
  options[options_used++] = option;
  *((struct kr_sys_var_str *)find_kind(name, KR_VAR_STR))->value = option;
  return option;
}

const char *shown_text(const char *name) {
  return *((struct kr_sys_var_str *)find_kind(name, KR_VAR_STR))->value;
}

void set_number(const char *name, unsigned int number) {
  *((struct kr_sys_var_uint *)find_kind(name, KR_VAR_INT))->value = number;
}

void set_choice(const char *name, unsigned long index) {
  *((struct kr_sys_var_enum *)find_kind(name, KR_VAR_ENUM))->value = index;
}

void set_flag(const char *name, int on) {
  *((struct kr_sys_var_bool *)find_kind(name, KR_VAR_BOOL))->value = (char)on;
}

/* A value of a SET; the server's own type begins with the functions, too. */
static _Thread_local struct {
  long long number;
  const char *word;
  int type, not_available;
} given;

static int value_type(struct kr_value *value) { return (void)value, given.type; }
static int is_unsigned(struct kr_value *value) { return (void)value, 0; }
static int val_real(struct kr_value *value, double *real) { return (void)value, *real = 0, 1; }
static int val_int(struct kr_value *value, long long *integer) {
  (void)value;
  *integer = given.word ? 0 : given.number;
  return given.not_available;
}
static const char *val_str(struct kr_value *value, char *buffer, int *length) {
  (void)value, (void)buffer;
  *length = given.word ? (int)strlen(given.word) : 0;
  return given.word;
}

struct kr_value make_value(int type, int not_available) {
  given.type = type, given.not_available = not_available, given.word = NULL, given.number = 0;
  return (struct kr_value){value_type, val_str, val_real, val_int, is_unsigned};
}

static int set_from(const char *name, struct kr_value *value) {
  struct kr_sys_var *var = find_variable(name);
  int thd = 0;
  /* The server's room for a checked value; whatever an earlier statement left is in it. */
  long long save = 0x5555555555555555;
  int refused = var->check(&thd, var, &save, value);
  if (!refused) {
    /* Of both kinds of actions: "nothing asked for" is what the server then stores and shows. */
    REQUIRE(save == 0);
    void *shown = ((struct kr_sys_var_longlong *)var)->value;
    var->update(&thd, var, shown, &save);
  }
  return refused;
}

int set_global(const char *name, long long number) {
  struct kr_value value = make_value(KR_VALUE_INT, 0);
  given.number = number;
  return set_from(name, &value);
}

int set_global_word(const char *name, const char *word) {
  struct kr_value value = make_value(KR_VALUE_STRING, 0);
  given.word = word;
  return set_from(name, &value);
}

/* --- Life of the plugin -------------------------------------------------------------------------------- */

void unhex(const char *hex, unsigned char *bytes) {
  for (unsigned int byte; sscanf(hex, "%2x", &byte) == 1; hex += 2)
    *bytes++ = (unsigned char)byte;
}

void write_file(const char *path, const char *bytes, size_t length) {
  FILE *file = fopen(path, "wb");
  REQUIRE(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
  REQUIRE(chmod(path, 0600) == 0);
}

void write_text(const char *path, const char *text) { write_file(path, text, strlen(text)); }

char *read_file(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  REQUIRE(file);
  char *bytes = malloc(1 << 20);
  size_t count = fread(bytes, 1, (1 << 20) - 1, file);
  fclose(file);
  bytes[count] = 0;
  if (length)
    *length = count;
  return bytes;
}

int init(void) {
  struct kr_plugin_handle {
    int any;
  } handle = {0};
  return lib.plugin->init(&handle);
}

int start_with(enum algorithm algorithm, const char *key_file) {
  write_text(in_dir("keys"), key_file);
  set_defaults();
  set_text("filename", in_dir("keys"));
  set_choice("encryption_algorithm", algorithm);
  return init();
}

void start(enum algorithm algorithm) {
  REQUIRE(start_with(algorithm, DERIVES_KEYS(algorithm) ? LONG_KEY_FILE : KEY_FILE) == 0);
}

void stop(void) { REQUIRE(lib.plugin->deinit(NULL) == 0); }

void show_status(const char *name, char *text) {
  /* The server aligns the buffer for a number. */
  static _Thread_local long long buffer[KR_SHOW_BUFFER / sizeof(long long)];
  for (struct kr_show_var *var = lib.plugin->status_vars; var->name; var++)
    if (strcmp(var->name + strlen("Keyroll_"), name) == 0) {
      int (*show)(void *, struct kr_show_var *, char *) = (int (*)(void *, struct kr_show_var *, char *))var->value;
      struct kr_show_var copy = *var;
      REQUIRE(show(NULL, &copy, (char *)buffer) == 0);
      if (copy.type == KR_SHOW_ULONGLONG)
        sprintf(text, "%llu", *(unsigned long long *)copy.value);
      else
        strcpy(text, copy.value);
      return;
    }
  fail(name, __FILE__, __LINE__);
}

void show_keys(char *text, size_t room) {
  struct kr_udf_init state = {0};
  struct kr_udf_args args = {0};
  char message[KR_UDF_MESSAGE_ROOM], is_null = 0, error = 0;
  unsigned long length = 0;
  REQUIRE(lib.keys_init(&state, &args, message) == 0);
  const char *answer = lib.keys(&state, &args, message, &length, &is_null, &error);
  REQUIRE(!!answer == !is_null && !error && length < room);
  memcpy(text, answer ? answer : "", length);
  text[length] = 0;
  lib.keys_deinit(&state);
}

/* --- Bytes --------------------------------------------------------------------------------------------- */

void random_bytes(void *to, size_t length) {
  REQUIRE(RAND_bytes(to, (int)length) == 1);
  (void)VALGRIND_MAKE_MEM_DEFINED(to, length);
}

unsigned int random_below(unsigned int below) {
  unsigned int random;
  random_bytes(&random, sizeof random);
  return random % below;
}

int all_are(const unsigned char *bytes, size_t length, unsigned char value) {
  for (size_t i = 0; i < length; i++)
    if (bytes[i] != value)
      return 0;
  return 1;
}

enum { GUARD = 64, GUARD_BYTE = 0xA5 };

struct guarded make_context(int place) {
  struct guarded context = {.size = lib.crypt->crypt_ctx_size(1, 1)};
  size_t all = (context.size + 3 * GUARD + 63) / 64 * 64;
  context.raw = aligned_alloc(64, all);
  REQUIRE(context.raw && context.size < 1 << 16);
  memset(context.raw, GUARD_BYTE, all);
  context.ctx = context.raw + GUARD + 8 + 16 * place;
  /* Zeroes, so that what is not zero in it later was put there by the plugin. */
  memset(context.ctx, 0, context.size);
  (void)VALGRIND_MAKE_MEM_UNDEFINED(context.ctx, context.size);
  return context;
}

static size_t guard_behind(const struct guarded *context) {
  size_t all = (context->size + 3 * GUARD + 63) / 64 * 64;
  return all - (size_t)(context->ctx - context->raw) - context->size;
}

int guards_intact(const struct guarded *context) {
  return all_are(context->raw, (size_t)(context->ctx - context->raw), GUARD_BYTE) &&
         all_are(context->ctx + context->size, guard_behind(context), GUARD_BYTE);
}

int is_wiped(const struct guarded *context) {
  (void)VALGRIND_MAKE_MEM_DEFINED(context->ctx, context->size);
  return all_are(context->ctx, context->size, 0);
}

void free_context(struct guarded *context) { free(context->raw); }
