/* What the plugin finds out about the server and its statement, by names that a server exports. */
#include "host.h"

struct server_state server = {.command = -1, .thread_id = 1};

/* The server's variables and functions of these names. */
int mysqld_server_started;
char opt_bootstrap;
char mysql_real_data_home[512];

void set_up(int is_up) { mysqld_server_started = is_up; }
void set_bootstrap(int is_bootstrap) { opt_bootstrap = (char)is_bootstrap; }
void set_data_directory(const char *path) { snprintf(mysql_real_data_home, sizeof mysql_real_data_home, "%s", path); }

void *_current_thd(void) { return server.command < 0 ? NULL : &server; }
int thd_sql_command(const void *thd) {
  REQUIRE(thd == &server);
  return server.command;
}
unsigned long thd_get_thread_id(const void *thd) {
  REQUIRE(thd == &server);
  return server.thread_id;
}
int thd_kill_level(const void *thd) { return thd == &server && server.is_killed; }
