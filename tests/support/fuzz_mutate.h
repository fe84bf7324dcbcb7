/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_FUZZ_MUTATE_H
#define TESTS_SUPPORT_FUZZ_MUTATE_H

/* What fuzz targets are fed: a model, before which a script may lie that says what is done with it.
 * The script is a field of the model that ONNX does not have, so the whole is a model too. */

#include <stddef.h>
#include <stdint.h>

#define FUZZ_SCRIPT_BYTES 127 /* at most */

struct fuzz_script {
    const uint8_t *bytes; /* none: what is drawn follows from the model */
    size_t count, at;
    uint64_t seed; /* where the bytes end */
    const uint8_t *model;
    size_t model_bytes;
};
void fuzz_read_script(const uint8_t *bytes, size_t count, struct fuzz_script *script);
/* The next number of the script, in [0, limit). */
uint64_t fuzz_draw(struct fuzz_script *script, uint64_t limit);

/* The three below change bytes[0 .. count), which has room for `room`, and give the new count.
 *
 * Damage that leaves a file readable: numbers and texts in its messages become others of the same
 * length, so that what is wrong is wrong far inside. Now and then the file itself is hurt. */
size_t fuzz_mutate_model(uint8_t *bytes, size_t count, size_t room, uint64_t *seed);
/* Another script, the same model. */
size_t fuzz_mutate_script(uint8_t *bytes, size_t count, size_t room, uint64_t *seed);
/* A byte changed, some cut out or put in; count >= 1. */
size_t fuzz_hurt(uint8_t *bytes, size_t count, size_t room, uint64_t *seed);

#endif
