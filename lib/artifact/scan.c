/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/cache.h>

#include <artifact/entry.h>
#include <artifact/io.h>
#include <base/checked.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define HASH_DIGITS 32u
#define WORD_DIGITS 16u

/* `count` hexadecimal digits at *at, then `after`: moves *at behind them, else nothing. */
static bool digits(const char **at, size_t count, const char *after) {
    size_t length = strlen(after);
    if (strspn(*at, "0123456789abcdef") != count || strncmp(*at + count, after, length) != 0) {
        return false;
    }
    *at += count + length;
    return true;
}

static enum mmi_cache_kind kind_of(const char *name) {
    const char *at = name;
    if (digits(&at, WORD_DIGITS, ".tmp")) {
        return *at == '\0' ? MMI_CACHE_TEMPORARY : MMI_CACHE_OTHER;
    }
    bool entry = digits(&at, HASH_DIGITS, "-") && digits(&at, HASH_DIGITS, ".v");
    bool source = at == name && digits(&at, WORD_DIGITS, ".v");
    char *end;
    unsigned long version = entry || source ? strtoul(at, &end, 10) : 0;
    if (version == 0 || strcmp(end, entry ? ".mma" : ".mms") != 0) {
        return MMI_CACHE_OTHER;
    }
    if (source) {
        return MMI_CACHE_SEEN;
    }
    return version == MMI_ENTRY_VERSION ? MMI_CACHE_ENTRY : MMI_CACHE_FOREIGN;
}

static uint64_t word_at(const char *text) {
    char digits_of_word[WORD_DIGITS + 1] = {0};
    memcpy(digits_of_word, text, WORD_DIGITS);
    return strtoull(digits_of_word, NULL, 16);
}

struct mmi_key mmi_cache_key_of(const struct mmi_cache_file *file) {
    const char *content = file->name, *target = file->name + HASH_DIGITS + 1;
    return (struct mmi_key){
        .content = {.high = word_at(content), .low = word_at(content + WORD_DIGITS)},
        .target = {.high = word_at(target), .low = word_at(target + WORD_DIGITS)}};
}

void mmi_cache_file_path(const struct mmi_cache *cache, const struct mmi_cache_file *file,
                         char *path) {
    snprintf(path, PATH_MAX, "%s/%s", cache->path, file->name);
}

static int add(const struct mmi_cache *cache, struct mmi_cache_list *list, int folder,
               const char *name) {
    struct mmi_cache_file file = {.kind = kind_of(name)};
    struct stat status;
    if (file.kind == MMI_CACHE_OTHER || strlen(name) >= sizeof(file.name) ||
        fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return 0; /* not ours, or just removed by somebody */
    }
    if (!mmi_grow(&cache->env->alloc, (void **)&list->files, &list->capacity, list->count + 1,
                  sizeof(*list->files))) {
        return ENOMEM;
    }
    snprintf(file.name, sizeof(file.name), "%s", name);
    file.bytes = (uint64_t)status.st_size;
    file.use = status.st_mtim.tv_sec;
    list->files[list->count++] = file;
    list->bytes = mmi_add_cap(list->bytes, file.bytes);
    list->entries += file.kind == MMI_CACHE_ENTRY;
    return 0;
}

int mmi_cache_list(const struct mmi_cache *cache, struct mmi_cache_list *list) {
    *list = (struct mmi_cache_list){0};
    int fd;
    int error = mmi_io_open(cache->env, AT_FDCWD, cache->path, O_RDONLY | O_DIRECTORY, &fd);
    if (error != 0) {
        return error;
    }
    DIR *listing = fdopendir(fd);
    if (!listing) {
        error = errno;
        mmi_io_close(fd);
        return error;
    }
    for (const struct dirent *entry; error == 0 && (entry = readdir(listing)) != NULL;) {
        error = add(cache, list, fd, entry->d_name);
    }
    closedir(listing);
    if (error != 0) {
        mmi_cache_list_free(cache, list);
    }
    return error;
}

void mmi_cache_list_free(const struct mmi_cache *cache, struct mmi_cache_list *list) {
    mmi_free(&cache->env->alloc, list->files, list->capacity * sizeof(*list->files));
    *list = (struct mmi_cache_list){0};
}

static int compare_use(const void *left, const void *right) {
    const struct mmi_cache_file *a = left, *b = right;
    if (a->use != b->use) {
        return a->use < b->use ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

/* Its place in the list stays, of no kind and no size. */
static void remove_file(const struct mmi_cache *cache, struct mmi_cache_list *list,
                        struct mmi_cache_file *file) {
    char path[PATH_MAX];
    mmi_cache_file_path(cache, file, path);
    if (unlink(path) == 0 || errno == ENOENT) {
        list->bytes -= mmi_min_u64(list->bytes, file->bytes);
        list->entries -= file->kind == MMI_CACHE_ENTRY;
        file->kind = MMI_CACHE_OTHER;
        file->bytes = 0;
    }
}

static bool may_leave(const struct mmi_cache_file *file) {
    return file->kind != MMI_CACHE_TEMPORARY && file->kind != MMI_CACHE_OTHER;
}

int mmi_cache_make_room(const struct mmi_cache *cache, struct mmi_cache_list *list,
                        uint64_t need_bytes, uint64_t *freed_bytes) {
    uint64_t stays = 0, before = list->bytes;
    for (size_t i = 0; i < list->count; i++) {
        stays = mmi_add_cap(stays, may_leave(&list->files[i]) ? 0 : list->files[i].bytes);
    }
    if (mmi_add_cap(stays, need_bytes) > cache->budget_bytes) {
        return ENOSPC;
    }
    if (list->count > 0) {
        qsort(list->files, list->count, sizeof(*list->files), compare_use);
    }
    for (size_t i = 0;
         i < list->count && mmi_add_cap(list->bytes, need_bytes) > cache->budget_bytes; i++) {
        if (may_leave(&list->files[i])) {
            remove_file(cache, list, &list->files[i]);
        }
    }
    *freed_bytes += before - list->bytes;
    return mmi_add_cap(list->bytes, need_bytes) > cache->budget_bytes ? ENOSPC : 0;
}

uint64_t mmi_cache_sweep(const struct mmi_cache *cache, struct mmi_cache_list *list) {
    uint64_t removed = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct mmi_cache_file *file = &list->files[i];
        char path[PATH_MAX];
        int fd;
        mmi_cache_file_path(cache, file, path);
        if (file->kind != MMI_CACHE_TEMPORARY ||
            mmi_io_open(cache->env, AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, &fd) != 0) {
            continue;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            remove_file(cache, list, file);
            removed += file->kind == MMI_CACHE_OTHER;
        }
        mmi_io_close(fd);
    }
    return removed;
}
