/* SPDX-License-Identifier: Apache-2.0 */

/* FunctionProto: a node that calls a function of the model is replaced by the function's nodes. */

#include <backends/onnx/format/loading.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum {
    NAME = 1,
    INPUT = 4,
    OUTPUT = 5,
    ATTRIBUTE = 6,
    NODE = 7,
    OPSET = 9,
    DOMAIN = 10,
    DEFAULT = 11,
    OVERLOAD = 13
};

static const struct onnx_schema function_schema = {
    "a function",
    {[NAME] = ONNX_BYTES,
     [INPUT] = ONNX_BYTES,
     [OUTPUT] = ONNX_BYTES,
     [ATTRIBUTE] = ONNX_BYTES,
     [NODE] = ONNX_BYTES,
     [OPSET] = ONNX_BYTES,
     [DOMAIN] = ONNX_BYTES,
     [DEFAULT] = ONNX_BYTES,
     [OVERLOAD] = ONNX_BYTES},
};

#define MAX_ATTRIBUTES 256
/* Functions that call each other several times grow without end: so many bytes may be read for all
 * calls together. Each call counts for a few. */
#define CALLS_BYTES (UINT64_C(64) << 20)
#define CALLS_TIMES 16 /* or so many times the file, if that is more */
#define CALL_BYTES 64

struct onnx_function {
    struct onnx_span bytes, name;
    struct onnx_message message;
    struct onnx_imports imports;
    uint32_t attribute_count;
    struct onnx_default *attributes;
};

struct onnx_functions {
    struct onnx_function *all;
    struct onnx_scope names; /* by domain, name and overload */
    uint64_t read_bytes;     /* for all calls */
    uint64_t most_bytes;
};

/* ---- The functions of a model ---------------------------------------------------------------- */

/* What tells functions apart, with a NUL between. */
static mm_status make_key(struct onnx_loading *loading, struct onnx_span domain,
                          struct onnx_span name, struct onnx_span overload, struct onnx_span *key,
                          mm_error *err) {
    if (domain.bytes == 7 && memcmp(domain.at, "ai.onnx", 7) == 0) {
        domain.bytes = 0;
    }
    key->bytes = domain.bytes + name.bytes + overload.bytes + 2;
    uint8_t *to = mmi_onnx_take(loading->model->arena, key->bytes, 1);
    key->at = to;
    if (!to) {
        return mmi_onnx_out_of_memory(err);
    }
    memcpy(to, domain.at, domain.bytes);
    memcpy(to + domain.bytes + 1, name.at, name.bytes);
    memcpy(to + domain.bytes + name.bytes + 2, overload.at, overload.bytes);
    return MM_OK;
}

/* Names of attributes, of some with what they are if a call does not say. */
static mm_status load_declared(struct onnx_loading *loading, struct onnx_function *function,
                               mm_error *err) {
    struct onnx_message message = function->message;
    struct onnx_field field;
    uint64_t count = mmi_onnx_count_of(message, ATTRIBUTE) + mmi_onnx_count_of(message, DEFAULT);
    if (count > MAX_ATTRIBUTES) {
        return mmi_fail(err, MM_UNSUPPORTED, "%" PRIu64 " attributes, at most %d", count,
                        MAX_ATTRIBUTES);
    }
    function->attributes =
        mmi_onnx_take(loading->model->arena, count, sizeof(*function->attributes));
    if (!function->attributes) {
        return mmi_onnx_out_of_memory(err);
    }
    while (mmi_onnx_next_field(&message, &field)) {
        struct onnx_default *declared = &function->attributes[function->attribute_count];
        if (field.number == ATTRIBUTE) {
            declared->name = field.bytes;
        } else if (field.number == DEFAULT) {
            declared->bytes = field.bytes;
            MMI_TRY(mmi_onnx_attribute_name(loading, field.bytes, &declared->name, err));
        } else {
            continue;
        }
        function->attribute_count++;
    }
    return MM_OK;
}

