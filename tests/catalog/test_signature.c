/* SPDX-License-Identifier: Apache-2.0 */

/* The cache of signatures, over a backend that keeps in each one which shape it was made for. */

#include <catalog/signature.h>
#include <support/world.h>

#include <stdlib.h>
#include <string.h>

/* ---- The backend */

struct made {
    int64_t columns;
    int64_t special;  /* the last element of the shape input; -1: none */
    int64_t elements; /* of it */
    struct counts *counts;
};

struct counts {
    _Atomic uint64_t sized, done;
    mm_status answer; /* of size */
    const mm_allocator *alloc;
};

static mm_status fake_size(void *model, int32_t device_kind, void *signature,
                           const mm_value *inputs, mm_size *out, mm_error *err) {
    struct counts *counts = model;
    assert_int_equal(device_kind, MM_DEVICE_SIM);
    struct made *made = signature;
    assert_null(inputs[0].data); /* only a shape input is shown */
    atomic_fetch_add(&counts->sized, 1);
    made->counts = counts;
    made->columns = inputs[0].shape[1];
    made->elements = (int64_t)(inputs[1].bytes / sizeof(int64_t));
    assert_true(inputs[1].data || made->elements == 0);
    const int64_t *elements = inputs[1].data;
    made->special = made->elements > 0 ? elements[made->elements - 1] : -1;
    out->activation_bytes = (uint64_t)made->columns * 4;
    out->outputs[0].bytes = (uint64_t)made->columns;
    out->exactness[1] = made->columns == 13 ? MM_SIZE_BOUND : MM_SIZE_EXACT;
    out->outputs[1].rank = made->columns == 17 ? MM_MAX_RANK + 1 : 0;
    return counts->answer == MM_OK ? MM_OK : mmi_fail(err, counts->answer, "as told");
}

static void fake_done(void *signature) {
    const struct made *made = signature;
    if (made->counts) {
        atomic_fetch_add(&made->counts->done, 1);
    }
}

static const mm_backend table = {.name = "fake",
                                 .signature_bytes = sizeof(struct made),
                                 .size = fake_size,
                                 .size_done = fake_done};

static const mm_value_info infos[] = {{.name = "x", .dtype = MM_F32, .rank = 2, .shape = {-1, -1}},
                                      {.name = "mode",
                                       .dtype = MM_I64,
                                       .rank = 1,
                                       .shape = {-1},
                                       .flags = MM_VALUE_INFO_SHAPE_INPUT}};
static const mm_value_info outs[] = {{.name = "y", .rank = -1}, {.name = "z", .rank = -1}};

struct fixture {
    struct world world;
    struct counts counts;
    struct mmi_backend backend;
    mm_description description;
    struct mmi_signatures *signatures;
    mm_error err;
};

static void fixture_init(struct fixture *fixture, uint32_t capacity) {
    memset(fixture, 0, sizeof(*fixture));
    world_init(&fixture->world);
    fixture->counts.alloc = &fixture->world.env.alloc;
    fixture->backend.table = &table;
    fixture->description =
        (mm_description){.inputs = infos, .outputs = outs, .input_count = 2, .output_count = 2};
    fixture->signatures =
        mmi_signatures_new(&fixture->world.env.alloc, &fixture->backend, &fixture->description,
                           &fixture->counts, MM_DEVICE_SIM, capacity);
    assert_non_null(fixture->signatures);
}

static void fixture_fini(struct fixture *fixture) {
    mmi_signatures_free(fixture->signatures);
    assert_int_equal(fixture->counts.done,
                     fixture->counts.sized); /* each state was given up once */
    world_fini(&fixture->world);
}

/* ---- Requests */

struct inputs {
    int64_t mode[1];
    float x[1];
    mm_value values[2];
};

/* With `count` elements of the shape input. */
static const mm_value *inputs_with(struct inputs *inputs, int64_t columns, int64_t *mode,
                                   int64_t count) {
    memset(inputs, 0, sizeof(*inputs));
    inputs->values[0] = (mm_value){.dtype = MM_F32,
                                   .rank = 2,
                                   .shape = {1, columns},
                                   .data = inputs->x,
                                   .bytes = sizeof(float)};
    inputs->values[1] = (mm_value){.dtype = MM_I64,
                                   .rank = 1,
                                   .shape = {count},
                                   .data = mode,
                                   .bytes = (uint64_t)count * sizeof(*mode)};
    return inputs->values;
}

