/* What a server reads before it calls anything. */
#include "host.h"

#include <dlfcn.h>

void declarations(void) {
  int *interface_version = dlsym(lib.handle, "_maria_plugin_interface_version_");
  int *size = dlsym(lib.handle, "_maria_sizeof_struct_st_plugin_");
  CHECK(interface_version && *interface_version == KR_PLUGIN_INTERFACE_VERSION,
        "the interface version is the lowest that serves");
  CHECK(size && *size == (int)sizeof(struct kr_plugin), "the size of a declaration is the server's");

  static const struct kr_plugin terminator;
  CHECK(memcmp(&lib.plugin[1], &terminator, sizeof terminator) == 0, "one plugin is declared, and zeroes end the array");
  CHECK(lib.plugin->type == KR_ENCRYPTION_PLUGIN, "the plugin is an encryption plugin");
  CHECK(strcmp(lib.plugin->name, "keyroll") == 0, "its name is keyroll");
  CHECK(lib.plugin->maturity == KR_MATURITY_STABLE, "its maturity is stable, which every server takes");
  CHECK(lib.plugin->license == KR_LICENSE_BSD, "its licence is one that the server knows");
  CHECK(*lib.plugin->author && *lib.plugin->descr && *lib.plugin->version_info, "author, description and version are told");
  int major, minor;
  CHECK(sscanf(lib.plugin->version_info, "%d.%d", &major, &minor) == 2 &&
            lib.plugin->version == (unsigned int)(major << 8 | minor),
        "the version as a number is the one in the text");
  CHECK(lib.plugin->init && lib.plugin->deinit, "there are init and deinit");

  struct kr_encryption *crypt = lib.crypt;
  CHECK(crypt->interface_version == KR_ENCRYPTION_INTERFACE_VERSION, "the encryption interface is the server's");
  CHECK(crypt->get_latest_key_version && crypt->get_key && crypt->crypt_ctx_size && crypt->crypt_ctx_init &&
            crypt->crypt_ctx_update && crypt->crypt_ctx_finish && crypt->encrypted_length,
        "all seven functions are there: the server puts its own cipher in place of a missing one");

  CHECK(!dlsym(lib.handle, "my_print_error_service"),
        "no service is asked for whose major version differs between servers");
  CHECK(*lib.sql_service == (void *)KR_SQL_SERVICE_VERSION, "sql_service is preset to its version");

  for (struct kr_show_var *var = lib.plugin->status_vars; var->name; var++) {
    REQUIRE(strncmp(var->name, "Keyroll_", 8) == 0);
    REQUIRE(var->type == KR_SHOW_FUNC && var->value);
  }
  OK("every status variable is named Keyroll_ and made by a function");

  /* Before init and after deinit a server may ask for the size of a context or the version of a key. */
  unsigned int length = 7;
  CHECK(crypt->get_latest_key_version(1) == INVALID && crypt->get_key(1, 1, NULL, &length) == INVALID,
        "before init there is no key");
  CHECK(crypt->crypt_ctx_size(1, 1) > 0, "the size of a context is known before init");
  CHECK(lib.plugin->deinit(NULL) == 0, "deinit without init does nothing");
}
