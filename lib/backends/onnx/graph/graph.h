/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_GRAPH_H
#define MMI_BACKENDS_ONNX_GRAPH_GRAPH_H

/* The graph of a model between the file and the steps.
 *
 * Values (edges) are numbered through the whole model, branches included, so a branch that uses a
 * value of the graph around it simply uses its number. A value is written once: by a node, as an
 * input of the model, or as a constant. Nodes stand in an order in which they can run.
 *
 * A node comes from the file with the attributes that are written there, in the words of its opset.
 * graph/resolve.c finds its operator and turns the attributes into the operator's parameters, in
 * the words of the newest opset; from then on there are no attributes. */

#include <backends/onnx/graph/arena.h>
#include <backends/onnx/graph/tensor.h>

#define ONNX_NEWEST_ML_OPSET 5
#define ONNX_ML "ai.onnx.ml"     /* the other domain of the standard */
#define ONNX_NO_VALUE UINT32_MAX /* an optional input left out, an output that nobody wants */

struct onnx_graph;
struct onnx_operator;

struct onnx_value {
    const char *name;             /* of the file; "" for what passes make */
    struct onnx_tensor *constant; /* elements are known; NULL: made by a node, or an input */
};

enum onnx_attribute_type { /* values of AttributeProto.AttributeType */
                           ONNX_ATTRIBUTE_FLOAT = 1,
                           ONNX_ATTRIBUTE_INT = 2,
                           ONNX_ATTRIBUTE_STRING = 3,
                           ONNX_ATTRIBUTE_TENSOR = 4,
                           ONNX_ATTRIBUTE_GRAPH = 5,
                           ONNX_ATTRIBUTE_FLOATS = 6,
                           ONNX_ATTRIBUTE_INTS = 7,
                           ONNX_ATTRIBUTE_STRINGS = 8,
                           ONNX_ATTRIBUTE_SPARSE = 11 /* becomes a TENSOR when it is read */
};

struct onnx_attribute {
    const char *name;
    int32_t type; /* enum onnx_attribute_type; others are MM_UNSUPPORTED when they are read */
    bool known;   /* the operator has asked for it */
    float f;
    int64_t i;
    const char *text;                  /* STRING, NUL-terminated */
    uint64_t count;                    /* FLOATS, INTS, STRINGS; STRING: bytes of text */
    const float *floats;               /* [count] */
    const int64_t *ints;               /* [count] */
    const char *const *texts;          /* [count], NUL-terminated */
    const struct onnx_string *strings; /* [count] of STRINGS, 1 of STRING: the same bytes */
    const struct onnx_tensor *tensor;
    struct onnx_graph *graph;
};

struct onnx_node {
    const char *name;          /* as the file says; "" = none. mmi_onnx_node_text for messages */
    const char *type, *domain; /* "Conv", "" (ai.onnx is "") */
    int64_t opset;             /* of the domain, where the node stands; of no interest later */
    const struct onnx_operator *op; /* NULL before it is resolved */
    void *params;                   /* op->params_bytes; plain data without pointers */
    uint32_t input_count, output_count, attribute_count;
    uint32_t *inputs, *outputs; /* numbers of values, or ONNX_NO_VALUE */
    struct onnx_attribute *attributes;
    struct onnx_graph *
        *graphs; /* [graph_count]: those of its attributes, in the operator's order */
    uint32_t graph_count;
};

struct onnx_graph {
    struct onnx_node **nodes;
    uint32_t node_count;
    uint32_t input_count, output_count;
    uint32_t *inputs, *outputs; /* numbers of values; of a branch of If there are no inputs */
    /* Of a graph in a node: its outputs as the file declares them; NULL, or dtype MM_DTYPE_NONE,
     * where it does not. */
    mm_value_info *declared;
    /* Values of the graphs around it that it reads, but constants; steps/lifetimes.c sets them. */
    uint32_t *captures, capture_count;
};

struct onnx_model {
    struct onnx_arena *arena; /* where all of it lies */
    struct onnx_value *values;
    uint32_t value_count, value_capacity;
    struct onnx_graph *main;
    mm_value_info *inputs, *outputs; /* as declared: [main->input_count], [main->output_count] */
    /* [main->input_count]: the constant that an input has where a request leaves it out, or
     * ONNX_NO_VALUE; NULL: there are none. */
    uint32_t *defaults;
    int64_t opset; /* of ai.onnx in the main graph; 0: not imported */
    uint32_t metadata_count;
    const char **metadata; /* [2 * metadata_count] */
    uint32_t nesting;      /* deepest branches that are followed */
    const char *passes;    /* what the passes did, for a person; NULL: none ran */
    const mm_log *log; /* told of all nodes that cannot be resolved; NULL: only the first counts */
};

/* One more value. ONNX_NO_VALUE: out of memory. Moves model->values. */
uint32_t mmi_onnx_add_value(struct onnx_model *model, const char *name);
/* The same with a constant, which is copied (its data is not). */
uint32_t mmi_onnx_add_constant(struct onnx_model *model, const struct onnx_tensor *tensor);
/* The constant of an input of a node; NULL: there is none, or it is no constant. */
const struct onnx_tensor *mmi_onnx_constant(const struct onnx_model *model,
                                            const struct onnx_node *node, uint32_t input);
/* A node of our own making, resolved, with zeroed params. NULL: out of memory. */
struct onnx_node *mmi_onnx_new_node(struct onnx_model *model, const struct onnx_operator *op,
                                    uint32_t input_count, uint32_t output_count);
/* The first output that is wanted; ONNX_NO_VALUE: none is. */
uint32_t mmi_onnx_first_output(const struct onnx_node *node);
/* "Conv node 'backbone/conv1'", or by its first output where it has no name. Into `text`. */
#define ONNX_NODE_TEXT 160
const char *mmi_onnx_node_text(const struct onnx_model *model, const struct onnx_node *node,
                               char text[ONNX_NODE_TEXT]);
/* Put the node before the message of what failed; gives `status` back. MM_OK does nothing. */
mm_status mmi_onnx_fail_node(const struct onnx_model *model, const struct onnx_node *node,
                             mm_status status, mm_error *err);

/* older.c: puts nodes before those of opset 6 and less whose second input begins at a certain axis
 * of the first one, which give it the axes behind it. */
mm_status mmi_onnx_align_operands(struct onnx_model *model, struct onnx_graph *graph,
                                  mm_error *err);
/* resolve.c: operators, parameters, constants for Constant nodes; in all branches. */
mm_status mmi_onnx_resolve(struct onnx_model *model, mm_error *err);

#endif
