/* SPDX-License-Identifier: Apache-2.0 */
#include <source/source.h>
#include <support/scratch.h>
#include <support/served.h>
#include <support/world.h>

#include <errno.h>

static struct world world;
static struct scratch scratch;
static size_t descriptors;
static mm_error err;

static int setup(void **state) {
    (void)state;
    world_init(&world);
    scratch_init(&scratch);
    descriptors = open_descriptors();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(open_descriptors(), descriptors);
    scratch_fini(&scratch);
    world_fini(&world);
    return 0;
}

static mm_status open_named(const char *name, struct mmi_source **source) {
    char path[SCRATCH_ROOM];
    memset(&err, 0, sizeof(err));
    return mmi_source_open(&world.env, scratch_path(&scratch, name, path), NULL, source, &err);
}

static void expect_content(const mm_source *reader, const char *text) {
    char bytes[64] = {0};
    assert_int_equal(reader->bytes, strlen(text));
    assert_int_equal(reader->read(reader->ctx, 0, bytes, reader->bytes, &err), MM_OK);
    assert_string_equal(bytes, text);
}

/* The source of `name` has this content. */
static void expect_resolved(const char *name, const char *text) {
    struct mmi_source *source;
    assert_int_equal(open_named(name, &source), MM_OK);
    expect_content(mmi_source_reader(source), text);
    mmi_source_close(source);
}

static mm_status open_sibling(struct mmi_source *source, const char *relative, mm_source *sibling) {
    const mm_source *reader = mmi_source_reader(source);
    return reader->open(reader->ctx, relative, sibling, &err);
}

static void test_file(void **state) {
    (void)state;
    scratch_text(&scratch, "m.onnx", "0123456789");
    struct mmi_source *source;
    assert_int_equal(open_named("m.onnx", &source), MM_OK);
    const mm_source *reader = mmi_source_reader(source);
    assert_string_equal(reader->name, mmi_source_path(source));
    char part[3];
    assert_int_equal(reader->read(reader->ctx, 7, part, 3, &err), MM_OK);
    assert_memory_equal(part, "789", 3);
    assert_int_equal(reader->read(reader->ctx, 10, part, 0, &err), MM_OK);
    assert_int_equal(reader->read(reader->ctx, 8, part, 3, &err), MM_INVALID_MODEL);
    assert_non_null(strstr(err.text, "ends at byte 10, wanted 3 at 8"));
    assert_int_equal(reader->read(reader->ctx, UINT64_MAX, part, 2, &err), MM_INVALID_MODEL);
    struct mmi_source_file file;
    assert_true(mmi_source_file(source, 0, &file));
    assert_string_equal(file.name, "m.onnx");
    assert_int_equal(file.reader->bytes, 10);
    assert_false(mmi_source_file(source, 1, &file));
    mmi_source_close(source);
    mmi_source_close(NULL);
}

static void test_memory(void **state) {
    (void)state;
    struct mmi_source *source;
    struct mmi_memory memory = {.data = "abc", .bytes = 3}, nothing = {0};
    assert_int_equal(mmi_source_open(&world.env, NULL, &memory, &source, &err), MM_OK);
    expect_content(mmi_source_reader(source), "abc");
    assert_string_equal(mmi_source_path(source), "");
    char byte;
    const mm_source *reader = mmi_source_reader(source);
    assert_int_equal(reader->read(reader->ctx, 3, &byte, 1, &err), MM_INVALID_MODEL);
    mm_source sibling;
    assert_int_equal(open_sibling(source, "other", &sibling), MM_NOT_FOUND);
    assert_true(mmi_source_unchanged(source));
    assert_false(mmi_source_identity(source).strong);
    mmi_memory_end(&memory); /* the caller's again */
    assert_int_equal(reader->read(reader->ctx, 0, &byte, 1, &err), MM_CANCELLED);
    mmi_source_close(source);
    assert_int_equal(mmi_source_open(&world.env, NULL, &nothing, &source, &err), MM_OK);
    expect_content(mmi_source_reader(source), "");
    mmi_source_close(source);
}

