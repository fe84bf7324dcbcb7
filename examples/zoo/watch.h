/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_WATCH_H
#define ZOO_WATCH_H

/* Follows the decision log of a mesh: prints it, and knows how many models were ever resident at
 * once. */

#include "fault.h"

struct watch {
    mm_mesh *mesh;
    uint64_t cursor;
    uint64_t lost; /* events that were overwritten before they were seen */
    int64_t resident, most_resident;
    bool print;
};

/* Takes what is new. */
void watch_look(struct watch *watch);

#endif
