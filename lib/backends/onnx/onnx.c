/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/onnx.h>
#include <backends/onnx/operators/functions.h>
#include <backends/onnx/steps/prepare.h>
#include <backends/onnx/steps/profile.h>
#include <backends/onnx/steps/report.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A ModelProto begins with the version of the format, and what serialisers write next is one of a
 * few fields: the producer's name and version, domain, the model's version, documentation, the
 * graph, an opset or metadata. */
#define FIRST_BYTES(version, next)                                                                 \
    { .name = "onnx", .magic = (const uint8_t[]){0x08, version, next}, .magic_bytes = 3 }
#define FIRST_FIELDS(version)                                                                      \
    FIRST_BYTES(version, 0x12), FIRST_BYTES(version, 0x1a), FIRST_BYTES(version, 0x22),            \
        FIRST_BYTES(version, 0x28), FIRST_BYTES(version, 0x32), FIRST_BYTES(version, 0x3a),        \
        FIRST_BYTES(version, 0x42), FIRST_BYTES(version, 0x72)

static const mm_format formats[] = {
    {.name = "onnx", .suffix = ".onnx"},
    FIRST_FIELDS(1),
    FIRST_FIELDS(2),
    FIRST_FIELDS(3),
    FIRST_FIELDS(4),
    FIRST_FIELDS(5),
    FIRST_FIELDS(6),
    FIRST_FIELDS(7),
    FIRST_FIELDS(8),
    FIRST_FIELDS(9),
    FIRST_FIELDS(10),
    FIRST_FIELDS(11),
    FIRST_FIELDS(12),
    FIRST_FIELDS(13),
    FIRST_FIELDS(14),
};

struct onnx_state {
    const mm_services *services;
    char layout[32];
};

struct onnx_open {
    const mm_services *services; /* NULL: open did not run */
    struct onnx_prepared prepared;
    const uint64_t *group_ends;
    uint32_t group_count;
    bool profile; /* its runs are timed */
};

struct onnx_config {
    bool passes, profile, winograd;
};

/* "key=0" or "key=1", ',' between them, each key once at most. */
static mm_status read_config(const char *config, struct onnx_config *out, mm_error *err) {
    *out = (struct onnx_config){.passes = true, .winograd = true};
    const struct {
        const char *name;
        bool *value;
    } keys[] = {
        {"passes=", &out->passes}, {"profile=", &out->profile}, {"winograd=", &out->winograd}};
    const unsigned count = sizeof(keys) / sizeof(keys[0]);
    unsigned seen = 0;
    for (const char *at = config ? config : ""; *at;) {
        unsigned k = 0;
        while (k < count && strncmp(at, keys[k].name, strlen(keys[k].name)) != 0) {
            k++;
        }
        const char *value = k < count ? at + strlen(keys[k].name) : at;
        bool fits = k < count && !(seen >> k & 1) && (*value == '0' || *value == '1');
        if (!fits || (value[1] && (value[1] != ',' || !value[2]))) {
            return mmi_fail(
                err, MM_INVALID_ARGUMENT,
                "config: onnx knows passes=0 or 1, profile=0 or 1 and winograd=0 or 1, got "
                "'%.80s'",
                config);
        }
        *keys[k].value = *value == '1';
        seen |= 1u << k;
        at = value + 1 + (value[1] == ',');
    }
    return MM_OK;
}

static mm_status onnx_init(void *state_, const mm_services *services, mm_error *err) {
    struct onnx_state *state = state_;
    (void)err;
    state->services = services;
    /* Artifacts hold functions by number. */
    snprintf(state->layout, sizeof(state->layout), "8-%016" PRIx64, mmi_onnx_functions_hash());
    return MM_OK;
}

static void onnx_fini(void *state) {
    (void)state; /* nothing was allocated */
}

/* Every CPU reads the same layout, so processes on different ones share their artifacts. Raised
 * whenever a pass or the description changes what is written. */
static const char *onnx_layout(void *state_, int32_t device_kind) {
    const struct onnx_state *state = state_;
    (void)device_kind;
    return state->layout;
}

static mm_status onnx_prepare(void *state_, const mm_source *source, const char *config,
                              int32_t device_kind, const mm_sink *sink, mm_error *err) {
    struct onnx_state *state = state_;
    (void)device_kind;
    struct onnx_config read;
    MMI_TRY(read_config(config, &read, err));
    struct onnx_how how = {.plain = !read.passes, .no_winograd = !read.winograd};
    return mmi_onnx_prepare(source, state->services, &how, sink, err);
}

static mm_status onnx_open(void *state_, void *model_, const mm_artifact *artifact,
                           mm_description *out, mm_error *err) {
    struct onnx_state *state = state_;
    struct onnx_open *open = model_;
    struct onnx_prepared *prepared = &open->prepared;
    struct onnx_config read;
    MMI_TRY(read_config(artifact->config, &read, err));
    open->profile = read.profile;
    open->services = state->services;
    open->group_ends = artifact->group_ends;
    open->group_count = artifact->group_count;
    mmi_onnx_arena_init(&prepared->arena, &state->services->allocator);
    prepared->model.nesting = state->services->limits_nesting;
    MMI_TRY(mmi_onnx_read_description(prepared, artifact->description, artifact->description_bytes,
                                      err));
    if (prepared->weights.bytes != artifact->weights_bytes) {
        return mmi_fail(err, MM_CORRUPT, "onnx: %llu bytes of weights, %llu expected",
                        (unsigned long long)artifact->weights_bytes,
                        (unsigned long long)prepared->weights.bytes);
    }
    const struct onnx_model *model = &prepared->model;
    out->inputs = model->inputs;
    out->input_count = model->main->input_count;
    out->outputs = model->outputs;
    out->output_count = model->main->output_count;
    out->weights_bytes = prepared->weights.bytes;
    out->activation_bytes = prepared->activation_bytes;
    out->batch_axis = -1; /* nothing in the file tells that items are independent */
    out->metadata = model->metadata;
    out->metadata_count = model->metadata_count;
    return MM_OK;
}

