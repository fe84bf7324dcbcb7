/* SPDX-License-Identifier: Apache-2.0 */
#include "field.h"
#include "check.h"

#include <backends/echo/state.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- The backend that watches --------------------------------------------------------------- */

static struct field *opening; /* init has no other way to its field */

static mm_status on_slot(void *user, enum mmi_echo_slot slot, const char *version, mm_error *err) {
    struct field *field = user;
    (void)version;
    uint64_t every = slot == MMI_ECHO_ATTACH ? atomic_load(&field->fail_every) : 0;
    if (every && atomic_fetch_add(&field->attached, 1) % every == every - 1) {
        return mmi_fail(err, MM_IO, "one in %llu fails", (unsigned long long)every);
    }
    return MM_OK;
}

static mm_status watched_init(void *state, const mm_services *services, mm_error *err) {
    return mmi_echo_init(state, services, &opening->hooks, err);
}

/* Nobody may run on what is detached, and what is pinned stays. */
static void watched_detach(void *instance_) {
    struct echo_instance *instance = instance_;
    if (instance->model) {
        struct field *field = instance->model->state->hooks->user;
        if (atomic_load(&instance->running) > 0) {
            atomic_fetch_add(&field->in_use, 1);
        }
        bool pinned = strcmp(instance->model->script.version, FIELD_PINNED) == 0;
        if (pinned && !atomic_load(&field->ending)) {
            atomic_fetch_add(&field->pinned, 1);
        }
    }
    mmi_backend_echo.detach(instance_);
}

/* ---- The mesh ------------------------------------------------------------------------------- */

void field_open(struct field *field, const mm_mesh_options *options) {
    memset(field, 0, sizeof(*field));
    world_init(&field->world);
    pthread_mutex_init(&field->mutex, NULL);
    mm_mesh_options all = *options;
    all.allocator = &field->world.env.alloc;
    mm_error err;
    if (mmi_mesh_create(&all, NULL, &field->mesh, &err) != MM_OK) {
        fail_msg("%s", err.text);
    }
    field->hooks = (struct mmi_echo_hooks){field, on_slot};
    field->watched = mmi_backend_echo;
    field->watched.name = "watched";
    field->watched.init = watched_init;
    field->watched.detach = watched_detach;
    opening = field;
    assert_int_equal(mm_backend_register(field->mesh, &field->watched, NULL), MM_OK);
    opening = NULL;
}

void field_close(struct field *field) {
    atomic_store(&field->ending, true);
    assert_int_equal(mm_mesh_free(&field->mesh), MM_OK);
    assert_int_equal(atomic_load(&field->in_use), 0);
    pthread_mutex_destroy(&field->mutex);
    world_fini(&field->world);
}

/* ---- Trouble -------------------------------------------------------------------------------- */

void field_trouble(struct field *field, const char *format, ...) {
    pthread_mutex_lock(&field->mutex);
    if (!atomic_load(&field->troubled)) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(field->trouble, sizeof(field->trouble), format, arguments);
        va_end(arguments);
        atomic_store(&field->troubled, true);
    }
    pthread_mutex_unlock(&field->mutex);
}

void field_expect_no_trouble(struct field *field) {
    if (atomic_load(&field->troubled)) {
        fail_msg("%s", field->trouble);
    }
    assert_int_equal(atomic_load(&field->in_use), 0);
    assert_int_equal(atomic_load(&field->pinned), 0);
}

void field_check(struct field *field) {
    char text[CHECK_TEXT_BYTES];
    const char *broken = residency_check(&field->mesh->res, text);
    if (broken) {
        field_trouble(field, "%s", broken);
    }
}

/* ---- Requests ------------------------------------------------------------------------------- */

void field_request_init(struct field_request *request, float mark, uint64_t deadline_ns) {
    *request = (struct field_request){
        .x = {1, 2, 3, mark}, .request = MM_REQUEST_INIT, .response = MM_RESPONSE_INIT};
    request->input = (mm_value){.name = "x",
                                .dtype = MM_F32,
                                .rank = 2,
                                .shape = {1, 4},
                                .data = request->x,
                                .bytes = sizeof(request->x)};
    request->request.inputs = &request->input;
    request->request.input_count = 1;
    request->request.deadline_ns = deadline_ns;
}

uint64_t field_answer(const struct field_request *request,
                      uint64_t (*weights_bytes)(uint64_t seed)) {
    const mm_response *response = &request->response;
    if (response->output_count != 2 || response->outputs[0].bytes != sizeof(request->x) ||
        memcmp(response->outputs[0].data, request->x, sizeof(request->x)) != 0) {
        return UINT64_MAX;
    }
    int64_t z[2];
    memcpy(z, response->outputs[1].data, sizeof(z));
    uint64_t seed = (uint64_t)z[1];
    return z[0] == mmi_echo_checksum(seed, weights_bytes(seed)) ? seed : UINT64_MAX;
}
