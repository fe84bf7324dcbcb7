/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_FACTS_H
#define MMI_BACKENDS_ONNX_OPERATORS_FACTS_H

/* What holds for a value whatever the shapes of a request are: the passes go by it. An operator
 * says what is known of its outputs by rules, and by a function where no rule fits. */

#include <backends/onnx/graph/graph.h>

struct onnx_fact {
    int32_t dtype; /* mm_dtype; MM_DTYPE_NONE: not known */
    int32_t rank;  /* -1: not known */
    int64_t last;  /* elements of its last axis; 0: not known */
    /* A hint about cost: it comes out of a reduction and has likely far fewer elements than what
     * it is combined with next. */
    bool small;
};

/* An mm_dtype, or one of these. */
enum onnx_dtype_rule {
    ONNX_DTYPE_UNKNOWN = 0,
    ONNX_DTYPE_OF_0 = 64, /* of input 0 */
    ONNX_DTYPE_OF_1,
    ONNX_DTYPE_OF_2,
    ONNX_DTYPE_OF_ANY /* all inputs have it; it is enough to know one */
};
#define ONNX_DTYPE_OF(input) (ONNX_DTYPE_OF_0 + (input))

enum onnx_rank_rule {
    ONNX_RANK_UNKNOWN = 0,
    ONNX_SHAPE_OF_0, /* the shape of input 0: its rank and its last axis */
    ONNX_RANK_OF_0,  /* its rank alone */
    ONNX_RANK_OF_1,
    ONNX_RANK_BROADCAST, /* all inputs, broadcast */
    ONNX_RANK_IS_0,
    ONNX_RANK_IS_1,
    ONNX_RANK_IS_2
};

/* Elements that come out: about as many as go in, far fewer, or perhaps far more. */
enum onnx_size_rule { ONNX_SIZE_ALIKE = 0, ONNX_SIZE_REDUCES, ONNX_SIZE_SPREADS };

struct onnx_fact_rules {
    uint8_t dtype, rank, size; /* of output 0 */
    uint8_t all_outputs;       /* 1: the other outputs are like it; 0: nothing is known of them */
};
#define ONNX_FACTS_LIKE_0                                                                          \
    { ONNX_DTYPE_OF_0, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0 }
#define ONNX_FACTS_BROADCAST                                                                       \
    { ONNX_DTYPE_OF_ANY, ONNX_RANK_BROADCAST, ONNX_SIZE_ALIKE, 0 }

/* A node, and the facts of all values of the model. */
struct onnx_learning {
    const struct onnx_model *model;
    const struct onnx_node *node;
    const struct onnx_fact *facts; /* [model->value_count] */
};
/* Of an input of the node; left out: nothing is known. */
struct onnx_fact mmi_onnx_fact(const struct onnx_learning *l, uint32_t input);
/* How many elements an input of one axis has (axes, a shape); -1: not known. */
int64_t mmi_onnx_fact_length(const struct onnx_learning *l, uint32_t input);

/* Sets what the rules leave open of this output. */
typedef void (*onnx_learn)(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact);

/* The fact of an output, by the rules and by the function of the node's operator. */
struct onnx_fact mmi_onnx_learn(const struct onnx_learning *l, uint32_t output);

#endif
