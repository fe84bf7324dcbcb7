/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONFORMANCE_SUITE_H
#define TESTS_CONFORMANCE_SUITE_H

/* The tests that every backend passes. Each gets a struct subject as cmocka's state. */

#include <conformance/host.h>

struct conformance_test {
    const char *name;
    void (*run)(void **state);
};
extern const struct conformance_test life_tests[];    /* life.c; ends with name NULL */
extern const struct conformance_test trouble_tests[]; /* trouble.c; ends with name NULL */

#endif
