/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STRESS_SOAK_H
#define TESTS_STRESS_SOAK_H

/* The clients of test_soak.c and what they call. */

#include "field.h"

#define CLIENTS 4u
#define NAMES 60u
#define FIXED 2u /* the first so many are pinned for ever and never change */
#define OPEN_OPS 6u
#define ANY_BYTES 400u /* of a script */

struct script {
    struct script *next;
    char text[ANY_BYTES];
};

struct entry {
    pthread_mutex_t mutex; /* guards model, life and the two calls that change them */
    mm_model model;        /* {0} = not registered */
    uint64_t life;
    _Atomic uint64_t started, confirmed; /* revisions: asked for; known to serve */
    _Atomic bool updating;
};

struct soak {
    struct field field;
    struct entry entries[NAMES];
    struct script *_Atomic scripts; /* all of them, until the end */
    _Atomic uint64_t lives;
    _Atomic int64_t left; /* operations */
    bool endless;
    uint64_t end_ns; /* when endless */
    _Atomic uint64_t done, asked, answered, hits, statuses[MM_FORKED + 1];
};

/* A handle and what may answer to it. */
struct target {
    mm_model model;
    uint64_t name, life, confirmed;
};

struct async {
    struct field_request request; /* an inference's */
    struct soak *soak;
    struct target target;
    bool infers;
    mm_op *op; /* NULL = freed */
    _Atomic bool busy;
};

struct client {
    pthread_t thread;
    struct soak *soak;
    uint64_t seed;
    struct async ops[OPEN_OPS];
};

/* Register a name anew, or find that it is taken. */
void soak_register(struct client *client, uint64_t name);
/* One call, at random. */
void soak_call(struct client *client);
uint64_t soak_now(const struct client *client);

#endif
