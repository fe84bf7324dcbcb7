/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/depthwise_rows.h>
#include <backends/onnx/cpu/tasks.h>

#define PADDED_FLOATS (12 * 1024) /* small enough for the cache */

bool mmi_onnx_plan_depthwise(const struct onnx_conv *params, const struct onnx_tensor *image,
                             const struct onnx_tensor *weights, struct onnx_depthwise_plan *plan) {
    struct onnx_placed placed;
    struct onnx_window_2d window;
    if (mmi_onnx_place_window(&params->window, image, weights->shape + 2, &placed, NULL) != MM_OK ||
        !mmi_onnx_window_2d(&placed, &window) ||
        !mmi_onnx_padded_rows(&window, 0, PADDED_FLOATS, &plan->padded)) {
        return false;
    }
    plan->images = (uint64_t)image->shape[0];
    plan->channels = (uint64_t)weights->shape[0];
    plan->multiplier = plan->channels / (uint64_t)params->group;
    plan->taps = window.rows.kernel * window.columns.kernel;
    plan->in_pixels = window.rows.in * window.columns.in;
    plan->out_pixels = window.rows.out * window.columns.out;
    return true;
}

uint64_t mmi_onnx_depthwise_tasks(const struct onnx_depthwise_plan *plan, uint64_t more,
                                  const mm_services *services) {
    double results = (double)plan->images * (double)plan->channels * (double)plan->out_pixels;
    return mmi_onnx_tasks(services, results * (double)(plan->taps + more) / 20,
                          plan->images * plan->channels);
}

struct onnx_depthwise mmi_onnx_depthwise_channel(const struct onnx_depthwise_plan *plan,
                                                 const float *scratch) {
    const struct onnx_window_2d *window = &plan->padded.window;
    return (struct onnx_depthwise){.from = scratch,
                                   .row_stride = plan->padded.row_stride,
                                   .kernel_rows = window->rows.kernel,
                                   .kernel_columns = window->columns.kernel,
                                   .stride = window->rows.stride,
                                   .offsets = plan->offsets,
                                   .columns = window->columns.out};
}

/* For any window: output rows one by one. */
static void window_rows(const struct onnx_depthwise_plan *plan, const struct onnx_depthwise *dw) {
    struct onnx_window_row taps = {.offsets = plan->offsets,
                                   .weights = dw->weights,
                                   .count = plan->taps,
                                   .columns = dw->columns,
                                   .bias = dw->bias};
    for (uint64_t row = 0; row < dw->rows; row++) {
        taps.from = dw->from + mmi_onnx_padded_row(&plan->padded, row);
        taps.to = dw->to + row * dw->columns;
        plan->simd->window_sum(&taps);
    }
}

void mmi_onnx_depthwise_rows(const struct onnx_depthwise_plan *plan, const float *image,
                             uint64_t first, const struct onnx_depthwise *dw, float *scratch) {
    mmi_onnx_pad_rows(&plan->padded, plan->simd, image, first, dw->rows, scratch);
    if (plan->padded.window.rows.dilation != 1 || !plan->simd->depthwise(dw)) {
        window_rows(plan, dw);
    }
}
