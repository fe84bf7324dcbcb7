/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/panels.h>
#include <base/checked.h>

#include <string.h>

bool mmi_onnx_has_scaled_panels(int32_t dtype) {
    return dtype == MM_I8 || dtype == MM_I4;
}

bool mmi_onnx_has_float_panels(int32_t dtype) {
    return dtype == MM_F32 || dtype == MM_F16 || dtype == MM_BF16;
}

bool mmi_onnx_has_panels(int32_t dtype) {
    return mmi_onnx_has_float_panels(dtype) || mmi_onnx_has_scaled_panels(dtype);
}

uint64_t mmi_onnx_narrow_panel_bytes(int32_t dtype, uint64_t k, uint64_t n) {
    uint64_t panels = mmi_div_up(n, ONNX_NR), bytes, row = mm_dtype_bytes(dtype, ONNX_NR);
    if (dtype == MM_I4) {
        k = mmi_div_up(k, ONNX_I4_ROWS);
        row *= ONNX_I4_ROWS;
    }
    return mmi_mul(k, row, &bytes) && mmi_mul(bytes, panels, &bytes) ? bytes : UINT64_MAX;
}

/* ---- Packing --------------------------------------------------------------------------------- */

void mmi_onnx_pack_narrow(int32_t dtype, const void *from, uint64_t k, uint64_t n, void *panels) {
    uint64_t width = mmi_onnx_element_bytes(dtype);
    uint8_t *to = panels;
    for (uint64_t j = 0; j < n; j += ONNX_NR) {
        uint64_t columns = mmi_min_u64(n - j, ONNX_NR);
        for (uint64_t i = 0; i < k; i++, to += ONNX_NR * width) {
            memset(to, 0, ONNX_NR * width);
            memcpy(to, (const uint8_t *)from + (i * n + j) * width, columns * width);
        }
    }
}

void mmi_onnx_pack_i4(const int8_t *from, uint64_t k, uint64_t n, void *panels) {
    uint32_t *words = panels;
    memset(panels, 0, mmi_onnx_narrow_panel_bytes(MM_I4, k, n));
    for (uint64_t j = 0; j < n; j += ONNX_NR) {
        uint64_t columns = mmi_min_u64(n - j, ONNX_NR);
        for (uint64_t i = 0; i < k; i++) {
            uint32_t *to = words + i / ONNX_I4_ROWS * ONNX_NR;
            for (uint64_t c = 0; c < columns; c++) {
                uint32_t bits = (uint32_t)from[i * n + j + c] & 15u;
                to[c] |= bits << 4 * (i % ONNX_I4_ROWS);
            }
        }
        words += mmi_div_up(k, ONNX_I4_ROWS) * ONNX_NR;
    }
}

/* ---- Reading --------------------------------------------------------------------------------- */

struct onnx_panels mmi_onnx_linear_panels(const struct onnx_call *call) {
    const struct onnx_linear *linear = call->params;
    const struct onnx_tensor *w = &call->inputs[1];
    bool scaled = mmi_onnx_has_scaled_panels(w->dtype);
    return (struct onnx_panels){
        .dtype = w->dtype,
        .at = call->in[1],
        .depth = (uint64_t)w->shape[0],
        .block = scaled ? (uint64_t)linear->block : 0,
        .scales = scaled ? call->in[ONNX_LINEAR_SCALES] : NULL,
        .zeros = mmi_onnx_given(call, ONNX_LINEAR_ZEROS) ? call->in[ONNX_LINEAR_ZEROS] : NULL};
}

const void *mmi_onnx_panel_row(const struct onnx_panels *panels, uint64_t panel, uint64_t row) {
    uint64_t bytes = mmi_onnx_narrow_panel_bytes(panels->dtype, panels->depth, 1);
    return (const uint8_t *)panels->at + panel * bytes +
           mmi_onnx_narrow_panel_bytes(panels->dtype, row, 1);
}

static int32_t i4_at(const uint32_t *words, uint64_t row, uint64_t column) {
    uint32_t word = words[row / ONNX_I4_ROWS * ONNX_NR + column];
    return (int32_t)mmi_onnx_packed_value(MM_I4, (uint8_t)(word >> 4 * (row % ONNX_I4_ROWS) & 15));
}

void mmi_onnx_widen_panel(const struct onnx_panels *panels, uint64_t panel, float *to) {
    const void *from = mmi_onnx_panel_row(panels, panel, 0);
    if (!panels->block) {
        mmi_onnx_convert(panels->dtype, from, panels->depth * ONNX_NR, MM_F32, to);
        return;
    }
    for (uint64_t i = 0; i < panels->depth; i++) {
        uint64_t scale = mmi_onnx_panel_scale(panels, panel, i);
        for (uint64_t j = 0; j < ONNX_NR; j++) {
            int32_t number = panels->dtype == MM_I4 ? i4_at(from, i, j)
                                                    : ((const int8_t *)from)[i * ONNX_NR + j];
            int32_t zero = panels->zeros ? panels->zeros[scale + j] : 0;
            to[i * ONNX_NR + j] = (float)(number - zero) * panels->scales[scale + j];
        }
    }
}
