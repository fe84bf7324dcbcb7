/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/echo/state.h>
#include <base/alloc.h>
#include <base/checked.h>
#include <base/hash.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MOST_OWN_BYTES (UINT64_C(256) << 20)

/* ---- Memory of an instance: a block with a head, so that a lost one can hang on the state. */

static struct echo_block *take_block(const struct echo_state *state, uint64_t payload_bytes) {
    if (payload_bytes > MOST_OWN_BYTES) {
        return NULL; /* a typo in a script must not exhaust the machine */
    }
    uint64_t bytes = payload_bytes + sizeof(struct echo_block);
    struct echo_block *block =
        state->by_malloc ? malloc(bytes) : mmi_alloc(&state->services->allocator, 1, bytes);
    if (block) {
        memset(block, 0, bytes); /* touched, so that it is really there */
        block->bytes = bytes;
    }
    return block;
}

static void free_block(const struct echo_state *state, struct echo_block *block) {
    if (block && state->by_malloc) {
        free(block);
    } else if (block) {
        mmi_free(&state->services->allocator, block, block->bytes);
    }
}

/* ---- State */

void mmi_echo_fini(void *state_) {
    struct echo_state *state = state_;
    if (!state->services) {
        return;
    }
    while (state->counters) {
        struct echo_counter *counter = state->counters;
        state->counters = counter->next;
        mmi_free(&state->services->allocator, counter, sizeof(*counter));
    }
    while (state->lost) {
        struct echo_block *block = state->lost;
        state->lost = block->next;
        free_block(state, block);
    }
    mmi_lock_fini(&state->lock);
}

const char *mmi_echo_layout(void *state, int32_t device_kind) {
    (void)state;
    (void)device_kind;
    return "1";
}

/* ---- Model */

static mm_value_info value(const char *name, int32_t kind, int32_t dtype, int32_t rank) {
    mm_value_info info = {.name = name, .kind = kind, .dtype = dtype, .rank = rank};
    for (int32_t i = 0; i < rank; i++) {
        info.shape[i] = -1;
    }
    if (kind == MM_TENSOR && rank > 0) {
        info.axis_names[0] = "N";
    }
    return info;
}

static mm_value_info main_input(const struct mmi_echo_script *script) {
    switch (script->io) {
    case MMI_ECHO_STRING:
        return value("x", MM_TENSOR, MM_STRING, 1);
    case MMI_ECHO_SEQUENCE:
        return value("x", MM_SEQUENCE, script->dtype, -1);
    case MMI_ECHO_MAP:
        return value("x", MM_MAP, MM_DTYPE_NONE, -1);
    case MMI_ECHO_OPTIONAL:
        return value("x", MM_OPTIONAL, script->dtype, -1);
    default:
        return value("x", MM_TENSOR, script->dtype, 2);
    }
}

static void declare_values(struct echo_model *model) {
    enum mmi_echo_io io = model->script.io;
    model->inputs[model->input_count++] = main_input(&model->script);
    mm_value_info *y = &model->outputs[model->output_count++];
    *y = model->inputs[0];
    y->name = "y";
    if (io == MMI_ECHO_OPTIONAL) {
        model->inputs[0].flags = MM_VALUE_INFO_OPTIONAL;
    } else if (io == MMI_ECHO_TWO) {
        model->inputs[model->input_count++] = value("x2", MM_TENSOR, model->script.dtype, 2);
        model->outputs[model->output_count++] = value("y2", MM_TENSOR, model->script.dtype, 2);
    } else if (io == MMI_ECHO_REPEAT) {
        mm_value_info *times = &model->inputs[model->input_count++];
        *times = value("times", MM_TENSOR, MM_I64, 0);
        times->flags = MM_VALUE_INFO_SHAPE_INPUT;
        y->axis_names[0] = NULL;
    }
    mm_value_info *z = &model->outputs[model->output_count++];
    *z = value("z", MM_TENSOR, MM_I64, 1);
    z->shape[0] = 2;
    z->axis_names[0] = NULL;
}

static void describe(const struct echo_model *model, mm_description *out) {
    const struct mmi_echo_script *script = &model->script;
    bool batches = script->io == MMI_ECHO_TENSOR || script->io == MMI_ECHO_TWO;
    out->flags = script->serial ? MM_DESCRIPTION_SERIAL : 0;
    out->inputs = model->inputs;
    out->input_count = model->input_count;
    out->outputs = model->outputs;
    out->output_count = model->output_count;
    out->weights_bytes = script->weights_bytes;
    out->activation_bytes = script->activation_bytes;
    out->own_bytes = mmi_add_cap(script->own_bytes, script->leak_bytes);
    out->batch_axis = batches ? 0 : -1;
    out->metadata = model->metadata;
    out->metadata_count = 1;
}