static const mm_value *inputs_for(struct inputs *inputs, int64_t columns, int64_t mode) {
    inputs_with(inputs, columns, inputs->mode, 1);
    inputs->mode[0] = mode;
    return inputs->values;
}

static struct mmi_signature *find(struct fixture *fixture, int64_t columns, int64_t mode) {
    struct inputs inputs;
    return mmi_signature_find(fixture->signatures, inputs_for(&inputs, columns, mode));
}

static struct mmi_signature *make(struct fixture *fixture, int64_t columns, int64_t mode) {
    struct inputs inputs;
    struct mmi_signature *signature = NULL;
    assert_int_equal(mmi_signature_make(fixture->signatures, inputs_for(&inputs, columns, mode),
                                        &signature, &fixture->err),
                     MM_OK);
    return signature;
}

/* Make and share; true = it found a slot. Held either way. */
static bool share(struct fixture *fixture, struct mmi_signature **signature) {
    struct mmi_signature *shell = mmi_signature_share(fixture->signatures, signature);
    if (shell) {
        mmi_signature_destroy(fixture->signatures, shell);
    }
    return shell != NULL;
}

static void done(struct fixture *fixture, struct mmi_signature *signature, uint64_t ticks) {
    mmi_signature_done(fixture->signatures, signature, ticks);
}

static void put(struct fixture *fixture, int64_t columns, uint64_t ticks) {
    struct mmi_signature *signature = make(fixture, columns, 0);
    assert_true(share(fixture, &signature));
    done(fixture, signature, ticks);
}

static bool is_known(struct fixture *fixture, int64_t columns, int64_t mode, uint64_t ticks) {
    struct mmi_signature *signature = find(fixture, columns, mode);
    if (!signature) {
        return false;
    }
    const struct made *made = signature->state;
    assert_int_equal(made->columns, columns);
    assert_int_equal(made->special, mode);
    assert_int_equal(signature->size.activation_bytes, columns * 4);
    assert_int_equal(signature->size.outputs[0].bytes, columns);
    assert_int_equal(signature->all_exact, columns != 13);
    done(fixture, signature, ticks);
    return true;
}

static void expect_bytes_add_up(const struct fixture *fixture) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < fixture->signatures->capacity; i++) {
        bytes += fixture->signatures->slots[i].bytes;
    }
    assert_int_equal(fixture->signatures->bytes, bytes);
}

/* ---- Tests */

static void test_what_was_shared_is_found(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 4);
    assert_null(find(&fixture, 3, 0));
    put(&fixture, 3, 1);
    put(&fixture, 13, 2);
    assert_true(is_known(&fixture, 3, 0, 3));
    assert_true(is_known(&fixture, 13, 0, 3));
    assert_false(is_known(&fixture, 4, 0, 3));
    assert_int_equal(fixture.counts.sized, 2);
    expect_bytes_add_up(&fixture);
    fixture_fini(&fixture);
}

/* What cannot be told to a caller is the backend's failure, in size and after a run. */
static void test_outputs_that_cannot_be(void **state) {
    (void)state;
    struct fixture fixture;
    struct inputs inputs;
    struct mmi_signature *signature = NULL;
    int64_t mode = 0;
    fixture_init(&fixture, 4);
    assert_int_equal(mmi_signature_make(fixture.signatures, inputs_with(&inputs, 17, &mode, 1),
                                        &signature, &fixture.err),
                     MM_BACKEND_FAILED);
    assert_non_null(strstr(fixture.err.text, "output 1"));
    signature = make(&fixture, 3, 0);
    mm_value values[2] = {{.bytes = 3}, {.bytes = 0}};
    assert_true(mmi_signature_kept(signature, values, 2));
    values[0].bytes = 4;
    assert_false(mmi_signature_kept(signature, values, 2));
    values[0] = (mm_value){.bytes = 3, .rank = MM_MAX_RANK + 1};
    assert_false(mmi_signature_kept(signature, values, 2));
    done(&fixture, signature, 1);
    fixture_fini(&fixture);
}

