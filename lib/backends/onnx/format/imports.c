/* SPDX-License-Identifier: Apache-2.0 */

/* OperatorSetIdProto: which version of each domain the nodes of a model, or of a function, mean. */

#include <backends/onnx/format/load.h>
#include <backends/onnx/format/loading.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

static const struct onnx_schema opset_schema = {
    "an opset import",
    {[1] = ONNX_BYTES, [2] = ONNX_VARINT},
};

/* A domain that nobody has imported is taken as its first version. */
#define FIRST_VERSION 1
#define MAX_IMPORTS 256

static bool is_domain(struct onnx_span domain, const char *name) {
    return domain.bytes == strlen(name) && memcmp(domain.at, name, domain.bytes) == 0;
}

static bool is_standard(struct onnx_span domain) {
    return domain.bytes == 0 || is_domain(domain, "ai.onnx");
}

mm_status mmi_onnx_load_imports(struct onnx_loading *loading, struct onnx_message message,
                                uint32_t number, struct onnx_imports *imports, mm_error *err) {
    struct onnx_field field;
    struct onnx_message import;
    uint64_t count = mmi_onnx_count_of(message, number);
    if (count > MAX_IMPORTS) {
        return mmi_fail(err, MM_UNSUPPORTED, "%" PRIu64 " opset imports, at most %d", count,
                        MAX_IMPORTS);
    }
    struct onnx_import *all = mmi_onnx_take(loading->model->arena, count, sizeof(*all));
    if (!all) {
        return mmi_onnx_out_of_memory(err);
    }
    *imports = (struct onnx_imports){.all = all};
    while (mmi_onnx_next_of(&message, number, &field)) {
        MMI_TRY(mmi_onnx_open_message(&import, field.bytes, &opset_schema, loading->file, err));
        struct onnx_span domain = mmi_onnx_bytes_of(import, 1);
        int64_t version = (int64_t)mmi_onnx_number_of(import, 2, 0);
        if (!is_standard(domain)) {
            all[imports->count++] = (struct onnx_import){domain, version};
            continue;
        }
        if (version < ONNX_OLDEST_OPSET || version > ONNX_NEWEST_OPSET) {
            return mmi_fail(err, MM_UNSUPPORTED, "opset %" PRId64 " of ai.onnx, %d to %d wanted",
                            version, ONNX_OLDEST_OPSET, ONNX_NEWEST_OPSET);
        }
        imports->standard = version;
    }
    return MM_OK;
}

int64_t mmi_onnx_opset_of(const struct onnx_imports *imports, const char *domain) {
    if (domain[0] == '\0') {
        return imports->standard;
    }
    size_t bytes = strlen(domain);
    for (uint32_t i = imports->count; i-- > 0;) { /* the last one counts */
        const struct onnx_import *import = &imports->all[i];
        if (import->domain.bytes == bytes && memcmp(import->domain.at, domain, bytes) == 0) {
            return import->version;
        }
    }
    return FIRST_VERSION;
}
