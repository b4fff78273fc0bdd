/*
  A server in miniature: loads keyroll.so, has the function and the service that it wants of a server, which record,
  sets its system variables as a server does, and calls it. The tests of one topic are in the file named like it.

  A test prints "ok - sentence" for each check and ends the process with "not ok" at the first failure.
*/
#ifndef KEYROLL_TEST_HOST_H
#define KEYROLL_TEST_HOST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mariadb_plugin_abi.h"

/* --- Checks -------------------------------------------------------------------------------------------- */

void fail(const char *what, const char *file, int line) __attribute__((noreturn));
/* A step of a check: says nothing where it holds. */
#define REQUIRE(condition) ((condition) ? (void)0 : fail(#condition, __FILE__, __LINE__))
/* All steps of the check named by the sentence held. */
#define OK(sentence) ((void)(printf("ok - %s\n", sentence), fflush(stdout)))
#define CHECK(condition, sentence) \
  ((condition) ? OK(sentence) : fail(sentence ": " #condition, __FILE__, __LINE__))

/* --- The library --------------------------------------------------------------------------------------- */

#define INVALID KR_KEY_VERSION_INVALID

struct library {
  void *handle;
  struct kr_plugin *plugin;
  struct kr_encryption *crypt;
  const void **sql_service;
  void (*test_panic)(int);
  signed char (*keys_init)(struct kr_udf_init *, struct kr_udf_args *, char *message);
  const char *(*keys)(struct kr_udf_init *, struct kr_udf_args *, char *, unsigned long *, char *, char *);
  void (*keys_deinit)(struct kr_udf_init *);
};
extern struct library lib;
/* The directory of this run; each file in it is named by in_dir, whose answer lives until the process ends. */
extern const char *scratch;
const char *in_dir(const char *name);
/* Loads the library; its service pointer keeps its preset, as in a server before 10.7. */
void load_library(const char *path);
/* As a server from 10.7 on does. */
void give_sql_service(void);
void take_sql_service_away(void);
/* The server's error log and errors of statements, found by name. */
void my_printf_error(unsigned int nr, const char *format, unsigned long flags, ...);

/* --- System variables, as the server sets them --------------------------------------------------------- */

enum algorithm { AES_CBC, AES_CTR, AES_256_XTS, AES_256_HCTR2 };
#define EACH_ALGORITHM(a) (enum algorithm a = AES_CBC; a <= AES_256_HCTR2; a++)
/* Whether its keys are derived from data keys of 256 bits. */
#define DERIVES_KEYS(a) ((a) >= AES_256_XTS)

struct kr_sys_var *find_variable(const char *name);
/* Gives every variable its default, as a start does before it reads my.cnf. */
void set_defaults(void);
/* The text is copied into memory that the plugin may write to, as options are; its address. */
char *set_text(const char *name, const char *text);
/* Frees every text that was set. */
void free_options(void);
const char *shown_text(const char *name);
void set_number(const char *name, unsigned int number);
void set_choice(const char *name, unsigned long index);
void set_flag(const char *name, int on);
/* SET GLOBAL keyroll_NAME = number, through check and update; what check returned. */
int set_global(const char *name, long long number);
/* The same with a string, as ON. */
int set_global_word(const char *name, const char *word);
struct kr_value make_value(int type, int not_available);

/* --- Life of the plugin -------------------------------------------------------------------------------- */

/* Two keys of 128 and 256 bits, the first one in two versions. */
#define KEY_1_1 "00112233445566778899aabbccddeeff"
#define KEY_1_4 "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
#define KEY_2_1 "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
#define KEY_FILE "1;" KEY_1_1 "\n1;4;" KEY_1_4 "\n2;" KEY_2_1 "\n"
/* The same names for aes_256_xts and aes_256_hctr2, which take keys of 256 bits alone. */
#define LONG_KEY_1_1 KEY_1_1 "102132435465768798a9bacbdcedfe0f"
#define LONG_KEY_1_4 KEY_1_4 "1e2d3c4b5a69788796a5b4c3d2e1f00f"
#define LONG_KEY_FILE "1;" LONG_KEY_1_1 "\n1;4;" LONG_KEY_1_4 "\n2;" KEY_2_1 "\n"
void unhex(const char *hex, unsigned char *bytes);

void write_file(const char *path, const char *bytes, size_t length);
void write_text(const char *path, const char *text);
/* The file's bytes with a NUL behind them, to be freed. */
char *read_file(const char *path, size_t *length);
/* Writes the text as `openssl enc -aes-256-cbc -md sha1 -k password` does. */
void write_encrypted(const char *path, const char *text, const char *password);
/* Writes KEY_FILE, or LONG_KEY_FILE for what derives keys, to "keys", sets the variables for it and calls init. */
void start(enum algorithm algorithm);
/* The same with other keys; what init returned. */
int start_with(enum algorithm algorithm, const char *key_file);
int init(void);
void stop(void);

/* What SHOW STATUS would print for the variable Keyroll_NAME. */
void show_status(const char *name, char *text);
/* What SELECT keyroll_keys() answers. */
void show_keys(char *text, size_t room);

/* --- What reached the services ------------------------------------------------------------------------- */

struct message {
  unsigned int nr;
  unsigned long flags;
  char *text;
};
#define IS_STATEMENT_ERROR(m) ((m)->flags == 0)
void forget_messages(void);
size_t message_count(void);
const struct message *message_at(size_t index);
/* How many messages contain the words and have these flags (-1: any). */
size_t count_messages(const char *words, long flags);
/* The one statement error since forget_messages; fails unless there is exactly one, of under 512 bytes. */
const char *only_statement_error(void);
/* The last statement failed, and its one error has all of these words, the last of which is NULL. */
void refused_with(int refused, ...);

/* What the recording SQL service answers, and what it was asked. */
struct sql_record {
  int fail_at; /* 0 = succeed; 1 init, 2 connect, 3 query, 4 store, 5 fetch fails */
  const char *threads, *rotate_key_age;
  int opened, closed, results, freed, queries;
  char statement[512];
};
extern struct sql_record sql;

/* --- What the server tells of itself and of this thread's statement ------------------------------------- */

struct server_state {
  int command; /* the statement's number, -1: this thread runs none */
  unsigned long thread_id; /* 0: a thread of the server's own */
  int is_killed;
};
extern struct server_state server;
/* Not up, no bootstrap and no data directory until they are set. */
void set_up(int is_up);
void set_bootstrap(int is_bootstrap);
void set_data_directory(const char *path);

/* --- Bytes --------------------------------------------------------------------------------------------- */

void random_bytes(void *to, size_t length);
/* 0 to below-1. */
unsigned int random_below(unsigned int below);
int all_are(const unsigned char *bytes, size_t length, unsigned char value);

/* A crypt context with guard bytes around it, aligned to 8 and to nothing more. */
struct guarded {
  unsigned char *raw, *ctx;
  unsigned int size;
};
/* place 0..3: 8, 24, 40 or 56 bytes behind a multiple of 64. The memory is undefined to valgrind. */
struct guarded make_context(int place);
int guards_intact(const struct guarded *context);
int is_wiped(const struct guarded *context);
void free_context(struct guarded *context);

/* --- One cipher call, as the server makes it ----------------------------------------------------------- */

/* What crypt_ctx_update or crypt_ctx_finish returned, and the length it told; that is uninitialised before. */
struct outcome {
  int code;
  unsigned int length;
};
struct text {
  unsigned char key[32], iv[16];
  unsigned int klen, slen, key_id, key_version;
  unsigned char src[20000];
};
/* Under version 1 of key 1. */
void random_text(struct text *text, unsigned int klen, unsigned int slen);
int begin(struct guarded *context, const struct text *text, int flags);
struct outcome update(struct guarded *context, const void *src, unsigned int slen, void *dst);
/* Ends and frees the context; fails unless it is wiped and the guards are intact. */
struct outcome finish(struct guarded *context, void *dst);
/* init, one update, finish; the length of what is in dst. Fails unless all succeed. */
unsigned int crypt_at_once(const struct text *text, int flags, const void *src, unsigned int slen, void *dst);
/* The same by OpenSSL, called as the server calls it, for what derives keys from its parts; -1 where it refuses. */
int openssl_at_once(enum algorithm algorithm, const struct text *text, int flags, const void *src, unsigned int slen,
                    unsigned char *dst);
/* The same for a message whose first update is not all of it, where that makes a difference. */
int openssl_in_pieces(enum algorithm algorithm, const struct text *text, int flags, const void *src, unsigned int slen,
                      unsigned char *dst);
/* The decrypting or encrypting flag, with NOPAD or without. */
#define PADDED 0
#define NOPAD KR_FLAG_NOPAD

/* --- Topics -------------------------------------------------------------------------------------------- */

void declarations(void);
void lookups(void);
void first_use(void);
void contexts(void);
void null_pointers(void);
void panics(void);
void openssl(void);
void aes_256_xts(void);
void threads(void);
void actions(void);
void variables(void);
void secrets(void);

#endif
