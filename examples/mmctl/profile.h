/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMCTL_PROFILE_H
#define MMCTL_PROFILE_H

/* Times of a model's steps, as the backend's report has them, by node and by operator. */

#include "tree.h"

#include <stdbool.h>

struct timed_event {
    uint64_t node, begin_ns, end_ns, flops, bytes;
    bool fast;
};

struct timed_run {
    uint64_t begin_ns, end_ns;
    struct timed_event *events; /* [count]: by their begin, the longer first */
    uint32_t count;
};

/* A node, or an operator: the sum of its nodes. */
struct timed {
    const char *op, *node;
    const char *shape;                  /* of what it makes; "": not known before a run */
    const struct tree *fused;           /* list of functions; of an operator NULL */
    uint64_t calls, fast, flops, bytes; /* of one run; fast: of the calls */
    double *ns;                         /* [run_count]: without that of nodes inside */
    double ms;                          /* the median */
};

struct profile {
    struct timed_run *runs;  /* [run_count] */
    struct timed *nodes;     /* as events number them */
    struct timed **slowest;  /* [slowest_count]: those that the last run had, slowest first */
    struct timed *operators; /* slowest first */
    uint32_t run_count, node_count, slowest_count, operator_count;
    /* Medians: of the whole run, and of what was in no step. The medians of all parts together are
     * less than the run's where something disturbed some part in each run. */
    double run_ms, rest_ms, parts_ms;
};

/* From a report; refers to it. The last `runs` runs. false: said why. */
bool read_profile(const struct tree *report, uint64_t runs, struct profile *profile);
void free_profile(struct profile *profile); /* zeroed is fine */

/* "fast", "plain", "both" */
const char *kernel_of(const struct timed *timed);
/* "Conv+Relu"; into `text`. */
const char *name_operator(const struct timed *timed, char text[256]);

/* For Perfetto and chrome://tracing. false: said why. */
bool write_trace(const char *path, const char *model, const struct profile *profile);

#endif
