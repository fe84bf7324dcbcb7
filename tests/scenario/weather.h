/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SCENARIO_WEATHER_H
#define TESTS_SCENARIO_WEATHER_H

/* What the tests of bad weather share beside the fixture. */

#include "fixture.h"

/* A sanitizer keeps freed memory and has memory of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEATHER_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WEATHER_SANITIZED 1
#endif
#endif
#ifndef WEATHER_SANITIZED
#define WEATHER_SANITIZED 0
#endif

/* Fails every device call that begins while errnum is not 0. */
struct weather {
    struct fixture *f;
    _Atomic int device_errnum;
};

/* Puts another mesh in place of the fixture's: generations of so many bits (0 = all), devices that
 * `weather` may break (NULL = not). No gated backends. */
void weather_reopen(struct fixture *f, const mm_mesh_options *options, unsigned generation_bits,
                    struct weather *weather);

/* Options of one device of so many bytes: kept in *device. A loaded model may leave 1 ns later. */
mm_mesh_options weather_options(mm_device_options *device, const char *name, uint64_t budget_bytes);
/* fixture_open with these. */
void weather_open(struct fixture *f, const char *name, uint64_t budget_bytes);

/* An echo model of so many MiB whose answers say `seed`. */
mm_model weather_model(struct fixture *f, const char *name, unsigned mib, unsigned seed);
mm_model weather_gated(struct fixture *f, const char *name, unsigned mib, unsigned seed);

/* One request with x f32 [1, width]. */
mm_status weather_infer_wide(struct fixture *f, mm_model model, unsigned width);

/* A request on a thread of its own, whose end weather_join can see. */
struct caller {
    struct asker asker;
    unsigned order;
};
void caller_start(struct caller *caller, struct fixture *f, mm_model model);
bool caller_ended(struct caller *caller);
/* Moves the clock by 1 ms again and again until it has ended; its status. */
mm_status caller_join(struct caller *caller);

int32_t weather_state(struct fixture *f, mm_model model);

#endif
