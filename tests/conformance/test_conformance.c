/* SPDX-License-Identifier: Apache-2.0 */

/* One suite over every backend, every sample and every kind of device.
 *
 * Usage: test-conformance FOLDER             built-in backends; FOLDER holds the samples' files
 *        test-conformance FOLDER PLUGIN ...  the backends of these shared objects */

#include <conformance/suite.h>
#include <plugin/registry.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct suite {
    struct subject subjects[128];
    uint32_t subject_count;
    struct CMUnitTest tests[4096];
    uint32_t test_count;
    uint32_t unexpected; /* passes */
};

static const struct exception *find(const struct exception *list, const struct sample *sample,
                                    const char *test) {
    for (; list->backend; list++) {
        if (strcmp(list->backend, sample->backend) == 0 && strcmp(list->test, test) == 0) {
            return list;
        }
    }
    return NULL;
}

static void read_sample(const char *folder, struct subject *subject) {
    const struct sample *sample = subject->sample;
    if (sample->text) {
        subject->bytes = (const uint8_t *)sample->text;
        subject->byte_count = strlen(sample->text);
        return;
    }
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, sample->file);
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        print_error("%s: cannot be read\n", path);
        exit(1);
    }
    subject->byte_count = (uint64_t)ftell(file);
    uint8_t *bytes = malloc(subject->byte_count + 1);
    rewind(file);
    if (!bytes || fread(bytes, 1, subject->byte_count, file) != subject->byte_count) {
        print_error("%s: cannot be read\n", path);
        exit(1);
    }
    fclose(file);
    subject->bytes = bytes; /* as long as the process */
}

static void add_test(struct suite *suite, const struct subject *subject,
                     const struct conformance_test *test) {
    const struct sample *sample = subject->sample;
    const struct exception *never = find(unsupported, sample, test->name);
    if (never) {
        print_message("unsupported: %s: %s: %s\n", sample->backend, test->name, never->reason);
        return;
    }
    char *name = malloc(160);
    if (!name || suite->test_count == sizeof(suite->tests) / sizeof(suite->tests[0])) {
        print_error("too many tests\n");
        exit(1);
    }
    snprintf(name, 160, "%s/%s on %s: %s", sample->backend, sample->name,
             subject->kind == MM_DEVICE_HOST ? "host" : "sim", test->name);
    struct CMUnitTest unit = {
        .name = name, .test_func = test->run, .initial_state = (void *)(uintptr_t)subject};
    const struct exception *yet = find(expected_to_fail, sample, test->name);
    if (!yet) {
        suite->tests[suite->test_count++] = unit;
        return;
    }
    print_message("expected to fail: %s: %s\n", name, yet->reason);
    const struct CMUnitTest only[] = {unit};
    suite->unexpected += cmocka_run_group_tests_name("expected to fail", only, NULL, NULL) == 0;
}

static void add_backend(struct suite *suite, const char *folder, const mm_backend *table) {
    uint32_t before = suite->subject_count;
    for (const struct sample *sample = samples; sample->backend; sample++) {
        for (int32_t kind = MM_DEVICE_HOST; kind <= MM_DEVICE_SIM; kind <<= 1) {
            bool meant = strcmp(sample->backend, table->name) == 0 &&
                         (sample->device_kinds & (uint32_t)kind) != 0;
            if (!meant || suite->subject_count == 128) {
                continue;
            }
            struct subject *subject = &suite->subjects[suite->subject_count++];
            *subject = (struct subject){.table = table, .sample = sample, .kind = kind};
            read_sample(folder, subject);
            for (const struct conformance_test *test = life_tests; test->name; test++) {
                add_test(suite, subject, test);
            }
            for (const struct conformance_test *test = trouble_tests; test->name; test++) {
                add_test(suite, subject, test);
            }
        }
    }
    if (suite->subject_count == before) {
        print_error("%s: no sample in samples.c\n", table->name);
        exit(1);
    }
}

static const mm_backend *load(const char *path) {
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = object ? dlsym(object, MM_BACKEND_ENTRY_NAME) : NULL;
    if (!symbol) {
        print_error("%s: %s\n", path, dlerror());
        exit(1);
    }
    /* One global symbol a plugin: its copy of base/ stays inside. */
    if (dlsym(object, "mm_status_text") || dlsym(object, "mmi_alloc")) {
        print_error("%s: exports more than %s\n", path, MM_BACKEND_ENTRY_NAME);
        exit(1);
    }
    mm_backend_entry_fn entry;
    memcpy(&entry, &symbol, sizeof(entry));
    return entry();
}

int main(int argc, char **argv) {
    static struct suite suite;
    const char *folder = argc > 1 ? argv[1] : "tests";
    for (int i = 2; i < argc; i++) {
        add_backend(&suite, folder, load(argv[i]));
    }
    for (unsigned i = 0; argc <= 2 && mmi_builtin_backends[i]; i++) {
        add_backend(&suite, folder, mmi_builtin_backends[i]);
    }
    int failed = _cmocka_run_group_tests("conformance", suite.tests, suite.test_count, NULL, NULL);
    print_message("%u tests, %d failed, %u passed that should fail\n", suite.test_count, failed,
                  suite.unexpected);
    return failed != 0 || suite.unexpected > 0;
}
