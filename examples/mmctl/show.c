/* SPDX-License-Identifier: Apache-2.0 */
#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t shown_ns;

void show_progress(const char *what, uint64_t done, uint64_t total) {
    uint64_t now = now_ns();
    if (!isatty(STDERR_FILENO) || now - shown_ns < 100000000u) {
        return;
    }
    shown_ns = now;
    int width = 30;
    int filled = total ? (int)((double)done / (double)total * width) : 0;
    fprintf(stderr, "\r\033[K%s [", what);
    for (int i = 0; i < width; i++) {
        fputc(i < filled ? '#' : ' ', stderr);
    }
    fprintf(stderr, "] %3.0f %%", total ? 100.0 * (double)done / (double)total : 0.0);
}

void end_progress(void) {
    if (shown_ns && isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
    shown_ns = 0;
}

static char *scratch_text(size_t *room) {
    static _Thread_local char texts[4][256];
    static _Thread_local unsigned next;
    *room = sizeof(texts[0]);
    return texts[next++ % 4];
}

const char *show_bytes(uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    size_t room;
    char *text = scratch_text(&room);
    snprintf(text, room, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

const char *show_value(const mm_value_info *info) {
    static const char *const kinds[] = {"", "sequence of ", "optional ", "map of "};
    size_t room;
    char *text = scratch_text(&room);
    size_t used =
        (size_t)snprintf(text, room, "%s%s ", kinds[info->kind & 3], mm_dtype_text(info->dtype));
    if (info->rank < 0) {
        snprintf(text + used, room - used, "of any rank");
        return text;
    }
    for (int32_t i = 0; i <= info->rank && used < room - 32; i++) {
        const char *separator = i == 0 ? "[" : i < info->rank ? ", " : "";
        used += (size_t)snprintf(text + used, room - used, "%s", separator);
        if (i == info->rank) {
            snprintf(text + used, room - used, "]");
        } else if (info->shape[i] >= 0) {
            used += (size_t)snprintf(text + used, room - used, "%lld", (long long)info->shape[i]);
        } else {
            const char *name = info->axis_names[i];
            used += (size_t)snprintf(text + used, room - used, "%.20s", name ? name : "?");
        }
    }
    return text;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(double *values, uint64_t count, double q) {
    if (count == 0) {
        return 0;
    }
    qsort(values, count, sizeof(*values), by_value);
    uint64_t at = (uint64_t)(q * (double)(count - 1) + 0.5);
    return values[at];
}
