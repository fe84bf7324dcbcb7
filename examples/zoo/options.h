/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_OPTIONS_H
#define ZOO_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { MOST_CLIENTS = 64 };

struct options {
    const char *data;      /* what the tools made: picture, recording, files, lists */
    const char *models;    /* NULL: DATA/models */
    const char *cache_dir; /* NULL: DATA/cache */
    uint64_t seconds;      /* of the stream; 0 = until `requests` are done */
    uint64_t requests;     /* 0 = until `seconds` are over */
    uint64_t clients;
    uint64_t seed;
    bool log; /* print the decision log */
};

/* Exit code to leave with, or -1 to go on. */
int options_read(int argc, char **argv, struct options *options);

#endif
