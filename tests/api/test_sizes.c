/* SPDX-License-Identifier: Apache-2.0 */
/* Each public struct that has a struct_size, in the sizes that older and newer headers give it:
 * accepted or refused by every call that takes it, and nothing written beyond it. */
#include "fixture.h"

#include <support/scratch.h>

#include <string.h>

#define LATER 16 /* bytes that a newer header has behind the fields of today */
#define FILL 0xa5

struct scene {
    struct fixture f;
    struct scratch scratch;
    mm_model model;
    mm_op *op;
    mm_error err;
};

/* ---- One call for each struct ---------------------------------------------------------------- */

static mm_status create(struct scene *scene, void *it) {
    mm_mesh *mesh;
    mm_status status = mm_mesh_create(it, &mesh, &scene->err);
    if (status == MM_OK) {
        assert_int_equal(mm_mesh_free(&mesh), MM_OK);
    }
    return status;
}

static mm_status create_on(struct scene *scene, void *it) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.load_threads = MM_THREADS_NONE;
    options.devices = it;
    options.device_count = 1;
    return create(scene, &options);
}

static mm_status add(struct scene *scene, void *it) {
    mm_model model;
    mm_status status = mm_register(scene->f.mesh, it, &model, &scene->err);
    if (status == MM_OK) {
        assert_int_equal(mm_update(scene->f.mesh, model, it, 0, NULL, NULL, &scene->err), MM_OK);
        assert_int_equal(mm_unregister(scene->f.mesh, model, NULL), MM_OK);
    }
    return status;
}

static mm_status ask(struct scene *scene, void *it) {
    mm_response response = MM_RESPONSE_INIT;
    mm_status status = mm_infer(scene->f.mesh, scene->model, it, &response, &scene->err);
    mm_response_free(&response);
    return status;
}

static float x[4] = {1, 2, 3, 4};
static const mm_value input = {
    .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = sizeof(x)};

static mm_status answer(struct scene *scene, void *it) {
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    mm_status status = mm_infer(scene->f.mesh, scene->model, &request, it, &scene->err);
    if (status == MM_OK) {
        mm_response_free(it);
    }
    return status;
}

static mm_status load(struct scene *scene, void *it) {
    return mm_load(scene->f.mesh, scene->model, it, NULL, &scene->err);
}

static mm_status progress(struct scene *scene, void *it) {
    return mm_op_progress(scene->op, it);
}

static mm_status plan(struct scene *scene, void *it) {
    return mm_plan_load(scene->f.mesh, scene->model, it, &scene->err);
}

static mm_status info(struct scene *scene, void *it) {
    return mm_model_info_get(scene->f.mesh, scene->model, it);
}

static mm_status stats(struct scene *scene, void *it) {
    return mm_mesh_stats_get(scene->f.mesh, it);
}

static mm_status verify(struct scene *scene, void *it) {
    return mm_cache_verify(scene->scratch.path, NULL, NULL, it, &scene->err);
}

/* ---- What a good one has --------------------------------------------------------------------- */

static void no_threads(struct scene *scene, void *it) {
    (void)scene;
    ((mm_mesh_options *)it)->load_threads = MM_THREADS_NONE;
}

static void host(struct scene *scene, void *it) {
    (void)scene;
    mm_device_options *options = it;
    options->name = "host";
    options->budget_bytes = 4 * MIB;
}

static void some_model(struct scene *scene, void *it) {
    mm_model_spec *spec = it;
    spec->name = "other";
    spec->backend = "echo";
    spec->data = scene->f.scripts[0];
    spec->data_bytes = strlen(scene->f.scripts[0]);
}

static void some_input(struct scene *scene, void *it) {
    (void)scene;
    mm_request *request = it;
    request->inputs = &input;
    request->input_count = 1;
}

enum role { READ = 1, WRITTEN = 2 };

struct row {
    const char *what; /* in messages; NULL = the call has none */
    mm_status (*call)(struct scene *scene, void *it);
    void (*fill)(struct scene *scene, void *it);
    struct mmi_sizes sizes;
    unsigned role;
};

/* ---- All sizes ------------------------------------------------------------------------------- */

/* As a header of this size has it, with zeros up to there and FILL behind. */
static void make(struct scene *scene, const struct row *row, unsigned char *it, uint32_t size,
                 size_t room) {
    memset(it, 0, room);
    if (row->fill) {
        row->fill(scene, it);
    }
    memset(it + size, FILL, room - size);
    if (size >= sizeof(size)) {
        memcpy(it, &size, sizeof(size));
    }
}

static void refused(struct scene *scene, const struct row *row, unsigned char *it) {
    memset(&scene->err, 0, sizeof(scene->err));
    assert_int_equal(row->call(scene, it), MM_INVALID_ARGUMENT);
    if (row->what) {
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "%s.struct_size: ", row->what);
        assert_non_null(strstr(scene->err.text, wanted));
    }
}

static void accepted(struct scene *scene, const struct row *row, unsigned char *it, uint32_t size,
                     size_t room) {
    if (row->call(scene, it) != MM_OK) {
        fail_msg("%s of %u bytes: %s", row->what ? row->what : "it", size, scene->err.text);
    }
    uint32_t kept;
    memcpy(&kept, it, sizeof(kept));
    assert_int_equal(kept, size);
    for (size_t i = size; i < room; i++) {
        assert_int_equal(it[i], FILL);
    }
}