static void onnx_close(void *model) {
    struct onnx_open *open = model;
    if (open->services) {
        mmi_onnx_arena_free(&open->prepared.arena);
    }
}

/* An output that a later segment makes has the shape that the run gives it. */
static void size_output(const struct onnx_tensor *tensor, const mm_value_info *info,
                        mm_value *output, uint8_t *exactness) {
    bool known = tensor->dtype != MM_DTYPE_NONE;
    *exactness = known ? MM_SIZE_EXACT : MM_SIZE_UNKNOWN;
    output->kind = known ? MM_TENSOR : info->kind;
    output->dtype = known ? tensor->dtype : info->dtype;
    output->rank = tensor->rank;
    memcpy(output->shape, tensor->shape, sizeof(output->shape));
    output->bytes = tensor->bytes;
}

static mm_status onnx_size(void *model, int32_t device_kind, void *signature_,
                           const mm_value *inputs, mm_size *out, mm_error *err) {
    const struct onnx_open *open = model;
    (void)device_kind; /* both kinds run on the CPU */
    struct onnx_signature *signature = signature_;
    const struct onnx_start start = {.prepared = &open->prepared,
                                     .services = open->services,
                                     .graph = open->prepared.model.main,
                                     .inputs = inputs};
    mmi_onnx_arena_init(&signature->first.arena, &open->services->allocator);
    mmi_onnx_segments_init(&signature->later);
    MMI_TRY(mmi_onnx_specialise(&start, &signature->first, err));
    if (open->profile) {
        signature->profile = mmi_onnx_profile_new(
            &signature->first.arena, open->prepared.model.value_count, signature->first.count);
        if (!signature->profile) {
            return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for the times of runs");
        }
    }
    out->activation_bytes = signature->first.activation_bytes;
    for (uint32_t i = 0; i < open->prepared.model.main->output_count; i++) {
        size_output(&signature->first.outputs[i], &open->prepared.model.outputs[i],
                    &out->outputs[i], &out->exactness[i]);
    }
    return MM_OK;
}

static void onnx_size_done(void *signature_) {
    struct onnx_signature *signature = signature_;
    mmi_onnx_profile_fini(signature->profile);
    if (signature->first.arena.allocator) {
        mmi_onnx_arena_free(&signature->first.arena);
        mmi_onnx_segments_fini(&signature->later);
    }
}

static mm_status onnx_attach(void *model, void *instance, const mm_device *device,
                             const mm_region *region, mm_error *err) {
    const struct onnx_open *open = model;
    struct onnx_attached *attached = instance;
    if (region->bytes < open->prepared.weights.bytes) {
        return mmi_fail(err, MM_BACKEND_FAILED, "onnx: %llu bytes on %s, %llu needed",
                        (unsigned long long)region->bytes, device->name,
                        (unsigned long long)open->prepared.weights.bytes);
    }
    *attached = (struct onnx_attached){.prepared = &open->prepared,
                                       .services = open->services,
                                       .region = *region,
                                       .group_ends = open->group_ends,
                                       .group_count = open->group_count};
    return MM_OK;
}

static void onnx_detach(void *instance) {
    (void)instance; /* holds nothing */
}

static mm_status onnx_infer(void *instance, mm_exec *exec, const mm_value *inputs,
                            mm_value *outputs, mm_error *err) {
    return mmi_onnx_run(instance, exec, exec->signature, inputs, outputs, err);
}

static uint64_t onnx_report(void *model, void *signature, char *text, uint64_t room) {
    const struct onnx_open *open = model;
    return mmi_onnx_report(&open->prepared, signature, text, room);
}

const mm_backend mmi_backend_onnx = {
    .struct_size = sizeof(mm_backend),
    .abi_major = MM_BACKEND_ABI_MAJOR,
    .abi_minor = MM_BACKEND_ABI_MINOR,
    .name = "onnx",
    .version = "1",
    .formats = formats,
    .format_count = sizeof(formats) / sizeof(formats[0]),
    .device_kinds = MM_DEVICE_HOST | MM_DEVICE_SIM,
    .state_bytes = sizeof(struct onnx_state),
    .model_bytes = sizeof(struct onnx_open),
    .signature_bytes = sizeof(struct onnx_signature),
    .instance_bytes = sizeof(struct onnx_attached),
    .init = onnx_init,
    .fini = onnx_fini,
    .layout = onnx_layout,
    .prepare = onnx_prepare,
    .open = onnx_open,
    .close = onnx_close,
    .size = onnx_size,
    .size_done = onnx_size_done,
    .attach = onnx_attach,
    .detach = onnx_detach,
    .infer = onnx_infer,
    .report = onnx_report,
};
