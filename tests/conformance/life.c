/* SPDX-License-Identifier: Apache-2.0 */

/* All goes well: what a backend says of itself is true, and it says the same each time. */

#include <conformance/suite.h>
#include <plugin/list.h>

#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define RUNS_PER_THREAD 5

static void lead(struct life *life, enum stage to) {
    mm_error err;
    mm_status status = life_lead(life, to, &err);
    if (status != MM_OK) {
        fail_msg("stage %d: %s: %s", (int)life->reached, mm_status_name(status), err.text);
    }
}

static void begin(struct life *life, struct world *world, void **state, enum stage to) {
    world_init(world);
    life_init(life, world, *state);
    lead(life, to);
}

static void end(struct life *life) {
    life_fini(life);
    world_fini(life->world);
}

static void infer(struct run *run, struct life *life, uint32_t unwanted) {
    run_infer(run, life, unwanted);
    if (run->status != MM_OK) {
        fail_msg("%s: %s", mm_status_name(run->status), run->err.text);
    }
}

static void test_table(void **state) {
    const struct subject *subject = *state;
    mm_error err = {0};
    mm_backend copy;
    if (mmi_backend_read(subject->table, &copy, &err) != MM_OK) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(subject->table->name, subject->sample->backend);
    assert_true(subject->table->device_kinds & (uint32_t)subject->kind);
}

static void test_layout(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_STATE);
    if (life.table->layout) {
        const char *layout = life.table->layout(life.state, life.subject.kind);
        assert_in_range(strnlen(layout, 64), 0, 63);
        assert_string_equal(layout, life.table->layout(life.state, life.subject.kind));
    }
    end(&life);
}

static void check_infos(const mm_value_info *infos, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        assert_non_null(infos[i].name);
        assert_in_range(infos[i].kind, MM_TENSOR, MM_MAP);
        assert_true(infos[i].rank >= -1 && infos[i].rank <= MM_MAX_RANK);
        if (infos[i].kind == MM_TENSOR) {
            assert_string_not_equal(mm_dtype_text(infos[i].dtype), "?");
        }
        for (int32_t axis = 0; axis < infos[i].rank; axis++) {
            assert_true(infos[i].shape[axis] >= -1);
        }
        for (uint32_t other = 0; other < i; other++) {
            assert_string_not_equal(infos[i].name, infos[other].name);
        }
    }
}

static void test_description(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_MODEL);
    const mm_description *description = &life.description;
    assert_int_equal(description->struct_size, sizeof(*description));
    check_infos(description->inputs, description->input_count);
    check_infos(description->outputs, description->output_count);
    assert_true(description->output_count > 0);
    if (life.table->prepare) {
        assert_int_equal(description->weights_bytes, life.artifact.weights_bytes);
    }
    assert_true(description->batch_axis >= -1 && description->batch_axis < MM_MAX_RANK);
    for (uint32_t i = 0; i < 2 * description->metadata_count; i++) {
        assert_non_null(description->metadata[i]);
    }
    end(&life);
}

static void test_size(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_SIGNATURE);
    for (uint32_t i = 0; i < life.description.output_count; i++) {
        const mm_value_info *info = &life.description.outputs[i];
        const mm_value *output = &life.size.outputs[i];
        assert_int_equal(output->kind, info->kind);
        assert_null(output->data);
        assert_in_range(life.size.exactness[i], MM_SIZE_EXACT, MM_SIZE_UNKNOWN);
        if (life.size.exactness[i] == MM_SIZE_EXACT) {
            assert_int_equal(output->kind, MM_TENSOR);
            assert_int_equal(output->dtype, info->dtype);
            assert_int_equal(
                output->bytes,
                mm_dtype_bytes(output->dtype, mm_shape_elements(output->rank, output->shape)));
        }
    }
    end(&life);
}

