/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_SCREEN_H
#define ZOO_SCREEN_H

/* One line that is written over while something runs: on a terminal ten times a second, in a pipe a
 * plain line every few seconds. And how sizes and times are written. */

#include <stdbool.h>
#include <stdint.h>

/* Something new begins: the first line is due after a while. */
void screen_begin(void);
/* Is it time for the line? `quiet`: never. */
bool screen_due(bool quiet);
/* Writes it. */
void screen_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Takes it away (on a terminal). Before anything else is printed. */
void screen_clear(void);

struct text {
    char text[32];
};
/* "10.4 MiB" */
struct text text_bytes(uint64_t bytes);
/* "83 us", "1.2 ms", "3.4 s" */
struct text text_time(double ns);

#endif
