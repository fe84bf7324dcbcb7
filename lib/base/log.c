/* SPDX-License-Identifier: Apache-2.0 */
#include <base/log.h>

#include <base/thread.h>

#include <stdarg.h>
#include <stdio.h>

void mmi_log(const mm_log *log, mm_log_level level, const char *format, ...) {
    if (!log->line || (int32_t)level > (log->level ? log->level : MM_LOG_WARNING)) {
        return;
    }
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    for (char *at = line; *at; at++) { /* names of files and models may have any byte */
        *at = (unsigned char)*at < ' ' ? '?' : *at;
    }
    struct mmi_tls *tls = mmi_tls();
    struct mmi_logging logging = {tls->logging, log};
    tls->logging = &logging;
    log->line(log->user, level, line);
    tls->logging = logging.outer;
}
