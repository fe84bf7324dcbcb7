/* SPDX-License-Identifier: Apache-2.0 */

/* Attributes that become constants. */

#include <backends/onnx/graph/upgrade.h>
#include <backends/onnx/operators/operator.h>
#include <base/status.h>

static mm_status check_type(const struct onnx_list *list, const struct onnx_attribute *attribute,
                            mm_error *err) {
    int32_t wanted = list->dtype == MM_I64      ? ONNX_ATTRIBUTE_INTS
                     : list->dtype == MM_F32    ? ONNX_ATTRIBUTE_FLOATS
                     : list->single             ? ONNX_ATTRIBUTE_STRING
                     : list->dtype == MM_STRING ? ONNX_ATTRIBUTE_STRINGS
                                                : ONNX_ATTRIBUTE_TENSOR;
    if (attribute->type != wanted) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute %s has type %d, %d wanted", list->name,
                        attribute->type, wanted);
    }
    return MM_OK;
}

static mm_status read_list(const struct onnx_list *list, const struct onnx_attributes *a,
                           struct onnx_tensor *tensor, mm_error *err) {
    a = mmi_onnx_since(a, list->since);
    a = list->before ? mmi_onnx_before(a, list->before) : a;
    const struct onnx_attribute *attribute = mmi_onnx_attribute(a, list->name);
    *tensor = (struct onnx_tensor){.dtype = MM_DTYPE_NONE};
    if (!attribute) {
        return MM_OK;
    }
    MMI_TRY(check_type(list, attribute, err));
    MMI_TRY(mmi_onnx_attribute_tensor(attribute, tensor, err));
    if (tensor->rank > 1 || (tensor->elements > 0 && !tensor->data)) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute %s has %u axes, one wanted", list->name,
                        tensor->rank);
    }
    if (tensor->elements == 0) {
        *tensor = (struct onnx_tensor){.dtype = MM_DTYPE_NONE};
    }
    return MM_OK;
}

mm_status mmi_onnx_read_lists(const struct onnx_operator *op, const struct onnx_attributes *a,
                              void *params, struct onnx_lists *lists, mm_error *err) {
    lists->count = 0;
    for (const struct onnx_list *list = op->lists; list && list->name; list++) {
        MMI_TRY(read_list(list, a, &lists->at[lists->count++], err));
    }
    return op->arrange ? op->arrange(lists, params, err) : MM_OK;
}
