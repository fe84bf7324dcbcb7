/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/echo/state.h>

/* Four tables with the same slots and different flags. */

static mm_status init(struct echo_state *state, const mm_services *services, const char *magic) {
    state->services = services;
    state->magic = magic;
    mmi_lock_init(&state->lock, MMI_RANK_LEAF);
    return MM_OK;
}

static mm_status init_plain(void *state, const mm_services *services, mm_error *err) {
    (void)err;
    return init(state, services, "echo1\n");
}

static mm_status init_nested(void *state, const mm_services *services, mm_error *err) {
    (void)err;
    return init(state, services, "echon\n");
}

static mm_status init_own(void *state_, const mm_services *services, mm_error *err) {
    struct echo_state *state = state_;
    (void)err;
    state->by_malloc = true;
    return init(state, services, "echoo\n");
}

static mm_status init_device(void *state, const mm_services *services, mm_error *err) {
    (void)err;
    return init(state, services, "echod\n");
}

mm_status mmi_echo_init(void *state_, const mm_services *services,
                        const struct mmi_echo_hooks *hooks, mm_error *err) {
    struct echo_state *state = state_;
    (void)err;
    state->hooks = hooks;
    return init(state, services, "echo1\n");
}

static const mm_format formats[] = {
    {"echo", "1", ".echo", "echo1\n", MMI_ECHO_MAGIC_BYTES, 0},
    {"echo-nested", "1", ".echon", "echon\n", MMI_ECHO_MAGIC_BYTES, 0},
    {"echo-own", "1", ".echoo", "echoo\n", MMI_ECHO_MAGIC_BYTES, 0},
    {"echo-device", "1", ".echod", "echod\n", MMI_ECHO_MAGIC_BYTES, 0},
};

#define ECHO_TABLE(text, which)                                                                    \
    .struct_size = sizeof(mm_backend), .abi_major = MM_BACKEND_ABI_MAJOR,                          \
    .abi_minor = MM_BACKEND_ABI_MINOR, .name = text, .version = "1", .formats = &formats[which],   \
    .format_count = 1, .device_kinds = MM_DEVICE_HOST | MM_DEVICE_SIM,                             \
    .state_bytes = sizeof(struct echo_state), .model_bytes = sizeof(struct echo_model),            \
    .instance_bytes = sizeof(struct echo_instance), .fini = mmi_echo_fini,                         \
    .layout = mmi_echo_layout, .prepare = mmi_echo_prepare, .open = mmi_echo_open,                 \
    .close = mmi_echo_close, .size = mmi_echo_size, .attach = mmi_echo_attach,                     \
    .detach = mmi_echo_detach, .infer = mmi_echo_infer

const mm_backend mmi_backend_echo = {
    ECHO_TABLE("echo", 0),
    .init = init_plain,
};

const mm_backend mmi_backend_echo_nested = {
    ECHO_TABLE("echo-nested", 1),
    .flags = MM_BACKEND_NESTED,
    .init = init_nested,
};

const mm_backend mmi_backend_echo_own = {
    ECHO_TABLE("echo-own", 2),
    .flags = MM_BACKEND_OWN_MEMORY | MM_BACKEND_MALLOC,
    .init = init_own,
    .own_bytes = mmi_echo_own_bytes,
};

const mm_backend mmi_backend_echo_device = {
    ECHO_TABLE("echo-device", 3),
    .flags = MM_BACKEND_DEVICE_VALUES,
    .init = init_device,
};
