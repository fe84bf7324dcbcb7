/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMCTL_VALUES_H
#define MMCTL_VALUES_H

/* Inputs for a model: from .npy and .json files, or made up from its description and a seed. */

#include "command.h"

#define MAX_INPUTS 1024 /* options that name one */

/* What the command line says of inputs: --input NAME=FILE, --shape NAME=1x3x640x640, --random
 * SEED. */
struct input_options {
    const char *files[MAX_INPUTS]; /* "NAME=FILE" */
    const char *shapes[MAX_INPUTS];
    uint32_t file_count, shape_count;
    bool random;
    bool several; /* models: a shape need not name an input of each */
    uint64_t seed;
};

struct inputs {
    mm_value *values; /* [count] */
    uint32_t count;
};

/* Takes `argument` if it is one of the three. */
bool take_input_option(struct arguments *arguments, const char *argument,
                       struct input_options *options);
/* One value for each required input of the model: the file if one is named, else made up: f32 and
 * other floats uniform in [0, 1), integers and bool 0 or 1, strings "0" or "1", free axes 1 unless
 * --shape says more. false: said why. */
bool make_inputs(const mm_model_description *description, const struct input_options *options,
                 struct inputs *inputs);
void free_inputs(struct inputs *inputs);
/* One run, whose outputs nobody wants. *ms: what mm_infer took (NULL: nobody asks). */
mm_status infer_once(mm_mesh *mesh, mm_model model, const struct inputs *inputs, double *ms,
                     mm_error *err);
/* DIR/<name>.npy, or <name>.json of what is no tensor; a '/' in a name becomes '_', and what would
 * be the file of another one gets a number. DIR is made if it is missing. */
bool write_values(const char *dir, const mm_value *values, uint32_t count);

#endif
