/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_FUZZ_MODEL_H
#define TESTS_BACKENDS_ONNX_FUZZ_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's name for what it calls. Gives 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
