/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_ONNX_MLP_H
#define BENCH_ONNX_MLP_H

/* Multilayer perceptrons from a seed, as .onnx files, and what the programs of this folder share.
 * A model is `layers` times Gemm and Relu of `width` numbers: x [1, width] -> y [1, width]. */

#include <modelmesh/modelmesh.h>

struct mlp {
    uint32_t layers, width;
    float *x, *y;  /* an input, and what comes out, calculated in double */
    float *buffer; /* where infer puts its answer */
    uint64_t file_bytes;
    char path[96];
};

/* Write <folder>/mlp-<name>.onnx and calculate the answer. */
void mlp_make(struct mlp *mlp, const char *folder, const char *name, uint32_t layers,
              uint32_t width);
void mlp_free(struct mlp *mlp);

mm_model mlp_register(mm_mesh *mesh, const struct mlp *mlp, const char *name);
/* A request with the caller's buffers; ends the program unless the answer comes. ms. */
double mlp_infer(mm_mesh *mesh, mm_model model, struct mlp *mlp);
/* Ends the program unless the last answer is right. */
void mlp_check(const struct mlp *mlp);

/* A mesh of one host device and one compute thread. allocator NULL: malloc. */
mm_mesh *bench_mesh(uint64_t budget_bytes, const char *cache_dir, uint32_t map_cache,
                    const mm_allocator *allocator);
void bench_evict(mm_mesh *mesh, mm_model model);

/* A folder of our own, and its end with all that is in it. */
void bench_folder(char path[64]);
void bench_remove(const char *path);

double now_ms(void);
_Noreturn void die(const char *what, const char *why);
/* Sorted in place, so that [0] and [count - 1] are the range. */
double median(double *values, int count);
/* "median [min-max]"; valid until the fourth next call. */
const char *spread(double *values, int count);
/* argv[1] as a number of rounds. */
int bench_rounds(int argc, char **argv, int usual);

#define MAX_ROUNDS 1000

#endif
