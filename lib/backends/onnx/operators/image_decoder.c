/* SPDX-License-Identifier: Apache-2.0 */

/* ImageDecoder: the bytes of a file to a picture. Where the specification has an empty matrix for
 * one that nobody can decode, there is an error that says why. */

#include <backends/onnx/images/picture.h>
#include <backends/onnx/operators/execution.h>
#include <base/status.h>

enum { RGB, BGR, GREY };

struct image_decoder {
    int32_t format, reserved;
};

static mm_status read_image_decoder(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct image_decoder *decoder = params;
    static const char *const formats[] = {"RGB", "BGR", "Grayscale", NULL};
    return mmi_onnx_read_choice(a, "pixel_format", formats, &decoder->format, err);
}

static void swap_red_and_blue(const struct onnx_tensor *rgb, uint8_t *pixels) {
    for (uint64_t i = 0; i < rgb->elements; i += 3) {
        uint8_t red = pixels[i];
        pixels[i] = pixels[i + 2];
        pixels[i + 2] = red;
    }
}

/* As ITU-R 601-2 weighs red, green and blue. */
static mm_status make_grey(const struct onnx_execution *x, const struct onnx_tensor *rgb,
                           mm_error *err) {
    const int64_t shape[3] = {rgb->shape[0], rgb->shape[1], 1};
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_U8, 3, shape, &x->outputs[0], err));
    uint8_t *to = mmi_onnx_value_data(&x->outputs[0]);
    const uint8_t *from = rgb->data;
    for (uint64_t i = 0; i < x->outputs[0].tensor.elements; i++, from += 3) {
        to[i] = (uint8_t)((from[0] * 19595U + from[1] * 38470U + from[2] * 7471U + 0x8000) >> 16);
    }
    return MM_OK;
}

static mm_status execute_image_decoder(struct onnx_execution *x, mm_error *err) {
    const struct image_decoder *decoder = x->params;
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "encoded stream", MM_U8, 1, err));
    const struct onnx_tensor *stream = &x->inputs[0].tensor;
    struct onnx_picture picture = {
        .bytes = stream->data, .count = stream->elements, .memory = x->memory};
    mm_status status = mmi_onnx_read_picture(&picture, err);
    if (status == MM_OK && decoder->format == GREY) {
        status = make_grey(x, &picture.rgb.tensor, err);
    } else if (status == MM_OK) {
        if (decoder->format == BGR) {
            swap_red_and_blue(&picture.rgb.tensor, mmi_onnx_value_data(&picture.rgb));
        }
        x->outputs[0] = mmi_onnx_share_value(&picture.rgb);
    }
    mmi_onnx_drop_value(x->memory, &picture.rgb);
    return status;
}

static void learn_image_decoder(const struct onnx_learning *l, uint32_t output,
                                struct onnx_fact *fact) {
    const struct image_decoder *decoder = l->node->params;
    (void)output;
    fact->rank = 3;
    fact->last = decoder->format == GREY ? 1 : 3;
}

const struct onnx_operator mmi_onnx_op_ImageDecoder = {
    .name = "ImageDecoder",
    .flags = ONNX_OP_RANDOM, /* of a picture in the model, too: it is decoded in a run's memory */
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct image_decoder),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("pixel_format", struct image_decoder, format, 0, 2)),
    .read = read_image_decoder,
    .execute = execute_image_decoder,
    .facts = {MM_U8, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
    .learn = learn_image_decoder,
};
