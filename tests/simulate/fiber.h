/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIMULATE_FIBER_H
#define TESTS_SIMULATE_FIBER_H

/* Threads of execution that take turns in one thread of the system, each on a stack of its own.
 * Turns are given by whoever calls fiber_enter, outside of any fiber, and given back by
 * fiber_leave. What the library keeps per thread (mmi_tls) is kept per fiber. */

#include <stdbool.h>

struct fiber;

/* Stacks are used again: the first fibers of a process are the dear ones. NULL = no memory. */
struct fiber *fiber_new(void (*run)(void *ctx), void *ctx);
/* One that has ended, or will never be entered again: what lies on its stack is forgotten. */
void fiber_free(struct fiber *fiber);
/* Run it until it leaves or ends. */
void fiber_enter(struct fiber *fiber);
/* From inside a fiber: back to fiber_enter. */
void fiber_leave(void);
bool fiber_ended(const struct fiber *fiber);

#endif
