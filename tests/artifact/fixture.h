/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_ARTIFACT_FIXTURE_H
#define TESTS_ARTIFACT_FIXTURE_H

/* A store in a scratch folder, and models whose every byte follows from their number. */

#include <artifact/store.h>
#include <artifact/verify.h>
#include <base/lock.h>
#include <support/scratch.h>
#include <support/world.h>

#include <errno.h>
#include <sys/resource.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define PAGE UINT64_C(4096)

struct fixture {
    struct world world;
    struct scratch scratch;
    char cache[SCRATCH_ROOM];
    size_t descriptors;
    struct mmi_store_config config;
    struct mmi_store *store;
    mm_error err;
    uint64_t dropped, dropped_bytes; /* calls of config.dropped */
    char dropped_what[32];
};

struct model {
    uint64_t number; /* what its bytes follow from */
    uint64_t weights_bytes, description_bytes;
    uint64_t group_bytes; /* a group ends every so many; 0 = one group */
};

static inline void fixture_dropped(void *user, const char *what, uint64_t bytes, mm_status why) {
    struct fixture *fixture = user;
    assert_true(why == MM_NO_SPACE || why == MM_IO);
    mmi_assert_no_locks();
    fixture->dropped++;
    fixture->dropped_bytes += bytes;
    assert_true(strlen(what) < sizeof(fixture->dropped_what));
    snprintf(fixture->dropped_what, sizeof(fixture->dropped_what), "%s", what);
}

static inline mm_status fixture_try_open(struct fixture *fixture) {
    return mmi_store_open(&fixture->world.env, &fixture->config, &fixture->store, &fixture->err);
}

static inline void fixture_open(struct fixture *fixture) {
    assert_int_equal(fixture_try_open(fixture), MM_OK);
}

static inline void fixture_close(struct fixture *fixture) {
    mmi_store_close(fixture->store);
    fixture->store = NULL;
}

static inline void fixture_reopen(struct fixture *fixture) {
    fixture_close(fixture);
    fixture_open(fixture);
}

/* In a folder of its own, no limit, 64 MiB of memory; not opened yet. */
static inline void fixture_init(struct fixture *fixture) {
    memset(fixture, 0, sizeof(*fixture));
    world_init(&fixture->world);
    scratch_init(&fixture->scratch);
    fixture->descriptors = open_descriptors();
    fixture->config = (struct mmi_store_config){
        .cache_dir = scratch_path(&fixture->scratch, "cache", fixture->cache),
        .temporary_dir = fixture->scratch.path,
        .temporary_budget_bytes = 64 * MIB,
        .map = true,
        .boot_id = "a boot",
        .dropped = fixture_dropped,
        .user = fixture};
}

static inline void fixture_fini(struct fixture *fixture) {
    world_fault(&fixture->world, NULL, 0, 0);
    fixture_close(fixture);
    assert_int_equal(open_descriptors(), fixture->descriptors);
    scratch_fini(&fixture->scratch);
    world_fini(&fixture->world);
}

static inline struct mmi_key key_of(uint64_t number) {
    return (struct mmi_key){{number, number * 31}, {number * 7, 42}};
}

static inline void model_bytes(uint64_t number, uint64_t offset, uint8_t *to, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = offset + i;
        to[i] = (uint8_t)((number + 1) * 0x9e3779b1u + at * 31 + (at >> 9) * 7);
    }
}

static inline uint64_t stored_bytes(const struct model *model) {
    return (model->weights_bytes + PAGE - 1) / PAGE * PAGE;
}

/* What the entry's file takes. */
static inline uint64_t file_bytes(const struct model *model) {
    uint64_t stored = stored_bytes(model);
    uint64_t groups = model->weights_bytes == 0 ? 0
                      : model->group_bytes == 0
                          ? 1
                          : (model->weights_bytes + model->group_bytes - 1) / model->group_bytes;
    return PAGE + stored + (model->description_bytes + 7) / 8 * 8 + groups * 8 +
           (stored + MIB - 1) / MIB * 8;
}

/* What a backend's prepare does. */
static inline mm_status model_prepare(const struct model *model, const mm_sink *sink,
                                      mm_error *err) {
    mm_status status = sink->expect(sink->ctx, model->weights_bytes, err);
    uint64_t step = model->group_bytes ? model->group_bytes : 100 * KIB + 77;
    uint8_t *bytes = malloc(step + model->description_bytes);
    for (uint64_t at = 0; at < model->weights_bytes && status == MM_OK;) {
        uint64_t left = model->weights_bytes - at;
        uint64_t count = left < step ? left : step;
        model_bytes(model->number, at, bytes, count);
        status = sink->weights(sink->ctx, bytes, count, err);
        at += count;
        if (status == MM_OK && model->group_bytes) {
            status = sink->group(sink->ctx, err);
        }
    }
    if (status == MM_OK) {
        model_bytes(~model->number, 0, bytes, model->description_bytes);
        status = sink->describe(sink->ctx, bytes, model->description_bytes, err);
    }
    free(bytes);
    return status;
}

