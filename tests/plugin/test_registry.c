/* SPDX-License-Identifier: Apache-2.0 */

/* The list of backends: what registering does, what a backend is given, what happens when it
 * fails. */

#include <plugin/tables.h>

#include <stdatomic.h>
#include <string.h>

/* ---- A backend that tells what was done to it */

struct tale {
    char text[32]; /* 'i' and 'f' of each init and fini, with the table's number */
    mm_status answer;
    const char *reason;
};
static struct tale tale; /* a table's init knows nothing but its state */

struct told_state {
    const mm_services *services;
    void *memory;
};

static void note(char what, char who) {
    size_t length = strlen(tale.text);
    tale.text[length] = what;
    tale.text[length + 1] = who;
}

static mm_status told_init(struct told_state *state, const mm_services *services, char who,
                           mm_error *err) {
    const struct told_state zero = {0};
    assert_memory_equal(state, &zero, sizeof(zero));
    mmi_assert_no_locks();
    note('i', who);
    state->services = services;
    state->memory = services->allocator.alloc(services->allocator.user, 100, 16);
    if (tale.answer != MM_OK && tale.reason) {
        return mmi_fail_room(err, tale.answer, 7, 5, "%s", tale.reason);
    }
    return state->memory ? tale.answer : MM_NO_MEMORY;
}

static void told_fini(struct told_state *state, char who) {
    note('f', who);
    if (state->memory) {
        state->services->allocator.free(state->services->allocator.user, state->memory, 100);
    }
}

static mm_status init_1(void *state, const mm_services *services, mm_error *err) {
    return told_init(state, services, '1', err);
}
static mm_status init_2(void *state, const mm_services *services, mm_error *err) {
    return told_init(state, services, '2', err);
}
static void fini_1(void *state) {
    told_fini(state, '1');
}
static void fini_2(void *state) {
    told_fini(state, '2');
}

static const mm_format format_1 = {.name = "one", .suffix = ".one"};
static const mm_format format_2 = {.name = "two", .suffix = ".two"};

static mm_backend told_table(bool first) {
    mm_backend table = plain_table(first ? "one" : "two", first ? &format_1 : &format_2, 1);
    table.state_bytes = sizeof(struct told_state);
    table.init = first ? init_1 : init_2;
    table.fini = first ? fini_1 : fini_2;
    return table;
}

static struct mmi_backend *find(struct fixture *fixture, const char *name) {
    struct mmi_backend *backend = NULL;
    const mm_format *format;
    const struct mmi_format_query query = {.name = name};
    mmi_registry_find(fixture->registry, &query, &backend, &format, NULL);
    return backend;
}

/* ---- Tests */

static void test_order(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    tale = (struct tale){0};
    const mm_backend one = told_table(true), two = told_table(false);
    assert_int_equal(mmi_registry_add(fixture.registry, &one, NULL), MM_OK);
    assert_int_equal(mmi_registry_add(fixture.registry, &two, NULL), MM_OK);
    mm_error err;
    assert_int_equal(mmi_registry_add(fixture.registry, &one, &err), MM_EXISTS);
    assert_non_null(strstr(err.text, "one"));
    assert_string_equal(tale.text, "i1i2"); /* init is not run for a name that is taken */
    assert_int_equal(find(&fixture, "a.one")->live_bytes, 100);
    fixture_fini(&fixture);
    assert_string_equal(tale.text, "i1i2f2f1");
}

static void test_failing_init(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    tale = (struct tale){.answer = MM_NO_MEMORY, .reason = "the moon is too far"};
    const mm_backend one = told_table(true);
    mm_error err;
    assert_int_equal(mmi_registry_add(fixture.registry, &one, &err), MM_NO_MEMORY);
    assert_string_equal(err.text, "backend one: the moon is too far");
    assert_int_equal(err.needed_bytes, 7);
    assert_int_equal(err.available_bytes, 5);
    assert_string_equal(tale.text, "i1f1");
    assert_null(find(&fixture, "a.one"));
    tale.reason = NULL; /* a backend that says nothing still gives a sentence */
    assert_int_equal(mmi_registry_add(fixture.registry, &one, &err), MM_NO_MEMORY);
    assert_int_equal(err.status, MM_NO_MEMORY);
    assert_string_equal(err.text, "backend one: init failed: out of memory");
    tale.answer = MM_CLOSED;
    assert_int_equal(mmi_registry_add(fixture.registry, &one, &err), MM_BACKEND_FAILED);
    assert_int_equal(err.status, MM_BACKEND_FAILED);
    assert_string_equal(err.text, "backend one: init answered MM_CLOSED (81: the mesh is closed), "
                                  "which it may not");
    tale.answer = MM_OK; /* and the name is free */
    assert_int_equal(mmi_registry_add(fixture.registry, &one, NULL), MM_OK);
    assert_non_null(find(&fixture, "a.one"));
    fixture_fini(&fixture);
}

