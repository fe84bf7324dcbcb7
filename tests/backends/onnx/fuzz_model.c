/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes at all are a model: prepared, opened, sized, attached and run on a small host. Nothing
 * may crash, write beyond what it was given, keep memory or fail without a sentence. */

#include <backends/onnx/onnx.h>
#include <conformance/host.h>
#include <support/fuzz.h>
#include <support/fuzz_mutate.h>

const bool fuzz_anywhere = true;

size_t fuzz_mutate(uint8_t *bytes, size_t count, size_t room, uint64_t *seed) {
    return fuzz_mutate_model(bytes, count, room, seed);
}

static const struct sample sample = {.backend = "onnx", .name = "fuzz"};

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
    const mm_description *description = &life.description;
    if (status == MM_OK && small_inputs(description->inputs, description->input_count) &&
        description->output_count <= 16) {
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
