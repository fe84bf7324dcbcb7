/* SPDX-License-Identifier: Apache-2.0 */
#include "screen.h"

#include "ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TERMINAL_NS UINT64_C(100000000)
#define PIPE_NS UINT64_C(5000000000)

static uint64_t shown_ns;
static bool standing; /* a line stands on the terminal */

void screen_begin(void) {
    shown_ns = now_ns();
}

bool screen_due(bool quiet) {
    uint64_t now = now_ns();
    uint64_t period_ns = isatty(STDOUT_FILENO) ? TERMINAL_NS : PIPE_NS;
    if (quiet || now - shown_ns < period_ns) {
        return false;
    }
    shown_ns = now;
    return true;
}

/* Columns of the terminal; a line that is longer would wrap and could not be taken away. */
static int columns(void) {
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known ? size.ws_col - 1 : 79;
}

void screen_line(const char *format, ...) {
    char line[512];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    standing = isatty(STDOUT_FILENO);
    if (standing) {
        printf("\r\033[K%.*s", columns(), line);
    } else {
        puts(line);
    }
    fflush(stdout);
}

void screen_clear(void) {
    if (standing) {
        fputs("\r\033[K", stdout);
        fflush(stdout);
    }
    standing = false;
}

struct text text_bytes(uint64_t bytes) {
    struct text text;
    if (bytes < UINT64_C(1) << 20) {
        snprintf(text.text, sizeof(text.text), "%.1f KiB", (double)bytes / 1024);
    } else {
        snprintf(text.text, sizeof(text.text), "%.1f MiB", (double)bytes / 1048576);
    }
    return text;
}

struct text text_time(double ns) {
    struct text text;
    if (ns < 1e6) {
        snprintf(text.text, sizeof(text.text), "%.0f us", ns / 1e3);
    } else if (ns < 1e9) {
        snprintf(text.text, sizeof(text.text), "%.1f ms", ns / 1e6);
    } else {
        snprintf(text.text, sizeof(text.text), "%.1f s", ns / 1e9);
    }
    return text;
}
