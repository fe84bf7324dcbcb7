/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_SCHEDULE_H
#define MMI_RESIDENCY_SCHEDULE_H

/* The one place where things are set in motion.
 *
 *   1. Whoever changes something marks what it touched (state.h).
 *   2. Before the lock is let go of, by an unlock or by a wait (lock.h), the marks are worked off
 *      until none is left: models (demand.h), then claims on memory (make_room.h), then calls from
 *      inside a backend that would have to wait for others to leave are refused.
 *   3. What must be done without the lock goes to an executor, or to a caller that sleeps.
 *
 * A waiter ends here, because its model or its device was marked; at its deadline; or at once, when
 * it is cancelled, its model unregistered or the mesh closed: always in mmi_waiter_end. Two
 * conditions are no waiters, and whoever changes what they ask for broadcasts them: `quiet` (a
 * stop, a budget that shrinks) and `arrival` (the rest of the weights). docs/architecture.md has a
 * table of who sleeps where. */

#include <residency/state.h>

/* Works the marks off; locked after, perhaps not in between. true = there was something to do. This
 * is what the lock calls. */
bool mmi_schedule(struct mmi_residency *res);

/* For the timer thread. */
uint64_t mmi_tick(void *res, uint64_t now_ns);

#endif
