/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_OPERATOR_H
#define MMI_BACKENDS_ONNX_OPERATORS_OPERATOR_H

/* What an operator is: how its attributes are read, what comes out for which inputs, and a
 * kernel in plain C that is right for every type; and everything that passes and devices want to
 * know of it. One constant per operator, in a file a family; operators.def lists them all.
 *
 * Semantics are those of the newest opset (onnx.ai, "Operators"); `read` and upgrade.c bring older
 * ones to that form. */

#include <backends/onnx/operators/facts.h>
#include <backends/onnx/operators/functions.h>

#include <stddef.h>

/* ---- Reading attributes ---------------------------------------------------------------------- */

struct onnx_attributes {
    const struct onnx_node *node;
    int64_t opset; /* of the node's domain */
};
/* Asking for an attribute makes it known; what is not known in the end is refused. So an attribute
 * that changes nothing here is asked for, too, and one that not every opset has only where it is:
 * mmi_onnx_read_int(mmi_onnx_since(a, 14), "allowzero", ...). Elsewhere it is as if absent. */
const struct onnx_attributes *mmi_onnx_since(const struct onnx_attributes *a, int64_t opset);
const struct onnx_attributes *mmi_onnx_before(const struct onnx_attributes *a, int64_t opset);
/* MM_INVALID_MODEL, with name and opset, if one is not known; or is there twice. */
mm_status mmi_onnx_check_known(const struct onnx_attributes *a, mm_error *err);

/* NULL: absent. The others give `fallback` when it is absent and fail, naming it, when it is of
 * another type. */
const struct onnx_attribute *mmi_onnx_attribute(const struct onnx_attributes *a, const char *name);
mm_status mmi_onnx_read_int(const struct onnx_attributes *a, const char *name, int64_t fallback,
                            int64_t *out, mm_error *err);
mm_status mmi_onnx_read_float(const struct onnx_attributes *a, const char *name, float fallback,
                              float *out, mm_error *err);
/* At most `max` of them. Absent: *count is 0. */
mm_status mmi_onnx_read_ints(const struct onnx_attributes *a, const char *name, uint32_t max,
                             int64_t *out, uint32_t *count, mm_error *err);
/* The same for what is kept in 32 bits, and for what counts as 1 unless it is 0. */
mm_status mmi_onnx_read_int32(const struct onnx_attributes *a, const char *name, int32_t fallback,
                              int32_t *out, mm_error *err);
mm_status mmi_onnx_read_flag(const struct onnx_attributes *a, const char *name, bool fallback,
                             int32_t *out, mm_error *err);
/* One of the texts of `choices` (NULL ends them): its index. Absent: 0. */
mm_status mmi_onnx_read_choice(const struct onnx_attributes *a, const char *name,
                               const char *const *choices, int32_t *out, mm_error *err);

/* ---- What parameters must be ----------------------------------------------------------------- */

/* Parameters come from attributes, or as bytes out of a prepared model, which may be anything: what
 * they must be so that infer and run may use them is said here, once, and looked at in both cases.
 * What shapes decide is infer's to check. A flag may be any number, so there is no
 * bool in them. */
struct onnx_limit {
    const char *name;     /* of the attribute; NULL ends them */
    uint16_t at;          /* in the parameters: */
    uint8_t bytes, count; /* so many signed numbers of 4 or 8 bytes */
    uint32_t types;       /* not 0: each is an mm_dtype of these (1u << it) */
    int64_t least, most;  /* else each is in this range */
};
#define ONNX_LIMITS(...) ((const struct onnx_limit[]){__VA_ARGS__, {.name = NULL}})
#define ONNX_BETWEEN(name, type, field, least, most)                                               \
    { name, offsetof(type, field), sizeof(((type *)0)->field), 1, 0, least, most }
#define ONNX_AT_LEAST(name, type, field, least) ONNX_BETWEEN(name, type, field, least, INT64_MAX)
/* For a flag that is an index, too. */
#define ONNX_FLAG(name, type, field) ONNX_BETWEEN(name, type, field, 0, 1)
/* Every one of an array. */
#define ONNX_ALL_BETWEEN(name, type, field, least, most)                                           \
    {                                                                                              \
        name, offsetof(type, field), sizeof(((type *)0)->field[0]),                                \
            sizeof(((type *)0)->field) / sizeof(((type *)0)->field[0]), 0, least, most             \
    }
