/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_WORLD_H
#define TESTS_SUPPORT_WORLD_H

/* The world of one test: an environment whose memory is counted, whose time stands still until the
 * test moves it, and where anything can be made to fail. Thread-safe, like the world it replaces.
 * Includes cmocka, in the order in which it wants to be included. */

#include <base/env.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WORLD_START_NS UINT64_C(1000000000) /* what the fake clock shows first */

struct world_count {
    uint64_t until; /* 0 = never; 1 = the next one fails */
    bool hit;
};

struct world {
    struct mmi_env env;
    pthread_mutex_t mutex; /* guards all below */
    uint64_t now_ns;
    uint64_t tick_ns; /* so much passes whenever somebody looks at the clock */
    uint64_t live_bytes, live_blocks, allocations;
    struct world_count alloc_failure, fault_failure;
    uint64_t most_bytes;    /* of one allocation: a larger one fails; 0 = any */
    uint64_t between_until; /* as in world_count */
    void (*between)(void *ctx);
    void *between_ctx;
    char fault_what[16];
    int fault_errnum;
};

void world_init(struct world *world);
/* Asserts that every allocation was given back. */
void world_fini(struct world *world);

void world_advance(struct world *world, uint64_t ns);
uint64_t world_live_bytes(const struct world *world);
/* Allocations so far, the failed ones included. */
uint64_t world_allocations(const struct world *world);

/* The nth allocation from now fails: 1 = the next, 0 = none. Once: those after it succeed. */
void world_fail_alloc(struct world *world, uint64_t nth);
/* Before the nth allocation from now something comes between: on that thread, with no lock of the
 * world's. */
void world_between(struct world *world, uint64_t nth, void (*between)(void *ctx), void *ctx);
/* The nth fault point named `what` from now fails with errnum. NULL = of any name; nth 0 = none. */
void world_fault(struct world *world, const char *what, uint64_t nth, int errnum);
/* Was the failure asked for last (of either kind) hit? Ends the loop over n. */
bool world_failed(const struct world *world);

/* The next number of a seeded sequence (splitmix64). */
uint64_t test_random(uint64_t *state);
/* A number in [0, limit). */
uint64_t test_random_below(uint64_t *state, uint64_t limit);
/* The seed in argv[1], else the fixed one; printed, so that a failure can be repeated. */
uint64_t test_seed(int argc, char **argv);

#endif
