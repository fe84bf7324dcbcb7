/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMCTL_PLAN_H
#define MMCTL_PLAN_H

/* What the backend's report says of a model for given shapes: its steps, by operator. */

#include "tree.h"
#include "values.h"

#include <stdio.h>

struct by_operator {
    const char *name;
    uint64_t count, fast, plain, later; /* later: its kernel is chosen in the run */
    uint64_t flops, bytes;
};

struct plan {
    char *report; /* as it came */
    char *text;   /* the same, that the tree has taken apart */
    struct tree *tree;
    struct by_operator *operators; /* the most frequent first */
    uint32_t count;
};

/* EXIT_DONE, or what to exit with; said why. */
int read_plan(mm_mesh *mesh, mm_model model, const struct inputs *inputs, struct plan *plan);
void free_plan(struct plan *plan); /* zeroed is fine */

void print_plan(const struct plan *plan);
void print_plan_json(const struct plan *plan);

/* Inputs that have free axes, no --shape and no --input, as "x is f32 [N, 24], ..."; false: there
 * are none. */
bool name_free_inputs(const mm_model_description *description, const struct input_options *options,
                      char text[1024]);
/* "x=1x3x224x224, ..." */
void name_shapes(const struct inputs *inputs, char text[1024]);

#endif
