/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_DESCRIPTION_H
#define MMI_BACKENDS_ONNX_STEPS_DESCRIPTION_H

/* The description: a graph after the passes, as bytes. Small constants lie in it with their
 * elements; the others are weights and lie in the artifact's blob. Little endian, relocatable. */

#include <backends/onnx/steps/lifetimes.h>

#define ONNX_NO_WEIGHT UINT64_MAX

/* Where the weights lie in the blob. */
struct onnx_weights {
    uint64_t *offsets; /* [model->value_count]; ONNX_NO_WEIGHT: not a weight */
    uint64_t bytes;    /* of the blob */
};

/* A model as it was prepared: constants that are weights have no data and are not known. */
struct onnx_prepared {
    struct onnx_arena arena; /* all of it lies here or in the description's bytes */
    struct onnx_model model;
    struct onnx_weights weights;
    struct onnx_lifetime *lifetimes; /* [model.value_count] */
    uint64_t activation_bytes;       /* estimate */
    bool strings;                    /* some inputs are tensors of strings */
};

/* Bytes of the description in the arena. */
mm_status mmi_onnx_describe(const struct onnx_model *model, const struct onnx_weights *weights,
                            uint64_t activation_bytes, struct onnx_arena *arena,
                            struct onnx_tensor *bytes, mm_error *err);
/* The opposite; prepared->arena is set up. Refers to `bytes`, which must outlive it. MM_CORRUPT
 * where they are not what mmi_onnx_describe made. */
mm_status mmi_onnx_read_description(struct onnx_prepared *prepared, const void *bytes,
                                    uint64_t count, mm_error *err);

#endif
