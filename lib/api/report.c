/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend tells of a model, as a block of memory of its own. */
#include <api/infer.h>

#include <residency/signatures.h>

#include <stddef.h>

struct block {
    mm_allocator host;
    size_t bytes;
    char text[];
};

#define TRIES 8

/* The text may grow from one call to the next, while others run the model. */
static mm_status take_text(const mm_allocator *host, const struct mmi_opened *opened,
                           const struct mmi_signature *signature, char **report, mm_error *err) {
    const mm_backend *table = opened->backend->table;
    uint64_t need = table->report(opened->state, signature->state, NULL, 0);
    for (int i = 0; i < TRIES && need > 0 && need < SIZE_MAX / 4; i++) {
        uint64_t room = i == 0 ? need : need + need / 4;
        size_t bytes = sizeof(struct block) + room;
        struct block *block = host->alloc(host->user, bytes, 16);
        if (!block) {
            break;
        }
        *block = (struct block){.host = *host, .bytes = bytes};
        need = table->report(opened->state, signature->state, block->text, room);
        if (need > 0 && need <= room) {
            *report = block->text;
            return MM_OK;
        }
        host->free(host->user, block, bytes);
    }
    return mmi_fail(err, MM_NO_MEMORY, "report: out of memory");
}

static mm_status make(mm_mesh *mesh, struct mmi_opened *opened, const mm_value *inputs,
                      char **report, mm_error *err) {
    int32_t kind = mmi_signatures_kind(&mesh->res, opened);
    struct mmi_signature *signature;
    MMI_TRY(mmi_signature_get(&mesh->res, opened, kind, inputs, &signature, err));
    mm_status status = take_text(&mesh->host, opened, signature, report, err);
    mmi_signature_done(mmi_signatures_of(opened, kind), signature, mmi_ticks(&mesh->env.clock));
    return status;
}

static mm_status get(mm_mesh *mesh, uint64_t model_id, struct mmi_opened *opened,
                     const mm_request *request, char **report, mm_error *err) {
    struct mmi_call call;
    call.place = MMI_ANYWHERE;
    MMI_TRY(mmi_call_begin(&call, mesh, model_id, opened, request, err));
    const mm_backend *table = opened->backend->table;
    mm_status status = table->report
                           ? make(mesh, opened, call.inputs, report, err)
                           : mmi_fail(err, MM_UNSUPPORTED, "backend %s has no report", table->name);
    mmi_call_end(&call);
    return mmi_name_failed(mesh, model_id, status, err);
}

mm_status mm_model_report(mm_mesh *mesh, mm_model model, const mm_request *from, char **report,
                          mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_request request;
    MMI_TRY(mmi_read_request(from, &request, err));
    if (!report) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "report: NULL");
    }
    bool nested;
    MMI_TRY(mmi_check_frame(mesh, &nested, err));
    struct mmi_request core_request;
    mmi_request_init(&core_request, model, &request, nested);
    struct mmi_opened *opened;
    MMI_TRY(mmi_request_prepared(&mesh->res, &core_request, false, &opened, err));
    mm_status status = get(mesh, model.id, opened, &request, report, err);
    mmi_res_drop(&mesh->res, opened);
    return status;
}

void mm_report_free(char *report) {
    if (report) {
        struct block *block = (struct block *)(report - offsetof(struct block, text));
        mm_allocator host = block->host;
        host.free(host.user, block, block->bytes);
    }
}
