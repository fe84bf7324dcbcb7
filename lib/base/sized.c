/* SPDX-License-Identifier: Apache-2.0 */
#include <base/sized.h>

#include <base/checked.h>

#include <stdbool.h>

static uint32_t size_of(const void *from) {
    uint32_t size;
    memcpy(&size, from, sizeof(size));
    return size;
}

static bool all_zero(const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

mm_status mmi_sized_check(const void *from, struct mmi_sizes sizes, const char *what,
                          mm_error *err) {
    if (!from) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: NULL", what);
    }
    uint32_t size = size_of(from);
    if (size < sizes.first || size > MMI_SIZED_MAX || size % 8 != 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "%s.struct_size: %u, a multiple of 8 from %u to %u expected", what, size,
                        sizes.first, MMI_SIZED_MAX);
    }
    return MM_OK;
}

mm_status mmi_sized_check_input(const void *from, struct mmi_sizes sizes, const char *what,
                                mm_error *err) {
    MMI_TRY(mmi_sized_check(from, sizes, what, err));
    uint32_t size = size_of(from);
    if (size > sizes.now && !all_zero((const unsigned char *)from + sizes.now, size - sizes.now)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "%s.struct_size: %u, this library knows %u bytes and the others are not 0",
                        what, size, sizes.now);
    }
    return MM_OK;
}

mm_status mmi_sized_read_other(void *to, const void *from, struct mmi_sizes sizes, const char *what,
                               mm_error *err) {
    MMI_TRY(mmi_sized_check_input(from, sizes, what, err));
    memset(to, 0, sizes.now);
    memcpy(to, from, mmi_min_u64(size_of(from), sizes.now));
    return MM_OK;
}

void mmi_sized_write(void *to, const void *from, struct mmi_sizes sizes) {
    size_t count = mmi_min_u64(size_of(to), sizes.now);
    memcpy((unsigned char *)to + sizeof(uint32_t), (const unsigned char *)from + sizeof(uint32_t),
           count - sizeof(uint32_t));
}

void mmi_sized_init(void *to, uint32_t struct_size) {
    if (to && struct_size >= sizeof(struct_size)) {
        memset(to, 0, struct_size);
        memcpy(to, &struct_size, sizeof(struct_size));
    }
}
