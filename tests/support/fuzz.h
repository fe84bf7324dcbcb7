/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_FUZZ_H
#define TESTS_SUPPORT_FUZZ_H

/* A fuzz target: what it does with bytes, and how bytes are damaged for it. fuzz_main.c feeds it
 * files (a test), fuzz_engine.c hands it to libFuzzer (tests/long/fuzz.sh). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libFuzzer's name for what it calls. Gives 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Changes bytes[0 .. count), which has room for `room`; the new count. */
size_t fuzz_mutate(uint8_t *bytes, size_t count, size_t room, uint64_t *seed);

/* Half of the damage may be libFuzzer's own, anywhere in the file. */
extern const bool fuzz_anywhere;

#endif
