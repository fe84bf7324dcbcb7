/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/status.h>

#define BIT(slot) (1u << MMI_SLOT_##slot)
#define ALL ((1u << MMI_SLOTS) - 1)
#define NESTED (1u << MMI_SLOTS) /* infer of a backend with MM_BACKEND_NESTED */

/* Who may answer what, as backend.h says. What is not here nobody may. */
static const struct {
    mm_status status;
    unsigned slots;
} expected[] = {
    {MM_OK, ALL},
    {MM_INVALID_ARGUMENT, BIT(PREPARE) | BIT(OPEN) | BIT(SIZE) | BIT(INFER)},
    {MM_NOT_FOUND, BIT(INIT) | BIT(PREPARE) | BIT(OPEN) | BIT(ATTACH)},
    {MM_BUFFER_TOO_SMALL, BIT(INFER)},
    {MM_INVALID_MODEL, BIT(PREPARE) | BIT(OPEN) | BIT(SIZE) | BIT(ATTACH) | BIT(INFER)},
    {MM_UNSUPPORTED, ALL},
    {MM_SOURCE_CHANGED, BIT(PREPARE) | BIT(OPEN) | BIT(ATTACH)},
    {MM_CORRUPT, BIT(PREPARE) | BIT(OPEN) | BIT(ATTACH) | BIT(INFER)},
    {MM_ABI_MISMATCH, BIT(INIT)},
    {MM_BACKEND_FAILED, ALL},
    {MM_IO, ALL},
    {MM_TOO_LARGE, BIT(PREPARE) | BIT(SIZE) | NESTED},
    {MM_ALL_PINNED, NESTED},
    {MM_NO_ROOM_FOR_ACTIVATIONS, BIT(INFER)},
    {MM_NO_MEMORY, ALL},
    {MM_NO_SPACE, BIT(PREPARE)},
    {MM_NO_FDS, ALL},
    {MM_NO_THREADS, ALL},
    {MM_BUSY, NESTED},
    {MM_CANCELLED, BIT(PREPARE) | BIT(ATTACH) | BIT(INFER)},
    {MM_OVERLOADED, NESTED},
    {MM_NOT_RESIDENT, NESTED},
    {MM_DEVICE_LOST, BIT(ATTACH) | BIT(INFER)},
};

static const char *const names[MMI_SLOTS] = {"init", "prepare", "open", "size", "attach", "infer"};

bool mmi_slot_may(const mm_backend *table, enum mmi_backend_slot slot, mm_status status) {
    bool nested = slot == MMI_SLOT_INFER && (table->flags & MM_BACKEND_NESTED);
    unsigned who = 1u << slot | (nested ? NESTED : 0);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (expected[i].status == status) {
            return expected[i].slots & who;
        }
    }
    return false;
}

/* One line that ends, whatever the backend wrote. */
static void tidy_text(mm_error *err) {
    err->text[sizeof(err->text) - 1] = '\0';
    for (char *at = err->text; *at; at++) {
        *at = (unsigned char)*at < ' ' ? ' ' : *at;
    }
}

static bool counts_bytes(mm_status status) {
    return status == MM_BUFFER_TOO_SMALL || (status >= MM_TOO_LARGE && status <= MM_NO_SPACE);
}

/* What it may not answer, with what it said of it. */
static mm_status refuse(const char *backend, enum mmi_backend_slot slot, mm_status status,
                        mm_error *err) {
    const mm_error told = *err;
    return mmi_fail(err, MM_BACKEND_FAILED,
                    "backend %s: %s answered %s (%d: %s), which it may not%s%s", backend,
                    names[slot], mm_status_name(status), (int)status, mm_status_text(status),
                    told.text[0] ? ": " : "", told.text);
}

mm_status mmi_slot_status(const struct mmi_backend *backend, enum mmi_backend_slot slot,
                          mm_status status, mm_error *err) {
    const char *name = backend->table->name;
    bool may = mmi_slot_may(backend->table, slot, status);
    if (status == MM_OK || !err) {
        return may ? status : MM_BACKEND_FAILED;
    }
    tidy_text(err);
    if (!may) {
        return refuse(name, slot, status, err);
    }
    bool counts = counts_bytes(status);
    err->status = status;
    err->reserved = 0;
    err->retry_after_ns = 0;
    err->needed_bytes = counts ? err->needed_bytes : 0;
    err->available_bytes = counts ? err->available_bytes : 0;
    if (!err->text[0]) {
        const mm_error told = *err;
        mmi_fail_room(err, status, told.needed_bytes, told.available_bytes,
                      "backend %s: %s failed: %s", name, names[slot], mm_status_text(status));
    }
    return status;
}
