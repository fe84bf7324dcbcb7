/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMCTL_SHOW_H
#define MMCTL_SHOW_H

/* What a person sees: a progress bar on a terminal, silence in a pipe; sizes, shapes, quantiles. */

#include <modelmesh/modelmesh.h>

#include <stdbool.h>

uint64_t now_ns(void);

/* On stderr, if that is a terminal, at most ten times a second. */
void show_progress(const char *what, uint64_t done, uint64_t total);
void end_progress(void);

/* "10.4 MiB"; valid until the fourth next call on this thread. */
const char *show_bytes(uint64_t bytes);
/* "f32 [1, 3, H, W]"; valid until the fourth next call on this thread. */
const char *show_value(const mm_value_info *info);

/* Sorts in place. q from 0 to 1; 0 for no values. */
double quantile(double *values, uint64_t count, double q);

#endif
