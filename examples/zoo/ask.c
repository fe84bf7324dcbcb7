/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"
#include "vad.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define MOST_INPUTS 4u

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Request -------------------------------------------------------------------------------- */

/* The part of a state that goes by this name: of an input, or of the output that follows it. */
static float *state_part(float *state, const char *name, uint64_t *bytes, uint32_t *halves) {
    *halves = 1;
    *bytes = VAD_STATE / 2 * sizeof(float);
    if (strcmp(name, "h") == 0 || strcmp(name, "hn") == 0) {
        return state;
    }
    if (strcmp(name, "c") == 0 || strcmp(name, "cn") == 0) {
        return state + VAD_STATE / 2;
    }
    if (strcmp(name, "state") == 0 || strcmp(name, "stateN") == 0) {
        *halves = 2;
        *bytes *= 2;
        return state;
    }
    return NULL;
}

static void fill_input(const char *name, const mm_value *given, float *state, mm_value *input) {
    static int64_t rate = VAD_RATE;
    uint64_t bytes;
    uint32_t halves;
    float *part = state ? state_part(state, name, &bytes, &halves) : NULL;
    if (part) {
        *input = (mm_value){.dtype = MM_F32, .rank = 3, .data = part, .bytes = bytes};
        input->shape[0] = halves;
        input->shape[1] = 1;
        input->shape[2] = VAD_STATE / 2;
    } else if (strcmp(name, "sr") == 0) {
        *input = (mm_value){.dtype = MM_I64, .data = &rate, .bytes = sizeof(rate)};
    } else {
        *input = *given;
    }
    input->name = name;
}

static bool keep_state(const struct zoo_model *model, const mm_response *response, float *state,
                       mm_error *err) {
    for (uint32_t i = 0; i < response->output_count; i++) {
        const char *name = model->description->outputs[i].name;
        uint64_t bytes;
        uint32_t halves;
        float *part = state_part(state, name, &bytes, &halves);
        if (part && response->outputs[i].bytes != bytes) {
            return fault(err, MM_BACKEND_FAILED, "%s: %s has %" PRIu64 " bytes, not %" PRIu64,
                         model->name, name, response->outputs[i].bytes, bytes);
        }
        if (part) {
            memcpy(part, response->outputs[i].data, bytes);
        }
    }
    return true;
}

bool ask(mm_mesh *mesh, const struct zoo_model *model, const mm_value *input, float *state,
         struct answer *answer, mm_error *err) {
    const mm_model_description *description = model->description;
    mm_value inputs[MOST_INPUTS];
    if (description->input_count > MOST_INPUTS) {
        return fault(err, MM_UNSUPPORTED, "%s: %u inputs", model->name, description->input_count);
    }
    for (uint32_t i = 0; i < description->input_count; i++) {
        fill_input(description->inputs[i].name, input, state, &inputs[i]);
    }
    mm_request request = MM_REQUEST_INIT;
    request.inputs = inputs;
    request.input_count = description->input_count;
    answer->response = (mm_response)MM_RESPONSE_INIT;
    uint64_t begun_ns = now_ns();
    mm_status status = mm_infer(mesh, model->handle, &request, &answer->response, err);
    answer->took_ns = now_ns() - begun_ns;
    answer->hit = answer->response.flags & MM_RESPONSE_HIT;
    if (status != MM_OK) {
        return false;
    }
    if (state && !keep_state(model, &answer->response, state, err)) {
        answer_free(answer);
        return false;
    }
    return true;
}

void answer_free(struct answer *answer) {
    mm_response_free(&answer->response);
}

/* ---- Answer --------------------------------------------------------------------------------- */

const float *answer_scores(const struct answer *answer, uint64_t count) {
    const mm_response *response = &answer->response;
    if (response->output_count == 0 || response->outputs[0].dtype != MM_F32 ||
        response->outputs[0].bytes < count * sizeof(float)) {
        return NULL;
    }
    return response->outputs[0].data;
}

static bool is_finite(const mm_value *value) {
    if (value->dtype != MM_F32) {
        return true;
    }
    const float *numbers = value->data;
    float sum = 0; /* of zeros, unless one of them is infinite or none at all */
    for (uint64_t i = 0; i < value->bytes / sizeof(float); i++) {
        sum += numbers[i] * 0;
    }
    return isfinite(sum);
}

/* Not for strangers: only to notice a change. Never 0. */
static uint64_t digest(const mm_response *response) {
    uint64_t sum = response->output_count;
    for (uint32_t i = 0; i < response->output_count; i++) {
        const mm_value *value = &response->outputs[i];
        for (uint64_t at = 0; at < value->bytes; at += 8) {
            uint64_t word = 0, left = value->bytes - at;
            memcpy(&word, (const char *)value->data + at, left < 8 ? left : 8);
            sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
            sum ^= sum >> 29;
        }
    }
    return sum | 1;
}

bool answer_same(struct zoo_model *model, uint32_t sample, const struct answer *answer,
                 mm_error *err) {
    for (uint32_t i = 0; i < answer->response.output_count; i++) {
        if (!is_finite(&answer->response.outputs[i])) {
            return fault(err, MM_BACKEND_FAILED, "%s: output %s is not finite", model->name,
                         model->description->outputs[i].name);
        }
    }
    uint64_t now = digest(&answer->response), first = 0;
    if (atomic_compare_exchange_strong(&model->first_answers[sample], &first, now) ||
        first == now) {
        return true;
    }
    return fault(err, MM_BACKEND_FAILED, "%s: sample %u has another answer than the first time",
                 model->name, sample);
}
