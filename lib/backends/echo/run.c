/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/echo/state.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

#define PAGE_BYTES 4096

/* ---- Size */

/* y is x along the first axis `times` times. Of strings and of what is no tensor the bytes are not
 * known before. */
static mm_status size_output(const struct echo_model *model, const mm_value *x, uint64_t times,
                             mm_value *y, uint8_t *exactness, mm_error *err) {
    *exactness = MM_SIZE_UNKNOWN;
    y->kind = x->kind;
    if (x->kind != MM_TENSOR) {
        return MM_OK;
    }
    y->dtype = x->dtype;
    y->rank = x->rank;
    memcpy(y->shape, x->shape, sizeof(y->shape));
    if (x->dtype == MM_STRING) {
        return MM_OK;
    }
    uint64_t first;
    bool fits = mmi_mul((uint64_t)x->shape[0], times, &first) && first <= INT64_MAX;
    y->shape[0] = fits ? (int64_t)first : -1;
    uint64_t bytes = mm_dtype_bytes(y->dtype, mm_shape_elements(y->rank, y->shape));
    if (bytes >= UINT64_MAX / 2) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: too many elements", x->name ? x->name : "x");
    }
    *exactness = model->script.exactness;
    if (*exactness == MM_SIZE_UNKNOWN) {
        y->shape[0] = y->shape[1] = -1;
    } else {
        y->bytes = *exactness == MM_SIZE_BOUND ? bytes * 2 : bytes;
    }
    return MM_OK;
}

static mm_status read_times(const struct echo_model *model, const mm_value *inputs, uint64_t *times,
                            mm_error *err) {
    if (model->script.io != MMI_ECHO_REPEAT) {
        return MM_OK;
    }
    int64_t asked;
    if (!inputs[1].data) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "times: not given");
    }
    memcpy(&asked, inputs[1].data, sizeof(asked));
    if (asked < 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "times: %" PRId64 ", 0 or more wanted", asked);
    }
    *times = (uint64_t)asked;
    return MM_OK;
}

mm_status mmi_echo_size(void *model_, int32_t device_kind, void *signature, const mm_value *inputs,
                        mm_size *out, mm_error *err) {
    const struct echo_model *model = model_;
    const struct mmi_echo_script *script = &model->script;
    (void)device_kind;
    (void)signature;
    MMI_TRY(mmi_echo_hook(model->state, MMI_ECHO_SIZE, script, err));
    uint64_t elements = 0;
    for (uint32_t i = 0; i < model->input_count; i++) {
        bool counts = inputs[i].kind == MM_TENSOR;
        elements =
            mmi_add_cap(elements, counts ? mm_shape_elements(inputs[i].rank, inputs[i].shape) : 0);
    }
    uint64_t per_element;
    if (!mmi_mul(elements, script->activation_per_element, &per_element) ||
        !mmi_add(script->activation_bytes, per_element, &out->activation_bytes)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "x: too many elements");
    }
    uint64_t times = 1;
    MMI_TRY(read_times(model, inputs, &times, err));
    uint32_t z = model->output_count - 1;
    for (uint32_t i = 0; i < z; i++) {
        MMI_TRY(size_output(model, &inputs[i], times, &out->outputs[i], &out->exactness[i], err));
    }
    out->outputs[z].dtype = MM_I64;
    out->outputs[z].rank = 1;
    out->outputs[z].shape[0] = 2;
    out->outputs[z].bytes = 2 * sizeof(int64_t);
    out->exactness[z] = MM_SIZE_EXACT;
    return MM_OK;
}

/* ---- Infer */

/* Every page of the scratch belongs to this run alone: it is marked at the beginning and must bear
 * the mark at the end. */
static void mark_scratch(const mm_exec *exec) {
    uintptr_t mark = (uintptr_t)exec;
    uint8_t *scratch = exec->scratch;
    for (uint64_t at = 0; at + sizeof(mark) <= exec->scratch_bytes; at += PAGE_BYTES) {
        memcpy(scratch + at, &mark, sizeof(mark));
    }
}

static mm_status check_scratch(const mm_exec *exec, mm_error *err) {
    uintptr_t mark = (uintptr_t)exec;
    const uint8_t *scratch = exec->scratch;
    for (uint64_t at = 0; at + sizeof(mark) <= exec->scratch_bytes; at += PAGE_BYTES) {
        if (memcmp(scratch + at, &mark, sizeof(mark)) != 0) {
            return mmi_fail(err, MM_CORRUPT, "echo: somebody else used the scratch at %" PRIu64,
                            at);
        }
    }
    return MM_OK;
}

/* Memory for the elements of output `index`; where size was exact, it is there already. */
static mm_status place_output(mm_exec *exec, const struct echo_model *model, uint32_t index,
                              uint64_t bytes, mm_value *y, mm_error *err) {
    if (model->script.exactness == MM_SIZE_EXACT && y->dtype != MM_STRING) {
        return MM_OK;
    }
    y->data = bytes > 0 ? exec->output(exec, index, bytes) : NULL;
    return y->data || bytes == 0
               ? MM_OK
               : mmi_fail(err, MM_BUFFER_TOO_SMALL, "echo: no memory for output %u", index);
}

static mm_status write_repeated(const struct echo_model *model, mm_exec *exec,
                                const mm_value *inputs, mm_value *y, mm_error *err) {
    const mm_value *x = &inputs[0];
    uint64_t times = 1;
    MMI_TRY(read_times(model, inputs, &times, err));
    y->shape[0] = x->shape[0] * (int64_t)times;
    y->shape[1] = x->shape[1];
    y->bytes = mm_dtype_bytes(y->dtype, mm_shape_elements(y->rank, y->shape));
    MMI_TRY(place_output(exec, model, 0, y->bytes, y, err));
    for (uint64_t i = 0; x->bytes > 0 && i < times; i++) {
        MMI_TRY(mmi_echo_move(exec, x, y, i * x->bytes, err));
    }
    return MM_OK;
}

