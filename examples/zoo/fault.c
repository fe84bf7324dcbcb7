/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool fault(mm_error *err, mm_status status, const char *format, ...) {
    if (err) {
        memset(err, 0, sizeof(*err));
        err->status = status;
        va_list list;
        va_start(list, format);
        vsnprintf(err->text, sizeof(err->text), format, list);
        va_end(list);
    }
    return false;
}

static bool read_open(FILE *file, const char *path, uint64_t bytes, uint8_t **data, mm_error *err) {
    *data = malloc(bytes + 1);
    if (!*data) {
        return fault(err, MM_NO_MEMORY, "%s: no memory for %" PRIu64 " bytes", path, bytes);
    }
    if (fread(*data, 1, bytes, file) != bytes) {
        free(*data);
        *data = NULL;
        return fault(err, MM_IO, "%s: shorter than %" PRIu64 " bytes", path, bytes);
    }
    (*data)[bytes] = '\0';
    return true;
}

bool file_read(const char *path, uint64_t most_bytes, uint8_t **data, uint64_t *bytes,
               mm_error *err) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file || fstat(fileno(file), &status) != 0) {
        fault(err, MM_IO, "%s: %s", path, strerror(errno));
        if (file) {
            fclose(file);
        }
        return false;
    }
    bool ok = false;
    *bytes = (uint64_t)status.st_size;
    if (!S_ISREG(status.st_mode)) {
        fault(err, MM_IO, "%s: not a file", path);
    } else if (*bytes > most_bytes) {
        fault(err, MM_IO, "%s: %" PRIu64 " bytes; %" PRIu64 " are read at most", path, *bytes,
              most_bytes);
    } else {
        ok = read_open(file, path, *bytes, data, err);
    }
    fclose(file);
    return ok;
}