/* All of a shape input is part of the key, and shown to size. */
static void test_elements_of_shape_inputs_count(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 4);
    struct mmi_signature *signature = make(&fixture, 3, 7);
    assert_int_equal(((struct made *)signature->state)->special, 7);
    assert_true(share(&fixture, &signature));
    done(&fixture, signature, 1);
    assert_true(is_known(&fixture, 3, 7, 2));
    assert_false(is_known(&fixture, 3, 8, 2));

    fixture_fini(&fixture);
}

/* Made for `count` elements that count from 0; held. */
static struct mmi_signature *make_long(struct fixture *fixture, int64_t *mode, int64_t count) {
    struct inputs inputs;
    struct mmi_signature *signature = NULL;
    for (int64_t i = 0; i < count; i++) {
        mode[i] = i;
    }
    assert_int_equal(mmi_signature_make(fixture->signatures, inputs_with(&inputs, 5, mode, count),
                                        &signature, &fixture->err),
                     MM_OK);
    assert_int_equal(((struct made *)signature->state)->elements, count);
    assert_int_equal(((struct made *)signature->state)->special, count > 0 ? count - 1 : -1);
    return signature;
}

/* Each element counts, the first, the 9th and the last alike; and the memory of the key. */
static void check_long(int64_t count) {
    struct fixture fixture;
    struct inputs inputs;
    fixture_init(&fixture, 4);
    int64_t *mode = calloc((size_t)count + 1, sizeof(*mode));
    struct mmi_signature *signature = make_long(&fixture, mode, count);
    assert_true(share(&fixture, &signature));
    assert_true(signature->bytes >= (uint64_t)count * sizeof(*mode));
    done(&fixture, signature, 1);
    expect_bytes_add_up(&fixture);
    const int64_t places[] = {0, 7, 8, count / 2, count - 1};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const mm_value *values = inputs_with(&inputs, 5, mode, count);
        signature = mmi_signature_find(fixture.signatures, values);
        assert_non_null(signature);
        done(&fixture, signature, 2);
        if (places[i] >= 0 && places[i] < count) {
            mode[places[i]]++;
            assert_null(mmi_signature_find(fixture.signatures, values));
            mode[places[i]]--;
        }
    }
    assert_null(mmi_signature_find(fixture.signatures, inputs_with(&inputs, 5, mode, count + 1)));
    free(mode);
    fixture_fini(&fixture);
}

static void test_shape_inputs_of_any_length_count(void **state) {
    (void)state;
    static const int64_t counts[] = {0, 1, 2, 7, 8, 9, 10, 16, 17, 100, 10000, 32000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        check_long(counts[i]);
    }
}

/* The same text, cut at other places, is another. */
static void test_offsets_of_shape_inputs_count(void **state) {
    (void)state;
    struct fixture fixture;
    struct inputs inputs;
    _Alignas(8) char text[] = "onetwo..", other[] = "onetwo.!";
    uint64_t offsets[3] = {0, 3, 8};
    fixture_init(&fixture, 2);
    inputs_for(&inputs, 5, 0);
    mm_value *words = &inputs.values[1];
    *words = (mm_value){
        .dtype = MM_STRING, .rank = 1, .shape = {2}, .data = text, .bytes = 8, .offsets = offsets};
    mm_value row = {.kind = MM_SEQUENCE, .items = words, .item_count = 1};
    for (int inside = 0; inside < 2; inside++) {
        mm_value values[2] = {inputs.values[0], inside ? row : *words};
        struct mmi_signature *signature = NULL;
        assert_int_equal(mmi_signature_make(fixture.signatures, values, &signature, &fixture.err),
                         MM_OK);
        assert_true(share(&fixture, &signature));
        done(&fixture, signature, 1);
        offsets[1] = 2;
        assert_null(mmi_signature_find(fixture.signatures, values));
        offsets[1] = 3;
        (inside ? words : &values[1])->data = other;
        assert_null(mmi_signature_find(fixture.signatures, values));
        (inside ? words : &values[1])->data = text;
        signature = mmi_signature_find(fixture.signatures, values);
        assert_non_null(signature);
        done(&fixture, signature, 2);
    }
    fixture_fini(&fixture);
}

