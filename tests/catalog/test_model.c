/* SPDX-License-Identifier: Apache-2.0 */

/* Handles: against a naive list of lives, with generations that run out, without memory. */

#include <catalog/model.h>
#include <support/world.h>

#include <stdio.h>
#include <string.h>

#define NAMES 300u
#define STEPS 20000u

struct fixture {
    struct world world;
    struct mmi_catalog catalog;
    mm_error err;
};

static void fixture_init(struct fixture *fixture, uint32_t max_models, unsigned generation_bits) {
    world_init(&fixture->world);
    const struct mmi_catalog_config config = {
        .max_models = max_models, .devices = 3, .generation_bits = generation_bits};
    assert_int_equal(
        mmi_catalog_init(&fixture->catalog, &fixture->world.env.alloc, &config, &fixture->err),
        MM_OK);
}

static void fixture_fini(struct fixture *fixture) {
    struct mmi_model *model;
    while ((model = mmi_catalog_next(&fixture->catalog, NULL))) {
        mmi_catalog_remove(&fixture->catalog, model);
    }
    mmi_catalog_fini(&fixture->catalog);
    world_fini(&fixture->world);
}

static uint64_t add(struct fixture *fixture, const char *name) {
    struct mmi_model *model = NULL;
    assert_int_equal(mmi_catalog_add(&fixture->catalog, name, &model, &fixture->err), MM_OK);
    assert_string_equal(mmi_model_name(model), name);
    return atomic_load(&model->id);
}

static void take_out(struct fixture *fixture, uint64_t id) {
    mmi_catalog_remove(&fixture->catalog, mmi_catalog_get(&fixture->catalog, id));
}

/* ---- Random */

struct naive {
    uint64_t ids[NAMES]; /* 0 = not registered */
    uint64_t stale[256]; /* handles of earlier lives */
    size_t stale_count, live;
};

#define NAME_BYTES 128

/* Every third is a long one. */
static void name_of(uint64_t number, char name[NAME_BYTES]) {
    static const char folder[] = "where/names/are/longer/than/what/the/model/itself/has/room/for";
    snprintf(name, NAME_BYTES, "%s/%llu", number % 3 == 0 ? folder : "model",
             (unsigned long long)number);
}

static void check_walk(struct fixture *fixture, const struct naive *naive) {
    size_t count = 0;
    for (struct mmi_model *model = NULL; (model = mmi_catalog_next(&fixture->catalog, model));) {
        assert_int_equal(mmi_catalog_find(&fixture->catalog, mmi_model_name(model)),
                         atomic_load(&model->id));
        count++;
    }
    assert_int_equal(count, naive->live);
    assert_int_equal(fixture->catalog.count, naive->live);
    for (size_t i = 0; i < naive->stale_count && i < 256; i++) {
        assert_null(mmi_catalog_get(&fixture->catalog, naive->stale[i]));
    }
}

static void step(struct fixture *fixture, struct naive *naive, uint64_t *seed) {
    char name[NAME_BYTES];
    uint64_t number = test_random_below(seed, NAMES);
    name_of(number, name);
    uint64_t *id = &naive->ids[number];
    assert_int_equal(mmi_catalog_find(&fixture->catalog, name), *id);
    if (*id == 0) {
        *id = add(fixture, name);
        naive->live++;
    } else if (test_random_below(seed, 3) == 0) {
        struct mmi_model *model;
        assert_int_equal(mmi_catalog_add(&fixture->catalog, name, &model, &fixture->err),
                         MM_EXISTS);
        assert_non_null(strstr(fixture->err.text, name));
    } else {
        naive->stale[naive->stale_count++ % 256] = *id;
        take_out(fixture, *id);
        *id = 0;
        naive->live--;
    }
    if (*id) {
        struct mmi_model *model = mmi_catalog_get(&fixture->catalog, *id);
        assert_string_equal(mmi_model_name(model), name);
        assert_ptr_equal(mmi_catalog_at(&fixture->catalog, *id), model);
    }
}

static void random_steps(uint64_t seed, unsigned generation_bits) {
    struct fixture fixture;
    struct naive naive = {0};
    fixture_init(&fixture, UINT32_MAX, generation_bits);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&fixture, &naive, &seed);
        if (i % 500 == 0) {
            check_walk(&fixture, &naive);
        }
    }
    check_walk(&fixture, &naive);
    fixture_fini(&fixture);
}

static void test_random_steps(void **state) {
    random_steps(*(uint64_t *)*state, 0);
}

