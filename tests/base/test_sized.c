/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of every size that another header may give them. */
#include <support/world.h>

#include <base/sized.h>

/* Version 1 ended with `b`; today there are `c` and `d`. */
struct thing {
    uint32_t struct_size;
    uint32_t a;
    uint64_t b;
    uint64_t c;
    uint64_t d;
};
#define THING_SIZES MMI_SIZES(struct thing, b)

/* Room for a struct of a later header, and a guard. */
struct grown {
    struct thing thing;
    uint64_t later[2];
};

static struct grown grown_of(uint32_t struct_size) {
    return (struct grown){.thing = {.struct_size = struct_size, .a = 1, .b = 2, .c = 3, .d = 4}};
}

static void test_read(void **state) {
    (void)state;
    for (uint32_t size = 0; size <= sizeof(struct grown) + 8; size++) {
        struct {
            struct grown grown;
            uint64_t end;
        } from = {grown_of(size), 0};
        struct thing thing;
        memset(&thing, 0xa5, sizeof(thing));
        mm_error err = {0};
        bool fits = size >= 16 && size % 8 == 0;
        mm_status status = mmi_sized_read(&thing, &from, THING_SIZES, "thing", &err);
        assert_int_equal(status, fits ? MM_OK : MM_INVALID_ARGUMENT);
        if (fits) {
            assert_int_equal(thing.a, 1);
            assert_int_equal(thing.b, 2);
            assert_int_equal(thing.c, size >= 24 ? 3 : 0);
            assert_int_equal(thing.d, size >= 32 ? 4 : 0);
        } else {
            assert_non_null(strstr(err.text, "thing.struct_size: "));
        }
    }
}

/* The fields of a newer header that this library does not know. */
static void test_later_fields(void **state) {
    (void)state;
    struct grown from = grown_of(sizeof(from));
    struct thing thing;
    assert_int_equal(mmi_sized_read(&thing, &from, THING_SIZES, "thing", NULL), MM_OK);
    assert_int_equal(thing.d, 4);
    for (size_t at = sizeof(struct thing); at < sizeof(from); at++) {
        mm_error err = {0};
        ((unsigned char *)&from)[at] = 1;
        assert_int_equal(mmi_sized_read(&thing, &from, THING_SIZES, "thing", &err),
                         MM_INVALID_ARGUMENT);
        assert_string_equal(err.text, "thing.struct_size: 48, this library knows 32 bytes and the "
                                      "others are not 0");
        assert_int_equal(mmi_sized_check_input(&from, THING_SIZES, "thing", NULL),
                         MM_INVALID_ARGUMENT);
        assert_int_equal(mmi_sized_check(&from, THING_SIZES, "thing", NULL), MM_OK);
        ((unsigned char *)&from)[at] = 0;
    }
    from.later[0] = 1; /* beyond what the caller says it has */
    from.thing.struct_size = sizeof(struct thing);
    assert_int_equal(mmi_sized_read(&thing, &from, THING_SIZES, "thing", NULL), MM_OK);
}

static void test_write(void **state) {
    (void)state;
    struct thing now = grown_of(sizeof(struct thing)).thing;
    for (uint32_t size = 16; size <= sizeof(struct grown); size += 8) {
        struct grown to;
        memset(&to, 0xa5, sizeof(to));
        to.thing.struct_size = size;
        mmi_sized_write(&to, &now, THING_SIZES);
        struct grown wanted;
        memset(&wanted, 0xa5, sizeof(wanted));
        memcpy(&wanted, &now, size < sizeof(now) ? size : sizeof(now));
        wanted.thing.struct_size = size;
        assert_memory_equal(&to, &wanted, sizeof(to));
    }
}

static void test_refusals(void **state) {
    (void)state;
    struct thing thing = {.struct_size = 8};
    mm_error err;
    assert_int_equal(mmi_sized_check(NULL, THING_SIZES, "thing", &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "thing: NULL");
    assert_int_equal(mmi_sized_read(&thing, NULL, THING_SIZES, "thing", &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "thing: NULL");
    assert_int_equal(mmi_sized_check(&thing, THING_SIZES, "thing", &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text,
                        "thing.struct_size: 8, a multiple of 8 from 16 to 65536 expected");
    /* Nothing of that size is there: it is refused before it is read. */
    thing.struct_size = MMI_SIZED_MAX + 8;
    assert_int_equal(mmi_sized_check_input(&thing, THING_SIZES, "thing", NULL),
                     MM_INVALID_ARGUMENT);
    thing.struct_size = UINT32_MAX;
    assert_int_equal(mmi_sized_check_input(&thing, THING_SIZES, "thing", NULL),
                     MM_INVALID_ARGUMENT);
}

static void test_init(void **state) {
    (void)state;
    struct grown to;
    memset(&to, 0xa5, sizeof(to));
    mmi_sized_init(&to, 24);
    assert_int_equal(to.thing.struct_size, 24);
    assert_int_equal(to.thing.a, 0);
    assert_int_equal(to.thing.c, 0);
    assert_int_equal(to.thing.d, UINT64_C(0xa5a5a5a5a5a5a5a5));
    mmi_sized_init(&to, 3);
    assert_int_equal(to.thing.struct_size, 24);
    mmi_sized_init(NULL, 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),  cmocka_unit_test(test_later_fields),
        cmocka_unit_test(test_write), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
