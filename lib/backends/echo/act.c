/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/echo/state.h>
#include <base/alloc.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <time.h>

#define SLICE_NS UINT64_C(1000000) /* how soon a cancel is seen */

mm_status mmi_echo_hook(const struct echo_state *state, enum mmi_echo_slot slot,
                        const struct mmi_echo_script *script, mm_error *err) {
    const struct mmi_echo_hooks *hooks = state->hooks;
    if (!hooks) {
        return MM_OK;
    }
    mm_error why = {0};
    mm_status status = hooks->on(hooks->user, slot, script->version, &why);
    if (status != MM_OK) {
        mmi_fail(err, status, "echo: %s", why.text[0] ? why.text : "failed by its hook");
    }
    return status;
}

bool mmi_echo_pass_time(uint64_t ns, bool (*ended)(void *ctx), void *ctx) {
    while (ns > 0) {
        uint64_t slice = mmi_min_u64(ns, SLICE_NS);
        nanosleep(&(struct timespec){.tv_nsec = (long)slice}, NULL);
        ns -= slice;
        if (ended && ended(ctx)) {
            return true;
        }
    }
    return false;
}

static struct echo_counter *find_counter(const struct echo_state *state, uint64_t key) {
    struct echo_counter *counter = state->counters;
    while (counter && counter->key != key) {
        counter = counter->next;
    }
    return counter;
}

/* How many calls there were before this one; MMI_ECHO_ALWAYS when out of memory. */
static uint64_t count_call(struct echo_state *state, uint64_t key, enum mmi_echo_step step) {
    /* Made beforehand: the host's allocator is not called under the lock. */
    struct echo_counter *fresh = mmi_alloc(&state->services->allocator, 1, sizeof(*fresh));
    if (!fresh) {
        return MMI_ECHO_ALWAYS;
    }
    fresh->key = key;
    mmi_lock(&state->lock);
    struct echo_counter *counter = find_counter(state, key);
    if (!counter) {
        counter = fresh;
        fresh->next = state->counters;
        state->counters = fresh;
    }
    uint64_t before = counter->calls[step]++;
    mmi_unlock(&state->lock);
    if (counter != fresh) {
        mmi_free(&state->services->allocator, fresh, sizeof(*fresh));
    }
    return before;
}

mm_status mmi_echo_fail(struct echo_state *state, uint64_t key,
                        const struct mmi_echo_script *script, enum mmi_echo_step step,
                        mm_error *err) {
    static const char *const names[MMI_ECHO_STEPS] = {"prepare", "open", "attach", "infer"};
    uint64_t failing = script->fail[step].calls;
    if (failing == 0) {
        return MM_OK;
    }
    if (failing != MMI_ECHO_ALWAYS) {
        uint64_t before = count_call(state, key, step);
        if (before == MMI_ECHO_ALWAYS) {
            return mmi_fail(err, MM_NO_MEMORY, "echo: no memory to count calls");
        }
        if (before >= failing) {
            return MM_OK;
        }
    }
    return mmi_fail(err, (mm_status)script->fail[step].status, "echo: %s of %s fails by its script",
                    names[step], script->version[0] ? script->version : "the model");
}
