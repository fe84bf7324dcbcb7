/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int64_t number_at(const uint8_t *params, const struct onnx_limit *limit, uint32_t i) {
    int32_t small;
    int64_t large;
    const uint8_t *at = params + limit->at + i * limit->bytes;
    if (limit->bytes == sizeof(small)) {
        memcpy(&small, at, sizeof(small));
        return small;
    }
    memcpy(&large, at, sizeof(large));
    return large;
}

static mm_status refuse(const struct onnx_limit *limit, uint32_t i, int64_t number, mm_error *err) {
    char name[80];
    snprintf(name, sizeof(name), limit->count > 1 ? "%s[%u]" : "%s", limit->name, i);
    if (limit->types) {
        if (number <= MM_DTYPE_NONE || number > MM_I2) {
            return mmi_fail(err, MM_INVALID_MODEL, "attribute %s is %" PRId64 ", a type wanted",
                            name, number);
        }
        return mmi_fail(err, MM_UNSUPPORTED,
                        "attribute %s is %" PRId64 " (%s), another type wanted", name, number,
                        mm_dtype_text((int32_t)number));
    }
    if (limit->most >= INT32_MAX - 1 && number < limit->least) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "attribute %s is %" PRId64 ", %" PRId64 " or more wanted", name, number,
                        limit->least);
    }
    return mmi_fail(err, MM_INVALID_MODEL,
                    "attribute %s is %" PRId64 ", %" PRId64 " to %" PRId64 " wanted", name, number,
                    limit->least, limit->most);
}

mm_status mmi_onnx_check_params(const struct onnx_operator *op, const void *params, mm_error *err) {
    for (const struct onnx_limit *limit = op->limits; limit && limit->name; limit++) {
        for (uint32_t i = 0; i < limit->count; i++) {
            int64_t number = number_at(params, limit, i);
            bool right = limit->types ? number >= 0 && number < 32 && limit->types >> number & 1
                                      : number >= limit->least && number <= limit->most;
            if (!right) {
                return refuse(limit, i, number, err);
            }
        }
    }
    return op->check ? op->check(params, err) : MM_OK;
}

mm_status mmi_onnx_read_params(const struct onnx_operator *op, const struct onnx_attributes *a,
                               void *params, mm_error *err) {
    if (op->read) {
        MMI_TRY(op->read(a, params, err));
    }
    return mmi_onnx_check_params(op, params, err);
}
