/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ECHO_STATE_H
#define MMI_BACKENDS_ECHO_STATE_H

/* What the slots of the echo backend share. */

#include <backends/echo/echo.h>
#include <backends/echo/script.h>
#include <base/lock.h>

#include <stdatomic.h>

/* Memory taken in attach; lost, it hangs on the state. */
struct echo_block {
    struct echo_block *next;
    uint64_t bytes;
};

/* Calls so far of the steps that a script fails. */
struct echo_counter {
    struct echo_counter *next;
    uint64_t key; /* hash of the canonical script */
    uint64_t calls[MMI_ECHO_STEPS];
};

struct echo_state {
    const mm_services *services; /* NULL: init did not run */
    const char *magic;
    const struct mmi_echo_hooks *hooks; /* NULL = none */
    bool by_malloc;
    struct mmi_lock lock; /* guards what follows */
    struct echo_counter *counters;
    struct echo_block *lost;
};

struct echo_model {
    struct echo_state *state; /* NULL: open did not run */
    struct mmi_echo_script script;
    uint64_t key;
    const uint64_t *group_ends;
    uint32_t group_count;
    mm_value_info inputs[2], outputs[3];
    uint32_t input_count, output_count;
    const char *metadata[2];
    char *version; /* metadata's; by the services' allocator */
};

struct echo_instance {
    struct echo_model *model; /* NULL: attach did not run */
    mm_region region;
    struct echo_block *own, *leak; /* NULL = none */
    _Atomic uint32_t running;
};

/* prepare.c */
mm_status mmi_echo_prepare(void *state, const mm_source *source, const char *config,
                           int32_t device_kind, const mm_sink *sink, mm_error *err);

/* life.c */
void mmi_echo_fini(void *state);
const char *mmi_echo_layout(void *state, int32_t device_kind);
mm_status mmi_echo_open(void *state, void *model, const mm_artifact *artifact, mm_description *out,
                        mm_error *err);
void mmi_echo_close(void *model);
mm_status mmi_echo_attach(void *model, void *instance, const mm_device *device,
                          const mm_region *region, mm_error *err);
void mmi_echo_detach(void *instance);
uint64_t mmi_echo_own_bytes(void *instance);

/* act.c: how every slot begins: hook, time, scripted failure. */
mm_status mmi_echo_hook(const struct echo_state *state, enum mmi_echo_slot slot,
                        const struct mmi_echo_script *script, mm_error *err);
/* Waits; true, and sooner, when `ended` (NULL = never) says so. It is asked once a millisecond. */
bool mmi_echo_pass_time(uint64_t ns, bool (*ended)(void *ctx), void *ctx);
mm_status mmi_echo_fail(struct echo_state *state, uint64_t key,
                        const struct mmi_echo_script *script, enum mmi_echo_step step,
                        mm_error *err);

/* run.c */
mm_status mmi_echo_size(void *model, int32_t device_kind, void *signature, const mm_value *inputs,
                        mm_size *out, mm_error *err);
mm_status mmi_echo_infer(void *instance, mm_exec *exec, const mm_value *inputs, mm_value *outputs,
                         mm_error *err);

/* copy.c: the elements of one tensor to [offset ...) of another's, wherever they lie, in the order
 * of the run's stream. What goes to the host is there when this returns. */
mm_status mmi_echo_move(const mm_exec *exec, const mm_value *from, const mm_value *to,
                        uint64_t offset, mm_error *err);
/* copy.c: a value with all it holds. Top-level elements go to to->data, the rest to output_part. */
mm_status mmi_echo_copy(mm_exec *exec, const mm_value *from, mm_value *to, uint32_t nesting,
                        mm_error *err);

/* pattern.c: weights are 64-bit words that the seed and the place tell. `offset` is a multiple
 * of 8. */
void mmi_echo_fill(uint64_t seed, uint64_t offset, void *to, uint64_t bytes);
/* Offset of the first 8 bytes in [begin, end) that are not as they should be; `end` = none. */
uint64_t mmi_echo_first_wrong(uint64_t seed, const uint8_t *weights, uint64_t begin, uint64_t end);
int64_t mmi_echo_sample(const uint8_t *weights, uint64_t bytes);

#endif
