/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_REPORT_H
#define ZOO_REPORT_H

/* What came of it: a line a model, then the sums. */

#include "crowd.h"
#include "measure.h"

/* A line for each model, the most asked first. */
void report_models(const struct crowd *crowd);

struct report {
    const struct crowd *crowd;
    const struct room *room;
    int64_t most_resident;
    double seconds;
    uint64_t failed; /* of the crowd and of the jobs */
};
void report_totals(const struct report *report);

#endif
