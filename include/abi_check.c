/*
  Holds include/mariadb_plugin_abi.h against the headers of an installed server: every size, offset and number.
  Compiled by build.rs where the headers are found; it makes no code, and fails to compile where we are wrong.
*/
#define MYSQL_DYNAMIC_PLUGIN
#include <my_global.h>
#include <mysql.h>
#include <typelib.h>
#include <mysql/plugin.h>
#include <mysql/plugin_encryption.h>
#include <mysql/service_encryption.h>
#include <mysql/service_my_print_error.h>
#if MYSQL_VERSION_ID >= 100700
#include <mysql/service_sql.h>
#endif

#include "mariadb_plugin_abi.h"

#define SAME(what, ours, theirs) _Static_assert((unsigned long)(ours) == (unsigned long)(theirs), what)
#define SAME_SIZE(ours, theirs) SAME(#ours, sizeof(ours), sizeof(theirs))
#define SAME_MEMBER(ours, our_member, theirs, their_member)                                       \
  SAME(#ours "." #our_member, offsetof(ours, our_member), offsetof(theirs, their_member));        \
  SAME("size of " #ours "." #our_member, sizeof(((ours *)0)->our_member), sizeof(((theirs *)0)->their_member))

/* Numbers. */
_Static_assert(KR_PLUGIN_INTERFACE_VERSION <= MARIA_PLUGIN_INTERFACE_VERSION, "minor version not above the server's");
SAME("interface major", KR_PLUGIN_INTERFACE_VERSION >> 8, MARIA_PLUGIN_INTERFACE_VERSION >> 8);
SAME("plugin type", KR_ENCRYPTION_PLUGIN, MariaDB_ENCRYPTION_PLUGIN);
SAME("encryption interface", KR_ENCRYPTION_INTERFACE_VERSION, MariaDB_ENCRYPTION_INTERFACE_VERSION);
SAME("maturity", KR_MATURITY_STABLE, MariaDB_PLUGIN_MATURITY_STABLE);
SAME("licence", KR_LICENSE_BSD, PLUGIN_LICENSE_BSD);
SAME("invalid version", 0xFFFFFFFFu, ENCRYPTION_KEY_VERSION_INVALID);
SAME("not encrypted", KR_KEY_NOT_ENCRYPTED, ENCRYPTION_KEY_NOT_ENCRYPTED);
SAME("too small", KR_KEY_BUFFER_TOO_SMALL, ENCRYPTION_KEY_BUFFER_TOO_SMALL);
SAME("decrypt", KR_FLAG_DECRYPT, ENCRYPTION_FLAG_DECRYPT);
SAME("encrypt", KR_FLAG_ENCRYPT, ENCRYPTION_FLAG_ENCRYPT);
SAME("nopad", KR_FLAG_NOPAD, ENCRYPTION_FLAG_NOPAD);
SAME("log", KR_ME_ERROR_LOG, ME_ERROR_LOG);
SAME("log only", KR_ME_ERROR_LOG_ONLY, ME_ERROR_LOG_ONLY);
SAME("note", KR_ME_NOTE, ME_NOTE);
SAME("warning", KR_ME_WARNING, ME_WARNING);
SAME("bool", KR_VAR_BOOL, PLUGIN_VAR_BOOL);
SAME("int", KR_VAR_INT, PLUGIN_VAR_INT);
SAME("longlong", KR_VAR_LONGLONG, PLUGIN_VAR_LONGLONG);
SAME("str", KR_VAR_STR, PLUGIN_VAR_STR);
SAME("enum", KR_VAR_ENUM, PLUGIN_VAR_ENUM);
SAME("unsigned", KR_VAR_UNSIGNED, PLUGIN_VAR_UNSIGNED);
SAME("read only", KR_VAR_READONLY, PLUGIN_VAR_READONLY);
SAME("optional argument", KR_VAR_OPTIONAL_ARGUMENT, PLUGIN_VAR_OPCMDARG);
SAME("string value", KR_VALUE_STRING, MYSQL_VALUE_TYPE_STRING);
SAME("real value", KR_VALUE_REAL, MYSQL_VALUE_TYPE_REAL);
SAME("int value", KR_VALUE_INT, MYSQL_VALUE_TYPE_INT);
SAME("show ulonglong", KR_SHOW_ULONGLONG, SHOW_ULONGLONG);
SAME("show char", KR_SHOW_CHAR, SHOW_CHAR);
SAME("show func", KR_SHOW_FUNC, SHOW_FUNC);
_Static_assert(KR_SHOW_BUFFER <= SHOW_VAR_FUNC_BUFF_SIZE, "room for a status variable's text");
SAME("room for a UDF's message", KR_UDF_MESSAGE_ROOM, MYSQL_ERRMSG_SIZE);

/* Values in a SET statement. */
SAME_SIZE(struct kr_value, struct st_mysql_value);
SAME_MEMBER(struct kr_value, value_type, struct st_mysql_value, value_type);
SAME_MEMBER(struct kr_value, val_str, struct st_mysql_value, val_str);
SAME_MEMBER(struct kr_value, val_real, struct st_mysql_value, val_real);
SAME_MEMBER(struct kr_value, val_int, struct st_mysql_value, val_int);
SAME_MEMBER(struct kr_value, is_unsigned, struct st_mysql_value, is_unsigned);

/* System variables. The server has no named types for them: its macros declare them where they are used. */
static char *a_string;
static char a_bool;
static unsigned int a_uint;
static long long a_longlong;
static unsigned long an_enum;
static TYPELIB a_typelib;
static MYSQL_SYSVAR_STR(s, a_string, 0, "", NULL, NULL, "");
static MYSQL_SYSVAR_BOOL(b, a_bool, 0, "", NULL, NULL, 0);
static MYSQL_SYSVAR_UINT(u, a_uint, 0, "", NULL, NULL, 0, 0, 0, 0);
static MYSQL_SYSVAR_LONGLONG(l, a_longlong, 0, "", NULL, NULL, 0, 0, 0, 0);
static MYSQL_SYSVAR_ENUM(e, an_enum, 0, "", NULL, NULL, 0, &a_typelib);
typedef __typeof__(MYSQL_SYSVAR_NAME(s)) their_str;
typedef __typeof__(MYSQL_SYSVAR_NAME(b)) their_bool;
typedef __typeof__(MYSQL_SYSVAR_NAME(u)) their_uint;
typedef __typeof__(MYSQL_SYSVAR_NAME(l)) their_longlong;
typedef __typeof__(MYSQL_SYSVAR_NAME(e)) their_enum;

#define SAME_VARIABLE(ours, theirs)                      \
  SAME_SIZE(ours, theirs);                               \
  SAME_MEMBER(ours, header.flags, theirs, flags);        \
  SAME_MEMBER(ours, header.name, theirs, name);          \
  SAME_MEMBER(ours, header.comment, theirs, comment);    \
  SAME_MEMBER(ours, header.check, theirs, check);        \
  SAME_MEMBER(ours, header.update, theirs, update);      \
  SAME_MEMBER(ours, value, theirs, value);               \
  SAME_MEMBER(ours, def_val, theirs, def_val)

SAME_VARIABLE(struct kr_sys_var_str, their_str);
SAME_VARIABLE(struct kr_sys_var_bool, their_bool);
SAME_VARIABLE(struct kr_sys_var_uint, their_uint);
SAME_MEMBER(struct kr_sys_var_uint, min_val, their_uint, min_val);
SAME_MEMBER(struct kr_sys_var_uint, max_val, their_uint, max_val);
SAME_MEMBER(struct kr_sys_var_uint, blk_sz, their_uint, blk_sz);
SAME_VARIABLE(struct kr_sys_var_longlong, their_longlong);
SAME_MEMBER(struct kr_sys_var_longlong, min_val, their_longlong, min_val);
SAME_MEMBER(struct kr_sys_var_longlong, max_val, their_longlong, max_val);
SAME_MEMBER(struct kr_sys_var_longlong, blk_sz, their_longlong, blk_sz);
SAME_VARIABLE(struct kr_sys_var_enum, their_enum);
SAME_MEMBER(struct kr_sys_var_enum, typelib, their_enum, typelib);
SAME_MEMBER(struct kr_typelib, count, TYPELIB, count);
SAME_MEMBER(struct kr_typelib, name, TYPELIB, name);
SAME_MEMBER(struct kr_typelib, type_names, TYPELIB, type_names);
SAME_MEMBER(struct kr_typelib, type_lengths, TYPELIB, type_lengths);
_Static_assert(sizeof(struct kr_typelib) >= sizeof(TYPELIB), "room for what later servers append");

/* Status variables. */
SAME_SIZE(struct kr_show_var, struct st_mysql_show_var);
SAME_MEMBER(struct kr_show_var, name, struct st_mysql_show_var, name);
SAME_MEMBER(struct kr_show_var, value, struct st_mysql_show_var, value);
SAME_MEMBER(struct kr_show_var, type, struct st_mysql_show_var, type);

/* The plugin and its vtable. */
#define SAME_PLUGIN(member) SAME_MEMBER(struct kr_plugin, member, struct st_maria_plugin, member)
SAME_SIZE(struct kr_plugin, struct st_maria_plugin);
SAME_PLUGIN(type);
SAME_PLUGIN(info);
SAME_PLUGIN(name);
SAME_PLUGIN(author);
SAME_PLUGIN(descr);
SAME_PLUGIN(license);
SAME_PLUGIN(init);
SAME_PLUGIN(deinit);
SAME_PLUGIN(version);
SAME_PLUGIN(status_vars);
SAME_PLUGIN(system_vars);
SAME_PLUGIN(version_info);
SAME_PLUGIN(maturity);

#define SAME_ENTRY(member) SAME_MEMBER(struct kr_encryption, member, struct st_mariadb_encryption, member)
SAME_SIZE(struct kr_encryption, struct st_mariadb_encryption);
SAME_ENTRY(interface_version);
SAME_ENTRY(get_latest_key_version);
SAME_ENTRY(get_key);
SAME_ENTRY(crypt_ctx_size);
SAME_ENTRY(crypt_ctx_init);
SAME_ENTRY(crypt_ctx_update);
SAME_ENTRY(crypt_ctx_finish);
SAME_ENTRY(encrypted_length);

/* The vtable's types too: a pointer of ours must be assignable to the server's without a cast. */
static inline void same_function_types(struct kr_encryption *ours, struct st_mariadb_encryption *theirs)
{
  theirs->get_latest_key_version = ours->get_latest_key_version;
  theirs->get_key = ours->get_key;
  theirs->crypt_ctx_size = ours->crypt_ctx_size;
  theirs->crypt_ctx_init = ours->crypt_ctx_init;
  theirs->crypt_ctx_update = ours->crypt_ctx_update;
  theirs->crypt_ctx_finish = ours->crypt_ctx_finish;
  theirs->encrypted_length = ours->encrypted_length;
}

/* Services. */
SAME_SIZE(struct kr_print_error_service, struct my_print_error_service_st);
SAME_MEMBER(struct kr_print_error_service, printf_error, struct my_print_error_service_st, my_printf_error_func);
_Static_assert(__builtin_types_compatible_p(kr_printf_error,
                                            __typeof__(((struct my_print_error_service_st *)0)->my_printf_error_func)),
               "type of my_printf_error");

static inline int same_kill_level(kr_kill_level ours, const void *thd)
{
  _Static_assert(sizeof(enum thd_kill_levels) == sizeof(int) && THD_IS_NOT_KILLED == 0, "type of thd_kill_level");
  return ours(thd) == (int)thd_kill_statement_service->thd_kill_level_func((MYSQL_THD)thd);
}

static inline int same_sql_command(kr_sql_command ours, const void *thd)
{
  return ours(thd) == thd_sql_command((MYSQL_THD)thd);
}

static inline int same_tablespace_op(kr_sql_command ours, const void *thd)
{
  return ours(thd) == thd_tablespace_op((MYSQL_THD)thd);
}

static inline unsigned long same_thread_id(kr_thread_id ours, const void *thd)
{
  return ours(thd) == thd_get_thread_id((MYSQL_THD)thd);
}

static inline void *same_current_thd(kr_current_thd ours)
{
  return ours() == _current_thd() ? ours() : NULL;
}

#if MYSQL_VERSION_ID >= 100700
#define SAME_SQL(ours, theirs) SAME_MEMBER(struct kr_sql_service, ours, struct sql_service_st, theirs)
_Static_assert(sizeof(struct kr_sql_service) <= sizeof(struct sql_service_st), "we use its first members");
SAME_SQL(init, mysql_init_func);
SAME_SQL(real_connect_local, mysql_real_connect_local_func);
SAME_SQL(error_number, mysql_errno_func);
SAME_SQL(error, mysql_error_func);
SAME_SQL(real_query, mysql_real_query_func);
SAME_SQL(store_result, mysql_store_result_func);
SAME_SQL(free_result, mysql_free_result_func);
SAME_SQL(fetch_row, mysql_fetch_row_func);
SAME_SQL(close, mysql_close_func);
#endif

/* User-defined functions. */
SAME_SIZE(struct kr_udf_args, UDF_ARGS);
SAME_MEMBER(struct kr_udf_args, arg_count, UDF_ARGS, arg_count);
SAME_MEMBER(struct kr_udf_args, arg_type, UDF_ARGS, arg_type);
SAME_MEMBER(struct kr_udf_args, args, UDF_ARGS, args);
SAME_MEMBER(struct kr_udf_args, lengths, UDF_ARGS, lengths);
SAME_SIZE(struct kr_udf_init, UDF_INIT);
SAME_MEMBER(struct kr_udf_init, maybe_null, UDF_INIT, maybe_null);
SAME_MEMBER(struct kr_udf_init, decimals, UDF_INIT, decimals);
SAME_MEMBER(struct kr_udf_init, max_length, UDF_INIT, max_length);
SAME_MEMBER(struct kr_udf_init, ptr, UDF_INIT, ptr);
SAME_MEMBER(struct kr_udf_init, const_item, UDF_INIT, const_item);
SAME_MEMBER(struct kr_udf_init, extension, UDF_INIT, extension);
