/* SPDX-License-Identifier: Apache-2.0 */
/* A model's description as one block of memory, independent of the mesh. */
#include <api/infer.h>

#include <base/checked.h>

#include <string.h>

struct block {
    mm_allocator host;
    size_t bytes;
    mm_model_description description;
};

/* The same code runs twice: first it counts, then it copies. */
struct copier {
    unsigned char *at; /* NULL: count */
    size_t bytes;
};

static void *take(struct copier *copier, size_t bytes) {
    size_t start = (copier->bytes + 7) & ~(size_t)7;
    copier->bytes = start + bytes;
    return copier->at ? copier->at + start : NULL;
}

static const char *copy_text(struct copier *copier, const char *text) {
    if (!text) {
        return NULL;
    }
    size_t bytes = strlen(text) + 1;
    char *to = take(copier, bytes);
    return to ? memcpy(to, text, bytes) : NULL;
}

static const mm_value_info *copy_values(struct copier *copier, const mm_value_info *from,
                                        uint32_t count) {
    mm_value_info *to = take(copier, count * sizeof(*to));
    for (uint32_t i = 0; i < count; i++) {
        mm_value_info info = from[i];
        info.name = copy_text(copier, from[i].name);
        for (int axis = 0; axis < MM_MAX_RANK; axis++) {
            info.axis_names[axis] = copy_text(copier, from[i].axis_names[axis]);
        }
        if (to) {
            to[i] = info;
        }
    }
    return to;
}

static const char *const *copy_metadata(struct copier *copier, const mm_description *from) {
    size_t count = 2 * (size_t)from->metadata_count;
    const char **to = take(copier, count * sizeof(*to));
    for (size_t i = 0; i < count; i++) {
        const char *text = copy_text(copier, from->metadata[i]);
        if (to) {
            to[i] = text;
        }
    }
    return to;
}

static mm_model_description copy(struct copier *copier, const struct mmi_opened *opened,
                                 uint64_t activation_bytes) {
    const mm_description *from = &opened->description;
    mm_model_description to = {.input_count = from->input_count,
                               .output_count = from->output_count,
                               .weights_bytes = from->weights_bytes,
                               .activation_bytes = activation_bytes,
                               .batch_axis = from->batch_axis,
                               .serial = (from->flags & MM_DESCRIPTION_SERIAL) != 0,
                               .metadata_count = from->metadata_count};
    to.format = copy_text(copier, opened->format->name);
    to.backend = copy_text(copier, opened->backend->table->name);
    to.inputs = copy_values(copier, from->inputs, from->input_count);
    to.outputs = copy_values(copier, from->outputs, from->output_count);
    to.metadata = copy_metadata(copier, from);
    return to;
}

static mm_status make(mm_mesh *mesh, const struct mmi_opened *opened, mm_model_description **out,
                      mm_error *err) {
    const mm_allocator *host = &mesh->host;
    uint64_t activation_bytes = mmi_build_activation_bytes(&mesh->res, opened->build);
    struct copier count = {NULL, 0};
    copy(&count, opened, activation_bytes);
    size_t bytes = sizeof(struct block) + count.bytes;
    struct block *block = host->alloc(host->user, bytes, 16);
    if (!block) {
        return mmi_fail(err, MM_NO_MEMORY, "description: out of memory");
    }
    struct copier copier = {(unsigned char *)(block + 1), 0};
    block->host = *host;
    block->bytes = bytes;
    block->description = copy(&copier, opened, activation_bytes);
    *out = &block->description;
    return MM_OK;
}

mm_status mm_model_describe(mm_mesh *mesh, mm_model model, uint64_t deadline_ns,
                            mm_model_description **description, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    if (!description) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "description: NULL");
    }
    struct mmi_request core_request = mmi_core_request(model, deadline_ns);
    MMI_TRY(mmi_check_frame(mesh, &core_request.nested, err));
    struct mmi_opened *opened;
    MMI_TRY(mmi_request_prepared(&mesh->res, &core_request, false, &opened, err));
    mm_status status = make(mesh, opened, description, err);
    mmi_res_drop(&mesh->res, opened);
    return status;
}

void mm_description_free(mm_model_description *description) {
    if (description) {
        struct block *block = MMI_CONTAINER(description, struct block, description);
        mm_allocator host = block->host;
        host.free(host.user, block, block->bytes);
    }
}