static void test_folder(void **state) {
    (void)state;
    struct mmi_source *source;
    scratch_folder(&scratch, "model");
    assert_int_equal(open_named("model", &source), MM_NOT_FOUND);
    assert_non_null(strstr(err.text, "numbered folder"));
    scratch_folder(&scratch, "model/2");
    scratch_folder(&scratch, "model/10");
    scratch_folder(&scratch, "model/11"); /* without a model: a version being copied in */
    scratch_folder(&scratch, "model/x99");
    scratch_text(&scratch, "model/2/model.onnx", "two");
    scratch_text(&scratch, "model/10/model.onnx", "ten");
    scratch_text(&scratch, "model/x99/model.onnx", "no number");
    expect_resolved("model", "ten");
    scratch_text(&scratch, "model/model.onnx", "flat");
    expect_resolved("model", "flat");
}

static void test_main_file_errors(void **state) {
    (void)state;
    struct mmi_source *source;
    assert_int_equal(open_named("absent.onnx", &source), MM_NOT_FOUND);
    assert_non_null(strstr(err.text, "absent.onnx"));
    assert_int_equal(open_named("absent/m.onnx", &source), MM_NOT_FOUND);
    scratch_text(&scratch, "file", "x");
    assert_int_equal(open_named("file/m.onnx", &source), MM_NOT_FOUND);
    char path[SCRATCH_ROOM];
    assert_int_equal(mkfifo(scratch_path(&scratch, "pipe", path), 0600), 0);
    assert_int_equal(open_named("pipe", &source), MM_IO); /* and does not hang */
    world_fault(&world, "open", 2, EMFILE);
    assert_int_equal(open_named("file", &source), MM_NO_FDS);
    world_fault(&world, "open", 1, EIO);
    assert_int_equal(open_named("file", &source), MM_IO);
    char *long_path = calloc(1, 8192);
    memset(long_path, 'a', 8191);
    assert_int_equal(mmi_source_open(&world.env, long_path, NULL, &source, &err), MM_NOT_FOUND);
    free(long_path);
}

static void test_siblings(void **state) {
    (void)state;
    scratch_folder(&scratch, "m");
    scratch_folder(&scratch, "m/data");
    scratch_text(&scratch, "m/model.onnx", "main");
    scratch_text(&scratch, "m/data/w.bin", "weights");
    struct mmi_source *source;
    assert_int_equal(open_named("m", &source), MM_OK);
    mm_source sibling, again;
    assert_int_equal(open_sibling(source, "data/w.bin", &sibling), MM_OK);
    expect_content(&sibling, "weights");
    /* From a sibling, names are still relative to the folder; the same file is handed out again. */
    assert_int_equal(sibling.open(sibling.ctx, "data/w.bin", &again, &err), MM_OK);
    assert_ptr_equal(again.ctx, sibling.ctx);
    struct mmi_source_file file;
    assert_true(mmi_source_file(source, 1, &file));
    assert_string_equal(file.name, "data/w.bin");
    assert_false(mmi_source_file(source, 2, &file));
    assert_int_equal(open_sibling(source, "data/absent", &sibling), MM_NOT_FOUND);
    assert_int_equal(open_sibling(source, "data", &sibling), MM_IO);
    assert_false(mmi_source_file(source, 2, &file)); /* what failed is not remembered */
    mmi_source_close(source);
}

/* Relative to the working directory: "model.onnx" alone has no folder in its path. */
static void test_bare_name(void **state) {
    (void)state;
    scratch_text(&scratch, "model.onnx", "main");
    scratch_text(&scratch, "w.bin", "weights");
    char before[4096];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(scratch.path), 0);
    struct mmi_source *source;
    mm_source sibling;
    assert_int_equal(mmi_source_open(&world.env, "model.onnx", NULL, &source, &err), MM_OK);
    assert_int_equal(open_sibling(source, "w.bin", &sibling), MM_OK);
    assert_string_equal(sibling.name, "w.bin");
    mmi_source_close(source);
    assert_int_equal(chdir(before), 0);
}