static void check_outputs(const struct run *run) {
    const struct life *life = run->life;
    for (uint32_t i = 0; i < life->description.output_count; i++) {
        const mm_value *output = &run->outputs[i];
        if (output->flags & MM_VALUE_UNWANTED) {
            continue;
        }
        assert_int_equal(output->kind, life->description.outputs[i].kind);
        if (output->kind != MM_TENSOR) {
            continue;
        }
        uint64_t elements = mm_shape_elements(output->rank, output->shape);
        assert_int_not_equal(elements, UINT64_MAX); /* no axis is unknown any more */
        assert_true(output->bytes == 0 || output->data != NULL);
        if (output->dtype == MM_STRING) {
            assert_int_equal(output->offsets[elements], output->bytes);
        } else {
            assert_int_equal(output->bytes, mm_dtype_bytes(output->dtype, elements));
        }
    }
}

static void check_same(const struct run *a, const struct run *b) {
    for (uint32_t i = 0; i < a->life->description.output_count; i++) {
        if (((a->outputs[i].flags | b->outputs[i].flags) & MM_VALUE_UNWANTED) == 0) {
            assert_true(values_equal(&a->outputs[i], &b->outputs[i]));
        }
    }
}

static void test_infer_twice(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_INSTANCE);
    struct run first, second;
    infer(&first, &life, 0);
    infer(&second, &life, 0);
    check_outputs(&first);
    check_same(&first, &second);
    run_fini(&first);
    run_fini(&second);
    /* Weights are read-only: those that came are as they were. */
    for (uint32_t g = 0; g < life.artifact.group_count; g++) {
        uint64_t from = g > 0 ? life.artifact.ends[g - 1] : 0;
        assert_true(!life.arrived[g] || memcmp(life.memory + from, life.artifact.weights + from,
                                               life.artifact.ends[g] - from) == 0);
    }
    end(&life);
}

static void *infer_often(void *run_) {
    struct run *runs = run_;
    struct life *life = runs[0].life;
    for (unsigned i = 0; i < RUNS_PER_THREAD; i++) {
        run_infer(&runs[i], life, 0);
    }
    return NULL;
}

/* Many threads on one instance, unless the model is serial. */
static void test_threads(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_INSTANCE);
    struct run alone, runs[THREADS][RUNS_PER_THREAD];
    pthread_t threads[THREADS];
    infer(&alone, &life, 0);
    bool serial = (life.description.flags & MM_DESCRIPTION_SERIAL) != 0;
    for (unsigned t = 0; t < THREADS; t++) {
        runs[t][0].life = &life;
        assert_int_equal(pthread_create(&threads[t], NULL, infer_often, runs[t]), 0);
        if (serial) {
            pthread_join(threads[t], NULL);
        }
    }
    for (unsigned t = 0; t < THREADS; t++) {
        if (!serial) {
            pthread_join(threads[t], NULL);
        }
        for (unsigned i = 0; i < RUNS_PER_THREAD; i++) {
            assert_int_equal(runs[t][i].status, MM_OK);
            check_same(&alone, &runs[t][i]);
            run_fini(&runs[t][i]);
        }
    }
    run_fini(&alone);
    end(&life);
}

/* Whatever the request leaves out, the rest is the same. */
static void test_unwanted(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_INSTANCE);
    struct run whole, part;
    infer(&whole, &life, 0);
    for (uint32_t i = 0; i < life.description.output_count && i < 8; i++) {
        infer(&part, &life, 1u << i);
        check_outputs(&part);
        check_same(&whole, &part);
        run_fini(&part);
    }
    infer(&part, &life, UINT32_MAX);
    run_fini(&part);
    run_fini(&whole);
    end(&life);
}

/* Wherever values lie, the answer is the same: on the device they are there in the order
 * of the stream, and not before. */
