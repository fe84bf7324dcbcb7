/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/list.h>

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A bare name is searched for in the system's library folders. A path can be tested directly, which
 * distinguishes a missing file from one that does not load. */
static mm_status open_failed(const char *path, mm_error *err) {
    const char *reason = dlerror();
    bool missing = !strchr(path, '/') || access(path, F_OK) != 0;
    return mmi_fail(err, missing ? MM_NOT_FOUND : MM_BACKEND_FAILED, "%s: %s", path,
                    reason ? reason : "does not load");
}

mm_status mmi_registry_load(struct mmi_registry *registry, const char *path, mm_error *err) {
    int errnum = mmi_fault(registry->env, "open");
    if (errnum != 0) {
        return mmi_fail_errno(err, MM_IO, errnum, "%s", path);
    }
    /* Never closed: its table, and threads that it may have started, outlive every mesh. */
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!object) {
        return open_failed(path, err);
    }
    void *symbol = dlsym(object, MM_BACKEND_ENTRY_NAME);
    if (!symbol) {
        return mmi_fail(err, MM_NOT_FOUND, "%s: has no symbol %s", path, MM_BACKEND_ENTRY_NAME);
    }
    mm_backend_entry_fn entry;
    memcpy(&entry, &symbol, sizeof(entry)); /* ISO C has no cast between the two kinds of pointer */
    const mm_backend *table = entry();
    if (!table) {
        return mmi_fail(err, MM_BACKEND_FAILED, "%s: %s gave no table", path,
                        MM_BACKEND_ENTRY_NAME);
    }
    mm_status status = mmi_registry_add(registry, table, err);
    if (status != MM_OK) {
        mmi_error_prefix(err, "%s", path);
    }
    return status;
}
