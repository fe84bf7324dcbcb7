/* SPDX-License-Identifier: Apache-2.0 */
#include <support/fuzz_mutate.h>

#include <base/hash.h>
#include <support/world.h>

#include <string.h>

#define MAX_LEAVES 4096
#define MAX_DEPTH 32

/* A number or text of a message. */
struct leaf {
    size_t at, bytes;
    uint32_t wire; /* 0 varint, 1 and 5 fixed, 2 bytes */
};

struct leaves {
    const uint8_t *file;
    struct leaf all[MAX_LEAVES];
    size_t count;
};

/* Where the varint at `at` ends; `end` where it has none. */
static size_t varint_end(const uint8_t *file, size_t at, size_t end) {
    while (at < end && file[at] & 128) {
        at++;
    }
    return at < end ? at + 1 : end;
}

static uint64_t varint_at(const uint8_t *file, size_t at, size_t end) {
    uint64_t value = 0;
    for (uint32_t shift = 0; at < end && shift < 64; shift += 7) {
        value |= (uint64_t)(file[at++] & 127) << shift;
    }
    return value;
}

static bool collect(struct leaves *leaves, size_t at, size_t end, uint32_t depth);

/* What looks like a message is one; else it is a text. */
static void collect_bytes(struct leaves *leaves, size_t at, size_t end, uint32_t depth) {
    size_t before = leaves->count;
    if (depth >= MAX_DEPTH || !collect(leaves, at, end, depth + 1)) {
        leaves->count = before;
        if (before < MAX_LEAVES) {
            leaves->all[leaves->count++] = (struct leaf){at, end - at, 2};
        }
    }
}

static bool collect(struct leaves *leaves, size_t at, size_t end, uint32_t depth) {
    while (at < end) {
        size_t value = varint_end(leaves->file, at, end);
        uint64_t tag = varint_at(leaves->file, at, value);
        uint32_t wire = tag & 7;
        size_t next = wire == 1 ? value + 8 : wire == 5 ? value + 4 : 0;
        if (wire == 0 || wire == 2) {
            next = varint_end(leaves->file, value, end);
        }
        if (tag >> 3 == 0 || tag >> 3 > 32 || next <= value || next > end) {
            return false;
        }
        if (wire == 2) {
            uint64_t length = varint_at(leaves->file, value, next);
            if (length > end - next) {
                return false;
            }
            collect_bytes(leaves, next, next + length, depth);
            next += length;
        } else if (leaves->count < MAX_LEAVES) {
            leaves->all[leaves->count++] = (struct leaf){value, next - value, wire};
        }
        at = next;
    }
    return true;
}

/* ---- Changing -------------------------------------------------------------------------------- */

static void change_varint(uint8_t *at, size_t bytes, uint64_t *seed) {
    static const uint64_t values[] = {0, 1, 2, 3, 7, 16, 64, 127, 1 << 20, UINT64_MAX, INT64_MAX};
    const size_t known = sizeof(values) / sizeof(values[0]);
    uint64_t value = test_random_below(seed, 3) > 0 ? values[test_random_below(seed, known)]
                                                    : test_random_below(seed, 40);
    for (size_t i = 0; i < bytes; i++, value = value >> 7) {
        at[i] = (uint8_t)((value & 127) | (i + 1 < bytes ? 128 : 0));
    }
}

static void change_fixed(uint8_t *at, size_t bytes, uint64_t *seed) {
    static const float values[] = {0, 1, -1, 0.5F, 1e30F, -1e-30F, 3e9F, 1 / 0.0F, -1 / 0.0F};
    const size_t known = sizeof(values) / sizeof(values[0]);
    float f32 = values[test_random_below(seed, known)];
    double f64 = (double)f32;
    memcpy(at, bytes == 8 ? (const void *)&f64 : &f32, bytes);
}

