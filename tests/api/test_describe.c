/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions, the check of a cache, and backends brought by the host. */
#include "fixture.h"

#include <support/scratch.h>

#include <modelmesh/backend.h>

/* ---- Descriptions --------------------------------------------------------------------------- */

static void test_description(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m",
                                 "weights_bytes 5m\nactivation_bytes 64k\nserial 1\nio two\n"
                                 "dtype f16\nversion blue\n");
    mm_model_description *d = NULL;
    assert_int_equal(mm_model_describe(f.mesh, model, 0, &d, &f.err), MM_OK);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    /* It outlives the model and the mesh. */
    assert_int_equal(mm_unregister(f.mesh, model, NULL), MM_OK);
    assert_int_equal(mm_mesh_free(&f.mesh), MM_OK);
    assert_int_equal(f.world.live_blocks, 1);
    assert_string_equal(d->backend, "echo");
    assert_string_equal(d->format, "echo");
    assert_int_equal(d->input_count, 2);
    assert_int_equal(d->output_count, 3);
    assert_int_equal(d->weights_bytes, 5 * MIB);
    assert_int_equal(d->activation_bytes, 64 << 10);
    assert_int_equal(d->batch_axis, 0);
    assert_int_equal(d->serial, 1);
    assert_string_equal(d->inputs[1].name, "x2");
    assert_int_equal(d->inputs[1].dtype, MM_F16);
    assert_int_equal(d->inputs[1].rank, 2);
    assert_int_equal(d->inputs[1].shape[0], -1);
    assert_string_equal(d->inputs[1].axis_names[0], "N");
    assert_null(d->inputs[1].axis_names[1]);
    assert_string_equal(d->outputs[2].name, "z");
    assert_int_equal(d->outputs[2].shape[0], 2);
    assert_int_equal(d->metadata_count, 1);
    assert_string_equal(d->metadata[0], "version");
    assert_string_equal(d->metadata[1], "blue");
    assert_int_equal(d->reserved, 0);
    mm_description_free(d);
    mm_description_free(NULL);
    assert_int_equal(f.world.live_blocks, 0);
    fixture_close(&f);
}

/* After a run the activations are those that were measured. */
static void test_description_measured(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "activation_bytes 64k\nactivation_per_element 1k\n");
    assert_int_equal(fixture_infer(&f, model, -1), MM_OK);
    mm_model_description *d = NULL;
    assert_int_equal(mm_model_describe(f.mesh, model, 0, &d, &f.err), MM_OK);
    assert_int_equal(d->activation_bytes, (64 + 4) << 10);
    mm_description_free(d);
    fixture_close(&f);
}

static void test_description_errors(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "");
    mm_model bad = fixture_add(&f, "bad", "nonsense 1\n");
    mm_model_description *d = (mm_model_description *)&f;
    assert_int_equal(mm_model_describe(NULL, model, 0, &d, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "mesh: NULL");
    assert_int_equal(mm_model_describe(f.mesh, model, 0, NULL, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "description: NULL");
    assert_int_equal(mm_model_describe(f.mesh, (mm_model){0}, 0, &d, &f.err), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_model_describe(f.mesh, model, WORLD_START_NS, &d, &f.err), MM_DEADLINE);
    assert_int_equal(mm_model_describe(f.mesh, bad, 0, &d, &f.err), MM_INVALID_MODEL);
    assert_int_equal(fixture_stats(&f).prepares, 0);
    assert_int_equal(mm_unregister(f.mesh, model, NULL), MM_OK);
    assert_int_equal(mm_model_describe(f.mesh, model, 0, &d, &f.err), MM_STALE_HANDLE);
    mm_model later = fixture_add(&f, "later", "");
    assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
    assert_int_equal(mm_model_describe(f.mesh, later, 0, &d, &f.err), MM_CLOSED);
    assert_ptr_equal(d, &f);
    fixture_close(&f);
}

static void test_description_out_of_memory(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "io two\n");
    assert_int_equal(mm_prepare(f.mesh, model, NULL, NULL, NULL), MM_OK);
    mm_model_description *d = NULL;
    world_fail_alloc(&f.world, 1);
    assert_int_equal(mm_model_describe(f.mesh, model, 0, &d, &f.err), MM_NO_MEMORY);
    assert_true(world_failed(&f.world));
    assert_null(d);
    assert_int_equal(mm_model_describe(f.mesh, model, 0, &d, &f.err), MM_OK);
    mm_description_free(d);
    fixture_close(&f);
}

