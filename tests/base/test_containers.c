/* SPDX-License-Identifier: Apache-2.0 */
#include <base/heap.h>
#include <base/list.h>
#include <support/world.h>

#define NODES 64

static uint64_t seed;

/* The heap against a bag: whatever is asked of both, the smallest key is the same. */
static void test_heap_random(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_heap heap;
    mmi_heap_init(&heap, &world.env.alloc);
    struct mmi_heap_node nodes[NODES] = {{0}};
    uint64_t random = seed;
    for (int step = 0; step < 20000; step++) {
        struct mmi_heap_node *node = &nodes[test_random_below(&random, NODES)];
        if (node->place == 0 && test_random_below(&random, 3) > 0) {
            node->key = test_random_below(&random, 40);
            assert_true(mmi_heap_add(&heap, node));
        } else {
            mmi_heap_remove(&heap, node);
        }
        size_t count = 0;
        uint64_t least = UINT64_MAX;
        for (size_t i = 0; i < NODES; i++) {
            if (nodes[i].place > 0) {
                assert_ptr_equal(heap.nodes[nodes[i].place - 1], &nodes[i]);
                least = nodes[i].key < least ? nodes[i].key : least;
                count++;
            }
        }
        assert_int_equal(heap.count, count);
        struct mmi_heap_node *top = mmi_heap_top(&heap);
        assert_true(count == 0 ? !top : top->key == least);
    }
    mmi_heap_fini(&heap);
    world_fini(&world);
}

static void test_heap_sorts(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_heap heap;
    mmi_heap_init(&heap, &world.env.alloc);
    struct mmi_heap_node nodes[NODES] = {{0}};
    uint64_t random = seed;
    for (size_t i = 0; i < NODES; i++) {
        nodes[i].key = test_random(&random);
        assert_true(mmi_heap_add(&heap, &nodes[i]));
    }
    uint64_t last = 0;
    for (size_t i = 0; i < NODES; i++) {
        struct mmi_heap_node *top = mmi_heap_top(&heap);
        assert_true(top->key >= last);
        last = top->key;
        mmi_heap_remove(&heap, top);
        mmi_heap_remove(&heap, top); /* not in it: nothing happens */
    }
    assert_null(mmi_heap_top(&heap));
    mmi_heap_fini(&heap);
    world_fini(&world);
}

static void test_heap_out_of_memory(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_heap heap;
    mmi_heap_init(&heap, &world.env.alloc);
    struct mmi_heap_node nodes[NODES] = {{0}};
    world_fail_alloc(&world, 1);
    assert_false(mmi_heap_add(&heap, &nodes[0]));
    assert_int_equal(nodes[0].place, 0);
    assert_int_equal(heap.count, 0);
    assert_false(mmi_heap_reserve(&heap, SIZE_MAX));
    /* What was reserved cannot fail. */
    assert_true(mmi_heap_reserve(&heap, NODES));
    for (size_t i = 0; i < NODES; i++) {
        world_fail_alloc(&world, 1);
        assert_true(mmi_heap_add(&heap, &nodes[i]));
    }
    assert_false(world_failed(&world));
    mmi_heap_fini(&heap);
    world_fini(&world);
}

struct item {
    int number;
    struct mmi_list link;
};

static int number_of(const struct mmi_list *link) {
    return MMI_CONTAINER(link, const struct item, link)->number;
}

static void test_list(void **state) {
    (void)state;
    struct mmi_list head;
    struct mmi_list other;
    struct item items[4];
    mmi_list_init(&head);
    mmi_list_init(&other);
    assert_null(mmi_list_pop(&head));
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        mmi_list_init(&items[i].link);
        assert_false(mmi_list_linked(&items[i].link));
        mmi_list_push_back(i < 2 ? &head : &other, &items[i].link);
        assert_true(mmi_list_linked(&items[i].link));
    }
    mmi_list_move_all(&head, &other);
    assert_true(mmi_list_empty(&other));
    mmi_list_move_all(&head, &other); /* nothing to move */
    int expected = 0;
    MMI_LIST_EACH(link, &head) {
        assert_int_equal(number_of(link), expected++);
        if (number_of(link) == 2) {
            mmi_list_remove(link); /* the current one may leave */
            assert_false(mmi_list_linked(link));
        }
    }
    assert_int_equal(expected, 4);
    mmi_list_insert(&items[0].link, &items[2].link);
    const int order[] = {2, 0, 1, 3};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(number_of(mmi_list_pop(&head)), order[i]);
    }
    assert_true(mmi_list_empty(&head));
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap_random),
        cmocka_unit_test(test_heap_sorts),
        cmocka_unit_test(test_heap_out_of_memory),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
