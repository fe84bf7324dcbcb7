/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/tables.h>

void fixture_init(struct fixture *fixture) {
    world_init(&fixture->world);
    assert_int_equal(mmi_pool_new(&fixture->world.env, 1, NULL, &fixture->pool, NULL), MM_OK);
    const struct mmi_registry_config config = {.pool = fixture->pool};
    assert_int_equal(mmi_registry_new(&fixture->world.env, &config, &fixture->registry, NULL),
                     MM_OK);
}

void fixture_fini(struct fixture *fixture) {
    mmi_registry_free(fixture->registry);
    mmi_pool_free(fixture->pool);
    world_fini(&fixture->world);
}

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

mm_backend plain_table(const char *name, const mm_format *formats, uint32_t format_count) {
    return (mm_backend){
        .struct_size = sizeof(mm_backend),
        .abi_major = MM_BACKEND_ABI_MAJOR,
        .abi_minor = MM_BACKEND_ABI_MINOR,
        .name = name,
        .version = "1",
        .formats = formats,
        .format_count = format_count,
        .device_kinds = MM_DEVICE_HOST,
        .open = open_model,
        .close = end,
        .size = size,
        .attach = attach,
        .detach = end,
        .infer = infer,
    };
}