mm_status mmi_echo_open(void *state, void *model_, const mm_artifact *artifact, mm_description *out,
                        mm_error *err) {
    struct echo_model *model = model_;
    model->state = state;
    MMI_TRY(mmi_echo_parse(artifact->description, artifact->description_bytes, "echo",
                           &model->script, err));
    MMI_TRY(mmi_echo_hook(model->state, MMI_ECHO_OPEN, &model->script, err));
    mmi_echo_pass_time(model->script.open_ns, NULL, NULL);
    model->key = mmi_hash64(artifact->description, artifact->description_bytes, 0);
    MMI_TRY(mmi_echo_fail(model->state, model->key, &model->script, MMI_ECHO_FAIL_OPEN, err));
    if (artifact->weights_bytes != model->script.weights_bytes) {
        return mmi_fail(err, MM_CORRUPT, "echo: %" PRIu64 " bytes of weights, %" PRIu64 " expected",
                        artifact->weights_bytes, model->script.weights_bytes);
    }
    model->version = mmi_copy_text(&model->state->services->allocator, model->script.version);
    if (!model->version) {
        return mmi_fail(err, MM_NO_MEMORY, "echo: no memory for a model");
    }
    model->metadata[0] = "version";
    model->metadata[1] = model->version;
    model->group_ends = artifact->group_ends;
    model->group_count = artifact->group_count;
    declare_values(model);
    describe(model, out);
    return MM_OK;
}

void mmi_echo_close(void *model_) {
    struct echo_model *model = model_;
    if (model->state) {
        mmi_free_text(&model->state->services->allocator, model->version);
    }
}

/* ---- Instance */

static mm_status verify(const struct echo_model *model, const mm_region *region, mm_error *err) {
    uint64_t at = 0;
    for (uint32_t g = 0; g < model->group_count; g++) {
        mm_status status = region->wait(region->ctx, g);
        if (status != MM_OK) {
            return mmi_fail(err, status, "echo: group %u did not arrive", g);
        }
        uint64_t end = model->group_ends[g];
        uint64_t wrong = mmi_echo_first_wrong(model->script.seed, region->base, at, end);
        if (wrong != end) {
            return mmi_fail(err, MM_CORRUPT,
                            "echo: offset %" PRIu64 ": not the weights of seed "
                            "%" PRIu64,
                            wrong, model->script.seed);
        }
        at = end;
    }
    return MM_OK;
}

mm_status mmi_echo_attach(void *model_, void *instance_, const mm_device *device,
                          const mm_region *region, mm_error *err) {
    struct echo_instance *instance = instance_;
    struct echo_model *model = model_;
    const struct mmi_echo_script *script = &model->script;
    instance->model = model;
    instance->region = *region;
    MMI_TRY(mmi_echo_hook(model->state, MMI_ECHO_ATTACH, script, err));
    mmi_echo_pass_time(script->attach_ns, NULL, NULL);
    MMI_TRY(mmi_echo_fail(model->state, model->key, script, MMI_ECHO_FAIL_ATTACH, err));
    if (region->bytes < script->weights_bytes || (uintptr_t)region->base % 256 != 0) {
        return mmi_fail(err, MM_BACKEND_FAILED, "echo: %" PRIu64 " bytes at %p of device %s",
                        region->bytes, region->base, device->name);
    }
    instance->own = script->own_bytes > 0 ? take_block(model->state, script->own_bytes) : NULL;
    instance->leak = script->leak_bytes > 0 ? take_block(model->state, script->leak_bytes) : NULL;
    if ((script->own_bytes > 0 && !instance->own) || (script->leak_bytes > 0 && !instance->leak)) {
        return mmi_fail(err, MM_NO_MEMORY, "echo: no memory of its own");
    }
    return script->check ? verify(model, region, err) : MM_OK;
}

void mmi_echo_detach(void *instance_) {
    struct echo_instance *instance = instance_;
    if (!instance->model) {
        return;
    }
    struct echo_state *state = instance->model->state;
    mmi_echo_hook(state, MMI_ECHO_DETACH, &instance->model->script, NULL);
    free_block(state, instance->own);
    if (instance->leak) {
        mmi_lock(&state->lock);
        instance->leak->next = state->lost;
        state->lost = instance->leak;
        mmi_unlock(&state->lock);
    }
}

uint64_t mmi_echo_own_bytes(void *instance_) {
    const struct echo_instance *instance = instance_;
    uint64_t own = instance->own ? instance->own->bytes : 0;
    return own + (instance->leak ? instance->leak->bytes : 0);
}
