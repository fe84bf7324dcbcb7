/* SPDX-License-Identifier: Apache-2.0 */
#include <api/mesh.h>

static mm_status check_open(const mm_mesh *mesh, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    return atomic_load(&mesh->res.closed) ? mmi_fail(err, MM_CLOSED, "backend: the mesh is closed")
                                          : MM_OK;
}

mm_status mm_backend_register(mm_mesh *mesh, const struct mm_backend *backend, mm_error *err) {
    MMI_TRY(check_open(mesh, err));
    if (!backend) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "backend: NULL");
    }
    return mmi_registry_add(mesh->registry, backend, err);
}

mm_status mm_backend_load(mm_mesh *mesh, const char *path, mm_error *err) {
    MMI_TRY(check_open(mesh, err));
    if (!path || !path[0]) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "path: %s", path ? "empty" : "NULL");
    }
    return mmi_registry_load(mesh->registry, path, err);
}