#define ONNX_OF_TYPE(name, type, field, types)                                                     \
    { name, offsetof(type, field), sizeof(((type *)0)->field), 1, types, 0, 0 }
#define ONNX_ANY_TYPE ((2u << MM_I2) - 2)
#define ONNX_OR_NONE (1u << MM_DTYPE_NONE) /* among the types */

/* ---- Attributes as constants ----------------------------------------------------------------- */

/* Texts and long lists are no parameters: they become constants, which the node reads as inputs
 * behind its own. Large ones lie among the weights. */
struct onnx_list {
    const char *name;      /* NULL ends them */
    int32_t dtype;         /* MM_I64, MM_F32, MM_STRING: a list of these; MM_DTYPE_NONE: a tensor */
    int64_t since, before; /* opsets that have it; 0: no limit */
    bool single;           /* one text, no list of them */
};
#define ONNX_MAX_LISTS 20
/* Those of one node, in the order of op->lists. Without elements is as if left out: dtype
 * MM_DTYPE_NONE. */
struct onnx_lists {
    struct onnx_arena *arena;
    uint32_t count;
    struct onnx_tensor at[ONNX_MAX_LISTS]; /* known, with 0 or 1 axes as the file has them */
};

/* ---- Inferring shapes ------------------------------------------------------------------------ */

/* One node with the shapes of its inputs at hand. The elements of an input are there only where
 * they are known before the run (`known`): constants that are small, and what was computed from
 * shapes. */
struct onnx_inference {
    const void *params;
    uint32_t input_count, output_count;
    const struct onnx_tensor *inputs; /* [input_count]; dtype MM_DTYPE_NONE where left out */
    struct onnx_tensor *outputs;      /* [output_count]: set by mmi_onnx_tensor_set */
    uint64_t scratch_bytes;           /* what `run` wants in call->scratch; 0 unless set */
};

/* Input i is there. */
static inline bool mmi_onnx_has(const struct onnx_inference *x, uint32_t i) {
    return i < x->input_count && x->inputs[i].dtype != MM_DTYPE_NONE;
}
/* Elements of a 1-D or scalar integer input that must be known. MM_UNSUPPORTED, "its <what> is not
 * known before the run", where they are not. */
struct onnx_ints {
    uint32_t count;
    int64_t at[2 * MM_MAX_RANK];
};
mm_status mmi_onnx_known_ints(const struct onnx_inference *x, uint32_t input, const char *what,
                              struct onnx_ints *ints, mm_error *err);

/* ---- Running --------------------------------------------------------------------------------- */

/* One run of one node. Shapes are those of the signature; data are those of this run. */
struct onnx_call {
    const void *params;
    uint32_t input_count, output_count;
    const struct onnx_tensor *inputs, *outputs; /* their `data` is not to be used */
    const void *const *in;       /* [input_count]; NULL: left out; of 0 bytes: mmi_onnx_nothing */
    void *const *out;            /* [output_count]; NULL: nobody wants it, or 0 bytes */
    void *scratch;               /* scratch_bytes, aligned to 64 */
    const mm_services *services; /* parallel_for, threads */
    /* Memory for the text of strings that come out, which lasts as long as they can; NULL: no
     * room. */
    void *(*take_text)(void *text_ctx, uint64_t bytes);
    void *text_ctx;
};
typedef mm_status (*onnx_kernel)(const struct onnx_call *call, mm_error *err);
/* Where a tensor of 0 bytes lies: somewhere, so that kernels may count on from there. */
extern const uint64_t mmi_onnx_nothing[1];

static inline bool mmi_onnx_given(const struct onnx_call *call, uint32_t i) {
    return i < call->input_count && call->inputs[i].dtype != MM_DTYPE_NONE;
}

/* ---- The operator ---------------------------------------------------------------------------- */

