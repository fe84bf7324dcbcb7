/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_PROFILE_H
#define MMI_BACKENDS_ONNX_STEPS_PROFILE_H

/* Times of the steps of a signature's runs, where the model's config says profile=1: the last ones,
 * in a ring whose size is fixed when the signature is made. Any thread. */

#include <backends/onnx/steps/cost.h>
#include <base/lock.h>

#define ONNX_PROFILE_RUNS 256 /* remembered, at most */
#define ONNX_NO_RUN UINT64_MAX

/* What was timed: a node, or a copy to an output that a plan has added. All of it outlives the
 * signature. */
struct onnx_timed_node {
    const struct onnx_operator *op;
    const char *name;   /* "" = none */
    const void *params; /* NULL: a copy */
    uint32_t value;     /* its first output */
};

struct onnx_timed {
    uint64_t run, begin_ns, end_ns;
    struct onnx_cost cost;
    uint32_t node; /* of profile->nodes */
    bool fast;
};

struct onnx_timed_run {
    uint64_t first, count; /* events, counted from the beginning of the profile */
    uint64_t begin_ns, end_ns;
    bool whole; /* it ended well, and all of its events are known */
};

struct onnx_profile {
    struct mmi_lock lock;
    struct onnx_timed *events; /* [capacity]: event i lies at i modulo capacity */
    uint64_t capacity, count;  /* count: ever */
    struct onnx_timed_run runs[ONNX_PROFILE_RUNS]; /* run i lies at i modulo their number */
    uint64_t run_count;                            /* ever */
    struct onnx_timed_node *nodes;
    uint32_t node_count, node_capacity;
    uint32_t *table; /* [2 * node_capacity]: nodes + 1 by hash; 0: empty */
};

/* NULL: no memory. value_count: of the model. */
struct onnx_profile *mmi_onnx_profile_new(struct onnx_arena *arena, uint32_t value_count,
                                          uint32_t steps);
void mmi_onnx_profile_fini(struct onnx_profile *profile); /* NULL does nothing */

/* What a run of the step does and moves. */
struct onnx_step;
struct onnx_cost mmi_onnx_step_cost(const struct onnx_step *step);

uint64_t mmi_onnx_profile_begin(struct onnx_profile *profile, uint64_t now_ns);
/* `timed` without `node`, which becomes the one that is known as this. */
void mmi_onnx_profile_add(struct onnx_profile *profile, const struct onnx_node *node,
                          const struct onnx_timed *timed);
struct onnx_timed_node mmi_onnx_timed_node(const struct onnx_node *node);
void mmi_onnx_profile_end(struct onnx_profile *profile, uint64_t run, uint64_t now_ns, bool good);

/* Locked: all of the run's events are still there. */
bool mmi_onnx_profile_has(const struct onnx_profile *profile, uint64_t run);

#endif