static mm_status load_function(struct onnx_loading *loading, struct onnx_span bytes,
                               uint32_t number, mm_error *err) {
    struct onnx_functions *functions = loading->functions;
    struct onnx_function *function = &functions->all[number];
    struct onnx_span key;
    MMI_TRY(mmi_onnx_open_message(&function->message, bytes, &function_schema, loading->file, err));
    function->bytes = bytes;
    function->name = mmi_onnx_bytes_of(function->message, NAME);
    mm_status status =
        mmi_onnx_load_imports(loading, function->message, OPSET, &function->imports, err);
    status = status == MM_OK ? load_declared(loading, function, err) : status;
    if (status != MM_OK) {
        mmi_error_prefix(err, "function '%.*s'", ONNX_SHOWN(function->name));
        return status;
    }
    MMI_TRY(make_key(loading, mmi_onnx_bytes_of(function->message, DOMAIN), function->name,
                     mmi_onnx_bytes_of(function->message, OVERLOAD), &key, err));
    if (mmi_onnx_find_here(&functions->names, key) != ONNX_NO_VALUE) {
        return mmi_onnx_fail_at(loading->file, bytes.at, err,
                                "one function '%.*s' expected, this is a second one",
                                ONNX_SHOWN(function->name));
    }
    return mmi_onnx_add_name(&functions->names, key, number) ? MM_OK : mmi_onnx_out_of_memory(err);
}

mm_status mmi_onnx_load_functions(struct onnx_loading *loading, struct onnx_message model,
                                  uint32_t number, mm_error *err) {
    struct onnx_field field;
    uint64_t count = mmi_onnx_count_of(model, number);
    if (count == 0) {
        return MM_OK;
    }
    struct onnx_arena *arena = loading->model->arena;
    struct onnx_functions *functions = mmi_onnx_take(arena, 1, sizeof(*functions));
    struct onnx_function *all = mmi_onnx_take(arena, count, sizeof(*all));
    if (!functions || !all || count >= ONNX_NO_VALUE) {
        return mmi_onnx_out_of_memory(err);
    }
    uint64_t times;
    bool fits = mmi_mul(loading->source->bytes, CALLS_TIMES, &times);
    functions->all = all;
    functions->names.arena = arena;
    functions->most_bytes = fits ? mmi_max_u64(times, CALLS_BYTES) : UINT64_MAX;
    loading->functions = functions;
    for (uint32_t i = 0; mmi_onnx_next_of(&model, number, &field); i++) {
        MMI_TRY(load_function(loading, field.bytes, i, err));
    }
    return MM_OK;
}

mm_status mmi_onnx_find_function(struct onnx_loading *loading, struct onnx_span domain,
                                 struct onnx_span name, struct onnx_span overload,
                                 const struct onnx_function **function, mm_error *err) {
    struct onnx_span key;
    *function = NULL;
    if (!loading->functions) {
        return MM_OK;
    }
    MMI_TRY(make_key(loading, domain, name, overload, &key, err));
    uint32_t number = mmi_onnx_find_here(&loading->functions->names, key);
    *function = number == ONNX_NO_VALUE ? NULL : &loading->functions->all[number];
    return MM_OK;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

const struct onnx_default *mmi_onnx_declared(const struct onnx_function *function,
                                             struct onnx_span name) {
    const struct onnx_default *found = NULL;
    for (uint32_t i = 0; i < function->attribute_count; i++) {
        const struct onnx_default *declared = &function->attributes[i];
        bool same = declared->name.bytes == name.bytes &&
                    (name.bytes == 0 || memcmp(declared->name.at, name.at, name.bytes) == 0);
        found = same && (!found || declared->bytes.bytes > 0) ? declared : found;
    }
    return found;
}

static mm_status check_call(struct onnx_loading *loading, const struct onnx_function *function,
                            const struct onnx_node *node, uint64_t outputs, mm_error *err) {
    struct onnx_functions *functions = loading->functions;
    uint64_t cost = mmi_add_cap(function->bytes.bytes, CALL_BYTES);
    functions->read_bytes = mmi_add_cap(functions->read_bytes, cost);
    if (loading->depth >= loading->max_depth) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "functions and graphs nested more than %u deep: does one call itself?",
                        loading->max_depth);
    }
    if (functions->read_bytes > functions->most_bytes) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "the calls of functions make more than %" PRIu64 " bytes of nodes",
                        functions->most_bytes);
    }
    uint64_t has_inputs = mmi_onnx_count_of(function->message, INPUT);
    uint64_t has_outputs = mmi_onnx_count_of(function->message, OUTPUT);
    if (node->input_count > has_inputs || outputs > has_outputs) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%u inputs and %" PRIu64 " outputs, its function has %" PRIu64
                        " and %" PRIu64,
                        node->input_count, outputs, has_inputs, has_outputs);
    }
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        const char *name = node->attributes[i].name;
        struct onnx_span text = {(const uint8_t *)name, strlen(name)};
        if (!mmi_onnx_declared(function, text)) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "attribute %.80s, which its function does not have", name);
        }
    }
    return MM_OK;
}

