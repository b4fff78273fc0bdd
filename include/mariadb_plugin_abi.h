/*
  The binary interface between MariaDB Server (10.5 and later) and an encryption plugin: the structures,
  numbers and function types that both sides must agree on, written down as facts in our own words and names.
  bindgen turns this file into src/ffi/abi.rs; abi_check.c holds it against the headers of an installed server.

  Every structure is that of a 64-bit Unix server. No header of the server is needed to build keyroll.
*/
#ifndef KEYROLL_MARIADB_PLUGIN_ABI_H
#define KEYROLL_MARIADB_PLUGIN_ABI_H

/* --- Numbers ------------------------------------------------------------------------------------------- */

enum {
  /* The lowest plugin interface that has all we use. A server takes a plugin whose major number (high byte)
     is not above its own and whose minor is lower: 10.5 has 0x010e, 10.11 and 11.8 have 0x010f. */
  KR_PLUGIN_INTERFACE_VERSION = 0x010e,
  KR_ENCRYPTION_PLUGIN = 9,
  KR_ENCRYPTION_INTERFACE_VERSION = 0x0300,
  KR_MATURITY_STABLE = 5,
  /* The server knows three kinds of licence; ours (MIT or Apache-2.0) is nearest to this one. */
  KR_LICENSE_BSD = 2
};

enum {
  KR_KEY_NOT_ENCRYPTED = 0,
  KR_KEY_BUFFER_TOO_SMALL = 100,
  KR_FLAG_DECRYPT = 0,
  KR_FLAG_ENCRYPT = 1,
  KR_FLAG_NOPAD = 2
};

/* Returned in place of a key version, and by get_key for a key that is not there. */
static const unsigned int KR_KEY_VERSION_INVALID = 0xFFFFFFFFu;

/* What the cipher functions return (the server's my_crypt.h, which is not among the installed headers). */
enum {
  KR_CRYPT_OK = 0,
  KR_CRYPT_BAD_DATA = -100,
  KR_CRYPT_LIBRARY_ERROR = -101,
  KR_CRYPT_BAD_KEY_SIZE = -102
};

/* Flags of my_printf_error: where a message goes, and how grave it is. */
enum {
  KR_ME_ERROR_LOG = 64,
  KR_ME_ERROR_LOG_ONLY = 128,
  KR_ME_NOTE = 1024,
  KR_ME_WARNING = 2048
};

/* --- System variables ---------------------------------------------------------------------------------- */

enum {
  KR_VAR_BOOL = 0x0001,
  KR_VAR_INT = 0x0002,
  KR_VAR_LONGLONG = 0x0004,
  KR_VAR_STR = 0x0005,
  KR_VAR_ENUM = 0x0006,
  KR_VAR_UNSIGNED = 0x0080,
  KR_VAR_READONLY = 0x0200,
  KR_VAR_OPTIONAL_ARGUMENT = 0x2000
};

/* A value in a SET statement, before the server has looked at it. */
struct kr_value {
  int (*value_type)(struct kr_value *);
  const char *(*val_str)(struct kr_value *, char *buffer, int *length);
  int (*val_real)(struct kr_value *, double *real);
  int (*val_int)(struct kr_value *, long long *integer);
  int (*is_unsigned)(struct kr_value *);
};
enum { KR_VALUE_STRING = 0, KR_VALUE_REAL = 1, KR_VALUE_INT = 2 };

struct kr_sys_var;
typedef int (*kr_check_func)(void *thd, struct kr_sys_var *var, void *save, struct kr_value *value);
typedef void (*kr_update_func)(void *thd, struct kr_sys_var *var, void *value, const void *save);

/* Each kind of variable begins with the same five members. */
struct kr_sys_var {
  int flags;
  const char *name;
  const char *comment;
  kr_check_func check;
  kr_update_func update;
};

struct kr_sys_var_str {
  struct kr_sys_var header;
  char **value;
  const char *def_val;
};

struct kr_sys_var_bool {
  struct kr_sys_var header;
  char *value;
  char def_val;
};

struct kr_sys_var_uint {
  struct kr_sys_var header;
  unsigned int *value;
  unsigned int def_val, min_val, max_val, blk_sz;
};

struct kr_sys_var_longlong {
  struct kr_sys_var header;
  long long *value;
  long long def_val, min_val, max_val, blk_sz;
};

struct kr_typelib {
  unsigned int count;
  const char *name;
  const char *const *type_names;
  unsigned int *type_lengths;
  /* Later servers append a member; room for it, always null. */
  const void *later;
};

struct kr_sys_var_enum {
  struct kr_sys_var header;
  unsigned long *value;
  unsigned long def_val;
  struct kr_typelib *typelib;
};

/* --- Status variables ---------------------------------------------------------------------------------- */

/* The members of the server's enum that we use, by number: SHOW_ULONGLONG, SHOW_CHAR, SHOW_FUNC. */
enum { KR_SHOW_ULONGLONG = 4, KR_SHOW_CHAR = 5, KR_SHOW_FUNC = 8 };
/* The least room that a SHOW_FUNC function finds in its buffer, in bytes (1024 in 10.5). */
enum { KR_SHOW_BUFFER = 1024 };