static void test_random_steps_with_few_generations(void **state) {
    random_steps(*(uint64_t *)*state, 3);
}

/* ---- Handles */

/* semantics 3: "the same name unregistered and registered, stale handles in flight, generation
 * forced to 8 bits: never the wrong model" */
static void test_a_handle_is_never_given_twice(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, UINT32_MAX, 8);
    static uint8_t seen[16][256]; /* by number and generation */
    memset(seen, 0, sizeof(seen));
    for (unsigned life = 0; life < 255 * 8; life++) {
        uint64_t id = add(&fixture, "phoenix");
        uint32_t number = (uint32_t)id - 1;
        uint32_t generation = (uint32_t)(id >> 32);
        assert_true(number < 16 && generation >= 1 && generation <= 255);
        assert_int_equal(seen[number][generation]++, 0);
        take_out(&fixture, id);
        assert_null(mmi_catalog_get(&fixture.catalog, id));
    }
    assert_int_equal(fixture.catalog.made, 8); /* each number was used up before the next came */
    fixture_fini(&fixture);
}

/* One number has short and long names in turn: none is found by another's, nor by a part of it. */
static void test_names_of_every_length(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, UINT32_MAX, 0);
    static const size_t lengths[] = {1, 63, 64, 65, 62, 255, 8, 128, 7, 71, 72, 254};
    char name[257];
    uint64_t before = 0;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memset(name, 'x', sizeof(name));
        name[lengths[i]] = '\0';
        uint64_t id = add(&fixture, name);
        assert_true(before == 0 || (uint32_t)id == (uint32_t)before);
        for (size_t length = 0; length <= 256; length++) {
            memset(name, 'x', sizeof(name));
            name[length] = '\0';
            uint64_t found = mmi_catalog_find(&fixture.catalog, name);
            assert_int_equal(found, length == lengths[i] ? id : 0);
        }
        take_out(&fixture, id);
        before = id;
    }
    struct mmi_model *model = NULL;
    assert_int_equal(mmi_catalog_add(&fixture.catalog, name, &model, &fixture.err),
                     MM_INVALID_ARGUMENT); /* 256 bytes */
    fixture_fini(&fixture);
}

/* Ten thousands may be registered: what few of them need is allocated when they need it. */
static void test_what_a_registered_model_takes(void **state) {
    (void)state;
    assert_true(sizeof(struct mmi_model) <= 384);
    assert_true(sizeof(struct mmi_version) <= 448);
}

static void test_foreign_handles_lead_nowhere(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, UINT32_MAX, 0);
    uint64_t id = add(&fixture, "one");
    const uint64_t foreign[] = {0,
                                1,
                                UINT64_MAX,
                                UINT32_MAX,
                                id + 1,
                                id + (UINT64_C(1) << 32),
                                UINT64_C(1) << 32,
                                id & UINT64_C(0xffffffff)};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        assert_null(mmi_catalog_get(&fixture.catalog, foreign[i]));
    }
    assert_int_equal(mmi_catalog_find(&fixture.catalog, ""), 0);
    assert_int_equal(mmi_catalog_find(&fixture.catalog, "on"), 0);
    assert_int_equal(mmi_catalog_find(&fixture.catalog, "one "), 0);
    fixture_fini(&fixture);
}

/* A model of many segments stays where it is. */
static void test_models_never_move(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, UINT32_MAX, 0);
    static struct mmi_model *models[3000];
    for (uint64_t i = 0; i < 3000; i++) {
        char name[NAME_BYTES];
        name_of(i, name);
        uint64_t id = add(&fixture, name);
        models[i] = mmi_catalog_get(&fixture.catalog, id);
        assert_int_equal((uintptr_t)models[i] % 64, 0);
    }
    for (uint64_t i = 0; i < 3000; i++) {
        char name[NAME_BYTES];
        name_of(i, name);
        assert_ptr_equal(mmi_catalog_at(&fixture.catalog, mmi_catalog_find(&fixture.catalog, name)),
                         models[i]);
    }
    fixture_fini(&fixture);
}

