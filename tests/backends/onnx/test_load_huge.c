/* SPDX-License-Identifier: Apache-2.0 */

/* A file of more than 2 GiB, of which only the ends take memory. */

#include "loaded.h"

#include <string.h>
#include <sys/mman.h>

/* A model with a tensor of bytes in its middle, of which only the rest is ever touched. */
struct huge {
    struct writer w;
    size_t head; /* bytes of w before the tensor's */
    uint64_t bytes;
};

static mm_status read_huge(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err) {
    const struct huge *huge = ctx;
    (void)err;
    assert_int_equal(offset, 0);
    assert_int_equal(count, huge->w.count + huge->bytes);
    memcpy(to, huge->w.bytes, huge->head);
    memcpy((uint8_t *)to + huge->head + huge->bytes, huge->w.bytes + huge->head,
           huge->w.count - huge->head);
    return MM_OK;
}

/* Pages that nobody touches take no memory. */
static void *map_alloc(void *user, size_t bytes, size_t align) {
    (void)user;
    assert_true(align <= 4096);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void map_free(void *user, void *memory, size_t bytes) {
    (void)user;
    munmap(memory, bytes);
}

static void put_varint(struct writer *w, uint64_t value) {
    for (; value > 127; value >>= 7) {
        writer_raw(w, &(uint8_t){(uint8_t)(value | 128)}, 1);
    }
    writer_raw(w, &(uint8_t){(uint8_t)value}, 1);
}

static void test_more_than_2_gib(void **state) {
    (void)state;
    struct huge huge = {.bytes = (UINT64_C(2) << 30) + 12345};
    struct writer *w = &huge.w, node;
    struct loaded l;
    /* ModelProto { 8: opset, 7: graph { 5: tensor { ..., 9: bytes }, 12: output } } by hand: its
     * lengths need more than the writer has. */
    writer_init(&node, 0);
    writer_output(&node, "c", MM_U8, NULL);
    size_t output = node.count - node.open[0].begin;
    const size_t tensor_head = 1 + 5 + 2 + 3, tag_and_length = 1 + 5;
    *w = (struct writer){.depth = 0};
    writer_import(w, "", 13);
    writer_raw(w, &(uint8_t){7 << 3 | 2}, 1);
    put_varint(w, tag_and_length + tensor_head + tag_and_length + huge.bytes + output);
    writer_raw(w, &(uint8_t){5 << 3 | 2}, 1);
    put_varint(w, tensor_head + tag_and_length + huge.bytes);
    writer_varint(w, 1, huge.bytes);
    writer_varint(w, 2, MM_U8);
    writer_text(w, 8, "c");
    writer_raw(w, &(uint8_t){9 << 3 | 2}, 1);
    put_varint(w, huge.bytes);
    huge.head = w->count;
    writer_raw(w, node.bytes + node.open[0].begin, output);
    loaded_init(&l);
    l.services.allocator = (mm_allocator){NULL, map_alloc, map_free};
    l.model.arena = &l.arena;
    mm_source source = {
        .ctx = &huge, .name = "huge.onnx", .bytes = huge.bytes + w->count, .read = read_huge};
    mm_status status = mmi_onnx_load(&source, &l.services, &l.model, &l.err);
    if (status != MM_OK) {
        fail_msg("%s", l.err.text);
    }
    assert_int_equal(constant_of(&l, "c")->bytes, huge.bytes);
    assert_int_equal(l.model.main->output_count, 1);
    writer_fini(&node);
    writer_fini(w);
    loaded_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_than_2_gib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
