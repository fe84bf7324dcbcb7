/* SPDX-License-Identifier: Apache-2.0 */

/* Versions: what is copied, and how failures are remembered. */

#include <catalog/version.h>
#include <support/world.h>

#include <string.h>

#define FIRST_NS UINT64_C(100)
#define MAX_NS UINT64_C(1000)

static void fail_at(struct world *world, struct mmi_failure *failure, uint64_t now_ns) {
    mm_error error = {.status = MM_IO, .text = "the disk is on fire"};
    mmi_failure_set(&world->env.alloc, failure, &error, now_ns, FIRST_NS, MAX_NS);
}

/* "The error is remembered with growing back-off": first, twice that, ... at most the maximum. */
static void test_back_off_doubles_up_to_the_maximum(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_failure failure = {0};
    const uint64_t delays[] = {100, 200, 400, 800, 1000, 1000};
    uint64_t now_ns = 50;
    for (uint64_t i = 0; i < 6; i++) {
        fail_at(&world, &failure, now_ns);
        assert_int_equal(failure.count, i + 1);
        assert_int_equal(failure.until_ns, now_ns + delays[i]);
        mm_error err;
        assert_int_equal(mmi_failure_get(&failure, now_ns + 30, &err), MM_IO);
        assert_int_equal(err.retry_after_ns, delays[i] - 30);
        assert_string_equal(err.text, "the disk is on fire");
        assert_int_equal(mmi_failure_get(&failure, failure.until_ns + 5, &err), MM_IO);
        assert_int_equal(err.retry_after_ns, 0);
        now_ns = failure.until_ns;
    }
    mmi_failure_clear(&world.env.alloc, &failure);
    assert_int_equal(failure.status, MM_OK);
    fail_at(&world, &failure, 0);
    assert_int_equal(failure.until_ns, FIRST_NS); /* it began anew */
    mmi_failure_clear(&world.env.alloc, &failure);
    mmi_failure_clear(&world.env.alloc, &failure);
    world_fini(&world);
}

static void test_back_off_at_the_end_of_time(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_failure failure = {0};
    mm_error error = {.status = MM_IO};
    for (int i = 0; i < 80; i++) {
        mmi_failure_set(&world.env.alloc, &failure, &error, UINT64_MAX - 10, 1, UINT64_MAX);
    }
    assert_int_equal(failure.until_ns, UINT64_MAX);
    mmi_failure_clear(&world.env.alloc, &failure);
    world_fini(&world);
}

static void test_a_failure_without_memory_keeps_its_status(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_failure failure = {0};
    world_fail_alloc(&world, 1);
    fail_at(&world, &failure, 0);
    assert_null(failure.error);
    mm_error err;
    assert_int_equal(mmi_failure_get(&failure, 40, &err), MM_IO);
    assert_int_equal(err.status, MM_IO);
    assert_int_equal(err.retry_after_ns, 60);
    assert_string_equal(err.text, mm_status_text(MM_IO));
    assert_int_equal(mmi_failure_get(&failure, 40, NULL), MM_IO);
    fail_at(&world, &failure, 0); /* the text comes with the next one */
    assert_int_equal(mmi_failure_get(&failure, 40, &err), MM_IO);
    assert_string_equal(err.text, "the disk is on fire");
    mmi_failure_clear(&world.env.alloc, &failure);
    world_fini(&world);
}

/* Texts of a spec are copied on entry; the caller's data is only pointed to. */
static void test_a_spec_is_copied(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    char source[] = "a/b.onnx", format[] = "onnx", backend[] = "x", device[] = "host",
         config[] = "k=v";
    struct mmi_spec from = {.source = source,
                            .memory = {.data = &world, .bytes = 3},
                            .format = format,
                            .backend = backend,
                            .device = device,
                            .config = config};
    struct mmi_version *version = mmi_version_new(&world.env.alloc, &from, 7);
    memset(source, 'z', sizeof(source) - 1);
    memset(config, 'z', sizeof(config) - 1);
    format[0] = backend[0] = device[0] = 'z';
    const struct mmi_spec *spec = version->spec;
    assert_string_equal(spec->source, "a/b.onnx");
    assert_string_equal(spec->format, "onnx");
    assert_string_equal(spec->backend, "x");
    assert_string_equal(spec->device, "host");
    assert_string_equal(spec->config, "k=v");
    assert_ptr_equal(spec->memory.data, &world);
    assert_int_equal(spec->memory.bytes, 3);
    assert_int_equal(version->number, 7);
    assert_int_equal(version->refs, 1);
    assert_int_equal(version->builds[0]->state, MMI_BUILD_UNPREPARED);
    mmi_version_free(&world.env.alloc, version);
    version = mmi_version_new(&world.env.alloc, &(struct mmi_spec){.memory = {.data = source}}, 1);
    assert_null(version->spec->source);
    assert_null(version->spec->format);
    assert_string_equal(version->spec->config, "");
    mmi_version_free(&world.env.alloc, version);
    mmi_spec_free(&world.env.alloc, NULL);
    world_fini(&world);
}