struct kr_show_var {
  const char *name;
  void *value;
  unsigned int type;
};

/* --- The plugin ---------------------------------------------------------------------------------------- */

struct kr_plugin {
  int type;
  void *info;
  const char *name;
  const char *author;
  const char *descr;
  int license;
  int (*init)(void *);
  int (*deinit)(void *);
  unsigned int version;
  struct kr_show_var *status_vars;
  struct kr_sys_var **system_vars;
  const char *version_info;
  unsigned int maturity;
};

/* The vtable. All functions are called from many threads at once, without a connection. */
struct kr_encryption {
  int interface_version;
  unsigned int (*get_latest_key_version)(unsigned int key_id);
  unsigned int (*get_key)(unsigned int key_id, unsigned int version, unsigned char *key, unsigned int *key_length);
  unsigned int (*crypt_ctx_size)(unsigned int key_id, unsigned int key_version);
  int (*crypt_ctx_init)(void *ctx, const unsigned char *key, unsigned int klen, const unsigned char *iv,
                        unsigned int ivlen, int flags, unsigned int key_id, unsigned int key_version);
  int (*crypt_ctx_update)(void *ctx, const unsigned char *src, unsigned int slen, unsigned char *dst,
                          unsigned int *dlen);
  int (*crypt_ctx_finish)(void *ctx, unsigned char *dst, unsigned int *dlen);
  unsigned int (*encrypted_length)(unsigned int slen, unsigned int key_id, unsigned int key_version);
};

/* --- Services ------------------------------------------------------------------------------------------ */
/* A service is had by exporting a pointer named like it whose value is the version wanted; at load the server
   puts the address of the service's structure there, or leaves the number where it does not have the service.
   It refuses a plugin that wants a higher version than it has, or another major version (the high byte): want the
   lowest that serves. */
enum { KR_SQL_SERVICE_VERSION = 0x0100 };

/* my_printf_error, a function that the server exports, and the second one of my_print_error_service. The service
   itself is out of reach for a library that shall load everywhere: its version is 0x0100 in 10.5 to 10.11 and 0x0200
   in 11.8, where the format language changed ("%s" did not) and the structure stayed. */
typedef void (*kr_printf_error)(unsigned int nr, const char *format, unsigned long flags, ...);
struct kr_print_error_service {
  void *error;
  kr_printf_error printf_error;
  void *printv_error;
};

/* thd_kill_level, a function that the server exports, and the one of thd_kill_statement_service: not 0 once the statement
   of this connection shall end. Only for the thread that runs the statement. */
typedef int (*kr_kill_level)(const void *thd);

/* _current_thd, thd_sql_command and thd_tablespace_op, functions that the server exports: the connection whose statement this
   thread runs, or null; the number of that statement; not 0 while it discards or imports a tablespace. The numbers that we know have been the same since long before 10.5; the headers
   that servers install do not have them, so tests on real servers hold them. */
typedef void *(*kr_current_thd)(void);
typedef int (*kr_sql_command)(const void *thd);
/* thd_get_thread_id, a function that the server exports: the connection's number; 0 for a thread of the server's own, as InnoDB's
   purge, which has a connection, too. */
typedef unsigned long (*kr_thread_id)(const void *thd);
enum { KR_SQLCOM_CREATE_TABLE = 1, KR_SQLCOM_ALTER_TABLE = 3 };

/* A connection and a result are opaque to us. The members after close are not used, so they are not drawn. */
struct kr_mysql;
struct kr_mysql_res;
struct kr_sql_service {
  struct kr_mysql *(*init)(struct kr_mysql *);
  struct kr_mysql *(*real_connect_local)(struct kr_mysql *);
  void *real_connect;
  unsigned int (*error_number)(struct kr_mysql *);
  const char *(*error)(struct kr_mysql *);
  int (*real_query)(struct kr_mysql *, const char *query, unsigned long length);
  void *affected_rows;
  void *num_rows;
  struct kr_mysql_res *(*store_result)(struct kr_mysql *);
  void (*free_result)(struct kr_mysql_res *);
  char **(*fetch_row)(struct kr_mysql_res *);
  void (*close)(struct kr_mysql *);
};

/* --- User-defined functions ---------------------------------------------------------------------------- */

/* Room for a message in NAME_init, in bytes (MYSQL_ERRMSG_SIZE). */
enum { KR_UDF_MESSAGE_ROOM = 512 };

struct kr_udf_args {
  unsigned int arg_count;
  unsigned int *arg_type;
  char **args;
  unsigned long *lengths;
  char *maybe_null;
  const char **attributes;
  unsigned long *attribute_lengths;
  void *extension;
};

struct kr_udf_init {
  char maybe_null;
  unsigned int decimals;
  unsigned long max_length;
  char *ptr;
  char const_item;
  void *extension;
};

#endif
