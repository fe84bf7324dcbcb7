/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_UPGRADING_H
#define MMI_BACKENDS_ONNX_GRAPH_UPGRADING_H

/* What the files of opset upgrades share. */

#include <backends/onnx/operators/operator.h>

struct upgrading {
    struct onnx_model *model;
    struct onnx_node *node;
};

/* A node of opset 6 or less becomes one of opset 7; older.c. */
mm_status mmi_onnx_upgrade_older(const struct upgrading *upgrading, mm_error *err);
/* Input `input` of the node is this value; the node gets as many as it needs for that. */
mm_status mmi_onnx_set_input(const struct upgrading *upgrading, uint32_t input, uint32_t value,
                             mm_error *err);
/* The attribute, if it is there, as a constant input. */
mm_status mmi_onnx_move_attribute(const struct upgrading *upgrading, const char *name,
                                  uint32_t input, mm_error *err);
mm_status mmi_onnx_no_upgrade_memory(mm_error *err);

#endif
