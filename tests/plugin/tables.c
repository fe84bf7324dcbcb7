/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/tables.h>

void ground_init(struct ground *ground) {
    world_init(&ground->world);
    assert_int_equal(mmi_pool_new(&ground->world.env, 1, NULL, &ground->pool, NULL), MM_OK);
    const struct mmi_registry_config config = {.pool = ground->pool};
    assert_int_equal(mmi_registry_new(&ground->world.env, &config, &ground->registry, NULL), MM_OK);
}

void ground_fini(struct ground *ground) {
    mmi_registry_free(ground->registry);
    mmi_pool_free(ground->pool);
    world_fini(&ground->world);
}

static mm_status open_model(void *state, void *model, const mm_artifact *artifact,
                            mm_description *out, mm_error *err) {
    (void)state, (void)model, (void)artifact, (void)out, (void)err;
    return MM_OK;
}

static void end(void *object) {
    (void)object;
}

static mm_status size(void *model, void *signature, const mm_value *inputs, mm_size *out,
                      mm_error *err) {
    (void)model, (void)signature, (void)inputs, (void)out, (void)err;
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
