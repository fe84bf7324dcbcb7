/* SPDX-License-Identifier: Apache-2.0 */
/* The first answer of a cold model of 100 MB behind a link of 1 GB/s (the sim device): weights
 * arrive in groups, and a run begins once the first is there. Over what a perfect pipeline takes:
 * the longer of the transfer and the run, and the first group.
 *
 *   bench-mlp-pipelined [rounds] */
#include "mlp.h"

#include <stdio.h>
#include <stdlib.h>

#define WIDTH 512
#define BUDGET (UINT64_C(512) << 20)
#define BYTES_PER_MS 1e6            /* 1 GB/s */
#define FIRST_GROUP_BYTES 4194304.0 /* what the ONNX backend puts into a group */

static mm_mesh *open_mesh(void) {
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    device.name = "sim";
    device.budget_bytes = BUDGET;
    device.sim_ns_per_mib = 1048576; /* 1 GB/s */
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    options.compute_threads = 1;
    options.artifact_budget_bytes = BUDGET;
    mm_mesh *mesh;
    mm_error err;
    if (mm_mesh_create(&options, &mesh, &err) != MM_OK) {
        die("mesh", err.text);
    }
    return mesh;
}

int main(int argc, char **argv) {
    int rounds = bench_rounds(argc, argv, 11);
    static double cold[MAX_ROUNDS], steady[MAX_ROUNDS], ratio[MAX_ROUNDS];
    char folder[64];
    struct mlp mlp;
    bench_folder(folder);
    mlp_make(&mlp, folder, "large", 100, WIDTH);
    mm_mesh *mesh = open_mesh();
    mm_model model = mlp_register(mesh, &mlp, "large");
    mlp_infer(mesh, model, &mlp);
    double link_ms = (double)mlp.file_bytes / BYTES_PER_MS;
    for (int i = 0; i < rounds; i++) {
        steady[i] = mlp_infer(mesh, model, &mlp);
        mlp_check(&mlp);
        bench_evict(mesh, model);
        cold[i] = mlp_infer(mesh, model, &mlp);
        mlp_check(&mlp);
        double longer = link_ms > steady[i] ? link_ms : steady[i];
        ratio[i] = cold[i] / (1.1 * longer + FIRST_GROUP_BYTES / BYTES_PER_MS);
    }
    printf("first answer %s ms, transfer %.1f ms, run %s ms: %s of what is allowed\n",
           spread(cold, rounds), link_ms, spread(steady, rounds), spread(ratio, rounds));
    mm_mesh_free(&mesh);
    mlp_free(&mlp);
    bench_remove(folder);
    return 0;
}
