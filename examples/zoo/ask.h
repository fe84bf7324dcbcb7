/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_ASK_H
#define ZOO_ASK_H

/* One request to one model, and what can be said of its answer without understanding it. */

#include "zoo.h"

struct answer {
    mm_response response;
    uint64_t took_ns;
    bool hit;
};

uint64_t now_ns(void);

/* Runs the model on one input; its name is the model's business. state: what a recurrent model
 * takes and gives back, [VAD_STATE], or NULL. On success free the answer. */
bool ask(mm_mesh *mesh, const struct zoo_model *model, const mm_value *input, float *state,
         struct answer *answer, mm_error *err);
void answer_free(struct answer *answer);

/* The first output, when it is f32 with at least `count` elements; else NULL. */
const float *answer_scores(const struct answer *answer, uint64_t count);

/* Finite, and to the bit what the model's first answer to this sample was: eviction and reloading
 * may not show. */
bool answer_same(struct zoo_model *model, uint32_t sample, const struct answer *answer,
                 mm_error *err);

#endif