/* Another text of this length, or one byte of it. */
static void change_text(struct leaves *leaves, uint8_t *file, const struct leaf *leaf,
                        uint64_t *seed) {
    const struct leaf *other = &leaves->all[test_random_below(seed, leaves->count)];
    for (int i = 0; i < 16 && (other->wire != 2 || other->bytes != leaf->bytes); i++) {
        other = &leaves->all[test_random_below(seed, leaves->count)];
    }
    if (leaf->bytes == 0) {
        return;
    }
    if (other->bytes == leaf->bytes && test_random_below(seed, 4) > 0) {
        memmove(file + leaf->at, file + other->at, leaf->bytes);
    } else {
        file[leaf->at + test_random_below(seed, leaf->bytes)] = (uint8_t)test_random(seed);
    }
}

size_t fuzz_hurt(uint8_t *bytes, size_t count, size_t room, uint64_t *seed) {
    size_t at = test_random_below(seed, count);
    size_t length = 1 + test_random_below(seed, 16);
    switch (test_random_below(seed, 3)) {
    case 0:
        bytes[at] = (uint8_t)test_random(seed);
        return count;
    case 1: /* cut out */
        length = length < count - at ? length : count - at;
        memmove(bytes + at, bytes + at + length, count - at - length);
        return count - length;
    default: /* put in */
        length = length < room - count ? length : room - count;
        memmove(bytes + at + length, bytes + at, count - at);
        return count + length;
    }
}

size_t fuzz_mutate_model(uint8_t *bytes, size_t count, size_t room, uint64_t *seed) {
    struct leaves leaves = {.file = bytes};
    collect(&leaves, 0, count, 0);
    if (count == 0 || leaves.count == 0 || test_random_below(seed, 16) == 0) {
        return count > 0 ? fuzz_hurt(bytes, count, room, seed) : 0;
    }
    for (uint64_t n = 1 + test_random_below(seed, 3); n > 0; n--) {
        const struct leaf *leaf = &leaves.all[test_random_below(seed, leaves.count)];
        if (leaf->wire == 0) {
            change_varint(bytes + leaf->at, leaf->bytes, seed);
        } else if (leaf->wire == 2) {
            change_text(&leaves, bytes, leaf, seed);
        } else {
            change_fixed(bytes + leaf->at, leaf->bytes, seed);
        }
    }
    return count;
}

/* ---- The script ------------------------------------------------------------------------------ */

/* Field 30, bytes: 30 << 3 | 2 as a varint. */
#define TAG_0 0xf2
#define TAG_1 0x01
#define HEAD 3

void fuzz_read_script(const uint8_t *bytes, size_t count, struct fuzz_script *script) {
    bool there = count >= HEAD && bytes[0] == TAG_0 && bytes[1] == TAG_1 && bytes[2] < 128 &&
                 bytes[2] <= count - HEAD;
    size_t length = there ? bytes[2] : 0;
    size_t model = there ? HEAD + length : 0;
    *script = (struct fuzz_script){.bytes = bytes + (there ? HEAD : 0),
                                   .count = length,
                                   .model = bytes + model,
                                   .model_bytes = count - model};
    script->seed = mmi_hash64(script->model, script->model_bytes, 0);
}

uint64_t fuzz_draw(struct fuzz_script *script, uint64_t limit) {
    uint64_t value = 0;
    if (script->at >= script->count) {
        return test_random_below(&script->seed, limit);
    }
    for (uint64_t rest = limit - 1; rest > 0 && script->at < script->count; rest >>= 8) {
        value = value << 8 | script->bytes[script->at++];
    }
    return value % limit;
}

size_t fuzz_mutate_script(uint8_t *bytes, size_t count, size_t room, uint64_t *seed) {
    struct fuzz_script script;
    uint8_t text[FUZZ_SCRIPT_BYTES];
    fuzz_read_script(bytes, count, &script);
    size_t length = script.count;
    memcpy(text, script.bytes, length);
    while (length < 8) {
        text[length++] = (uint8_t)test_random(seed);
    }
    for (uint64_t n = 1 + test_random_below(seed, 3); n > 0 && length > 1; n--) {
        length = fuzz_hurt(text, length, sizeof(text), seed);
    }
    if (HEAD + length + script.model_bytes > room) {
        return count;
    }
    memmove(bytes + HEAD + length, script.model, script.model_bytes);
    memcpy(bytes + HEAD, text, length);
    bytes[0] = TAG_0;
    bytes[1] = TAG_1;
    bytes[2] = (uint8_t)length;
    return HEAD + length + script.model_bytes;
}