/* 1 MB: answered, and kept by nobody. */
static void test_large_shape_inputs_are_not_kept(void **state) {
    (void)state;
    const int64_t count = 1 << 17;
    struct fixture fixture;
    struct inputs inputs;
    fixture_init(&fixture, 2);
    put(&fixture, 1, 1);
    int64_t *mode = calloc((size_t)count, sizeof(*mode));
    struct mmi_signature *signature = make_long(&fixture, mode, count);
    struct mmi_signature *own = signature;
    assert_false(share(&fixture, &signature));
    assert_ptr_equal(signature, own);
    assert_true(signature->bytes < 4096);
    done(&fixture, signature, 2);
    assert_null(mmi_signature_find(fixture.signatures, inputs_with(&inputs, 5, mode, count)));
    assert_true(is_known(&fixture, 1, 0, 3));
    free(mode);
    fixture_fini(&fixture);
}

static void test_the_least_recently_used_is_replaced(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    put(&fixture, 1, 1);
    put(&fixture, 2, 2);
    put(&fixture, 3, 3);
    assert_true(is_known(&fixture, 1, 0, 4)); /* now 2 is the oldest */
    put(&fixture, 4, 5);
    assert_int_equal(fixture.counts.done, 1);
    assert_false(is_known(&fixture, 2, 0, 6));
    assert_true(is_known(&fixture, 1, 0, 6));
    assert_true(is_known(&fixture, 3, 0, 6));
    assert_true(is_known(&fixture, 4, 0, 6));
    expect_bytes_add_up(&fixture);
    fixture_fini(&fixture);
}

static void test_what_is_held_is_not_replaced(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    put(&fixture, 1, 1);
    put(&fixture, 2, 2);
    struct mmi_signature *held = find(&fixture, 1, 0);
    put(&fixture, 3, 3); /* in place of 2, though 1 is older */
    assert_false(is_known(&fixture, 2, 0, 4));
    struct mmi_signature *other = find(&fixture, 3, 0);

    struct mmi_signature *own = make(&fixture, 4, 0);
    struct mmi_signature *before = own;
    assert_false(share(&fixture, &own)); /* all are held: it stays the caller's own */
    assert_ptr_equal(own, before);
    assert_int_equal(((struct made *)own->state)->columns, 4);
    uint64_t dropped = fixture.counts.done;
    done(&fixture, own, 5);
    assert_int_equal(fixture.counts.done, dropped + 1);

    assert_int_equal(((struct made *)held->state)->columns, 1);
    done(&fixture, held, 6);
    done(&fixture, other, 6);
    fixture_fini(&fixture);
}

static void test_no_room_at_all(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    struct mmi_signature *own = make(&fixture, 1, 0);
    assert_false(share(&fixture, &own));
    done(&fixture, own, 1);
    assert_null(find(&fixture, 1, 0));
    fixture_fini(&fixture);
    mmi_signatures_free(NULL);
}

/* size may fail at any point; size_done is called all the same. */
static void test_a_failed_size_is_undone(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    fixture.counts.answer = MM_UNSUPPORTED;
    struct inputs inputs;
    struct mmi_signature *signature = NULL;
    assert_int_equal(
        mmi_signature_make(fixture.signatures, inputs_for(&inputs, 1, 0), &signature, &fixture.err),
        MM_UNSUPPORTED);
    assert_string_equal(fixture.err.text, "as told");
    assert_int_equal(fixture.counts.sized, 1);
    fixture_fini(&fixture);
}

static void test_an_odd_status_of_size_is_a_failure(void **state) {
    (void)state;
    static const mm_status odd[] = {MM_NONE, MM_PENDING, MM_CANCELLED, (mm_status)9999};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct fixture fixture;
        fixture_init(&fixture, 2);
        fixture.counts.answer = odd[i];
        struct inputs inputs;
        struct mmi_signature *signature = NULL;
        assert_int_equal(mmi_signature_make(fixture.signatures, inputs_for(&inputs, 1, 0),
                                            &signature, &fixture.err),
                         MM_BACKEND_FAILED);
        assert_int_equal(fixture.err.status, MM_BACKEND_FAILED);
        assert_non_null(strstr(fixture.err.text, "backend fake: size answered MM_"));
        assert_non_null(strstr(fixture.err.text, ", which it may not: as told"));
        fixture_fini(&fixture);
    }
}

