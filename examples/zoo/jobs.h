/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_JOBS_H
#define ZOO_JOBS_H

/* The three jobs of the zoo, one after the other, from a cold start, each said and compared with
 * what is expected: read the picture, hear the recording, tell the files. */

#include "samples.h"

/* Returns how many requests or answers were wrong. */
uint32_t jobs_run(struct zoo *zoo, const struct things *things,
                  const struct samples samples[KINDS]);

#endif
