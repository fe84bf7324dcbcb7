/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_SIZED_H
#define MMI_BASE_SIZED_H

/* Structs that begin with struct_size, of callers and backends that may have been compiled with
 * another header. The rule is in types.h; here it is kept, for all of them. */

#include <base/status.h>

#include <stddef.h>
#include <string.h>

/* Sizes of one struct: in its first version, and in this library. */
struct mmi_sizes {
    uint32_t first, now;
};
/* last: the last field of the first version. */
#define MMI_SIZES(type, last)                                                                      \
    ((struct mmi_sizes){offsetof(type, last) + sizeof(((type *)0)->last), sizeof(type)})

#define MMI_SIZED_MAX 65536u /* a larger struct_size was never set */

/* A struct to write to. MM_INVALID_ARGUMENT, naming `what`: NULL, too small, cut inside a field,
 * absurd. What lies behind the fields that we know is not looked at. */
mm_status mmi_sized_check(const void *from, struct mmi_sizes sizes, const char *what,
                          mm_error *err);
/* A struct to read from: the same, and what lies behind the fields that we know must be 0. */
mm_status mmi_sized_check_input(const void *from, struct mmi_sizes sizes, const char *what,
                                mm_error *err);
mm_status mmi_sized_read_other(void *to, const void *from, struct mmi_sizes sizes, const char *what,
                               mm_error *err);

/* Check an input and copy it to *to, of today's size; what it lacks is 0. */
static inline mm_status mmi_sized_read(void *to, const void *from, struct mmi_sizes sizes,
                                       const char *what, mm_error *err) {
    if (from) {
        uint32_t size;
        memcpy(&size, from, sizeof(size));
        if (size == sizes.now) {
            memcpy(to, from, sizes.now);
            return MM_OK;
        }
    }
    return mmi_sized_read_other(to, from, sizes, what, err);
}

/* Copy the struct of today's size at `from` to one that was checked: as much as it has room for,
 * without struct_size. */
void mmi_sized_write(void *to, const void *from, struct mmi_sizes sizes);

/* All zero but struct_size; nothing for NULL or a size without room for that. */
void mmi_sized_init(void *to, uint32_t struct_size);

#endif