static void test_a_new_life_remembers_nothing(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, UINT32_MAX, 0);
    uint64_t id = add(&fixture, "one");
    struct mmi_model *model = mmi_catalog_get(&fixture.catalog, id);
    assert_true(mmi_model_want_copies(&fixture.catalog, model));
    atomic_store(&model->hot.word, 7);
    model->settings.pinned = model->preload = true;
    model->settings.replicas = model->settings.min_replicas = 3;
    model->misses = model->granted = model->served = model->loads = 5;
    take_out(&fixture, id);
    id = add(&fixture, "two");
    assert_ptr_equal(mmi_catalog_get(&fixture.catalog, id), model);
    assert_int_equal(atomic_load(&model->hot.word), 0);
    assert_null(atomic_load(&model->copies));
    assert_false(model->settings.pinned || model->preload);
    assert_int_equal(model->settings.replicas + model->settings.min_replicas, 1);
    assert_int_equal(model->settings.evict_class, 1);
    assert_int_equal(model->misses + model->granted + model->served + model->loads, 0);
    assert_true(mmi_list_empty(&model->waiters) && mmi_list_empty(&model->updating));
    fixture_fini(&fixture);
}

/* Both catalogs' first handle is of the same number and generation. */
static void test_a_handle_of_another_mesh_is_stale(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_catalog catalogs[2];
    uint64_t ids[2];
    for (uint32_t i = 0; i < 2; i++) {
        const struct mmi_catalog_config config = {
            .max_models = 10, .devices = 1, .salt = 0x9e3779b9u * (i + 1)};
        struct mmi_model *model;
        assert_int_equal(mmi_catalog_init(&catalogs[i], &world.env.alloc, &config, NULL), MM_OK);
        assert_int_equal(mmi_catalog_add(&catalogs[i], "m", &model, NULL), MM_OK);
        ids[i] = atomic_load(&model->id);
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_non_null(mmi_catalog_get(&catalogs[i], ids[i]));
        assert_null(mmi_catalog_get(&catalogs[i], ids[1 - i]));
        mmi_catalog_remove(&catalogs[i], mmi_catalog_get(&catalogs[i], ids[i]));
    }
    for (uint32_t i = 0; i < 2; i++) {
        mmi_catalog_fini(&catalogs[i]);
    }
    world_fini(&world);
}

/* ---- Refusals */

static void test_max_models(void **state) {
    (void)state;
    struct fixture fixture;
    struct mmi_model *model;
    fixture_init(&fixture, 2, 0);
    uint64_t first = add(&fixture, "one");
    add(&fixture, "two");
    assert_int_equal(mmi_catalog_add(&fixture.catalog, "three", &model, &fixture.err),
                     MM_OVERLOADED);
    assert_non_null(strstr(fixture.err.text, "three"));
    take_out(&fixture, first);
    add(&fixture, "three");
    fixture_fini(&fixture);
}

static void test_without_memory_nothing_changes(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, UINT32_MAX, 0);
    for (uint64_t i = 0; i < 200; i++) {
        char name[NAME_BYTES];
        name_of(i, name);
        for (uint64_t nth = 1;; nth++) {
            struct mmi_model *model = NULL;
            world_fail_alloc(&fixture.world, nth);
            mm_status status = mmi_catalog_add(&fixture.catalog, name, &model, &fixture.err);
            if (status == MM_OK) {
                assert_false(world_failed(&fixture.world));
                break;
            }
            assert_int_equal(status, MM_NO_MEMORY);
            assert_null(model);
            assert_int_equal(mmi_catalog_find(&fixture.catalog, name), 0);
            assert_int_equal(fixture.catalog.count, i);
        }
        world_fail_alloc(&fixture.world, 0);
    }
    fixture_fini(&fixture);

    struct mmi_catalog catalog;
    world_init(&fixture.world);
    world_fail_alloc(&fixture.world, 1);
    const struct mmi_catalog_config config = {.max_models = 1, .devices = 1};
    assert_int_equal(mmi_catalog_init(&catalog, &fixture.world.env.alloc, &config, &fixture.err),
                     MM_NO_MEMORY);
    mmi_catalog_fini(&catalog);
    world_fini(&fixture.world);
}

int main(int argc, char **argv) {
    uint64_t seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_random_steps, &seed),
        cmocka_unit_test_prestate(test_random_steps_with_few_generations, &seed),
        cmocka_unit_test(test_a_handle_is_never_given_twice),
        cmocka_unit_test(test_names_of_every_length),
        cmocka_unit_test(test_what_a_registered_model_takes),
        cmocka_unit_test(test_foreign_handles_lead_nowhere),
        cmocka_unit_test(test_models_never_move),
        cmocka_unit_test(test_a_new_life_remembers_nothing),
        cmocka_unit_test(test_a_handle_of_another_mesh_is_stale),
        cmocka_unit_test(test_max_models),
        cmocka_unit_test(test_without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
