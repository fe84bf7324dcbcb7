/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SCENARIO_PODS_H
#define TESTS_SCENARIO_PODS_H

/* What the tests of copies share: devices pod1, pod2 and pod3, and models of 4 MiB that have copies
 * there. */

#include "weather.h"

#define PODS_MAX 3

/* Pods of so many MiB; the third 0: it is not there. Who is loaded may leave 1 ns later. */
void pods_open(struct fixture *f, uint64_t first, uint64_t second, uint64_t third);
void pods_open_staying(struct fixture *f, uint64_t first, uint64_t second, uint64_t third,
                       uint64_t min_residency_ns);
/* Three pods of 16 MiB, and a model "m" with a copy on each. */
mm_model pods_serving(struct fixture *f, const char *lines);

/* A model of 4 MiB; `lines` go into its script too. */
mm_model_spec pods_spec(struct fixture *f, const char *name, const char *lines, uint32_t replicas,
                        uint32_t least);
mm_model pods_add(struct fixture *f, const char *name, uint32_t replicas, uint32_t least);
/* One request at a time on each copy. */
mm_model pods_add_serial(struct fixture *f, const char *name, uint32_t replicas);
/* The only copy there may be, on this pod. */
mm_model pods_add_on(struct fixture *f, const char *name, const char *pod);

struct copies {
    mm_copy_info at[PODS_MAX];
    uint32_t count, ready;
};

struct copies pods_copies(struct fixture *f, mm_model model);
/* Until there are so many copies, all of them ready and free to leave. */
void pods_until_ready(struct fixture *f, mm_model model, uint32_t ready);
uint64_t pods_used_bytes(struct fixture *f);
bool pods_are_empty(void *f);

/* Callers that wait inside the backend, one by one. */
void pods_start_inside(struct fixture *f, struct caller *callers, uint32_t count, mm_model model,
                       struct gate *gate);
void pods_join(struct caller *callers, uint32_t count);

#endif