#define ONNX_ANY_NUMBER UINT32_MAX

enum {
    /* out[0] has the bytes of in[0] in their order: no step, another view of them */
    ONNX_OP_VIEW = 1u << 0,
    /* out[0] may lie where any input of the same bytes and element size lies */
    ONNX_OP_IN_PLACE = 1u << 1,
    /* needs the shapes of its inputs, never their elements: Shape, Size */
    ONNX_OP_SHAPES_ONLY = 1u << 2,
    /* where its condition is known, the nodes of one of its graphs take its place: If */
    ONNX_OP_CONTROL = 1u << 3,
    /* applies the struct onnx_activation at params + activation_at to its output 0, if that is
     * f32 */
    ONNX_OP_ACTIVATES = 1u << 4,
    /* makes something wider of what is narrow to take less memory: a large constant is left as it
     * is, also where kernels want it constant */
    ONNX_OP_WIDENS = 1u << 5,
    /* its results may be others in each run, or a few bytes become many: it is never computed
     * before one */
    ONNX_OP_RANDOM = 1u << 6,
    /* node->graphs has only those of `graphs` that are there; `read` says which */
    ONNX_OP_GRAPHS_OPTIONAL = 1u << 7
};

/* How an operator on f32 becomes instructions of Fused (fused.h) and activations. */
enum onnx_form {
    ONNX_FORM_NONE = 0, /* not at all */
    ONNX_FORM_ONE,      /* function of input 0, with the numbers a and b */
    ONNX_FORM_ALL,      /* function(function(input 0, input 1), input 2) ... */
    ONNX_FORM_MEAN,     /* the same, over the count of the inputs */
    ONNX_FORM_POWER,    /* Pow */
    ONNX_FORM_LIMITS    /* Clip: a and b are inputs 1 and 2 */
};
struct onnx_elementwise {
    uint8_t form;     /* enum onnx_form */
    uint8_t function; /* enum onnx_function_kind */
    float a, b;
};

/* What an operator needs to know where the axes of its tensors stand in another order: images whose
 * channels are the last axis. */
enum onnx_order_rule {
    ONNX_ORDER_FIXED = 0, /* it works in the order of the file alone */
    ONNX_ORDER_ANY,       /* nothing, if all its tensors have the order; constants are moved */
    ONNX_ORDER_AXIS,      /* the number at params + at names an axis */
    ONNX_ORDER_AXES,      /* input `at`, a constant, names axes */
    ONNX_ORDER_REDUCES    /* the same: those go, unless struct onnx_reduce keeps them */
};
struct onnx_order {
    uint8_t rule; /* enum onnx_order_rule */
    uint16_t at;
    const struct onnx_operator
        *channels_last; /* takes its place there, with its parameters; NULL: itself */
};

/* Kinds of devices that have kernels of their own. */
enum onnx_device { ONNX_CPU, ONNX_DEVICES };

/* A faster kernel than op->run for inputs and outputs of these types and shapes; NULL: none. x is
 * as op->infer left it, with the layout of constant inputs; its scratch_bytes becomes that of the
 * returned kernel. Reads `threads` and cpu_features of the services; both must be the same when the
 * kernel runs. */
typedef onnx_kernel (*onnx_choose)(struct onnx_inference *x, const mm_services *services);

struct onnx_execution;
#define ONNX_MAX_GRAPHS 2 /* that one node has */

