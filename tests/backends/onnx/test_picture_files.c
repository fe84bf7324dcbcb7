/* SPDX-License-Identifier: Apache-2.0 */

/* Files of every format (data/images, by images.py): whole, cut short, damaged, and on several
 * threads at once.
 *
 *     test-onnx-picture-files FOLDER [SEED [ROUNDS]] */

#include <backends/onnx/images/library.h>
#include <backends/onnx/images/picture.h>
#include <support/world.h>

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILES 100
#define MOST_MEMORY (UINT64_C(64) << 20) /* of one run */

static uint64_t seed = 1, rounds = 20;

struct file {
    char name[64];
    uint8_t *bytes;
    uint64_t count;
};
static struct file files[MAX_FILES];
static uint32_t file_count;

/* ---- One run --------------------------------------------------------------------------------- */

/* Its memory: what it took, to be freed. */
struct run {
    struct onnx_run_memory memory;
    void *taken[64];
    uint32_t count, most; /* `most`: how many times there is room; 0: always */
    uint64_t bytes;
    struct onnx_picture picture;
    mm_error err;
};

static void *more_memory(void *ctx, uint64_t bytes) {
    struct run *run = ctx;
    if (run->count == 64 || (run->most && run->count == run->most - 1) ||
        bytes > MOST_MEMORY - run->bytes) {
        return NULL;
    }
    run->bytes += bytes;
    run->taken[run->count] = aligned_alloc(64, (bytes + 63) / 64 * 64);
    return run->taken[run->count++];
}

/* The bytes are copied to memory of just their size, so that one read too many is found. */
static mm_status decode_within(struct run *run, const uint8_t *bytes, uint64_t count,
                               uint32_t most) {
    *run = (struct run){.memory = {.more = more_memory, .ctx = run}, .most = most};
    uint8_t *copy = malloc(count + !count);
    memcpy(copy, bytes, count);
    run->picture = (struct onnx_picture){.bytes = copy, .count = count, .memory = &run->memory};
    mm_status status = mmi_onnx_read_picture(&run->picture, &run->err);
    free(copy);
    return status;
}

static mm_status decode(struct run *run, const uint8_t *bytes, uint64_t count) {
    return decode_within(run, bytes, count, 0);
}

static void end(struct run *run) {
    for (uint32_t i = 0; i < run->count; i++) {
        free(run->taken[i]);
    }
}

static bool same_pixels(const struct run *a, const struct run *b, int tolerance) {
    const uint8_t *x = a->picture.rgb.tensor.data, *y = b->picture.rgb.tensor.data;
    bool same = a->picture.width == b->picture.width && a->picture.height == b->picture.height;
    for (uint64_t i = 0; same && i < a->picture.rgb.tensor.elements; i++) {
        same = abs(x[i] - y[i]) <= tolerance;
    }
    return same;
}

/* ---- Which can be read here ------------------------------------------------------------------ */

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), wanted = strlen(end);
    return length >= wanted && strcmp(name + length - wanted, end) == 0;
}

/* The formats that this is built for must be there; the others are refused with what to install. */
static bool is_built_in(const char *name) {
    static const char *const built[] = {
        ".bmp",  ".ppm",
#ifdef MMI_ONNX_JPEG
        ".jpg",
#endif
#ifdef MMI_ONNX_PNG
        ".png",
#endif
#ifdef MMI_ONNX_WEBP
        ".webp",
#endif
#ifdef MMI_ONNX_TIFF
        ".tif",
#endif
#ifdef MMI_ONNX_JPEG2000
        ".jp2",  ".j2k",
#endif
    };
    bool found = false;
    for (size_t i = 0; i < sizeof(built) / sizeof(built[0]); i++) {
        found = found || ends_with(name, built[i]);
    }
    return found;
}

