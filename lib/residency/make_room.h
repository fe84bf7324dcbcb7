/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_MAKE_ROOM_H
#define MMI_RESIDENCY_MAKE_ROOM_H

/* Making room: who gets memory, who leaves for it, who waits, who is refused. Plans are pure
 * (policy/); here their answers are carried out. Locked.
 *
 * A claim is a load, or a run that found no scratch. Each pass looks at all claims that wait, runs
 * before loads (a run holds a lease that a load may wait for, so it must never wait for a load),
 * each in order of priority and arrival:
 *
 *   fits, or fits once idle victims left   it gets the memory; it detaches the victims itself (with
 *                                          idle_evict the cleanup does, and it waits for that)
 *   something is on its way out            it waits; nothing on that device comes back before
 *   only leased ones would do              after a grace they drain
 *   only if other waiting runs gave up     stalled: when nothing else moves, the last is refused
 *   nothing would do                       refused, with both numbers; nobody was evicted
 *
 * A device that a claim waits for is promised to it: later ones do not get ahead there. */

#include <residency/state.h>

/* One pass over the claims. */
void mmi_make_room(struct mmi_residency *res);

#endif
