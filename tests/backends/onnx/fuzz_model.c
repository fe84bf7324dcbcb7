/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes at all are a model: prepared, opened, sized, attached and run on a small host. Nothing
 * may crash, write beyond what it was given, keep memory or fail without a sentence. For libFuzzer
 * (tests/long/fuzz_onnx.sh), and for fuzz_main.c. */

#include "fuzz_model.h"
#include "fuzz_mutate.h"

#include <backends/onnx/onnx.h>
#include <conformance/host.h>

#define MAX_ELEMENTS 4096 /* of an input */

static const struct sample sample = {.backend = "onnx", .name = "fuzz"};

/* Inputs that are declared small, so that a run is short. */
static bool has_small_inputs(const struct life *life) {
    for (uint32_t i = 0; i < life->description.input_count; i++) {
        const mm_value_info *info = &life->description.inputs[i];
        uint64_t elements = 1;
        for (int32_t axis = 0; axis < info->rank && elements <= MAX_ELEMENTS; axis++) {
            uint64_t length = info->shape[axis] < 0 ? 2 : (uint64_t)info->shape[axis];
            elements = length <= MAX_ELEMENTS ? elements * length : UINT64_MAX;
        }
        if (elements > MAX_ELEMENTS) {
            return false;
        }
    }
    return life->description.output_count <= 16;
}

#ifdef FUZZ_MUTATOR /* libFuzzer asks for other inputs; half of them are its own */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    uint64_t state = seed;
    return seed % 2 > 0 ? LLVMFuzzerMutate(data, size, max_size)
                        : fuzz_mutate(data, size, max_size, &state);
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct subject subject = {.table = &mmi_backend_onnx,
                                    .sample = &sample,
                                    .kind = MM_DEVICE_HOST,
                                    .bytes = data,
                                    .byte_count = size};
    struct world world;
    struct life life;
    mm_error err;
    world_init(&world);
    life_init(&life, &world, &subject);
    mm_status status = life_lead(&life, STAGE_MODEL, &err);
    if (status == MM_OK && has_small_inputs(&life)) {
        status = life_lead(&life, STAGE_INSTANCE, &err);
        if (status == MM_OK) {
            struct run run;
            run_infer(&run, &life, 0);
            if (run.status != MM_OK) {
                check_error(run.status, &run.err);
            }
            run_fini(&run);
        }
    }
    if (status != MM_OK) {
        check_error(status, &err);
    }
    life_fini(&life);
    world_fini(&world);
    return 0;
}
