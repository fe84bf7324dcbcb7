/* SPDX-License-Identifier: Apache-2.0 */
/* What mm_infer adds to a direct call of the backend, with a small model, the caller's buffers and
 * one compute thread, after 100 warm calls.
 *
 *   bench-mlp-call [rounds] */
#include "mlp.h"

#include <api/mesh.h>
#include <residency/admission.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 32
#define LAYERS 3
#define CALLS 100000

static double through_mesh(mm_mesh *mesh, mm_model model, struct mlp *mlp) {
    mm_value in = {.name = "x",
                   .dtype = MM_F32,
                   .rank = 2,
                   .shape = {1, WIDTH},
                   .data = mlp->x,
                   .bytes = WIDTH * sizeof(float)};
    mm_value out = {.data = mlp->buffer, .bytes = WIDTH * sizeof(float)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &in;
    request.input_count = 1;
    double begun_ms = now_ms();
    for (int i = 0; i < CALLS; i++) {
        mm_response response = MM_RESPONSE_INIT;
        response.outputs = &out;
        response.output_capacity = 1;
        if (mm_infer(mesh, model, &request, &response, NULL) != MM_OK) {
            die("mm_infer", "failed");
        }
    }
    double us = (now_ms() - begun_ms) / CALLS * 1e3;
    mlp_check(mlp);
    return us;
}

static bool never(mm_exec *exec) {
    (void)exec;
    return false;
}

/* The same call of the same instance without the mesh around it. */
static double direct(mm_mesh *mesh, mm_model model, struct mlp *mlp) {
    struct mmi_admission admission;
    if (!mmi_admission_try(&mesh->res, model.id, 0, &admission)) {
        die("direct", "not resident");
    }
    struct mmi_opened *opened = mmi_admission_opened(&admission);
    mm_value in = {.dtype = MM_F32,
                   .rank = 2,
                   .shape = {1, WIDTH},
                   .data = mlp->x,
                   .bytes = WIDTH * sizeof(float)};
    struct mmi_signature *signature = mmi_signature_find(opened->signatures[0], &in);
    if (!signature) {
        die("direct", "no signature");
    }
    uint64_t scratch_bytes = (signature->size.activation_bytes + 255) / 256 * 256;
    mm_exec exec = {.signature = signature->state,
                    .scratch = scratch_bytes ? aligned_alloc(256, scratch_bytes) : NULL,
                    .scratch_bytes = signature->size.activation_bytes,
                    .stopped = never};
    memset(mlp->buffer, 0, WIDTH * sizeof(float));
    double begun_ms = now_ms();
    for (int i = 0; i < CALLS; i++) {
        mm_error err;
        mm_value out = signature->size.outputs[0];
        out.data = mlp->buffer;
        if (opened->backend->table->infer(admission.instance->state, &exec, &in, &out, &err) !=
            MM_OK) {
            die("direct", err.text);
        }
    }
    double us = (now_ms() - begun_ms) / CALLS * 1e3;
    mlp_check(mlp);
    free(exec.scratch);
    mmi_signature_done(opened->signatures[0], signature, 0);
    mmi_admission_return(&mesh->res, &admission);
    return us;
}

int main(int argc, char **argv) {
    static double mesh_us[MAX_ROUNDS], direct_us[MAX_ROUNDS], more_us[MAX_ROUNDS];
    int rounds = bench_rounds(argc, argv, 11);
    char folder[64], cache[80];
    struct mlp mlp;
    bench_folder(folder);
    snprintf(cache, sizeof(cache), "%s/cache", folder);
    mlp_make(&mlp, folder, "small", LAYERS, WIDTH);
    mm_mesh *mesh = bench_mesh(UINT64_C(64) << 20, cache, MM_MAP_AUTO, NULL);
    mm_model model = mlp_register(mesh, &mlp, "small");
    for (int i = 0; i < 100; i++) {
        mlp_infer(mesh, model, &mlp);
    }
    mlp_check(&mlp);
    for (int i = 0; i < rounds; i++) {
        mesh_us[i] = through_mesh(mesh, model, &mlp);
        direct_us[i] = direct(mesh, model, &mlp);
        more_us[i] = mesh_us[i] - direct_us[i];
    }
    printf("mm_infer     %s us\ndirect call  %s us\ndifference   %s us\n", spread(mesh_us, rounds),
           spread(direct_us, rounds), spread(more_us, rounds));
    mm_mesh_free(&mesh);
    mlp_free(&mlp);
    bench_remove(folder);
    return 0;
}
