/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>

#include <modelmesh/types.h>

uint64_t mm_shape_elements(uint32_t rank, const int64_t *shape) {
    uint64_t elements = 1;
    bool empty = false;
    bool fits = true;
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] < 0) {
            return UINT64_MAX;
        }
        /* An axis of 0 empties the tensor however large the others are. */
        empty |= shape[i] == 0;
        fits = fits && mmi_mul(elements, (uint64_t)shape[i], &elements);
    }
    if (empty) {
        return 0;
    }
    return fits ? elements : UINT64_MAX;
}

static uint64_t dtype_bits(int32_t dtype) {
    switch (dtype) {
#define DTYPE_BITS(name, value, bits, text)                                                        \
    case name:                                                                                     \
        return bits;
        MM_DTYPE_MAP(DTYPE_BITS)
#undef DTYPE_BITS
    default:
        return 0;
    }
}

uint64_t mm_dtype_bytes(int32_t dtype, uint64_t elements) {
    uint64_t bits = dtype_bits(dtype);
    if (bits >= 8) {
        uint64_t bytes;
        return mmi_mul(elements, bits / 8, &bytes) ? bytes : UINT64_MAX;
    }
    if (bits == 0) {
        return 0;
    }
    uint64_t per_byte = 8 / bits;
    return elements / per_byte + (elements % per_byte != 0);
}

const char *mm_dtype_text(int32_t dtype) {
    switch (dtype) {
#define DTYPE_TEXT(name, value, bits, text)                                                        \
    case name:                                                                                     \
        return text;
        MM_DTYPE_MAP(DTYPE_TEXT)
#undef DTYPE_TEXT
    default:
        return "?";
    }
}

const char *mm_status_text(int32_t status) {
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                             \
    case name:                                                                                     \
        return text;
        MM_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown status";
    }
}

const char *mm_status_name(int32_t status) {
    switch (status) {
#define STATUS_NAME(name, value, text)                                                             \
    case name:                                                                                     \
        return #name;
        MM_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    default:
        return "MM_?";
    }
}