static void test_escapes(void **state) {
    (void)state;
    scratch_folder(&scratch, "m");
    scratch_folder(&scratch, "m/sub");
    scratch_folder(&scratch, "outside");
    scratch_text(&scratch, "secret", "secret");
    scratch_text(&scratch, "outside/secret", "secret");
    scratch_text(&scratch, "m/model.onnx", "main");
    scratch_text(&scratch, "m/w.bin", "weights");
    scratch_link(&scratch, "../secret", "m/link");
    scratch_link(&scratch, "/etc/passwd", "m/absolute");
    scratch_link(&scratch, "../outside", "m/folder");
    scratch_link(&scratch, "loop", "m/loop");
    scratch_link(&scratch, "../w.bin", "m/sub/inside");
    const char *refused[] = {"../secret",     "..",   "sub/../../secret", "sub/..",
                             "/etc/passwd",   "link", "absolute",         "loop",
                             "folder/secret", ""};
    struct mmi_source *source;
    mm_source sibling;
    for (int walking = 0; walking < 2; walking++) {
        assert_int_equal(open_named("m", &source), MM_OK);
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
            world_fault(&world, "open", walking, ENOSYS); /* as a kernel without openat2 */
            assert_int_equal(open_sibling(source, refused[i], &sibling), MM_INVALID_MODEL);
            assert_non_null(strstr(err.text, "leaves its folder"));
        }
        world_fault(&world, "open", walking, ENOSYS);
        assert_int_equal(open_sibling(source, "sub/inside", &sibling), MM_OK);
        assert_int_equal(open_sibling(source, "sub/../w.bin", &sibling), MM_OK);
        expect_content(&sibling, "weights");
        world_fault(&world, "open", walking, ENOSYS);
        assert_int_equal(open_sibling(source, "w.bin", &sibling), MM_OK);
        expect_content(&sibling, "weights");
        world_fault(&world, "open", 0, 0);
        mmi_source_close(source);
    }
    /* The main file may be reached through a link: that is the caller's own path. */
    scratch_link(&scratch, "m/w.bin", "main.onnx");
    expect_resolved("main.onnx", "weights");
}

/* As a downloaded repository lies: links into a folder that holds the files by their hashes. */
static void test_links_into_another_folder(void **state) {
    (void)state;
    const char *folders[] = {"hub",       "hub/blobs", "hub/blobs/more",
                             "hub/other", "hub/snap",  "hub/snap/a"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        scratch_folder(&scratch, folders[i]);
    }
    scratch_text(&scratch, "hub/blobs/11", "main");
    scratch_text(&scratch, "hub/blobs/22", "weights");
    scratch_text(&scratch, "hub/blobs/more/33", "deeper");
    scratch_text(&scratch, "hub/secret", "secret");
    scratch_text(&scratch, "hub/other/44", "secret");
    scratch_link(&scratch, "../../blobs/11", "hub/snap/a/model.onnx");
    scratch_link(&scratch, "../../blobs/22", "hub/snap/a/w.bin");
    scratch_link(&scratch, "../../blobs/more/33", "hub/snap/a/deeper");
    scratch_link(&scratch, "../../secret", "hub/snap/a/above");
    scratch_link(&scratch, "../../other/44", "hub/snap/a/beside");
    scratch_link(&scratch, "../../blobs/none", "hub/snap/a/gone");
    scratch_link(&scratch, "../../blobsy", "hub/snap/a/alike");
    scratch_text(&scratch, "hub/blobsy", "secret");
    struct mmi_source *source;
    mm_source sibling;
    for (int walking = 0; walking < 2; walking++) {
        static const char *const there[][2] = {
            {"w.bin", "weights"}, {"deeper", "deeper"}, {"22", "weights"}, {"more/33", "deeper"}};
        assert_int_equal(open_named("hub/snap/a/model.onnx", &source), MM_OK);
        for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
            world_fault(&world, "open", walking, ENOSYS);
            assert_int_equal(open_sibling(source, there[i][0], &sibling), MM_OK);
            expect_content(&sibling, there[i][1]);
        }
        static const char *const refused[] = {"above", "beside", "alike", "../secret"};
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
            world_fault(&world, "open", walking, ENOSYS);
            assert_int_equal(open_sibling(source, refused[i], &sibling), MM_INVALID_MODEL);
        }
        world_fault(&world, "open", 0, 0);
        assert_int_equal(open_sibling(source, "gone", &sibling), MM_NOT_FOUND);
        mmi_source_close(source);
    }
}