static void test_without_memory_nothing_is_left(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    uint64_t before = world_live_bytes(&fixture.world);
    uint64_t nth = 1;
    for (;; nth++) {
        struct inputs inputs;
        struct mmi_signature *signature = NULL;
        world_fail_alloc(&fixture.world, nth);
        mm_status status = mmi_signature_make(fixture.signatures, inputs_for(&inputs, 1, 0),
                                              &signature, &fixture.err);
        if (status == MM_OK) {
            done(&fixture, signature, 1);
            break;
        }
        assert_int_equal(status, MM_NO_MEMORY);
        assert_int_equal(world_live_bytes(&fixture.world), before);
    }
    assert_true(nth > 4);
    world_fail_alloc(&fixture.world, 1);
    assert_null(mmi_signatures_new(&fixture.world.env.alloc, &fixture.backend, &fixture.description,
                                   &fixture.counts, MM_DEVICE_SIM, 2));
    world_fail_alloc(&fixture.world, 0);
    fixture_fini(&fixture);
}

/* ---- At once */

#define THREADS 4u
#define ROUNDS 4000u
#define SHAPES 6

struct user {
    pthread_t thread;
    struct fixture *fixture;
    pthread_mutex_t *writers;
    _Atomic uint64_t *ticks;
    uint64_t seed, wrong, found;
};

static void use_one(struct user *user, int64_t columns) {
    struct fixture *fixture = user->fixture;
    struct inputs inputs;
    const mm_value *values = inputs_for(&inputs, columns, 0);
    struct mmi_signature *signature = mmi_signature_find(fixture->signatures, values);
    user->found += signature != NULL;
    if (!signature) {
        if (mmi_signature_make(fixture->signatures, values, &signature, NULL) != MM_OK) {
            user->wrong++;
            return;
        }
        pthread_mutex_lock(user->writers);
        struct mmi_signature *shell = mmi_signature_share(fixture->signatures, &signature);
        pthread_mutex_unlock(user->writers);
        if (shell) {
            mmi_signature_destroy(fixture->signatures, shell);
        }
    }
    for (int i = 0; i < 3; i++) { /* it stays what it is while it is held */
        const struct made *made = signature->state;
        user->wrong += made->columns != columns;
        user->wrong += signature->size.outputs[0].bytes != (uint64_t)columns;
    }
    mmi_signature_done(fixture->signatures, signature, atomic_fetch_add(user->ticks, 1));
}

static void *use_many(void *ctx) {
    struct user *user = ctx;
    for (unsigned i = 0; i < ROUNDS; i++) {
        use_one(user, 1 + (int64_t)test_random_below(&user->seed, SHAPES));
    }
    return NULL;
}

static void test_many_threads_share_few_slots(void **state) {
    uint64_t seed = *(uint64_t *)*state;
    struct fixture fixture;
    struct user users[THREADS];
    pthread_mutex_t writers = PTHREAD_MUTEX_INITIALIZER;
    _Atomic uint64_t ticks = 1;
    fixture_init(&fixture, 3);
    for (unsigned i = 0; i < THREADS; i++) {
        users[i] = (struct user){
            .fixture = &fixture, .writers = &writers, .ticks = &ticks, .seed = test_random(&seed)};
        assert_int_equal(pthread_create(&users[i].thread, NULL, use_many, &users[i]), 0);
    }
    uint64_t found = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(users[i].thread, NULL);
        assert_int_equal(users[i].wrong, 0);
        found += users[i].found;
    }
    assert_true(found > 0);
    for (uint32_t i = 0; i < 3; i++) { /* VALID, and nobody inside */
        assert_int_equal(atomic_load(&fixture.signatures->slots[i].word), UINT64_C(1) << 63);
    }
    expect_bytes_add_up(&fixture);
    fixture_fini(&fixture);
}

int main(int argc, char **argv) {
    uint64_t seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_shared_is_found),
        cmocka_unit_test(test_outputs_that_cannot_be),
        cmocka_unit_test(test_elements_of_shape_inputs_count),
        cmocka_unit_test(test_shape_inputs_of_any_length_count),
        cmocka_unit_test(test_offsets_of_shape_inputs_count),
        cmocka_unit_test(test_large_shape_inputs_are_not_kept),
        cmocka_unit_test(test_an_odd_status_of_size_is_a_failure),
        cmocka_unit_test(test_the_least_recently_used_is_replaced),
        cmocka_unit_test(test_what_is_held_is_not_replaced),
        cmocka_unit_test(test_no_room_at_all),
        cmocka_unit_test(test_a_failed_size_is_undone),
        cmocka_unit_test(test_without_memory_nothing_is_left),
        cmocka_unit_test_prestate(test_many_threads_share_few_slots, &seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
