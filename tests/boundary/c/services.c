/* The server's services, recording. */
#include "host.h"

#include <pthread.h>
#include <stdarg.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct message messages[65536];
static size_t messages_used;

void my_printf_error(unsigned int nr, const char *format, unsigned long flags, ...) {
  va_list arguments;
  /* Text goes in by "%s" alone: a percent sign in a path must not become a directive. */
  REQUIRE(strcmp(format, "%s") == 0);
  va_start(arguments, flags);
  char *text = strdup(va_arg(arguments, const char *));
  va_end(arguments);
  pthread_mutex_lock(&lock);
  REQUIRE(messages_used < sizeof messages / sizeof *messages);
  messages[messages_used++] = (struct message){nr, flags, text};
  pthread_mutex_unlock(&lock);
}

void forget_messages(void) {
  while (messages_used > 0)
    free(messages[--messages_used].text);
}

size_t message_count(void) { return messages_used; }
const struct message *message_at(size_t index) { return &messages[index]; }

size_t count_messages(const char *words, long flags) {
  size_t count = 0;
  for (size_t i = 0; i < messages_used; i++)
    count += strstr(messages[i].text, words) && (flags < 0 || messages[i].flags == (unsigned long)flags);
  return count;
}

const char *only_statement_error(void) {
  const struct message *found = NULL;
  for (size_t i = 0; i < messages_used; i++)
    if (IS_STATEMENT_ERROR(&messages[i])) {
      REQUIRE(!found);
      found = &messages[i];
    }
  REQUIRE(found);
  REQUIRE(found->nr != 0);
  REQUIRE(strlen(found->text) > 20 && strlen(found->text) < 512);
  return found->text;
}

void refused_with(int refused, ...) {
  va_list words;
  REQUIRE(refused != 0);
  const char *text = only_statement_error();
  va_start(words, refused);
  for (const char *word; (word = va_arg(words, const char *));)
    if (!strstr(text, word))
      fail(word, __FILE__, __LINE__);
  va_end(words);
  forget_messages();
}

/* --- SQL ----------------------------------------------------------------------------------------------- */

struct sql_record sql = {.threads = "4", .rotate_key_age = "1"};

static struct kr_mysql *sql_init(struct kr_mysql *handle) {
  REQUIRE(handle == NULL);
  if (sql.fail_at == 1)
    return NULL;
  sql.opened++;
  return malloc(16);
}
static struct kr_mysql *sql_connect(struct kr_mysql *handle) { return sql.fail_at == 2 ? NULL : handle; }
static int sql_query(struct kr_mysql *handle, const char *query, unsigned long length) {
  REQUIRE(handle && length < sizeof sql.statement && strlen(query) == length);
  memcpy(sql.statement, query, length + 1);
  sql.queries++;
  return sql.fail_at == 3;
}
static struct kr_mysql_res *sql_store(struct kr_mysql *handle) {
  (void)handle;
  if (sql.fail_at == 4)
    return NULL;
  sql.results++;
  return malloc(8);
}
static char **sql_fetch(struct kr_mysql_res *result) {
  static char *row[3];
  (void)result;
  row[0] = (char *)sql.threads, row[1] = (char *)sql.rotate_key_age, row[2] = "17";
  return sql.fail_at == 5 ? NULL : row;
}
static void sql_free(struct kr_mysql_res *result) { sql.freed++, free(result); }
static void sql_close(struct kr_mysql *handle) { sql.closed++, free(handle); }

static struct kr_sql_service sql_functions = {
    .init = sql_init,
    .real_connect_local = sql_connect,
    .real_query = sql_query,
    .store_result = sql_store,
    .free_result = sql_free,
    .fetch_row = sql_fetch,
    .close = sql_close,
};

void give_sql_service(void) { *lib.sql_service = &sql_functions; }
void take_sql_service_away(void) { *lib.sql_service = (void *)KR_SQL_SERVICE_VERSION; }
