/* SPDX-License-Identifier: Apache-2.0 */

/* The smallest complete backend, to be cloned: copy this folder, replace "null" by your name, then
 * walk down the file and answer what each part asks. Every file is a null model; it has one input x
 * (f32, any shape) and one output y, which is x.
 *
 * Everything that a backend may use is included here: backend.h, and whatever it likes of base/. */

#include <base/status.h>

#include <modelmesh/backend.h>

#include <string.h>

/* 1. Formats. What files can it run? Give a suffix, the first bytes, or both. */
static const mm_format formats[] = {
    {.name = "null", .suffix = ".null"},
};

/* 2. Objects. The host allocates them, zeroed, and never moves them; they point to each other from
 * the inside out. What the services' allocator gave is given back in the object's destructor. */
struct null_state {
    const mm_services *services; /* valid until fini: allocator, log, clock, parallel_for ... */
};

struct null_model {
    struct null_state *state;
    mm_value_info input, output;
};

struct null_instance {
    struct null_model *model; /* and, with weights: the region, valid until detach */
};

/* 3. State. Once per mesh. Keep the services; check here for what may be missing on this
 * machine. */
static mm_status null_init(void *state_, const mm_services *services, mm_error *err) {
    struct null_state *state = state_;
    (void)err;
    state->services = services;
    return MM_OK;
}

static void null_fini(void *state) {
    (void)state; /* nothing was allocated */
}

/* 4. Prepare. Left out here: there are no weights to lay out. With it: read the source, write what
 * open needs by sink->describe, and the weights in the order of first use, packed as the kernels
 * want them, by sink->expect and sink->weights; ask sink->cancelled in long loops. `layout` then
 * names the packing, so that artifacts of another packing are not taken for this one. */

/* 5. Open. What goes in, what comes out, how large is it? Without prepare, artifact->source is the
 * file; with it, artifact->description is what prepare described. */
static mm_status null_open(void *state, void *model_, const mm_artifact *artifact,
                           mm_description *out, mm_error *err) {
    struct null_model *model = model_;
    (void)artifact;
    (void)err;
    model->state = state;
    model->input = (mm_value_info){.name = "x", .kind = MM_TENSOR, .dtype = MM_F32, .rank = -1};
    model->output = model->input;
    model->output.name = "y";
    out->inputs = &model->input;
    out->input_count = 1;
    out->outputs = &model->output;
    out->output_count = 1;
    out->weights_bytes = 0;    /* with prepare: artifact->weights_bytes */
    out->activation_bytes = 0; /* an estimate; size says it exactly */
    out->batch_axis = -1;
    return MM_OK;
}

static void null_close(void *model) {
    (void)model;
}

/* 6. Size. What will a run with these input shapes on a device of this kind need, and what will
 * come out? Only inputs flagged MM_VALUE_INFO_SHAPE_INPUT show their elements here; of the others
 * data is NULL. A backend that plans its steps does it here, in the signature's memory, and infer
 * finds it as exec->signature. */
static mm_status null_size(void *model, int32_t device_kind, void *signature,
                           const mm_value *inputs, mm_size *out, mm_error *err) {
    (void)model;
    (void)device_kind;
    (void)signature;
    uint64_t elements = mm_shape_elements(inputs[0].rank, inputs[0].shape);
    uint64_t bytes = mm_dtype_bytes(MM_F32, elements);
    if (elements == UINT64_MAX || bytes == UINT64_MAX) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "x: the shape has too many elements");
    }
    mm_value *y = &out->outputs[0];
    y->dtype = MM_F32;
    y->rank = inputs[0].rank;
    memcpy(y->shape, inputs[0].shape, sizeof(y->shape));
    y->bytes = bytes;
    out->exactness[0] = MM_SIZE_EXACT;
    out->activation_bytes = 0;
    return MM_OK;
}

/* 7. Attach. The weights are in region->base, or will be when region->wait(group) returns. Keep
 * pointers into them; copy nothing, parse nothing. */
static mm_status null_attach(void *model, void *instance_, const mm_device *device,
                             const mm_region *region, mm_error *err) {
    struct null_instance *instance = instance_;
    (void)device;
    (void)region;
    (void)err;
    instance->model = model;
    return MM_OK;
}

static void null_detach(void *instance) {
    (void)instance;
}

/* 8. Infer. Any number of threads at once: what changes lives in exec->scratch, never in the
 * instance. The buffer of an exact output is there already. What takes longer than a copy asks
 * exec->stopped between its steps. */
static mm_status null_infer(void *instance, mm_exec *exec, const mm_value *inputs,
                            mm_value *outputs, mm_error *err) {
    (void)instance;
    (void)exec;
    (void)err;
    bool wanted = (outputs[0].flags & MM_VALUE_UNWANTED) == 0;
    if (wanted && outputs[0].bytes > 0) {
        memcpy(outputs[0].data, inputs[0].data, outputs[0].bytes);
    }
    return MM_OK;
}

/* 9. The table, the only symbol that leaves this file. A plugin adds one function:
 *
 *     MM_API const mm_backend *mm_backend_entry(void) { return &mmi_backend_null; } */
const mm_backend mmi_backend_null = {
    .struct_size = sizeof(mm_backend),
    .abi_major = MM_BACKEND_ABI_MAJOR,
    .abi_minor = MM_BACKEND_ABI_MINOR,
    .name = "null",
    .version = "1",
    .formats = formats,
    .format_count = sizeof(formats) / sizeof(formats[0]),
    .device_kinds = MM_DEVICE_HOST | MM_DEVICE_SIM,
    .state_bytes = sizeof(struct null_state),
    .model_bytes = sizeof(struct null_model),
    .instance_bytes = sizeof(struct null_instance),
    .init = null_init,
    .fini = null_fini,
    .open = null_open,
    .close = null_close,
    .size = null_size,
    .attach = null_attach,
    .detach = null_detach,
    .infer = null_infer,
};
