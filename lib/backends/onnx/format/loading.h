/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_FORMAT_LOADING_H
#define MMI_BACKENDS_ONNX_FORMAT_LOADING_H

/* What the files of this folder share while a model is loaded: one for each kind of message. */

#include <backends/onnx/format/names.h>
#include <backends/onnx/format/wire.h>
#include <backends/onnx/graph/graph.h>

struct onnx_sibling;

struct onnx_loading {
    const mm_source *source;
    struct onnx_model *model;
    const uint8_t *file;           /* all of it */
    struct onnx_scope *scope;      /* of the graph that is being read; NULL: none yet */
    uint32_t depth, max_depth;     /* graphs around it */
    struct onnx_sibling *siblings; /* opened so far */
    bool told;                     /* the failure's text names a node */
};

/* Graph and branches. Of the main graph also model->inputs and outputs. */
mm_status mmi_onnx_load_graph(struct onnx_loading *loading, struct onnx_span bytes,
                              struct onnx_graph **graph, mm_error *err);
/* One more value, with a name that the graph that is being read must not have yet. */
mm_status mmi_onnx_load_value(struct onnx_loading *loading, struct onnx_span name, uint32_t *value,
                              mm_error *err);
/* Failures name the node. */
mm_status mmi_onnx_load_node(struct onnx_loading *loading, struct onnx_span bytes,
                             struct onnx_node **node, mm_error *err);
mm_status mmi_onnx_load_attribute(struct onnx_loading *loading, struct onnx_span bytes,
                                  struct onnx_attribute *attribute, mm_error *err);
/* With its data. name: may be empty. Failures do not name it. */
mm_status mmi_onnx_load_tensor(struct onnx_loading *loading, struct onnx_span bytes,
                               struct onnx_tensor **tensor, struct onnx_span *name, mm_error *err);
/* The data of a tensor that has its type and shape, from a file beside the model. */
mm_status mmi_onnx_load_external(struct onnx_loading *loading, struct onnx_message message,
                                 struct onnx_tensor *tensor, mm_error *err);
/* An input or output; `what` is one of these words. */
mm_status mmi_onnx_load_value_info(struct onnx_loading *loading, struct onnx_span bytes,
                                   const char *what, mm_value_info *info, mm_error *err);

/* A copy that ends with NUL. MM_INVALID_MODEL: there is a NUL in it. */
mm_status mmi_onnx_load_text(struct onnx_loading *loading, struct onnx_span bytes,
                             const char **text, mm_error *err);
mm_status mmi_onnx_out_of_memory(mm_error *err); /* MM_NO_MEMORY, with its sentence */

#endif
