/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STRESS_CHECK_H
#define TESTS_STRESS_CHECK_H

/* What must hold of a residency core whenever its lock is free, found by walking everything under
 * the lock. */

#include <residency/residency.h>

#define CHECK_TEXT_BYTES 256

/* At any time, beside any other call. NULL = sound, else `text` with the first thing that broke. */
const char *residency_check(struct mmi_residency *res, char text[CHECK_TEXT_BYTES]);

/* Waits until all work that goes on by itself has ended; nobody calls meanwhile and no operation is
 * open. Then sums must be exact and no lease may be out. */
const char *residency_check_at_rest(struct mmi_residency *res, char text[CHECK_TEXT_BYTES]);

/* Who waits for what, one line each; for a wait that takes too long. Without the lock if somebody
 * keeps it. */
void residency_print_waiters(struct mmi_residency *res);

#endif
