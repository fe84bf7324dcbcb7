/* SPDX-License-Identifier: Apache-2.0 */
#include <modelmesh/backend.h>

/* Objects to load: GOOD, OTHER_ABI, NO_TABLE, and without any of them: no symbol. */

#if defined(GOOD) || defined(OTHER_ABI)

static mm_status open_model(void *state, void *model, const mm_artifact *artifact,
                            mm_description *out, mm_error *err) {
    (void)state, (void)model, (void)artifact, (void)out, (void)err;
    return MM_OK;
}

static void end(void *object) {
    (void)object;
}

static mm_status size(void *model, int32_t device_kind, void *signature, const mm_value *inputs,
                      mm_size *out, mm_error *err) {
    (void)model, (void)device_kind, (void)signature, (void)inputs, (void)out, (void)err;
    return MM_OK;
}

static mm_status attach(void *model, void *instance, const mm_device *device,
                        const mm_region *region, mm_error *err) {
    (void)model, (void)instance, (void)device, (void)region, (void)err;
    return MM_OK;
}

static mm_status infer(void *instance, mm_exec *exec, const mm_value *inputs, mm_value *outputs,
                       mm_error *err) {
    (void)instance, (void)exec, (void)inputs, (void)outputs, (void)err;
    return MM_OK;
}

#ifdef OTHER_ABI
#define MAJOR (MM_BACKEND_ABI_MAJOR + 7)
#else
#define MAJOR MM_BACKEND_ABI_MAJOR
#endif

static const mm_format formats[] = {{.name = "plugged", .suffix = ".plugged"}};
static const mm_backend table = {
    .struct_size = sizeof(mm_backend),
    .abi_major = MAJOR,
    .abi_minor = MM_BACKEND_ABI_MINOR,
    .name = "plugged",
    .version = "1",
    .formats = formats,
    .format_count = 1,
    .device_kinds = MM_DEVICE_HOST,
    .open = open_model,
    .close = end,
    .size = size,
    .attach = attach,
    .detach = end,
    .infer = infer,
};
#define TABLE &table

#else
#define TABLE NULL
#endif

#if defined(GOOD) || defined(OTHER_ABI) || defined(NO_TABLE)
MM_API const mm_backend *mm_backend_entry(void);
const mm_backend *mm_backend_entry(void) {
    return TABLE;
}
#else
extern int mm_backend_is_not_here;
int mm_backend_is_not_here;
#endif
