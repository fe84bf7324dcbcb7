/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_FORMAT_LOADING_H
#define MMI_BACKENDS_ONNX_FORMAT_LOADING_H

/* What the files of this folder share while a model is loaded: one for each kind of message. */

#include <backends/onnx/format/names.h>
#include <backends/onnx/format/wire.h>
#include <backends/onnx/graph/graph.h>

struct onnx_sibling;
struct onnx_function;
struct onnx_functions;

/* The name of an input that a call of a function leaves out. */
#define ONNX_LEFT_OUT (ONNX_NO_VALUE - 1)

struct onnx_import {
    struct onnx_span domain;
    int64_t version;
};
struct onnx_imports {
    const struct onnx_import *all; /* of other domains than ai.onnx */
    uint32_t count;
    int64_t standard; /* of ai.onnx; 0: not imported */
};

/* Attributes as a call gives them to its function. */
struct onnx_call_attributes {
    struct onnx_attribute *given;
    uint32_t count;
    const struct onnx_function *function;
};
/* An attribute that a function has; without bytes there is no default. */
struct onnx_default {
    struct onnx_span name, bytes;
};

struct onnx_nodes {
    struct onnx_node **all;
    uint32_t count, capacity;
};

struct onnx_loading {
    const mm_source *source;
    struct onnx_model *model;
    const uint8_t *file;       /* all of it */
    struct onnx_scope *scope;  /* of the graph that is being read; NULL: none yet */
    struct onnx_nodes *nodes;  /* of that graph */
    uint32_t depth, max_depth; /* graphs and functions around it */
    const struct onnx_imports *imports;
    struct onnx_functions *functions;        /* NULL: there are none */
    const struct onnx_call_attributes *call; /* NULL: not in a function */
    bool optional_inputs;                    /* inputs with an initializer are inputs */
    struct onnx_sibling *siblings;           /* opened so far */
    bool told;                               /* the failure's text names a node */
    bool told_function;                      /* and a function */
};

/* Graph and branches. Of the main graph also model->inputs and outputs. */
mm_status mmi_onnx_load_graph(struct onnx_loading *loading, struct onnx_span bytes,
                              struct onnx_graph **graph, mm_error *err);
/* One more value, with a name that the graph that is being read must not have yet. */
mm_status mmi_onnx_load_value(struct onnx_loading *loading, struct onnx_span name, uint32_t *value,
                              mm_error *err);
/* To loading->nodes; of a call of a function its nodes. Failures name the node. */
mm_status mmi_onnx_load_node(struct onnx_loading *loading, struct onnx_span bytes, mm_error *err);
/* One that refers to an attribute that the call does not give has no name: it is not there. */
mm_status mmi_onnx_load_attribute(struct onnx_loading *loading, struct onnx_span bytes,
                                  struct onnx_attribute *attribute, mm_error *err);
/* With its data. name: may be empty. Failures do not name it. */
mm_status mmi_onnx_load_tensor(struct onnx_loading *loading, struct onnx_span bytes,
                               struct onnx_tensor **tensor, struct onnx_span *name, mm_error *err);
/* The same of a sparse one, whose name is that of its values. */
mm_status mmi_onnx_load_sparse(struct onnx_loading *loading, struct onnx_span bytes,
                               struct onnx_tensor **tensor, struct onnx_span *name, mm_error *err);
/* The data of a tensor that has its type and shape, from a file beside the model. */
mm_status mmi_onnx_load_external(struct onnx_loading *loading, struct onnx_message message,
                                 struct onnx_tensor *tensor, mm_error *err);
/* An input or output; `what` is one of these words. */
mm_status mmi_onnx_load_value_info(struct onnx_loading *loading, struct onnx_span bytes,
                                   const char *what, mm_value_info *info, mm_error *err);

mm_status mmi_onnx_attribute_name(struct onnx_loading *loading, struct onnx_span bytes,
                                  struct onnx_span *name, mm_error *err);

/* The opsets in field `number` of a model or function; that of a domain. */
mm_status mmi_onnx_load_imports(struct onnx_loading *loading, struct onnx_message message,
                                uint32_t number, struct onnx_imports *imports, mm_error *err);
int64_t mmi_onnx_opset_of(const struct onnx_imports *imports, const char *domain);

/* The functions in field `number` of the model. */
mm_status mmi_onnx_load_functions(struct onnx_loading *loading, struct onnx_message model,
                                  uint32_t number, mm_error *err);
/* NULL: there is none. */
mm_status mmi_onnx_find_function(struct onnx_loading *loading, struct onnx_span domain,
                                 struct onnx_span name, struct onnx_span overload,
                                 const struct onnx_function **function, mm_error *err);
/* Its attribute of this name; NULL: there is none. */
const struct onnx_default *mmi_onnx_declared(const struct onnx_function *function,
                                             struct onnx_span name);
/* Its nodes in the place of a node that has its inputs and attributes; the names of the node's
 * outputs are in field `call_output` of its message. */
mm_status mmi_onnx_load_call(struct onnx_loading *loading, const struct onnx_function *function,
                             const struct onnx_node *node, struct onnx_message call,
                             uint32_t call_output, mm_error *err);

/* A copy that ends with NUL. MM_INVALID_MODEL: there is a NUL in it. */
mm_status mmi_onnx_load_text(struct onnx_loading *loading, struct onnx_span bytes,
                             const char **text, mm_error *err);
mm_status mmi_onnx_out_of_memory(mm_error *err); /* MM_NO_MEMORY, with its sentence */

#endif