static void test_places(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_INSTANCE);
    bool takes =
        life.table->flags & MM_BACKEND_DEVICE_VALUES && life.subject.kind != MM_DEVICE_HOST;
    unsigned count = takes ? 2 * PLACE_SMALL : 0;
    struct run plain, placed;
    infer(&plain, &life, 0);
    for (life.places = 0; life.places < count; life.places++) {
        infer(&placed, &life, 0);
        check_outputs(&placed);
        check_same(&plain, &placed);
        run_fini(&placed);
    }
    run_fini(&plain);
    end(&life);
}

/* Two meshes in one process know nothing of each other, and make the same of the same bytes. */
static void test_two_meshes(void **state) {
    struct world world, other_world;
    struct life life, other;
    begin(&life, &world, state, STAGE_INSTANCE);
    begin(&other, &other_world, state, STAGE_INSTANCE);
    const struct artifact *a = &life.artifact, *b = &other.artifact;
    assert_int_equal(a->description_bytes, b->description_bytes);
    assert_true(a->description_bytes == 0 ||
                memcmp(a->description, b->description, a->description_bytes) == 0);
    assert_int_equal(a->weights_bytes, b->weights_bytes);
    assert_true(a->weights_bytes == 0 || memcmp(a->weights, b->weights, a->weights_bytes) == 0);
    assert_int_equal(a->group_count, b->group_count);
    assert_memory_equal(a->ends, b->ends, a->group_count * sizeof(a->ends[0]));
    struct run first, second;
    infer(&first, &life, 0);
    end(&life);
    infer(&second, &other, 0);
    assert_int_equal(first.status, second.status);
    for (uint32_t i = 0; i < other.description.output_count; i++) {
        assert_true(values_equal(&first.outputs[i], &second.outputs[i]));
    }
    run_fini(&first);
    run_fini(&second);
    end(&other);
}

/* One artifact serves many instances, one after the other; the weights come anew each time. */
static void test_attach_again(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_INSTANCE);
    struct run first, second;
    infer(&first, &life, 0);
    life.table->detach(life.instance);
    memset(life.memory, 0, life.region.bytes); /* somebody else's by now */
    life.reached = STAGE_SIGNATURE;
    memset(life.arrived, 0, sizeof(life.arrived));
    lead(&life, STAGE_INSTANCE);
    infer(&second, &life, 0);
    check_same(&first, &second);
    run_fini(&first);
    run_fini(&second);
    end(&life);
}

/* A text call: the same need whatever room there is, nothing written behind it; before and after
 * runs, of an instance that is gone, too. */
static void check_report(const struct life *life) {
    uint64_t need = life->table->report(life->model, life->signature, NULL, 0);
    assert_true(need > 2);
    char *text = malloc(need + 1);
    assert_non_null(text);
    memset(text, '#', need + 1);
    assert_int_equal(life->table->report(life->model, life->signature, text, need), need);
    assert_int_equal(strlen(text), need - 1);
    assert_int_equal(text[need], '#');
    assert_true(text[0] == '{' && text[need - 2] == '}');
    memset(text, '#', need + 1);
    assert_int_equal(life->table->report(life->model, life->signature, text, need / 2), need);
    assert_int_equal(strlen(text), need / 2 - 1);
    assert_int_equal(text[need / 2], '#');
    free(text);
}

static void test_report(void **state) {
    struct world world;
    struct life life;
    begin(&life, &world, state, STAGE_SIGNATURE);
    if (life.table->report) {
        struct run run;
        check_report(&life);
        lead(&life, STAGE_INSTANCE);
        infer(&run, &life, 0);
        check_report(&life);
        run_fini(&run);
    }
    end(&life);
}

const struct conformance_test life_tests[] = {
    {"table", test_table},
    {"layout", test_layout},
    {"description", test_description},
    {"size", test_size},
    {"infer twice", test_infer_twice},
    {"threads", test_threads},
    {"unwanted outputs", test_unwanted},
    {"values on the device", test_places},
    {"two meshes", test_two_meshes},
    {"attach again", test_attach_again},
    {"report", test_report},
    {NULL, NULL},
};
