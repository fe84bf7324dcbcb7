/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMCTL_COMMAND_H
#define MMCTL_COMMAND_H

/* The commands, and reading their arguments. Exit codes: 0 done, 1 a model or request failed, 2 bad
 * arguments. */

#include <modelmesh/modelmesh.h>

#include <stdbool.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int command_inspect(int argc, char **argv);
int command_infer(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_profile(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_verify(int argc, char **argv);

/* A walk over arguments. `--name value` and `--name=value` are the same. */
struct arguments {
    int count;
    char **values;
    int at;
    bool failed; /* something was said on stderr */
};

/* The next argument; NULL at the end. */
const char *next_argument(struct arguments *arguments);
/* If `argument` is this option: its value through *value. false: another one. A missing value is
 * said. */
bool take_option(struct arguments *arguments, const char *argument, const char *name,
                 const char **value);
bool take_flag(const char *argument, const char *name);
/* Say what is wrong with an argument; returns EXIT_USAGE. */
int bad_argument(const char *argument, const char *why);
/* A count, or bytes with k, m, g (powers of 1024). false: said what is wrong. */
bool read_number(const char *name, const char *text, uint64_t *number);
bool read_bytes(const char *name, const char *text, uint64_t *bytes);

/* "mmctl: NAME: TEXT"; returns EXIT_FAILED. */
int failure(const char *name, const mm_error *err);

/* One mesh with one model from a file, "model". */
struct opening {
    const char *path;
    const char *format; /* NULL: as its name or first bytes say */
    const char *config; /* NULL: none */
    uint32_t threads;
    uint64_t cpu_features; /* mask; 0: all */
    mm_log log;
};
/* EXIT_DONE, or what to exit with. */
int open_model(const struct opening *opening, mm_mesh **mesh, mm_model *model);

#endif
