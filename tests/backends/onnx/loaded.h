/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_LOADED_H
#define TESTS_BACKENDS_ONNX_LOADED_H

/* A file, loaded and resolved, and what is asked about it. */

#include "model_writer.h"

#include <backends/onnx/format/load.h>

struct loaded {
    struct world world;
    mm_services services; /* limits_nesting 64 */
    struct onnx_arena arena;
    struct onnx_model model;
    struct memory_source folder;
    mm_error err;
};

void loaded_init(struct loaded *l);
void loaded_fini(struct loaded *l);

/* Into an empty model; what was loaded before is gone. */
mm_status load_files(struct loaded *l, const struct memory_file *files, size_t count);
mm_status load_bytes(struct loaded *l, const void *bytes, size_t count);
/* The model that w has written, with its graph closed; w is empty afterwards. */
mm_status load_written(struct loaded *l, struct writer *w);
/* It must succeed. */
void must_load(struct loaded *l, struct writer *w);
void must_resolve(struct loaded *l);
/* It must not, and say so in one sentence that contains `text`. */
void must_refuse(struct loaded *l, struct writer *w, mm_status status, const char *text);
void must_not_resolve(struct loaded *l, mm_status status, const char *text);

/* By name, in all graphs: the value that has it (the first one), or ONNX_NO_VALUE. */
uint32_t value_of(const struct loaded *l, const char *name);
/* The constant that has it. */
const struct onnx_tensor *constant_of(const struct loaded *l, const char *name);
/* Its elements are these. */
void assert_ints(const struct onnx_tensor *tensor, const int64_t *numbers, uint64_t count);
void assert_floats(const struct onnx_tensor *tensor, const float *numbers, uint64_t count);

#endif