static void count(void *ctx, uint64_t i) {
    atomic_fetch_add((_Atomic uint64_t *)ctx, i + 1);
}

static void test_services(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    tale = (struct tale){0};
    const mm_backend one = told_table(true);
    assert_int_equal(mmi_registry_add(fixture.registry, &one, NULL), MM_OK);
    struct mmi_backend *backend = find(&fixture, "a.one");
    const mm_services *services = ((struct told_state *)backend->state)->services;
    assert_int_equal(services->struct_size, sizeof(mm_services));
    assert_int_equal(services->abi_minor, MM_BACKEND_ABI_MINOR);
    assert_int_equal(services->threads, 1);
    assert_int_equal(services->limits_nesting, 64);
    assert_int_equal(services->cpu_features, mmi_cpu_features());
    assert_int_equal(services->now_ns(services->host), WORLD_START_NS);
    world_advance(&fixture.world, 5);
    assert_int_equal(services->now_ns(services->host), WORLD_START_NS + 5);
    _Atomic uint64_t sum = 0;
    services->parallel_for(services->host, 10, count, &sum);
    assert_int_equal(sum, 55);
    void *memory = services->allocator.alloc(services->allocator.user, 77, 64);
    assert_int_equal(backend->live_bytes, 177);
    services->allocator.free(services->allocator.user, memory, 77);
    assert_int_equal(backend->live_bytes, 100);
    world_fail_alloc(&fixture.world, 1);
    assert_null(services->allocator.alloc(services->allocator.user, 77, 64));
    assert_int_equal(backend->live_bytes, 100);
    fixture_fini(&fixture);
}

static void test_config(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    mmi_registry_free(fixture.registry);
    const struct mmi_registry_config config = {.pool = fixture.pool,
                                               .cpu_features_mask = UINT64_C(1) << 63,
                                               .max_nesting = 3,
                                               .max_iterations = 7};
    assert_int_equal(mmi_registry_new(&fixture.world.env, &config, &fixture.registry, NULL), MM_OK);
    tale = (struct tale){0};
    const mm_backend one = told_table(true);
    assert_int_equal(mmi_registry_add(fixture.registry, &one, NULL), MM_OK);
    assert_int_equal(find(&fixture, "a.one")->services.cpu_features, 0);
    assert_int_equal(find(&fixture, "a.one")->services.limits_nesting, 3);
    assert_int_equal(find(&fixture, "a.one")->services.limits_iterations, 7);
    fixture_fini(&fixture);
}

/* The registry with all built-ins and a told one, each allocation failing in turn. */
static void test_allocations(void **state) {
    (void)state;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        assert_true(nth < 100);
        struct fixture fixture;
        world_init(&fixture.world);
        assert_int_equal(mmi_pool_new(&fixture.world.env, 1, NULL, &fixture.pool, NULL), MM_OK);
        const struct mmi_registry_config config = {.pool = fixture.pool};
        tale = (struct tale){0};
        const mm_backend one = told_table(true);
        mm_error err = {0};
        world_fail_alloc(&fixture.world, nth);
        fixture.registry = NULL;
        mm_status status = mmi_registry_new(&fixture.world.env, &config, &fixture.registry, &err);
        if (status == MM_OK) {
            status = mmi_registry_add(fixture.registry, &one, &err);
        }
        for (unsigned i = 0; status == MM_OK && mmi_builtin_backends[i]; i++) {
            status = mmi_registry_add(fixture.registry, mmi_builtin_backends[i], &err);
        }
        failed = world_failed(&fixture.world);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        assert_true(status == MM_OK || err.text[0] != '\0');
        fixture_fini(&fixture);
    }
}

/* Registering and looking up at once: one of each name wins, and whoever is found is ready. */

struct race {
    struct fixture *fixture;
    _Atomic uint32_t added;
};

static void *race(void *race_) {
    struct race *race = race_;
    for (unsigned i = 0; mmi_builtin_backends[i]; i++) {
        mm_status status = mmi_registry_add(race->fixture->registry, mmi_builtin_backends[i], NULL);
        atomic_fetch_add(&race->added, status == MM_OK);
        struct mmi_backend *backend = find(race->fixture, "model.echo");
        if (backend && strcmp(backend->table->name, "echo") != 0) {
            return race;
        }
    }
    return NULL;
}

static void test_race(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct race shared = {.fixture = &fixture};
    pthread_t threads[4];
    uint32_t builtins = 0;
    while (mmi_builtin_backends[builtins]) {
        builtins++;
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, race, &shared), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(shared.added, builtins);
    fixture_fini(&fixture);
}

static void test_free_nothing(void **state) {
    (void)state;
    mmi_registry_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),        cmocka_unit_test(test_failing_init),
        cmocka_unit_test(test_services),     cmocka_unit_test(test_config),
        cmocka_unit_test(test_allocations),  cmocka_unit_test(test_race),
        cmocka_unit_test(test_free_nothing),
    };
    return cmocka_run_group_tests_name("plugin-registry", tests, NULL, NULL);
}