/* ---- Reports -------------------------------------------------------------------------------- */

static uint64_t told; /* how often */

/* Longer with each call: what was asked for does not suffice at first. */
static uint64_t report(void *model, void *signature, char *text, uint64_t room) {
    const char *known = "{\"steps\": []}";
    assert_non_null(model);
    (void)signature; /* echo has no state for one */
    told++;
    if (room > 0) {
        snprintf(text, room, "%s%*s", known, told < 3 ? (int)told : 3, "");
    }
    return strlen(known) + (told < 3 ? told : 3) + 1;
}

static uint64_t no_report(void *model, void *signature, char *text, uint64_t room) {
    (void)model, (void)signature, (void)text, (void)room;
    return 0;
}

static mm_model add_reporting(struct fixture *f, const char *name,
                              uint64_t (*slot)(void *, void *, char *, uint64_t)) {
    mm_backend table = mmi_backend_echo;
    mm_model model;
    table.name = name;
    table.report = slot;
    assert_int_equal(mm_backend_register(f->mesh, &table, &f->err), MM_OK);
    mm_model_spec spec = fixture_spec(f, name, name, "");
    assert_int_equal(mm_register(f->mesh, &spec, &model, &f->err), MM_OK);
    return model;
}

static void test_report(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    float data[4] = {0};
    mm_value x = {.name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = data};
    x.bytes = sizeof(data);
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &x;
    request.input_count = 1;
    char *text = NULL;
    mm_model model = add_reporting(&f, "telling", report);
    told = 0;
    assert_int_equal(mm_model_report(f.mesh, model, &request, &text, &f.err), MM_OK);
    assert_string_equal(text, "{\"steps\": []}   ");
    assert_int_equal(told, 3); /* the second time it did not fit any more */
    char *again = NULL;
    assert_int_equal(mm_model_report(f.mesh, model, &request, &again, &f.err), MM_OK);
    assert_string_equal(again, "{\"steps\": []}   ");
    mm_report_free(again);
    mm_report_free(NULL);
    again = NULL;
    assert_int_equal(mm_model_report(NULL, model, &request, &again, &f.err), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_model_report(f.mesh, model, NULL, &again, &f.err), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_model_report(f.mesh, model, &request, NULL, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "report: NULL");
    x.rank = 1;
    assert_int_equal(mm_model_report(f.mesh, model, &request, &again, &f.err), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(f.err.text, "model telling: value x: bytes is 16"));
    x.rank = 2;
    world_fail_alloc(&f.world, 1);
    assert_int_equal(mm_model_report(f.mesh, model, &request, &again, &f.err), MM_NO_MEMORY);
    assert_true(world_failed(&f.world));
    model = add_reporting(&f, "silent", no_report);
    assert_int_equal(mm_model_report(f.mesh, model, &request, &again, &f.err), MM_NO_MEMORY);
    model = fixture_add(&f, "m", "");
    assert_int_equal(mm_model_report(f.mesh, model, &request, &again, &f.err), MM_UNSUPPORTED);
    assert_non_null(strstr(f.err.text, "backend echo has no report"));
    assert_null(again);
    assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
    assert_int_equal(mm_model_report(f.mesh, model, &request, &again, &f.err), MM_CLOSED);
    mm_report_free(text);
    fixture_close(&f);
}

/* ---- Caches --------------------------------------------------------------------------------- */

struct seen {
    unsigned calls;
    uint64_t done, total;
};

static void progress(void *user, uint64_t done, uint64_t total) {
    struct seen *seen = user;
    assert_true(done >= seen->done && done <= total);
    seen->calls++;
    seen->done = done;
    seen->total = total;
}

static void fill_cache(const char *folder) {
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.cache_dir = folder;
    fixture_open(&f, &options);
    mm_model a = fixture_add(&f, "a", "weights_bytes 1m\nversion a\n");
    mm_model b = fixture_add(&f, "b", "weights_bytes 2m\nversion b\n");
    assert_int_equal(mm_prepare(f.mesh, a, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(mm_prepare(f.mesh, b, NULL, NULL, &f.err), MM_OK);
    assert_true(fixture_stats(&f).cache_bytes >= 3 * MIB);
    fixture_close(&f);
}

static void damage_one(const char *folder) {
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    struct stat status;
    const struct dirent *entry;
    while ((entry = readdir(listing)) != NULL &&
           (fstatat(dirfd(listing), entry->d_name, &status, 0) != 0 || !S_ISREG(status.st_mode) ||
            status.st_size < (off_t)MIB)) {}
    assert_non_null(entry);
    int fd = openat(dirfd(listing), entry->d_name, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "damage", 6, status.st_size / 2), 6);
    close(fd);
    closedir(listing);
}

static void test_cache(void **state) {
    (void)state;
    struct scratch scratch;
    scratch_init(&scratch);
    char folder[SCRATCH_ROOM];
    scratch_path(&scratch, "cache", folder);
    mm_cache_report report = MM_CACHE_REPORT_INIT;
    mm_error err;
    assert_int_equal(mm_cache_verify(folder, NULL, NULL, &report, &err), MM_NOT_FOUND);
    fill_cache(folder);
    struct seen seen = {0};
    assert_int_equal(mm_cache_verify(folder, progress, &seen, &report, &err), MM_OK);
    assert_int_equal(report.struct_size, sizeof(report));
    assert_int_equal(report.entries, 2);
    assert_true(report.bytes >= 3 * MIB);
    assert_int_equal(report.damaged, 0);
    assert_true(seen.calls >= 2);
    assert_int_equal(seen.done, seen.total);
    damage_one(folder);
    /* An old struct hears of what it has room for. */
    report.leftovers = 77;
    report.struct_size = offsetof(mm_cache_report, leftovers);
    assert_int_equal(mm_cache_verify(folder, NULL, NULL, &report, NULL), MM_OK);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.removed, 1);
    assert_int_equal(report.leftovers, 77);
    report = (mm_cache_report)MM_CACHE_REPORT_INIT;
    assert_int_equal(mm_cache_verify(folder, NULL, NULL, &report, NULL), MM_OK);
    assert_int_equal(report.entries, 1);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(mm_cache_verify(NULL, NULL, NULL, &report, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "cache_dir: NULL");
    assert_int_equal(mm_cache_verify("", NULL, NULL, &report, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "cache_dir: empty");
    assert_int_equal(mm_cache_verify(folder, NULL, NULL, NULL, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "report: NULL");
    report.struct_size = UINT32_MAX;
    assert_int_equal(mm_cache_verify(folder, NULL, NULL, &report, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "report.struct_size: 4294967295, a multiple of 8 from 48 to "
                                  "65536 expected");
    scratch_fini(&scratch);
}

/* ---- Backends ------------------------------------------------------------------------------- */

static void test_backends(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_backend table = mmi_backend_echo;
    assert_int_equal(mm_backend_register(NULL, &table, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "mesh: NULL");
    assert_int_equal(mm_backend_register(f.mesh, NULL, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "backend: NULL");
    assert_int_equal(mm_backend_register(f.mesh, &table, &f.err), MM_EXISTS);
    table.name = "mine";
    table.abi_minor = MM_BACKEND_ABI_MINOR + 1;
    assert_int_equal(mm_backend_register(f.mesh, &table, &f.err), MM_ABI_MISMATCH);
    table.abi_minor = MM_BACKEND_ABI_MINOR;
    assert_int_equal(mm_backend_register(f.mesh, &table, &f.err), MM_OK);
    mm_model_spec spec = fixture_spec(&f, "m", "mine", "seed 9\n");
    mm_model model;
    assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
    assert_int_equal(fixture_infer(&f, model, 9), MM_OK);
    mm_model_description *d;
    assert_int_equal(mm_model_describe(f.mesh, model, 0, &d, &f.err), MM_OK);
    assert_string_equal(d->backend, "mine");
    mm_description_free(d);
    assert_int_equal(mm_backend_load(f.mesh, NULL, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "path: NULL");
    assert_int_equal(mm_backend_load(f.mesh, "", &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "path: empty");
    assert_int_equal(mm_backend_load(f.mesh, "/nonexistent/libmm_x.so", &f.err), MM_NOT_FOUND);
    assert_non_null(strstr(f.err.text, "/nonexistent/libmm_x.so"));
    assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
    assert_int_equal(mm_backend_register(f.mesh, &table, &f.err), MM_CLOSED);
    assert_int_equal(mm_backend_load(f.mesh, "libmm_x.so", &f.err), MM_CLOSED);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_description),
        cmocka_unit_test(test_description_measured),
        cmocka_unit_test(test_description_errors),
        cmocka_unit_test(test_description_out_of_memory),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_backends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
