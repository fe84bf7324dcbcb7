/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SCENARIO_PLACE_H
#define TESTS_SCENARIO_PLACE_H

/* A mesh of a host device and two simulated ones, with values of an echo model on the first of
 * these, "sim". */

#include "fixture.h"

#include <device/device.h>

#define WIDTH 4u
#define BYTES (WIDTH * sizeof(float))

struct place {
    struct fixture f;
    struct mmi_device *device; /* MM_ON_DEVICE(1); 2 is "other" */
    void *memory;
    struct mmi_stream *stream;
    float *x, *y; /* on the device; behind them there is room for as much again */
    float in[WIDTH];
};

void place_open(struct place *place);
void place_close(struct place *place);
/* What the caller does: puts x on the device, and waits for nothing. */
void place_send(struct place *place);
mm_model place_add(struct place *place, const char *name, const char *device, const char *backend,
                   const char *script);

/* A request for y of x, both on the device, with the stream. */
struct ask {
    mm_value x, y;
    const char *name;
    mm_request request;
    mm_response response;
};
void ask_init(struct ask *ask, const struct place *place);
mm_status place_infer(struct place *place, mm_model model, struct ask *ask);

#endif
