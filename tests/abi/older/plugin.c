/* SPDX-License-Identifier: Apache-2.0 */
/* A backend that was built with an older header: shorter table, no slot or field that came later. A
 * model is "older1\n" and one f32; y is x times that, n [1] says how many elements there were. */
#include <modelmesh/backend.h>

#include <stdio.h>
#include <string.h>

#define MAGIC "older1\n"
#define MAGIC_BYTES 7
#define WEIGHTS_BYTES 4096

struct state {
    const mm_services *services;
    void *note;
};

struct model {
    mm_value_info input, outputs[2];
};

struct instance {
    const float *factor;
};

static mm_status fail(mm_error *err, mm_status status, const char *text) {
    err->status = status;
    snprintf(err->text, sizeof(err->text), "%s", text);
    return status;
}

/* Refuses a host that is no newer than this object: then the test would show nothing. */
static mm_status start(void *state_, const mm_services *services, mm_error *err) {
    struct state *state = state_;
    if (services->struct_size <= sizeof(mm_services) ||
        services->abi_minor <= MM_BACKEND_ABI_MINOR) {
        return fail(err, MM_BACKEND_FAILED, "the host's services are not newer than the plugin's");
    }
    state->services = services;
    state->note = services->allocator.alloc(services->allocator.user, 64, 8);
    return state->note ? MM_OK : fail(err, MM_NO_MEMORY, "no memory");
}

static void end(void *state_) {
    struct state *state = state_;
    if (state->note) {
        state->services->allocator.free(state->services->allocator.user, state->note, 64);
    }
}

static mm_status prepare(void *state, const mm_source *source, const char *config,
                         int32_t device_kind, const mm_sink *sink, mm_error *err) {
    (void)state, (void)config, (void)device_kind;
    float weights[WEIGHTS_BYTES / sizeof(float)] = {0};
    mm_status status = source->read(source->ctx, MAGIC_BYTES, weights, sizeof(float), err);
    if (status == MM_OK) {
        status = sink->describe(sink->ctx, MAGIC, MAGIC_BYTES, err);
    }
    if (status == MM_OK) {
        status = sink->expect(sink->ctx, sizeof(weights), err);
    }
    if (status == MM_OK) {
        status = sink->weights(sink->ctx, weights, sizeof(weights), err);
    }
    return status == MM_OK ? sink->group(sink->ctx, err) : status;
}

static mm_status open_model(void *state, void *model_, const mm_artifact *artifact,
                            mm_description *out, mm_error *err) {
    struct model *model = model_;
    (void)state;
    if (artifact->description_bytes != MAGIC_BYTES || out->struct_size <= sizeof(*out)) {
        return fail(err, MM_BACKEND_FAILED, "not what was described, or not by a newer host");
    }
    model->input = (mm_value_info){.name = "x", .kind = MM_TENSOR, .dtype = MM_F32, .rank = 1};
    model->input.shape[0] = -1;
    model->outputs[0] = model->input;
    model->outputs[0].name = "y";
    model->outputs[1] = (mm_value_info){.name = "n", .kind = MM_TENSOR, .dtype = MM_I64, .rank = 1};
    model->outputs[1].shape[0] = 1;
    /* As a whole: the host's struct is longer, and the rest of it stays as it was. */
    *out = (mm_description){.struct_size = out->struct_size,
                            .inputs = &model->input,
                            .input_count = 1,
                            .outputs = model->outputs,
                            .output_count = 2,
                            .weights_bytes = artifact->weights_bytes,
                            .batch_axis = -1};
    return MM_OK;
}

static void nothing(void *object) {
    (void)object;
}

static mm_status size(void *model, int32_t device_kind, void *signature, const mm_value *inputs,
                      mm_size *out, mm_error *err) {
    (void)model, (void)device_kind, (void)signature, (void)err;
    mm_value *y = &out->outputs[0], *n = &out->outputs[1];
    y->dtype = MM_F32;
    y->rank = 1;
    y->shape[0] = inputs[0].shape[0];
    y->bytes = sizeof(float) * (uint64_t)y->shape[0];
    out->exactness[0] = MM_SIZE_EXACT;
    n->dtype = MM_I64;
    n->rank = 1;
    n->shape[0] = 1;
    n->bytes = sizeof(int64_t);
    out->exactness[1] = MM_SIZE_BOUND; /* so that infer asks for its memory */
    out->activation_bytes = 256;
    return MM_OK;
}

static mm_status attach(void *model, void *instance_, const mm_device *device,
                        const mm_region *region, mm_error *err) {
    struct instance *instance = instance_;
    (void)model, (void)device;
    if (region->bytes < WEIGHTS_BYTES) {
        return fail(err, MM_BACKEND_FAILED, "the region is too small");
    }
    instance->factor = region->base;
    return region->wait(region->ctx, 0);
}

static mm_status infer(void *instance_, mm_exec *exec, const mm_value *inputs, mm_value *outputs,
                       mm_error *err) {
    const struct instance *instance = instance_;
    const float *x = inputs[0].data;
    uint64_t count = inputs[0].bytes / sizeof(*x);
    if (exec->scratch_bytes < 256) {
        return fail(err, MM_BACKEND_FAILED, "too little scratch");
    }
    memset(exec->scratch, 0, 256);
    float *y = outputs[0].flags & MM_VALUE_UNWANTED ? NULL : outputs[0].data;
    for (uint64_t i = 0; i < count && y; i++) {
        y[i] = x[i] * *instance->factor;
    }
    if (!(outputs[1].flags & MM_VALUE_UNWANTED)) {
        int64_t n = (int64_t)count;
        outputs[1].data = exec->output(exec, 1, sizeof(n));
        if (!outputs[1].data) {
            return fail(err, MM_BUFFER_TOO_SMALL, "n");
        }
        memcpy(outputs[1].data, &n, sizeof(n));
        outputs[1].bytes = sizeof(n);
    }
    return MM_OK;
}

static const mm_format formats[] = {
    {.name = "older", .suffix = ".older", .magic = MAGIC, .magic_bytes = MAGIC_BYTES},
};

/* What lies behind the table is not part of it: a host that reads on takes it for slots. */
static const struct {
    mm_backend table;
    uint64_t behind[8];
} plugin = {
    .table =
        {
            .struct_size = sizeof(mm_backend),
            .abi_major = MM_BACKEND_ABI_MAJOR,
            .abi_minor = MM_BACKEND_ABI_MINOR,
            .name = "older",
            .version = "1",
            .formats = formats,
            .format_count = 1,
            .device_kinds = MM_DEVICE_HOST | MM_DEVICE_SIM,
            .state_bytes = sizeof(struct state),
            .model_bytes = sizeof(struct model),
            .instance_bytes = sizeof(struct instance),
            .init = start,
            .fini = end,
            .prepare = prepare,
            .open = open_model,
            .close = nothing,
            .size = size,
            .attach = attach,
            .detach = nothing,
            .infer = infer,
        },
    .behind = {1, 1, 1, 1, 1, 1, 1, 1},
};

MM_API const mm_backend *mm_backend_entry(void);
const mm_backend *mm_backend_entry(void) {
    return &plugin.table;
}
