/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONFORMANCE_SAMPLES_H
#define TESTS_CONFORMANCE_SAMPLES_H

/* What the suite runs over: add a backend here, by one line in samples.c. */

#include <stddef.h>
#include <stdint.h>

struct sample {
    const char *backend;   /* the table's name */
    const char *name;      /* of the model, for messages */
    const char *text;      /* the model's bytes; NULL: they are in `file` */
    const char *file;      /* below tests/ */
    uint32_t device_kinds; /* to run it on: MM_DEVICE_HOST, MM_DEVICE_SIM */
    int64_t free_axis;     /* what to put where an input's axis is free; 0 = 2 */
    const char *config;
};
extern const struct sample samples[]; /* ends with backend NULL */

/* Exceptions. What a backend cannot have by its nature is skipped, for ever. What it should have
 * and has not yet must fail: passing unexpectedly is a failure, so the list shrinks. */
struct exception {
    const char *backend, *test, *reason;
};
extern const struct exception unsupported[];      /* ends with backend NULL */
extern const struct exception expected_to_fail[]; /* ends with backend NULL */

#endif