static void test_without_memory_there_is_no_version(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (uint64_t nth = 1;; nth++) {
        world_fail_alloc(&world, nth);
        struct mmi_version *version =
            mmi_version_new(&world.env.alloc, &(struct mmi_spec){.source = "x"}, 1);
        if (version) {
            assert_int_equal(nth, 3);
            mmi_version_free(&world.env.alloc, version);
            break;
        }
    }
    world_fini(&world);
}

/* ---- Builds */

static struct mmi_version *new_version(struct world *world) {
    return mmi_version_new(&world->env.alloc, &(struct mmi_spec){.source = "x"}, 1);
}

/* A description without a backend behind it. */
static struct mmi_prepared prepared_for(struct mmi_opened *opened, uint32_t kinds, uint64_t low) {
    opened->description = (mm_description){
        .weights_bytes = 100 + low, .activation_bytes = 10 + low, .own_bytes = 1 + low};
    return (struct mmi_prepared){.opened = opened,
                                 .kinds = kinds,
                                 .keyed = true,
                                 .key = {.content = {7, 7}, .target = {low, 0}}};
}

static void commit(struct world *world, struct mmi_version *version, int32_t kind,
                   struct mmi_opened *opened, uint32_t kinds) {
    struct mmi_prepared prepared = prepared_for(opened, kinds, (uint64_t)kind);
    prepared.others = version->others ? NULL : mmi_builds_new(&world->env.alloc);
    mmi_build_commit(mmi_version_build(version, kind), &prepared);
}

static void free_version(struct world *world, struct mmi_version *version) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        version->builds[i]->opened = NULL; /* not ours to close */
    }
    mmi_version_free(&world->env.alloc, version);
}

static void test_builds_share_no_kind(void **state) {
    (void)state;
    struct world world;
    struct mmi_opened opened[3] = {{0}};
    world_init(&world);
    struct mmi_version *version = new_version(&world);
    struct mmi_build *first = mmi_version_build(version, MM_DEVICE_SIM);
    assert_ptr_equal(first, version->builds[0]);
    assert_ptr_equal(first->version, version);
    /* Not prepared yet: it may turn out to be for any kind. */
    assert_ptr_equal(mmi_version_build(version, MM_DEVICE_HOST), first);
    commit(&world, version, MM_DEVICE_SIM, &opened[0], MM_DEVICE_SIM);
    assert_ptr_equal(opened[0].build, first);

    struct mmi_build *second = mmi_version_build(version, MM_DEVICE_HOST);
    assert_ptr_equal(second, version->builds[1]);
    assert_ptr_equal(mmi_version_build(version, MM_DEVICE_HOST), second);
    struct mmi_build *third = mmi_version_build(version, MM_DEVICE_CUDA);
    assert_ptr_equal(third, version->builds[2]);
    assert_int_equal(version->build_count, 3);
    /* The third has cuda already, though this would do for it. */
    commit(&world, version, MM_DEVICE_HOST, &opened[1], MM_DEVICE_HOST | MM_DEVICE_CUDA);
    assert_int_equal(second->kinds, MM_DEVICE_HOST);
    commit(&world, version, MM_DEVICE_CUDA, &opened[2], MM_DEVICE_HOST | MM_DEVICE_CUDA);
    assert_int_equal(third->kinds, MM_DEVICE_CUDA);
    assert_ptr_equal(mmi_version_build(version, MM_DEVICE_SIM), first);
    free_version(&world, version);
    world_fini(&world);
}

static void test_what_a_build_found_out(void **state) {
    (void)state;
    struct world world;
    struct mmi_opened opened = {0};
    world_init(&world);
    struct mmi_version *version = new_version(&world);
    assert_null(mmi_version_described(version));
    commit(&world, version, MM_DEVICE_HOST, &opened, MM_DEVICE_HOST | MM_DEVICE_SIM);
    struct mmi_build *build = mmi_version_described(version);
    assert_ptr_equal(build, mmi_version_build(version, MM_DEVICE_SIM));
    assert_int_equal(build->state, MMI_BUILD_PREPARED);
    assert_true(build->keyed && !build->bare && version->content_known);
    assert_int_equal(version->content.low, 7);
    assert_int_equal(build->target.low, MM_DEVICE_HOST);
    assert_int_equal(build->weights_bytes, 101);
    assert_int_equal(build->activation_bytes, 11);
    assert_int_equal(build->own_bytes, 2);

    build->state = MMI_BUILD_UNPREPARED; /* closed, and measured meanwhile */
    assert_null(mmi_version_described(version));
    build->activation_bytes = 500;
    build->activation_measured = true;
    build->own_bytes = 600;
    commit(&world, version, MM_DEVICE_HOST, &opened, MM_DEVICE_HOST | MM_DEVICE_SIM);
    assert_int_equal(build->activation_bytes, 500);
    assert_int_equal(build->own_bytes, 600);
    free_version(&world, version);
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_back_off_doubles_up_to_the_maximum),
        cmocka_unit_test(test_back_off_at_the_end_of_time),
        cmocka_unit_test(test_a_failure_without_memory_keeps_its_status),
        cmocka_unit_test(test_a_spec_is_copied),
        cmocka_unit_test(test_without_memory_there_is_no_version),
        cmocka_unit_test(test_builds_share_no_kind),
        cmocka_unit_test(test_what_a_build_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
