/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_OBSERVE_EXPOSITION_H
#define TESTS_OBSERVE_EXPOSITION_H

/* A reader of the Prometheus text format 0.0.4, strict where the format is: what it does not
 * understand is an error, with the line's number. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLES_MAX 1024

/* One sample. label and value are "" when there is none; this library writes at most one label. */
struct sample {
    char name[96], label[32], value[300];
    double number;
};

struct exposition {
    struct sample samples[SAMPLES_MAX];
    size_t count;
    char problem[160]; /* "" = the text is sound */
};

/* Besides the grammar: HELP, then TYPE, then all samples of a family in one block, each family
 * once, each series once; counters end in _total; buckets rise in le and in number and end with
 * +Inf, which equals _count. */
void exposition_read(struct exposition *exposition, const char *text);

/* The number of a series, or -1 where there is none. label NULL = without label. */
double exposition_get(const struct exposition *exposition, const char *name, const char *label,
                      const char *value);

#endif