static const struct file *pixels_of(const struct file *file) {
    char name[80];
    snprintf(name, sizeof(name), "%s.ppm", file->name);
    for (uint32_t i = 0; i < file_count; i++) {
        if (strcmp(files[i].name, name) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

/* As Pillow has them. Transforms that lose something are rounded in other ways by other releases of
 * the libraries. */
static int tolerance_of(const char *name) {
    bool lossy =
        ends_with(name, ".jpg") || strncmp(name, "lossy", 5) == 0 || strcmp(name, "jpeg.tif") == 0;
    return lossy ? 1 : 0;
}

static void test_pixels(void **state) {
    uint32_t compared = 0;
    (void)state;
    for (uint32_t i = 0; i < file_count; i++) {
        const struct file *wanted = pixels_of(&files[i]);
        struct run run, reference;
        if (!wanted) {
            continue;
        }
        mm_status status = decode(&run, files[i].bytes, files[i].count);
        if (!is_built_in(files[i].name)) {
            assert_int_equal(status, MM_UNSUPPORTED);
            assert_non_null(strstr(run.err.text, "(Debian: "));
        } else if (status != MM_OK) {
            fail_msg("%s: %s", files[i].name, run.err.text);
        } else {
            assert_int_equal(decode(&reference, wanted->bytes, wanted->count), MM_OK);
            if (!same_pixels(&run, &reference, tolerance_of(files[i].name))) {
                fail_msg("%s: other pixels than those of %s", files[i].name, wanted->name);
            }
            end(&reference);
            compared++;
        }
        end(&run);
    }
    assert_true(compared >= 5);
}

/* A beginning of a file is refused, or all that it lacks is of no use. */
static void test_cut_short(void **state) {
    (void)state;
    for (uint32_t i = 0; i < file_count; i++) {
        struct run whole, cut;
        if (decode(&whole, files[i].bytes, files[i].count) == MM_OK) {
            for (uint64_t count = 0; count < files[i].count; count++) {
                mm_status status = decode(&cut, files[i].bytes, count);
                bool useless = status == MM_OK && same_pixels(&cut, &whole, 0);
                if (!useless && status != MM_INVALID_ARGUMENT) {
                    fail_msg("%s, %u of %u bytes: %s: %s", files[i].name, (unsigned)count,
                             (unsigned)files[i].count, mm_status_name(status), cut.err.text);
                }
                assert_true(status == MM_OK || cut.err.text[0]);
                assert_true(status != MM_OK || count + 200 > files[i].count);
                end(&cut);
            }
        }
        end(&whole);
    }
}

static void mutate(uint8_t *bytes, uint64_t count, uint64_t *random) {
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
    for (uint64_t left = 1 + test_random_below(random, 4); left > 0; left--) {
        uint64_t at = test_random_below(random, test_random_below(random, 2) ? count : 60) % count;
        switch (test_random_below(random, 3)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << test_random_below(random, 8));
            break;
        case 1:
            bytes[at] = odd[test_random_below(random, sizeof(odd))];
            break;
        default:
            bytes[at] = (uint8_t)test_random(random);
        }
    }
}

/* Whatever is in a file, it is a picture or there is a status and a sentence. */
static void test_damaged(void **state) {
    (void)state;
    uint64_t random = seed;
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < file_count; i++) {
            struct run run;
            uint8_t *bytes = malloc(files[i].count);
            memcpy(bytes, files[i].bytes, files[i].count);
            mutate(bytes, files[i].count, &random);
            mm_status status = decode(&run, bytes, files[i].count);
            assert_true(status == MM_OK || status == MM_INVALID_ARGUMENT ||
                        status == MM_UNSUPPORTED || status == MM_NO_ROOM_FOR_ACTIVATIONS ||
                        status == MM_NO_MEMORY);
            assert_true(status == MM_OK || run.err.text[0]);
            end(&run);
            free(bytes);
        }
    }
}