static mm_status bind_inputs(struct onnx_loading *loading, const struct onnx_function *function,
                             const struct onnx_node *node, struct onnx_scope *scope,
                             mm_error *err) {
    struct onnx_message message = function->message;
    struct onnx_field field;
    for (uint32_t i = 0; mmi_onnx_next_of(&message, INPUT, &field); i++) {
        uint32_t value = i < node->input_count ? node->inputs[i] : ONNX_NO_VALUE;
        if (field.bytes.bytes == 0 || mmi_onnx_find_here(scope, field.bytes) != ONNX_NO_VALUE) {
            return mmi_onnx_fail_at(loading->file, field.bytes.at, err,
                                    "a new name of an input expected, got '%.*s'",
                                    ONNX_SHOWN(field.bytes));
        }
        if (!mmi_onnx_add_name(scope, field.bytes,
                               value == ONNX_NO_VALUE ? ONNX_LEFT_OUT : value)) {
            return mmi_onnx_out_of_memory(err);
        }
    }
    return MM_OK;
}

struct call {
    const struct onnx_function *function;
    struct onnx_message message;
    uint32_t output; /* its field of outputs */
    uint32_t first;  /* value that was made for it */
};

/* What the call calls its outputs. Values made for it are known by these names from then on. */
static mm_status bind_outputs(struct onnx_loading *loading, const struct call *call,
                              const struct onnx_scope *scope, mm_error *err) {
    struct onnx_message message = call->function->message, from = call->message;
    struct onnx_field field, name;
    while (mmi_onnx_next_of(&from, call->output, &field) &&
           mmi_onnx_next_of(&message, OUTPUT, &name)) {
        uint32_t value = mmi_onnx_find_here(scope, name.bytes);
        if (field.bytes.bytes == 0) {
            continue;
        }
        if (value == ONNX_NO_VALUE || value == ONNX_LEFT_OUT) {
            return mmi_onnx_fail_at(loading->file, name.bytes.at, err,
                                    "the name of a value of the function expected, got '%.*s'",
                                    ONNX_SHOWN(name.bytes));
        }
        if (mmi_onnx_find_here(loading->scope, field.bytes) != ONNX_NO_VALUE) {
            return mmi_onnx_fail_at(loading->file, field.bytes.at, err,
                                    "a new name expected, '%.*s' is there already",
                                    ONNX_SHOWN(field.bytes));
        }
        if (value >= call->first) {
            MMI_TRY(
                mmi_onnx_load_text(loading, field.bytes, &loading->model->values[value].name, err));
        }
        if (!mmi_onnx_add_name(loading->scope, field.bytes, value)) {
            return mmi_onnx_out_of_memory(err);
        }
    }
    return MM_OK;
}

static mm_status load_body(struct onnx_loading *loading, const struct onnx_function *function,
                           const struct onnx_node *node, struct onnx_scope *scope, mm_error *err) {
    struct onnx_message message = function->message;
    struct onnx_field field;
    const struct onnx_call_attributes call = {node->attributes, node->attribute_count, function};
    const struct onnx_loading before = *loading;
    mm_status status = MM_OK;
    loading->scope = scope;
    loading->imports = &function->imports;
    loading->call = &call;
    loading->depth++;
    while (status == MM_OK && mmi_onnx_next_of(&message, NODE, &field)) {
        status = mmi_onnx_load_node(loading, field.bytes, err);
    }
    loading->scope = before.scope;
    loading->imports = before.imports;
    loading->call = before.call;
    loading->depth = before.depth;
    return status;
}

mm_status mmi_onnx_load_call(struct onnx_loading *loading, const struct onnx_function *function,
                             const struct onnx_node *node, struct onnx_message call,
                             uint32_t call_output, mm_error *err) {
    struct onnx_scope scope = {.arena = loading->model->arena};
    uint32_t first = loading->model->value_count;
    MMI_TRY(check_call(loading, function, node, mmi_onnx_count_of(call, call_output), err));
    MMI_TRY(bind_inputs(loading, function, node, &scope, err));
    mm_status status = load_body(loading, function, node, &scope, err);
    if (status != MM_OK && !loading->told_function) { /* the innermost */
        mmi_error_prefix(err, "function '%.*s'", ONNX_SHOWN(function->name));
        loading->told_function = true;
    }
    MMI_TRY(status);
    const struct call bound = {function, call, call_output, first};
    return bind_outputs(loading, &bound, &scope, err);
}
