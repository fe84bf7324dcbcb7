/* SPDX-License-Identifier: Apache-2.0 */
/* Where prepared weights go that no cache directory takes, as the options say it. */
#include "weather.h"

#include <artifact/io.h>
#include <artifact/state.h>
#include <device/device.h>
#include <device/memory_info.h>
#include <support/scratch.h>

#include <errno.h>
#include <sys/resource.h>

static struct scratch scratch;

static int setup(void **state) {
    (void)state;
    scratch_init(&scratch);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scratch_fini(&scratch);
    return 0;
}

/* "what is kept, not what may be loaded", also with a cache_dir that takes nothing: all stay
 * loaded, one is replaced beside them, and who leaves comes again. */
static void test_a_full_cache_dir_refuses_no_load(void **state) {
    (void)state;
    static const char *const devices[] = {"host", "sim"};
    for (size_t d = 0; d < 2; d++) {
        char cache[SCRATCH_ROOM];
        struct fixture f;
        mm_device_options device;
        mm_mesh_options options = weather_options(&device, devices[d], 64 * MIB);
        options.cache_dir = scratch_path(&scratch, devices[d], cache);
        options.cache_budget_bytes = 1;
        options.artifact_budget_bytes = 16 * MIB;
        fixture_open(&f, &options);
        mm_model models[5];
        for (unsigned i = 0; i < 5; i++) {
            models[i] = weather_model(&f, (const char *[]){"a", "b", "c", "d", "e"}[i], 6, i);
            assert_ok(&f, fixture_infer(&f, models[i]));
        }
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(weather_state(&f, models[i]), MM_STATE_READY);
        }
        mm_model_spec spec = fixture_spec(&f, "a", "echo", "weights_bytes 6m\nseed 99\n");
        assert_ok(&f, mm_update(f.mesh, models[0], &spec, MM_UPDATE_REPLACE, NULL, NULL, &f.err));
        assert_ok(&f, mm_evict(f.mesh, models[4], MM_NO_WAIT, &f.err));
        assert_ok(&f, fixture_infer(&f, models[4]));
        fixture_close(&f);
    }
}

static char lines[4][256];
static unsigned line_count;
static void keep_line(void *user, int32_t level, const char *text) {
    (void)user;
    if (level <= MM_LOG_WARNING && line_count < 4) {
        snprintf(lines[line_count++], sizeof(lines[0]), "%s", text);
    }
}

/* "where the folder is missing ...: memory"; "MM_INVALID_ARGUMENT: it is not a folder" */
static void test_a_missing_folder(void **state) {
    (void)state;
    char path[SCRATCH_ROOM];
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    options.log = (mm_log){.line = keep_line, .level = MM_LOG_WARNING};
    options.tmp_dir = scratch_path(&scratch, "missing", path);
    line_count = 0;
    fixture_open(&f, &options);
    assert_int_equal(line_count, 1);
    assert_non_null(strstr(lines[0], path));
    assert_non_null(strstr(lines[0], "No such file or directory"));
    assert_non_null(strstr(lines[0], "memory"));
    assert_ok(&f, fixture_infer(&f, weather_model(&f, "m", 3, 1)));
    assert_int_equal(fixture_stats(&f).artifact_bytes, 3 * MIB);
    uint64_t memory_bytes = f.mesh->store->memory_budget_bytes;
    assert_int_equal(f.mesh->store->temporary_budget_bytes, memory_bytes); /* not the disk's */
    fixture_close(&f);

    scratch_text(&scratch, "file", "");
    options.tmp_dir = scratch_path(&scratch, "file", path);
    mm_mesh *mesh;
    mm_error err;
    assert_int_equal(mm_mesh_create(&options, &mesh, &err), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "not a directory"));
}

/* "0: a quarter of what is free there, or, in memory (also where tmp_dir is a tmpfs), of
 * MemAvailable": half of a device's default, which is half of that. Others use memory meanwhile, so
 * twice as much is as exact as it can be asked for. */
static void test_the_default_budget(void **state) {
    (void)state;
    uint64_t memory_bytes = mmi_host_default_budget() / 2;
    const char *const folders[] = {"", "/dev/shm", "/var/tmp"};
    for (size_t i = 0; i < 3; i++) {
        if (folders[i][0] && access(folders[i], W_OK) != 0) {
            continue;
        }
        struct fixture f;
        mm_device_options device;
        mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
        options.tmp_dir = folders[i];
        fixture_open(&f, &options);
        const struct mmi_store *store = f.mesh->store;
        assert_true(store->memory_budget_bytes <= 2 * memory_bytes);
        if (!folders[i][0] || mmi_io_is_memory(folders[i])) {
            assert_true(store->temporary_budget_bytes <= 2 * memory_bytes);
        } else {
            uint64_t quarter = mmi_io_free_bytes(folders[i]) / 4;
            assert_true(store->temporary_budget_bytes > quarter / 2 &&
                        store->temporary_budget_bytes < 2 * quarter);
        }
        fixture_close(&f);
    }
}

/* A limit for files of the process is nobody's end, also where a device is a file in memory. */
static void test_a_limit_for_files(void **state) {
    (void)state;
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 8 * MIB;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 64 * MIB);
    options.tmp_dir = scratch.path;
    fixture_open(&f, &options);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (unsigned i = 0; i < 6; i++) { /* six together are beyond it, and one alone is */
        char name[2] = {(char)('a' + i), 0};
        mm_model model = weather_model(&f, name, i < 5 ? 6 : 12, i);
        assert_ok(&f, fixture_infer(&f, model));
    }
    device.name = "sim";
    mm_mesh *mesh;
    mm_error err;
    assert_int_equal(mm_mesh_create(&options, &mesh, &err), MM_NO_MEMORY);
    assert_non_null(strstr(err.text, "device sim"));
    assert_non_null(strstr(err.text, "RLIMIT_FSIZE of the process is 8388608"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_full_cache_dir_refuses_no_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_missing_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_default_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_limit_for_files, setup, teardown),
    };
    return cmocka_run_group_tests_name("scenario-tmp-dir", tests, NULL, NULL);
}
