/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/letters.h>
#include <backends/onnx/operators/regex_set.h>

#include <stdlib.h>
#include <string.h>

void mmi_onnx_set_add(struct onnx_letter_set *set, uint32_t first, uint32_t last) {
    if (!mmi_onnx_grow(set->arena, (void **)&set->ranges, &set->capacity, set->count,
                       sizeof(*set->ranges))) {
        set->failed = true;
        return;
    }
    set->ranges[set->count++] = (struct onnx_regex_range){(int32_t)first, (int32_t)last};
}

static int by_first(const void *a, const void *b) {
    int32_t x = ((const struct onnx_regex_range *)a)->first;
    int32_t y = ((const struct onnx_regex_range *)b)->first;
    return (x > y) - (x < y);
}

void mmi_onnx_set_order(struct onnx_letter_set *set) {
    uint32_t count = 0;
    if (set->count > 0) {
        qsort(set->ranges, set->count, sizeof(*set->ranges), by_first);
    }
    for (uint32_t i = 0; i < set->count; i++) {
        struct onnx_regex_range *last = count > 0 ? &set->ranges[count - 1] : NULL;
        struct onnx_regex_range range = set->ranges[i];
        if (last && range.first <= last->last + 1) {
            last->last = range.last > last->last ? range.last : last->last;
        } else {
            set->ranges[count++] = range;
        }
    }
    set->count = count;
}

void mmi_onnx_set_negate(struct onnx_letter_set *set) {
    struct onnx_letter_set other = {.arena = set->arena};
    int32_t at = 0;
    mmi_onnx_set_order(set);
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->ranges[i].first > at) {
            mmi_onnx_set_add(&other, (uint32_t)at, (uint32_t)set->ranges[i].first - 1);
        }
        at = set->ranges[i].last + 1;
    }
    if (at < (int32_t)ONNX_NO_LETTER) {
        mmi_onnx_set_add(&other, (uint32_t)at, ONNX_NO_LETTER - 1);
    }
    other.failed |= set->failed;
    *set = other;
}

void mmi_onnx_set_fold(struct onnx_letter_set *set) {
    static const struct onnx_regex_range cased[] = {
        {'A', 'z'}, {0xb5, 0x587}, {0x1e00, 0x1eff}, {0xff21, 0xff5a}};
    uint32_t count = set->count;
    for (uint32_t i = 0; i < count && !set->failed; i++) {
        for (size_t j = 0; j < sizeof(cased) / sizeof(cased[0]); j++) {
            struct onnx_regex_range range = set->ranges[i];
            int32_t letter = range.first > cased[j].first ? range.first : cased[j].first;
            for (; letter <= range.last && letter <= cased[j].last; letter++) {
                uint32_t small = mmi_onnx_lower((uint32_t)letter);
                uint32_t capital = mmi_onnx_upper((uint32_t)letter);
                if (small != capital) {
                    mmi_onnx_set_add(set, small, small);
                    mmi_onnx_set_add(set, capital, capital);
                }
            }
        }
    }
}

static void add_not(struct onnx_letter_set *set, struct onnx_letter_set *other) {
    mmi_onnx_set_negate(other);
    for (uint32_t i = 0; i < other->count; i++) {
        mmi_onnx_set_add(set, (uint32_t)other->ranges[i].first, (uint32_t)other->ranges[i].last);
    }
    set->failed |= other->failed;
}

static const struct {
    const char *name;
    struct onnx_regex_range ranges[4];
    uint32_t count;
} named[] = {
    {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}, 3},
    {"alpha", {{'A', 'Z'}, {'a', 'z'}}, 2},
    {"ascii", {{0, 127}}, 1},
    {"blank", {{'\t', '\t'}, {' ', ' '}}, 2},
    {"cntrl", {{0, 31}, {127, 127}}, 2},
    {"digit", {{'0', '9'}}, 1},
    {"graph", {{'!', '~'}}, 1},
    {"lower", {{'a', 'z'}}, 1},
    {"print", {{' ', '~'}}, 1},
    {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}, 4},
    {"space", {{'\t', '\r'}, {' ', ' '}}, 2},
    {"upper", {{'A', 'Z'}}, 1},
    {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, 4},
    {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}, 3},
    {"\\s", {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}}, 3},
};

bool mmi_onnx_set_add_named(struct onnx_letter_set *set, const char *name, uint64_t bytes) {
    bool not = bytes > 0 && name[0] == '^';
    name += not ? 1 : 0;
    bytes -= not ? 1 : 0;
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (strlen(named[i].name) != bytes || memcmp(named[i].name, name, bytes) != 0) {
            continue;
        }
        struct onnx_letter_set other = {.arena = set->arena};
        for (uint32_t j = 0; j < named[i].count; j++) {
            mmi_onnx_set_add(not ? &other : set, (uint32_t)named[i].ranges[j].first,
                             (uint32_t)named[i].ranges[j].last);
        }
        if (not ) {
            add_not(set, &other);
        }
        return true;
    }
    return false;
}

bool mmi_onnx_set_add_escape(struct onnx_letter_set *set, uint32_t letter) {
    const char *name = letter == 'd'   ? "digit"
                       : letter == 'D' ? "^digit"
                       : letter == 'w' ? "word"
                       : letter == 'W' ? "^word"
                       : letter == 's' ? "\\s"
                       : letter == 'S' ? "^\\s"
                                       : NULL;
    return name && mmi_onnx_set_add_named(set, name, strlen(name));
}