static void check_row(struct scene *scene, const struct row *row) {
    _Alignas(8) unsigned char it[2048];
    size_t room = row->sizes.now + 2 * LATER;
    assert_true(room <= sizeof(it));
    assert_true(row->sizes.first >= 8 && row->sizes.first <= row->sizes.now);
    for (uint32_t size = 0; size <= row->sizes.now + LATER; size += 4) {
        make(scene, row, it, size, room);
        if (size < 4) {
            memset(it, 0, sizeof(size));
        }
        if (size < row->sizes.first || size % 8 != 0) {
            refused(scene, row, it);
        } else {
            accepted(scene, row, it, size, room);
        }
    }
    make(scene, row, it, row->sizes.now + LATER, room);
    it[row->sizes.now + LATER - 1] = 1; /* a field that we do not know */
    if (row->role & READ) {
        refused(scene, row, it);
    } else {
        accepted(scene, row, it, row->sizes.now + LATER, room);
        assert_int_equal(it[row->sizes.now + LATER - 1], 1);
    }
    uint32_t absurd = UINT32_MAX - 7;
    memcpy(it, &absurd, sizeof(absurd));
    refused(scene, row, it);
}

static void test_sizes(void **state) {
    (void)state;
    const struct row rows[] = {
        {"options", create, no_threads, MMI_MESH_OPTIONS_SIZES, READ},
        {"devices[0]", create_on, host, MMI_DEVICE_OPTIONS_SIZES, READ},
        {"spec", add, some_model, MMI_MODEL_SPEC_SIZES, READ},
        {"request", ask, some_input, MMI_REQUEST_SIZES, READ},
        {"response", answer, NULL, MMI_RESPONSE_SIZES, READ | WRITTEN},
        {"async", load, NULL, MMI_ASYNC_SIZES, READ},
        {NULL, progress, NULL, MMI_PROGRESS_SIZES, WRITTEN},
        {"plan", plan, NULL, MMI_PLAN_SIZES, READ | WRITTEN},
        {NULL, info, NULL, MMI_MODEL_INFO_SIZES, WRITTEN},
        {NULL, stats, NULL, MMI_MESH_STATS_SIZES, READ | WRITTEN},
        {"report", verify, NULL, MMI_CACHE_REPORT_SIZES, WRITTEN},
    };
    struct scene scene = {0};
    scratch_init(&scene.scratch);
    fixture_open(&scene.f, NULL);
    scene.model = fixture_add(&scene.f, "m", "weights_bytes 1m\n");
    assert_int_equal(mm_load(scene.f.mesh, scene.model, NULL, &scene.op, NULL), MM_OK);
    assert_int_equal(mm_op_wait(scene.op, 0, NULL), MM_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_row(&scene, &rows[i]);
    }
    mm_op_free(scene.op);
    fixture_close(&scene.f);
    scratch_fini(&scene.scratch);
}

/* ---- Arrays ---------------------------------------------------------------------------------- */

static const char *const names[] = {"sim/a", "sim/b", "host"};

/* Three devices, `stride` apart, into room[]. */
static mm_mesh_options three(unsigned char *room, uint32_t stride) {
    for (unsigned i = 0; i < 3; i++) {
        mm_device_options device = MM_DEVICE_OPTIONS_INIT;
        device.struct_size = stride;
        device.name = names[i];
        device.budget_bytes = (4 + 2 * i) * MIB;
        memset(room + i * stride, 0, stride);
        memcpy(room + i * stride, &device, stride < sizeof(device) ? stride : sizeof(device));
    }
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.load_threads = MM_THREADS_NONE;
    options.devices = (const mm_device_options *)(const void *)room;
    options.device_count = 3;
    return options;
}

static void test_devices(void **state) {
    (void)state;
    struct fixture f;
    for (uint32_t stride = MMI_DEVICE_OPTIONS_SIZES.first;
         stride <= sizeof(mm_device_options) + LATER; stride += 8) {
        _Alignas(8) unsigned char room[256];
        mm_mesh_options options = three(room, stride);
        fixture_open(&f, &options);
        for (uint32_t i = 0; i < 3; i++) {
            mm_device_stats device = fixture_device(&f, i);
            const char *label = strchr(names[i], '/');
            assert_string_equal(device.name, label ? label + 1 : names[i]);
            assert_int_equal(device.budget_bytes, (4 + 2 * i) * MIB);
        }
        fixture_close(&f);
        for (uint32_t i = 0; i < 3; i++) { /* one that differs from the others */
            uint32_t other = stride == sizeof(mm_device_options) ? stride - 8 : stride + 8;
            mm_error err = {0};
            mm_mesh *mesh;
            options = three(room, stride);
            memcpy(room + i * stride, &other, sizeof(other));
            assert_int_equal(mm_mesh_create(&options, &mesh, &err), MM_INVALID_ARGUMENT);
            assert_non_null(strstr(err.text, "devices["));
        }
    }
}

/* The init functions write as much as the caller's header has. */
static void test_inits(void **state) {
    (void)state;
    struct {
        mm_mesh_options options;
        mm_model_spec spec;
    } filled;
    for (uint32_t cut = 0; cut <= 16; cut += 8) {
        memset(&filled, FILL, sizeof(filled));
        uint32_t size = (uint32_t)sizeof(filled.options) - cut;
        mm_mesh_options_init(&filled.options, size);
        mm_model_spec_init(&filled.spec, (uint32_t)sizeof(filled.spec) - cut);
        assert_int_equal(filled.options.struct_size, size);
        assert_int_equal(filled.options.max_models, 0);
        assert_int_equal(filled.spec.struct_size, sizeof(filled.spec) - cut);
        for (uint32_t i = 0; i < cut; i++) {
            assert_int_equal(((unsigned char *)&filled.options)[size + i], FILL);
            assert_int_equal(((unsigned char *)&filled)[sizeof(filled) - cut + i], FILL);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_inits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
