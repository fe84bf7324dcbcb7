/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_FAULT_H
#define ZOO_FAULT_H

/* What went wrong, in the library's own form, and reading files whole. */

#include <modelmesh/modelmesh.h>

#include <stdbool.h>

/* Fills *err (NULL is fine) with a sentence; always false. */
bool fault(mm_error *err, mm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A file's bytes, with a NUL after them. At most `most_bytes`. Free *data. */
bool file_read(const char *path, uint64_t most_bytes, uint8_t **data, uint64_t *bytes,
               mm_error *err);

#endif
