/* host TOPIC LIBRARY DIRECTORY: runs the tests of one topic. */
#include "host.h"

static const struct {
  const char *name;
  void (*run)(void);
} topics[] = {
    {"declarations", declarations}, {"lookups", lookups}, {"contexts", contexts}, {"null_pointers", null_pointers},
    {"panics", panics},             {"openssl", openssl}, {"threads", threads},   {"actions", actions},
    {"variables", variables},       {"secrets", secrets}, {"aes_256_xts", aes_256_xts},
    {"first_use", first_use},
};

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: host TOPIC LIBRARY DIRECTORY\n");
    return 2;
  }
  scratch = argv[3];
  for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
    if (strcmp(topics[i].name, argv[1]) == 0) {
      load_library(argv[2]);
      topics[i].run();
      forget_messages();
      free_options();
      return 0;
    }
  fprintf(stderr, "host: no topic %s\n", argv[1]);
  return 2;
}
