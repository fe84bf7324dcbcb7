/* SPDX-License-Identifier: Apache-2.0 */

/* What a backend's size may see of each kind of input. */

#include <catalog/shown.h>
#include <support/world.h>

#include <string.h>

static int64_t numbers[3] = {1, 2, 3};
static char text[] = "onetwo";
static uint64_t offsets[3] = {0, 3, 6};

static mm_value numbers_of(int64_t count) {
    return (mm_value){.dtype = MM_I64,
                      .rank = 1,
                      .shape = {count},
                      .data = numbers,
                      .bytes = (uint64_t)count * sizeof(int64_t)};
}

static mm_value strings(void) {
    return (mm_value){
        .dtype = MM_STRING, .rank = 1, .shape = {2}, .data = text, .bytes = 6, .offsets = offsets};
}

static mm_value box(int32_t kind, mm_value *items, uint64_t count) {
    return (mm_value){.kind = kind, .items = items, .item_count = count};
}

/* All but the memory is the same, and nothing can be read. */
static void assert_hidden(const mm_value *shown, const mm_value *value) {
    assert_null(shown->data);
    assert_null(shown->offsets);
    assert_int_equal(shown->kind, value->kind);
    assert_int_equal(shown->dtype, value->dtype);
    assert_int_equal(shown->rank, value->rank);
    assert_memory_equal(shown->shape, value->shape, sizeof(value->shape));
    assert_int_equal(shown->bytes, value->dtype == MM_STRING ? 0 : value->bytes);
    assert_int_equal(shown->item_count, value->item_count);
    assert_true(!shown->items == (value->kind == MM_TENSOR || value->item_count == 0));
    for (uint64_t i = 0; value->kind != MM_TENSOR && i < value->item_count; i++) {
        assert_ptr_not_equal(shown->items, value->items);
        assert_hidden(&shown->items[i], &value->items[i]);
    }
}

struct row {
    mm_value items[2], inner[2], inputs[6];
};

/* A tensor, strings, a sequence of sequences, a map, an optional, and one left out. */
static void fill(struct row *row) {
    row->inner[0] = numbers_of(2);
    row->inner[1] = strings();
    row->items[0] = box(MM_SEQUENCE, row->inner, 2);
    row->items[1] = box(MM_SEQUENCE, NULL, 0);
    row->inputs[0] = numbers_of(3);
    row->inputs[1] = strings();
    row->inputs[2] = box(MM_SEQUENCE, row->items, 2);
    row->inputs[3] = box(MM_MAP, row->inner, 2);
    row->inputs[4] = box(MM_OPTIONAL, row->inner, 1);
    row->inputs[5] = box(MM_OPTIONAL, NULL, 0);
}

static void check(uint32_t shape_inputs) {
    struct world world;
    struct row row;
    struct mmi_shown shown;
    mm_value_info infos[6] = {{.name = "a"}};
    world_init(&world);
    fill(&row);
    for (uint32_t i = 0; i < 6; i++) {
        infos[i].flags = shape_inputs >> i & 1 ? MM_VALUE_INFO_SHAPE_INPUT : 0;
    }
    const mm_description description = {.inputs = infos, .input_count = 6};
    const struct row before = row;
    assert_true(mmi_shown_make(&world.env.alloc, &description, row.inputs, &shown));
    for (uint32_t i = 0; i < 6; i++) {
        if (shape_inputs >> i & 1) {
            assert_memory_equal(&shown.values[i], &row.inputs[i], sizeof(mm_value));
        } else {
            assert_hidden(&shown.values[i], &row.inputs[i]);
        }
    }
    assert_memory_equal(&row, &before, sizeof(row)); /* the request keeps what it has */
    mmi_shown_free(&world.env.alloc, &shown);
    world_fail_alloc(&world, 1);
    assert_false(mmi_shown_make(&world.env.alloc, &description, row.inputs, &shown));
    world_fini(&world);
}

static void test_only_shape_inputs_are_shown(void **state) {
    (void)state;
    for (uint32_t shape_inputs = 0; shape_inputs < 64; shape_inputs++) {
        check(shape_inputs);
    }
}

static void test_without_inputs_there_is_nothing(void **state) {
    (void)state;
    struct world world;
    struct mmi_shown shown;
    const mm_description description = {.input_count = 0};
    world_init(&world);
    assert_true(mmi_shown_make(&world.env.alloc, &description, NULL, &shown));
    assert_null(shown.values);
    mmi_shown_free(&world.env.alloc, &shown);
    assert_int_equal(world_allocations(&world), 0);
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_shape_inputs_are_shown),
        cmocka_unit_test(test_without_inputs_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