static inline mm_status fixture_commit(struct fixture *fixture, const struct model *model,
                                       struct mmi_artifact **artifact) {
    struct mmi_writer *writer;
    struct mmi_writer_config config = {0};
    mm_status status = mmi_writer_open(fixture->store, &config, &writer, &fixture->err);
    if (status != MM_OK) {
        return status;
    }
    status = model_prepare(model, mmi_writer_sink(writer), &fixture->err);
    if (status != MM_OK) {
        mmi_writer_abort(writer);
        return status;
    }
    struct mmi_key key = key_of(model->number);
    return mmi_writer_commit(writer, &key, artifact, &fixture->err);
}

static inline mm_status fixture_find(struct fixture *fixture, uint64_t number,
                                     struct mmi_artifact **artifact) {
    struct mmi_key key = key_of(number);
    return mmi_store_find(fixture->store, &key, artifact, &fixture->err);
}

static inline void expect_bytes(uint64_t number, const uint8_t *bytes, uint64_t count) {
    uint8_t *expected = malloc(count + 1);
    model_bytes(number, 0, expected, count);
    assert_int_equal(memcmp(bytes, expected, count), 0);
    free(expected);
}

static inline void expect_view(const struct mmi_artifact *artifact, const struct model *model) {
    mm_artifact view = mmi_artifact_view(artifact);
    assert_int_equal(view.weights_bytes, model->weights_bytes);
    assert_int_equal(view.description_bytes, model->description_bytes);
    assert_int_equal((uintptr_t)view.description % 64, 0);
    expect_bytes(~model->number, view.description, view.description_bytes);
    assert_string_equal(view.config, "");
    uint64_t end = 0;
    for (uint32_t i = 0; i < view.group_count; i++) {
        uint64_t left = model->weights_bytes - end;
        end += model->group_bytes && model->group_bytes < left ? model->group_bytes : left;
        assert_int_equal(view.group_ends[i], end);
    }
    assert_int_equal(end, model->weights_bytes);
}

/* The weights are those of the model; the caller holds them. */
static inline void expect_weights(const struct mmi_artifact *artifact, const struct model *model) {
    uint8_t *bytes = malloc(model->weights_bytes + 1);
    mm_error err;
    assert_int_equal(mmi_artifact_read(artifact, 0, bytes, model->weights_bytes, &err), MM_OK);
    expect_bytes(model->number, bytes, model->weights_bytes);
    free(bytes);
}

static inline void expect_whole(struct mmi_artifact *artifact, const struct model *model) {
    expect_view(artifact, model);
    mm_error err;
    assert_int_equal(mmi_artifact_hold(artifact, &err), MM_OK);
    expect_weights(artifact, model);
    mmi_artifact_unhold(artifact);
}

static inline void fixture_make(struct fixture *fixture, const struct model *model) {
    struct mmi_artifact *artifact;
    assert_int_equal(fixture_commit(fixture, model, &artifact), MM_OK);
    expect_whole(artifact, model);
    mmi_artifact_release(artifact);
}

/* It is found and whole. */
static inline void fixture_expect(struct fixture *fixture, const struct model *model) {
    struct mmi_artifact *artifact;
    assert_int_equal(fixture_find(fixture, model->number, &artifact), MM_OK);
    expect_whole(artifact, model);
    mmi_artifact_release(artifact);
}

static inline void fixture_expect_none(struct fixture *fixture, uint64_t number) {
    struct mmi_artifact *artifact;
    assert_int_equal(fixture_find(fixture, number, &artifact), MM_NONE);
}

/* Its file; the name is part of what processes of different builds agree on. */
static inline const char *entry_path(const struct fixture *fixture, uint64_t number, char *path) {
    struct mmi_key key = key_of(number);
    char name[128];
    snprintf(name, sizeof(name), "cache/%016llx%016llx-%016llx%016llx.v1.mma",
             (unsigned long long)key.content.high, (unsigned long long)key.content.low,
             (unsigned long long)key.target.high, (unsigned long long)key.target.low);
    return scratch_path(&fixture->scratch, name, path);
}

static inline size_t file_read(const char *path, uint8_t *bytes, size_t room) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t count = read(fd, bytes, room);
    assert_true(count >= 0);
    close(fd);
    return (size_t)count;
}

/* How long this process may make a file from now on (RLIMIT_FSIZE); 0: as long as at first. */
static inline void limit_files(uint64_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* In place: the inode stays. */
static inline void file_patch(const char *path, uint64_t offset, const void *bytes, size_t count) {
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, count, (off_t)offset), count);
    close(fd);
}

static inline void file_flip(const char *path, uint64_t offset, uint8_t bits) {
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

#endif
