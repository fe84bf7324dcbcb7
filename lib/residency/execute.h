/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_EXECUTE_H
#define MMI_RESIDENCY_EXECUTE_H

/* One run of a resident model: signature, scratch, outputs, backend. No lock is held. */

#include <residency/state.h>

/* Where outputs go; the caller's. */
struct mmi_outputs {
    void *ctx;
    /* Before the run: give data to every wanted output whose size is exact. */
    mm_status (*begin)(void *ctx, const mm_description *description, const mm_size *size,
                       mm_value *values, mm_error *err);
    void *(*output)(void *ctx, uint32_t index, uint64_t bytes);
    void *(*part)(void *ctx, uint64_t bytes);
};
/* One run. */
struct mmi_work {
    const mm_value *inputs; /* [input_count], by position */
    mm_value *values;       /* [output_count], by position */
    const struct mmi_outputs *outputs;
    const struct mmi_request *request; /* deadline, no_wait and nested are for scratch, too */
    struct mmi_stream *stream;         /* of the device, to run on; NULL = one of ours */
};
mm_status mmi_execute(struct mmi_residency *res, struct mmi_admission *admission,
                      const struct mmi_work *work, mm_error *err);

#endif
