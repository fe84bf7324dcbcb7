/* SPDX-License-Identifier: Apache-2.0 */

/* Feeds files to a fuzz target, and seeded damage of each: what was found once stays found.
 *
 *     fuzz_main FOLDER [MUTATIONS [SEED]]      default: 200 of each file, seed 1 */

#include <support/fuzz.h>
#include <support/scratch.h>

#define MAX_BYTES (1 << 16)

struct file {
    uint8_t bytes[MAX_BYTES];
    size_t count;
};

static struct file files[256];
static size_t file_count;

static void read_files(const char *folder) {
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    assert_true(count > 2 && count <= 256);
    for (int i = 0; i < count; i++) {
        char path[4096];
        struct stat status;
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        assert_int_equal(stat(path, &status), 0);
        if (S_ISREG(status.st_mode)) {
            struct file *file = &files[file_count++];
            FILE *stream = fopen(path, "rb");
            assert_non_null(stream);
            file->count = fread(file->bytes, 1, sizeof(file->bytes), stream);
            fclose(stream);
        }
        free(names[i]);
    }
    free(names);
}

/* From memory of exactly its size, so that a sanitizer sees who reads on. */
static void feed(const struct file *file) {
    uint8_t *copy = malloc(file->count + 1);
    assert_non_null(copy);
    memcpy(copy + 1, file->bytes, file->count); /* at an odd address */
    LLVMFuzzerTestOneInput(copy + 1, file->count);
    free(copy);
}

static const char *folder;
static uint64_t mutations, first_seed;

static void test_corpus(void **state) {
    (void)state;
    read_files(folder);
    for (size_t i = 0; i < file_count; i++) {
        feed(&files[i]);
    }
}

static void test_damage(void **state) {
    (void)state;
    static struct file file;
    for (size_t i = 0; i < file_count; i++) {
        for (uint64_t n = 0; n < mutations; n++) {
            uint64_t seed = first_seed + n * 1000 + i;
            file = files[i];
            file.count = fuzz_mutate(file.bytes, file.count, sizeof(file.bytes), &seed);
            feed(&file);
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        return 2;
    }
    folder = argv[1];
    mutations = argc > 2 ? strtoull(argv[2], NULL, 10) : 200;
    first_seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
