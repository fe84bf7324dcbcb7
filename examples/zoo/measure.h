/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_MEASURE_H
#define ZOO_MEASURE_H

/* Before the zoo opens: prepare every model once (a mesh with plenty of memory does it), describe
 * it, and measure what a pod needs. */

#include "samples.h"

enum { PODS = 3, FIT = 20 };

struct room {
    uint64_t all_bytes;       /* weights of all models, packed */
    uint64_t median_bytes;    /* of a model's weights */
    uint64_t execution_bytes; /* the largest execution ... */
    const char *execution_of; /* ... and whose it is */
    uint64_t weights_bytes;   /* of a pod, for weights: FIT / PODS medians */
    uint64_t pod_bytes;
    bool prepared_now; /* at least one model was not in the cache */
    uint64_t took_ns;
};

/* Fills in descriptions and measures of the models, the character set, the samples. On success free
 * the samples. */
bool measure(struct zoo *zoo, struct things *things, const char *cache_dir,
             struct samples samples[KINDS], struct room *room, mm_error *err);

#endif
