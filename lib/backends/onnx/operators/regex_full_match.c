/* SPDX-License-Identifier: Apache-2.0 */

/* RegexFullMatch. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/regex.h>
#include <base/status.h>

enum { STEPS = 1, RANGES };

static mm_status make_list(const void *data, uint64_t bytes, struct onnx_tensor *list,
                           mm_error *err) {
    int64_t count = (int64_t)(bytes / sizeof(int32_t));
    MMI_TRY(mmi_onnx_tensor_set(list, MM_I32, 1, &count, err));
    list->data = data;
    return MM_OK;
}

static mm_status arrange(struct onnx_lists *lists, void *params, mm_error *err) {
    struct onnx_regex regex = {0};
    (void)params;
    if (lists->at[0].dtype == MM_DTYPE_NONE) {
        return mmi_fail(err, MM_INVALID_MODEL, "it has no pattern");
    }
    MMI_TRY(mmi_onnx_regex_compile(lists->arena, lists->at[0].data, &regex, err));
    MMI_TRY(make_list(regex.steps, regex.count * sizeof(*regex.steps), &lists->at[0], err));
    lists->count = 2;
    return make_list(regex.ranges, regex.range_count * sizeof(*regex.ranges), &lists->at[1], err);
}

static struct onnx_regex regex_of(const struct onnx_tensor *inputs) {
    return (struct onnx_regex){.count = inputs[STEPS].bytes / sizeof(struct onnx_regex_step),
                               .range_count =
                                   inputs[RANGES].bytes / sizeof(struct onnx_regex_range)};
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_TYPE(MM_STRING), err));
    x->scratch_bytes = mmi_onnx_regex_scratch(regex_of(x->inputs).count);
    return mmi_onnx_tensor_set(&x->outputs[0], MM_BOOL, input->rank, input->shape, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    struct onnx_regex regex = regex_of(call->inputs);
    const struct onnx_string *texts = call->in[0];
    uint8_t *out = call->out[0];
    regex.steps = call->in[STEPS];
    regex.ranges = call->in[RANGES];
    if (!mmi_onnx_regex_is_sound(&regex)) {
        return mmi_fail(err, MM_CORRUPT, "its pattern is damaged");
    }
    for (uint64_t i = 0; out && i < call->inputs[0].elements; i++) {
        out[i] = mmi_onnx_regex_matches(&regex, &texts[i], call->scratch);
    }
    return MM_OK;
}

static const struct onnx_list lists[] = {{.name = "pattern", .dtype = MM_STRING, .single = true},
                                         {0}};
const struct onnx_operator mmi_onnx_op_RegexFullMatch = {
    .name = "RegexFullMatch",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .lists = lists,
    .arrange = arrange,
    .arranged = 2,
    .infer = infer,
    .run = run,
    .facts = {MM_BOOL, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
};
