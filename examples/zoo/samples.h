/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_SAMPLES_H
#define ZOO_SAMPLES_H

/* What each kind of model can be asked, made once from the things of the zoo, and what the public
 * model must answer. */

#include "reading.h"

struct sample {
    mm_value input;
    char expected[TEXT_BYTES]; /* "" = any answer that stays the same */
};
struct samples {
    struct sample *items;
    uint32_t count;
};

/* reading: where the lines of the picture are. On success, and only then, free them. */
bool samples_make(const struct things *things, const struct reading *reading,
                  struct samples samples[KINDS], mm_error *err);
void samples_free(struct samples samples[KINDS]);

/* Does the public model of this kind say what is expected? */
bool sample_right(const struct things *things, const struct zoo_model *model,
                  const struct sample *sample, const struct answer *answer, mm_error *err);

#endif
