/* SPDX-License-Identifier: Apache-2.0 */

/* MurmurHash3, of com.microsoft: the 32-bit hash of that name of each element's bytes. The
 * exporter of scikit-learn writes it for FeatureHasher. */

#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct murmur {
    uint32_t seed;
    int32_t is_signed; /* i32 comes out */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct murmur *p = params;
    int64_t seed = 0, positive = 1;
    MMI_TRY(mmi_onnx_read_int(a, "seed", 0, &seed, err));
    MMI_TRY(mmi_onnx_read_int(a, "positive", 1, &positive, err));
    p->seed = (uint32_t)seed;
    p->is_signed = positive == 0;
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    int32_t dtype = ((const struct murmur *)x->params)->is_signed ? MM_I32 : MM_U32;
    MMI_TRY(mmi_onnx_check_type(x, 0,
                                ONNX_TYPE(MM_I32) | ONNX_TYPE(MM_U32) | ONNX_TYPE(MM_I64) |
                                    ONNX_TYPE(MM_U64) | ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F64) |
                                    ONNX_TYPE(MM_STRING),
                                err));
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, input->rank, input->shape, err);
}

static uint32_t rotate(uint32_t x, unsigned by) {
    return x << by | x >> (32 - by);
}

static uint32_t scramble(uint32_t k) {
    return rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

static uint32_t hash(const uint8_t *data, uint64_t bytes, uint32_t seed) {
    uint32_t h = seed, tail = 0;
    uint64_t at = 0;
    for (; bytes - at >= 4; at += 4) {
        uint32_t k = data[at] | (uint32_t)data[at + 1] << 8 | (uint32_t)data[at + 2] << 16 |
                     (uint32_t)data[at + 3] << 24;
        h = rotate(h ^ scramble(k), 13) * 5 + 0xe6546b64u;
    }
    for (unsigned i = 0; at + i < bytes; i++) {
        tail |= (uint32_t)data[at + i] << 8 * i;
    }
    h ^= scramble(tail); /* of 0 it is 0 */
    h ^= (uint32_t)bytes;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct murmur *p = call->params;
    const struct onnx_tensor *input = &call->inputs[0];
    uint64_t width = mmi_onnx_element_bytes(input->dtype);
    uint32_t *out = call->out[0];
    (void)err;
    for (uint64_t i = 0; out && i < input->elements; i++) {
        const uint8_t *element = (const uint8_t *)call->in[0] + i * width;
        if (input->dtype == MM_STRING) {
            const struct onnx_string *text = (const struct onnx_string *)call->in[0] + i;
            out[i] = hash((const uint8_t *)text->at, text->bytes, p->seed);
        } else {
            out[i] = hash(element, width, p->seed);
        }
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct murmur *p = l->node->params;
    (void)output;
    fact->dtype = p->is_signed ? MM_I32 : MM_U32;
}

const struct onnx_operator mmi_onnx_op_MsMurmurHash3 = {
    .name = "MurmurHash3",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct murmur),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