static void test_no_room(void **state) {
    (void)state;
    for (uint32_t i = 0; i < file_count; i++) {
        mm_status status = MM_NO_ROOM_FOR_ACTIVATIONS;
        for (uint32_t most = 1; status == MM_NO_ROOM_FOR_ACTIVATIONS; most++) {
            struct run run;
            status = decode_within(&run, files[i].bytes, files[i].count, most);
            assert_true(status != MM_NO_ROOM_FOR_ACTIVATIONS ||
                        strstr(run.err.text, "no room for"));
            assert_true(most > 1 || status == MM_NO_ROOM_FOR_ACTIVATIONS ||
                        !is_built_in(files[i].name));
            end(&run);
        }
        assert_int_equal(status, is_built_in(files[i].name) ? MM_OK : MM_UNSUPPORTED);
    }
}

static void *decode_all(void *failed) {
    for (uint32_t i = 0; i < file_count; i++) {
        struct run first, again;
        mm_status status = decode(&first, files[i].bytes, files[i].count);
        for (int round = 0; round < 5; round++) {
            bool good = decode(&again, files[i].bytes, files[i].count) == status &&
                        (status != MM_OK || same_pixels(&first, &again, 0));
            *(bool *)failed = *(bool *)failed || !good;
            end(&again);
            decode(&again, files[i].bytes, files[i].count * 2 / 3); /* errors, too */
            end(&again);
        }
        end(&first);
    }
    return NULL;
}

static void test_on_threads(void **state) {
    pthread_t threads[4];
    bool failed[4] = {false};
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, decode_all, &failed[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(failed[i]);
    }
}

static void test_libraries(void **state) {
    static const char *const exit_alone[] = {"exit", NULL};
    static const char *const none[] = {"mmi_there_is_no_such_function", NULL};
    struct onnx_library library = {.name = "libthing", .package = "thing1", .headers = "thing-dev"};
    void *function = NULL;
    mm_error err;
    (void)state;
    assert_int_equal(mmi_onnx_open_library(&library, &function, &err), MM_UNSUPPORTED);
    assert_non_null(strstr(err.text, "without the headers of libthing (Debian: thing-dev)"));
    library.functions = exit_alone;
    library.files[0] = "libmm-there-is-none.so.1";
    assert_int_equal(mmi_onnx_open_library(&library, &function, &err), MM_UNSUPPORTED);
    assert_non_null(strstr(err.text, "libmm-there-is-none.so.1 cannot be opened"));
    assert_non_null(strstr(err.text, "(Debian: thing1)"));
    library.files[1] = "libc.so.6";
    assert_int_equal(mmi_onnx_open_library(&library, &function, &err), MM_OK);
    assert_non_null(function);
    library.functions = none;
    assert_int_equal(mmi_onnx_open_library(&library, &function, &err), MM_UNSUPPORTED);
    assert_non_null(strstr(err.text, "mmi_there_is_no_such_function"));
}

/* ---- Files ----------------------------------------------------------------------------------- */

static bool read_file(const char *folder, const char *name) {
    char path[4096];
    struct file *file = &files[file_count];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    snprintf(file->name, sizeof(file->name), "%s", name);
    FILE *stream = fopen(path, "rb");
    if (!stream || file_count == MAX_FILES) {
        return false;
    }
    file->bytes = malloc(1 << 16);
    file->count = fread(file->bytes, 1, 1 << 16, stream);
    fclose(stream);
    file_count++;
    return file->count > 0;
}

int main(int argc, char **argv) {
    struct dirent **entries;
    int count = argc > 1 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    bool good = count > 0;
    for (int i = 0; i < count; i++) {
        good = good && (entries[i]->d_name[0] == '.' || read_file(argv[1], entries[i]->d_name));
        free(entries[i]);
    }
    if (!good) {
        printf("test-onnx-picture-files FOLDER [SEED [ROUNDS]]\n");
        return 2;
    }
    free(entries);
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : seed;
    rounds = argc > 3 ? strtoull(argv[3], NULL, 0) : rounds;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels),    cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_damaged),   cmocka_unit_test(test_on_threads),
        cmocka_unit_test(test_libraries), cmocka_unit_test(test_no_room),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    for (uint32_t i = 0; i < file_count; i++) {
        free(files[i].bytes);
    }
    return failures;
}
