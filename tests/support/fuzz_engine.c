/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer asks for other inputs here. */
#include <support/fuzz.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    uint64_t state = seed;
    return fuzz_anywhere && seed % 2 > 0 ? LLVMFuzzerMutate(data, size, max_size)
                                         : fuzz_mutate(data, size, max_size, &state);
}
