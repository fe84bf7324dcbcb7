/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_FUZZ_MUTATE_H
#define TESTS_BACKENDS_ONNX_FUZZ_MUTATE_H

/* Damage that leaves a file readable: numbers and texts in its messages become others of the same
 * length, so that what is wrong is wrong far inside. Now and then the file itself is hurt. */

#include <stddef.h>
#include <stdint.h>

/* Changes bytes[0 .. count), which has room for `room`; the new count. */
size_t fuzz_mutate(uint8_t *bytes, size_t count, size_t room, uint64_t *seed);

#endif
