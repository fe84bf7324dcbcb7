/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_ALLOC_H
#define MMI_BASE_ALLOC_H

/* The host's allocator, and the few ways in which the library calls it. */

#include <modelmesh/types.h>

#include <stdbool.h>

/* malloc and free behind mm_allocator; from 1 MiB on, mmap and munmap. */
extern const mm_allocator mmi_malloc_allocator;

/* Zeroed; NULL when out of memory or when count * bytes overflows. count and bytes >= 1. */
void *mmi_alloc(const mm_allocator *a, size_t count, size_t bytes);
void *mmi_alloc_aligned(const mm_allocator *a, size_t bytes, size_t align); /* zeroed */
/* `bytes`: the total that was allocated, count * bytes. NULL memory does nothing. */
void mmi_free(const mm_allocator *a, void *memory, size_t bytes);

/* Copy of a string, or NULL when out of memory. mmi_free_text(NULL) does nothing. */
char *mmi_copy_text(const mm_allocator *a, const char *text);
void mmi_free_text(const mm_allocator *a, char *text);

/* A growable array: *items has room for *capacity items of item_bytes; make it at least `need`.
 * false = out of memory, nothing changed. Capacity doubles; new room is zeroed. */
bool mmi_grow(const mm_allocator *a, void **items, size_t *capacity, size_t need,
              size_t item_bytes);

#endif