/* What a backend for devices does: the input to the device, and the result back. */
static mm_status copy_through(const struct echo_model *model, mm_exec *exec, const mm_value *x,
                              mm_value *y, mm_error *err) {
    const mm_device *device = exec->device;
    const mm_device_calls *calls = device->calls;
    if (x->bytes == 0) {
        return MM_OK;
    }
    mm_value there = {.bytes = x->bytes, .flags = MM_VALUE_LOCATION};
    there.data = exec->scratch_more(exec, x->bytes);
    if (!there.data) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "echo: no room for a copy of x");
    }
    MMI_TRY(mmi_echo_move(exec, x, &there, 0, err));
    if (model->script.through_device > 1) {
        MMI_TRY(calls->access(device->host, NULL, there.data, x->bytes, MM_ACCESS_READ, err));
    }
    return mmi_echo_move(exec, &there, y, 0, err);
}

static mm_status write_outputs(const struct echo_model *model, mm_exec *exec,
                               const mm_value *inputs, mm_value *outputs, mm_error *err) {
    for (uint32_t i = 0; i + 1 < model->output_count; i++) {
        if (outputs[i].flags & MM_VALUE_UNWANTED) {
            continue;
        }
        if (model->script.io == MMI_ECHO_REPEAT) {
            MMI_TRY(write_repeated(model, exec, inputs, &outputs[i], err));
            continue;
        }
        bool exact = model->script.exactness == MM_SIZE_EXACT && inputs[i].dtype != MM_STRING;
        if (model->script.through_device && inputs[i].kind == MM_TENSOR && exact) {
            MMI_TRY(copy_through(model, exec, &inputs[i], &outputs[i], err));
            continue;
        }
        if (inputs[i].kind == MM_TENSOR) {
            MMI_TRY(place_output(exec, model, i, inputs[i].bytes, &outputs[i], err));
        }
        MMI_TRY(mmi_echo_copy(exec, &inputs[i], &outputs[i], model->state->services->limits_nesting,
                              err));
    }
    return MM_OK;
}

/* The answer lies here: whoever copies it from here waits for that. */
static mm_status write_answer(const struct echo_instance *instance, const mm_exec *exec,
                              const mm_value *z, mm_error *err) {
    const struct echo_model *model = instance->model;
    const mm_device *device = exec->device;
    int64_t answer[2] = {mmi_echo_sample(instance->region.base, model->script.weights_bytes),
                         (int64_t)model->script.seed};
    const mm_value here = {.data = answer, .bytes = sizeof(answer)};
    mm_device_event over;
    MMI_TRY(mmi_echo_move(exec, &here, z, 0, err));
    if (!(z->flags & MM_VALUE_LOCATION)) {
        return MM_OK;
    }
    MMI_TRY(device->calls->record(device->host, exec->stream, &over, err));
    return device->calls->wait(device->host, &over, err);
}

static mm_status sample_weights(const struct echo_instance *instance, const mm_exec *exec,
                                const mm_value *z, mm_error *err) {
    const struct echo_model *model = instance->model;
    const mm_region *region = &instance->region;
    for (uint32_t g = 0; g < model->group_count; g++) {
        mm_status status = region->wait(region->ctx, g);
        if (status != MM_OK) {
            return mmi_fail(err, status, "echo: group %u did not arrive", g);
        }
    }
    return z->flags & MM_VALUE_UNWANTED ? MM_OK : write_answer(instance, exec, z, err);
}

static bool is_stopped(void *ctx) {
    mm_exec *exec = ctx;
    return exec->stopped(exec);
}

static mm_status run(struct echo_instance *instance, mm_exec *exec, const mm_value *inputs,
                     mm_value *outputs, mm_error *err) {
    const struct echo_model *model = instance->model;
    const struct mmi_echo_script *script = &model->script;
    mark_scratch(exec);
    MMI_TRY(mmi_echo_hook(model->state, MMI_ECHO_INFER, script, err));
    if (mmi_echo_pass_time(script->infer_ns, is_stopped, exec)) {
        return mmi_fail(err, MM_CANCELLED, "echo: the run was ended");
    }
    MMI_TRY(mmi_echo_fail(model->state, model->key, script, MMI_ECHO_FAIL_INFER, err));
    if (script->scratch_more > 0) {
        void *more = exec->scratch_more(exec, script->scratch_more);
        if (!more) {
            return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS,
                            "echo: no room for %" PRIu64 " bytes more scratch",
                            script->scratch_more);
        }
        memset(more, 0, script->scratch_more);
    }
    MMI_TRY(write_outputs(model, exec, inputs, outputs, err));
    MMI_TRY(sample_weights(instance, exec, &outputs[model->output_count - 1], err));
    return check_scratch(exec, err);
}

mm_status mmi_echo_infer(void *instance_, mm_exec *exec, const mm_value *inputs, mm_value *outputs,
                         mm_error *err) {
    struct echo_instance *instance = instance_;
    uint32_t others = atomic_fetch_add(&instance->running, 1);
    mm_status status;
    if (instance->model->script.serial && others > 0) {
        status = mmi_fail(err, MM_BACKEND_FAILED, "echo: two inferences at once on a serial model");
    } else {
        status = run(instance, exec, inputs, outputs, err);
    }
    atomic_fetch_sub(&instance->running, 1);
    return status;
}