static void test_names_that_only_look_bad(void **state) {
    (void)state;
    scratch_folder(&scratch, "..data");
    scratch_text(&scratch, "m.onnx", "main");
    scratch_text(&scratch, "..data/w..", "weights");
    struct mmi_source *source;
    mm_source sibling;
    for (int walking = 0; walking < 2; walking++) {
        assert_int_equal(open_named("m.onnx", &source), MM_OK);
        world_fault(&world, "open", walking, ENOSYS);
        assert_int_equal(open_sibling(source, "./..data//w..", &sibling), MM_OK);
        expect_content(&sibling, "weights");
        world_fault(&world, "open", 0, 0);
        mmi_source_close(source);
    }
}

static void test_source_changes_while_reading(void **state) {
    (void)state;
    scratch_text(&scratch, "m.onnx", "0123456789");
    scratch_text(&scratch, "w.bin", "abc");
    struct mmi_source *source;
    mm_source sibling;
    assert_int_equal(open_named("m.onnx", &source), MM_OK);
    assert_int_equal(open_sibling(source, "w.bin", &sibling), MM_OK);
    assert_true(mmi_source_unchanged(source));
    scratch_text(&scratch, "w.bin", "abcd");
    assert_false(mmi_source_unchanged(source));
    scratch_text(&scratch, "m.onnx", "01234");
    char bytes[10];
    const mm_source *reader = mmi_source_reader(source);
    assert_int_equal(reader->read(reader->ctx, 0, bytes, 10, &err), MM_SOURCE_CHANGED);
    world_fault(&world, "read", 1, EIO);
    assert_int_equal(reader->read(reader->ctx, 0, bytes, 1, &err), MM_IO);
    mmi_source_close(source);
    /* Another file in its place: what was opened is whole. */
    assert_int_equal(open_named("m.onnx", &source), MM_OK);
    char from[SCRATCH_ROOM], to[SCRATCH_ROOM];
    assert_int_equal(
        rename(scratch_path(&scratch, "w.bin", from), scratch_path(&scratch, "m.onnx", to)), 0);
    assert_true(mmi_source_unchanged(source));
    expect_content(mmi_source_reader(source), "01234");
    mmi_source_close(source);
}

struct watched {
    uint64_t read, cancel_at; /* bytes */
};

static bool is_cancelled(void *user) {
    const struct watched *watched = user;
    return watched->read >= watched->cancel_at;
}

static void note_read(void *user, uint64_t bytes) {
    ((struct watched *)user)->read += bytes;
}

/* A file and memory alike: what was read is told, and a cancel ends a read in its middle. */
static void test_a_watch_is_told_and_asked(void **state) {
    (void)state;
    enum { BYTES = 20 << 20 };
    char *text = calloc(1, BYTES + 1), *to = malloc(BYTES);
    assert_true(text && to);
    memset(text, 'x', BYTES);
    scratch_text(&scratch, "large", text);
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        struct mmi_source *source;
        struct mmi_memory memory = {.data = text, .bytes = BYTES};
        mm_status status = in_memory ? mmi_source_open(&world.env, NULL, &memory, &source, &err)
                                     : open_named("large", &source);
        assert_int_equal(status, MM_OK);
        struct watched watched = {.cancel_at = UINT64_MAX};
        struct mmi_source_watch watch = {is_cancelled, note_read, &watched};
        mmi_source_watch(source, &watch);
        const mm_source *reader = mmi_source_reader(source);
        assert_int_equal(reader->read(reader->ctx, 0, to, BYTES, &err), MM_OK);
        assert_memory_equal(to, text, BYTES);
        assert_int_equal(watched.read, BYTES);
        watched = (struct watched){.cancel_at = BYTES / 2};
        assert_int_equal(reader->read(reader->ctx, 0, to, BYTES, &err), MM_CANCELLED);
        assert_in_range(watched.read, BYTES / 2, BYTES - 1);
        mmi_source_close(source);
    }
    free(text);
    free(to);
}

/* What arrives in order is read as it arrives: no read waits for later bytes, all of it comes once,
 * and going back is another download. */