struct onnx_operator {
    const char *name;
    const char *domain; /* NULL: ai.onnx; ONNX_ML; ONNX_OURS: made by passes, not for files */
    uint32_t flags;     /* ONNX_OP_* */
    uint32_t min_inputs, max_inputs; /* ONNX_ANY_NUMBER: no limit */
    uint32_t min_outputs, max_outputs;
    uint32_t params_bytes;
    /* bit i: input i's elements, not only its shape, decide the shapes (Reshape: 1 << 1) */
    uint32_t shaping_inputs;
    /* bit i: kernels want input i constant: it is folded to one however large it becomes */
    uint32_t weight_inputs;
    uint32_t activation_at; /* see ONNX_OP_ACTIVATES */
    /* Attributes to zeroed params, defaults. NULL: there are none. */
    mm_status (*read)(const struct onnx_attributes *a, void *params, mm_error *err);
    /* What the params must be, by ONNX_LIMITS; check: what no limit says. NULL: anything. */
    const struct onnx_limit *limits;
    mm_status (*check)(const void *params, mm_error *err);
    /* Attributes that become constants: list i is input max_inputs + i, left out where the file
     * does not have it, whatever the node's own inputs are; ONNX_ANY_NUMBER: behind the last one.
     * NULL: there are none. min_inputs and max_inputs are those of the file. */
    const struct onnx_list *lists;
    /* Once, when a model is prepared: put other constants in place of these, more or fewer, that a
     * run reads faster (sorted, linked); check them. After `read`. NULL: as they are. */
    mm_status (*arrange)(struct onnx_lists *lists, void *params, mm_error *err);
    uint32_t arranged; /* so many it leaves at least; 0: as many as there were */
    /* Check types and ranks of the inputs, set the outputs. A message says what was wrong with
     * which input, got and wanted; the caller puts the node before it. */
    mm_status (*infer)(struct onnx_inference *x, mm_error *err);
    onnx_kernel run;
    /* Instead of infer and run, for what only a run knows: see execution.h. With them (Identity):
     * for values that are no tensors. */
    mm_status (*execute)(struct onnx_execution *x, mm_error *err);
    /* Its attributes that are graphs, in the order of node->graphs; `check_graphs` says whether
     * they have as many inputs and outputs as the node needs of them. */
    const char *graphs[ONNX_MAX_GRAPHS];
    mm_status (*check_graphs)(const struct onnx_node *node, mm_error *err);
    /* What is known of the outputs before any shape is; learn: what the rules leave open, or
     * NULL. */
    struct onnx_fact_rules facts;
    onnx_learn learn;
    /* The elementwise form; elementwise_by: what of it the parameters decide, or NULL. */
    struct onnx_elementwise elementwise;
    void (*elementwise_by)(const void *params, struct onnx_elementwise *form);
    struct onnx_order order; /* of one output, and of several that are alike */
    /* Whether ONNX_OP_VIEW holds for these inputs; NULL: the flag says it for all. */
    bool (*is_view)(const struct onnx_inference *x);
    /* By kind of device; NULL: `run` is all there is. */
    onnx_choose kernels[ONNX_DEVICES];
};
#define ONNX_OURS "mmi"
#define ONNX_MICROSOFT "com.microsoft"
/* Whether params may be used: see struct onnx_limit. MM_INVALID_MODEL names the attribute. */
mm_status mmi_onnx_check_params(const struct onnx_operator *op, const void *params, mm_error *err);
/* Attributes to params of zeros: op->read, then that check. */
mm_status mmi_onnx_read_params(const struct onnx_operator *op, const struct onnx_attributes *a,
                               void *params, mm_error *err);
/* The lists of a node with these attributes: what the constants behind its inputs will be. */
mm_status mmi_onnx_read_lists(const struct onnx_operator *op, const struct onnx_attributes *a,
                              void *params, struct onnx_lists *lists, mm_error *err);

/* Its results cannot be planned, whatever is known. */
static inline bool mmi_onnx_is_dynamic(const struct onnx_operator *op) {
    return !op->infer && !(op->flags & ONNX_OP_CONTROL);
}

/* By domain ("" and "ai.onnx" are the same) and name; NULL: not there. */
const struct onnx_operator *mmi_onnx_find_operator(const char *domain, const char *type);
/* All of them, in the order of operators.def; NULL ends them. */
extern const struct onnx_operator *const mmi_onnx_operators[];

/* The constant; and the name that an onnx_choose has, of those that have one. */
#define ONNX_OPERATOR(name)                                                                        \
    extern const struct onnx_operator mmi_onnx_op_##name;                                          \
    onnx_kernel mmi_onnx_cpu_##name(struct onnx_inference *x, const mm_services *services);
#include <backends/onnx/operators/operators.def>
#undef ONNX_OPERATOR

#endif
