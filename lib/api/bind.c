/* SPDX-License-Identifier: Apache-2.0 */
#include <api/infer.h>

#include <string.h>

/* The declared inputs, or outputs. */
struct side {
    const char *what; /* "input" */
    const mm_value_info *infos;
    uint32_t count;
};

static uint32_t find(const struct side *side, const char *name) {
    uint32_t place = 0;
    while (place < side->count && strcmp(side->infos[place].name, name) != 0) {
        place++;
    }
    return place;
}

static mm_status find_all(const struct side *side, const char *const *names, uint32_t count,
                          uint32_t *places, mm_error *err) {
    for (uint32_t i = 0; i < count; i++) {
        if (!names[i]) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "%ss[%u]: NULL", side->what, i);
        }
        places[i] = find(side, names[i]);
        if (places[i] == side->count) {
            return mmi_no_value(side->what, side->infos, side->count, names[i], err);
        }
        for (uint32_t before = 0; before < i; before++) {
            if (places[before] == places[i]) {
                return mmi_fail(err, MM_INVALID_ARGUMENT, "%s %s: named twice", side->what,
                                names[i]);
            }
        }
    }
    return MM_OK;
}

static mm_status check_complete(const mm_description *description, const mm_binding *binding,
                                mm_error *err) {
    for (uint32_t i = 0; i < description->input_count; i++) {
        bool named = (description->inputs[i].flags & MM_VALUE_INFO_OPTIONAL) != 0;
        for (uint32_t k = 0; k < binding->input_count; k++) {
            named = named || binding->inputs[k] == i;
        }
        if (!named) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "input %s: left out, but not optional",
                            description->inputs[i].name);
        }
    }
    return MM_OK;
}

static size_t place_bytes(uint32_t count) {
    return (count ? count : 1) * sizeof(uint32_t);
}

void mm_binding_free(mm_binding *binding) {
    if (!binding) {
        return;
    }
    mm_allocator alloc = binding->alloc;
    mmi_free(&alloc, binding->inputs, place_bytes(binding->input_count));
    mmi_free(&alloc, binding->outputs, place_bytes(binding->output_count));
    mmi_free(&alloc, binding, sizeof(*binding));
}

static mm_status fill(mm_binding *binding, const struct mmi_opened *opened,
                      const char *const *inputs, const char *const *outputs, mm_error *err) {
    const mm_description *description = &opened->description;
    binding->io_hash = opened->io_hash;
    struct side in = {"input", description->inputs, description->input_count};
    struct side out = {"output", description->outputs, description->output_count};
    MMI_TRY(find_all(&in, inputs, binding->input_count, binding->inputs, err));
    MMI_TRY(find_all(&out, outputs, binding->output_count, binding->outputs, err));
    return check_complete(description, binding, err);
}

static mm_binding *binding_new(const mm_mesh *mesh, uint64_t model_id, uint32_t input_count,
                               uint32_t output_count) {
    const mm_allocator *alloc = &mesh->host;
    mm_binding *binding = mmi_alloc(alloc, 1, sizeof(*binding));
    if (!binding) {
        return NULL;
    }
    binding->alloc = *alloc;
    binding->mesh_identity = mesh->identity;
    binding->model_id = model_id;
    binding->input_count = input_count;
    binding->output_count = output_count;
    binding->inputs = mmi_alloc(alloc, 1, place_bytes(input_count));
    binding->outputs = mmi_alloc(alloc, 1, place_bytes(output_count));
    if (!binding->inputs || !binding->outputs) {
        mm_binding_free(binding);
        return NULL;
    }
    return binding;
}

mm_status mm_bind(mm_mesh *mesh, mm_model model, const char *const *inputs, uint32_t input_count,
                  const char *const *outputs, uint32_t output_count, mm_binding **out,
                  mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    if (!out || (input_count > 0 && !inputs) || (output_count > 0 && !outputs)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: NULL",
                        !out                         ? "binding"
                        : input_count > 0 && !inputs ? "inputs"
                                                     : "outputs");
    }
    bool nested;
    MMI_TRY(mmi_check_frame(mesh, &nested, err));
    struct mmi_request core_request = {.id = model.id, .nested = nested};
    struct mmi_opened *opened;
    MMI_TRY(mmi_request_prepared(&mesh->res, &core_request, false, &opened, err));
    const mm_description *description = &opened->description;
    mm_status status = MM_OK;
    if (input_count > description->input_count || output_count > description->output_count) {
        status = mmi_fail(err, MM_INVALID_ARGUMENT,
                          "got %u inputs and %u outputs, it has %u and %u", input_count,
                          output_count, description->input_count, description->output_count);
    }
    mm_binding *binding = NULL;
    if (status == MM_OK) {
        binding = binding_new(mesh, model.id, input_count, output_count);
        status = binding ? fill(binding, opened, inputs, outputs, err)
                         : mmi_fail(err, MM_NO_MEMORY, "binding: out of memory");
    }
    mmi_res_drop(&mesh->res, opened);
    if (status != MM_OK) {
        mm_binding_free(binding);
        return mmi_name_failed(mesh, model.id, status, err);
    }
    *out = binding;
    return MM_OK;
}