static void test_reads_follow_a_download(void **state) {
    (void)state;
    enum { BYTES = 20500, STEP = 700 };
    static uint8_t bytes[BYTES], to[BYTES];
    for (size_t i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    struct served served = {
        .address = "served://a/m", .bytes = bytes, .count = BYTES, .fails_at = UINT64_MAX};
    struct mmi_source *source;
    assert_int_equal(served_open(&world.env, &served, &source, &err), MM_OK);
    struct watched watched = {.cancel_at = UINT64_MAX};
    struct mmi_source_watch watch = {is_cancelled, note_read, &watched};
    mmi_source_watch(source, &watch);
    const mm_source *reader = mmi_source_reader(source);
    for (uint64_t at = 0; at < BYTES; at += STEP) {
        uint64_t count = at + STEP < BYTES ? STEP : BYTES - at;
        assert_int_equal(reader->read(reader->ctx, at, to + at, count, &err), MM_OK);
        assert_in_range(served.arrived, at + count, at + count + SERVED_PACKET - 1);
        assert_int_equal(watched.read, at + count);
    }
    assert_memory_equal(to, bytes, BYTES);
    assert_int_equal(served.downloads, 1);
    assert_int_equal(reader->read(reader->ctx, 0, to, BYTES, &err), MM_OK);
    assert_int_equal(served.downloads, 2);
    /* A cancel is seen before the next packet; a broken connection is the read's failure. */
    watched = (struct watched){.cancel_at = 5000};
    assert_int_equal(reader->read(reader->ctx, 0, to, BYTES, &err), MM_CANCELLED);
    assert_int_equal(served.arrived, 5000);
    watched = (struct watched){.cancel_at = UINT64_MAX};
    served.fails_at = 7500;
    assert_int_equal(reader->read(reader->ctx, 0, to, BYTES, &err), MM_IO);
    assert_int_equal(watched.read, 7000);
    mmi_source_close(source);
    assert_int_equal(served.opened, 0);
}

/* A file just written may be written again within the same tick of its times: its identity says so.
 * Asked again it ages. */
static void test_identity_of_a_young_file(void **state) {
    (void)state;
    struct mmi_identity identity;
    struct mmi_source *source;
    do { /* once is enough unless this process sleeps in between */
        scratch_text(&scratch, "m.onnx", "young");
        assert_int_equal(open_named("m.onnx", &source), MM_OK);
        identity = mmi_source_identity(source);
        assert_true(mmi_source_unchanged(source));
        mmi_source_close(source);
    } while (identity.strong);
    do {
        assert_int_equal(open_named("m.onnx", &source), MM_OK);
        identity = mmi_source_identity(source);
        mmi_source_close(source);
    } while (!identity.strong);
    assert_int_equal(open_named("m.onnx", &source), MM_OK);
    struct mmi_identity later = mmi_source_identity(source);
    assert_true(mmi_identity_proves(&identity, &later));
    later.place.low++;
    assert_false(mmi_identity_proves(&identity, &later));
    later = identity;
    later.state.high++;
    assert_false(mmi_identity_proves(&identity, &later));
    later = identity;
    later.strong = 0; /* equal, which proves nothing */
    assert_false(mmi_identity_proves(&identity, &later));
    assert_false(mmi_identity_proves(&later, &identity));
    mmi_source_close(source);
}

static void test_out_of_memory(void **state) {
    (void)state;
    scratch_text(&scratch, "m.onnx", "main");
    scratch_text(&scratch, "w.bin", "weights");
    uint64_t nth = 1;
    for (bool hit = true; hit; nth++) {
        struct mmi_source *source = NULL;
        mm_source sibling;
        world_fail_alloc(&world, nth);
        mm_status status = open_named("m.onnx", &source);
        if (status == MM_OK) {
            status = open_sibling(source, "w.bin", &sibling);
        }
        hit = world_failed(&world);
        assert_int_equal(status, hit ? MM_NO_MEMORY : MM_OK);
        mmi_source_close(source);
    }
    assert_true(nth > 5);
    world_fail_alloc(&world, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_main_file_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_siblings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bare_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links_into_another_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_that_only_look_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source_changes_while_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_watch_is_told_and_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reads_follow_a_download, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity_of_a_young_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
