/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/verify.h>

#include <artifact/cache.h>
#include <artifact/entry.h>
#include <base/checked.h>

#include <errno.h>
#include <unistd.h>

struct walk {
    const struct mmi_env *env;
    struct mmi_cache cache;
    struct mmi_cache_list list;
    struct mmi_verify_report *report;
};

static mm_status list_all(struct walk *walk, mm_error *err) {
    int lock;
    /* Read-only: nothing to lock or sweep. */
    mmi_cache_lock(&walk->cache, &lock);
    int error = mmi_cache_list(&walk->cache, &walk->list);
    if (error == 0 && lock >= 0) {
        walk->report->leftovers = mmi_cache_sweep(&walk->cache, &walk->list);
    }
    mmi_cache_unlock(lock);
    return error == 0 ? MM_OK : mmi_fail_errno(err, MM_IO, error, "%s", walk->cache.path);
}

static mm_status check_all_of(struct walk *walk, const char *path, const struct mmi_key *key,
                              mm_error *err) {
    struct mmi_entry entry;
    MMI_TRY(mmi_entry_open(walk->env, path, key, &entry, err));
    mm_status status = mmi_entry_read_tail(walk->env, path, &entry, err);
    if (status == MM_OK) {
        status = mmi_entry_check_weights(walk->env, path, &entry, entry.tail, err);
    }
    mmi_entry_close(walk->env, &entry);
    return status;
}

static mm_status check_file(struct walk *walk, const struct mmi_cache_file *file, mm_error *err) {
    struct mmi_verify_report *report = walk->report;
    if (file->kind == MMI_CACHE_FOREIGN) {
        report->foreign++;
    }
    if (file->kind != MMI_CACHE_ENTRY) {
        return MM_OK;
    }
    char path[PATH_MAX];
    mmi_cache_file_path(&walk->cache, file, path);
    struct mmi_key key = mmi_cache_key_of(file);
    mm_error why;
    mm_status status = check_all_of(walk, path, &key, &why);
    if (status == MM_NONE) {
        return MM_OK; /* somebody removed it meanwhile */
    }
    if (status != MM_OK && status != MM_CORRUPT) {
        return mmi_error_copy(err, &why);
    }
    report->entries++;
    report->bytes = mmi_add_cap(report->bytes, file->bytes);
    if (status == MM_CORRUPT) {
        mmi_log(&walk->env->log, MM_LOG_WARNING, "removed: %s", why.text);
        report->damaged++;
        report->removed += unlink(path) == 0;
    }
    return MM_OK;
}

mm_status mmi_cache_verify(const struct mmi_env *env, const char *cache_dir,
                           void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                           struct mmi_verify_report *report, mm_error *err) {
    *report = (struct mmi_verify_report){0};
    struct walk walk = {.env = env, .report = report};
    MMI_TRY(mmi_cache_open(env, cache_dir, false, NULL, &walk.cache, err));
    mm_status status = list_all(&walk, err);
    uint64_t done = 0, total = walk.list.bytes;
    for (size_t i = 0; i < walk.list.count && status == MM_OK; i++) {
        status = check_file(&walk, &walk.list.files[i], err);
        done += walk.list.files[i].bytes;
        if (progress) {
            progress(user, done, total);
        }
    }
    mmi_cache_list_free(&walk.cache, &walk.list);
    mmi_cache_close(&walk.cache);
    return status;
}
