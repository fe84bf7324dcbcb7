/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/echo/state.h>
#include <base/alloc.h>
#include <base/checked.h>
#include <base/hash.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

#define CHUNK_BYTES UINT64_C(65536) /* written at once, a multiple of 8 */

static mm_status read_script(const struct echo_state *state, const mm_source *source,
                             struct mmi_echo_script *script, mm_error *err) {
    char text[MMI_ECHO_MAGIC_BYTES + MMI_ECHO_SCRIPT_BYTES];
    if (source->bytes < MMI_ECHO_MAGIC_BYTES || source->bytes > sizeof(text)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%s: %" PRIu64 " bytes, %d to %zu expected of a script", source->name,
                        source->bytes, MMI_ECHO_MAGIC_BYTES, sizeof(text));
    }
    MMI_TRY(source->read(source->ctx, 0, text, source->bytes, err));
    if (memcmp(text, state->magic, MMI_ECHO_MAGIC_BYTES) != 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "%s: offset 0: the line %.5s expected", source->name,
                        state->magic);
    }
    return mmi_echo_parse(text + MMI_ECHO_MAGIC_BYTES, source->bytes - MMI_ECHO_MAGIC_BYTES,
                          source->name, script, err);
}

/* Where group `g` ends: evenly, at a multiple of 8, the last one at the end. */
static uint64_t group_end(const struct mmi_echo_script *script, uint64_t g) {
    uint64_t words = script->weights_bytes / 8;
    return g + 1 == script->groups ? script->weights_bytes : words / script->groups * 8 * (g + 1);
}

static mm_status write_group(const struct mmi_echo_script *script, uint64_t g, uint8_t *chunk,
                             const mm_sink *sink, mm_error *err) {
    uint64_t end = group_end(script, g);
    uint64_t bytes;
    for (uint64_t at = g > 0 ? group_end(script, g - 1) : 0; at < end; at += bytes) {
        if (sink->cancelled(sink->ctx)) {
            return mmi_fail(err, MM_CANCELLED, "echo: nobody waits for it any more");
        }
        bytes = mmi_min_u64(CHUNK_BYTES, end - at);
        mmi_echo_fill(script->seed, at, chunk, bytes);
        MMI_TRY(sink->weights(sink->ctx, chunk, bytes, err));
        /* In double: the product may exceed 64 bits. */
        sink->progress(sink->ctx,
                       (uint32_t)(1000.0 * (double)(at + bytes) / (double)script->weights_bytes));
    }
    return MM_OK;
}

static mm_status write_weights(const struct echo_state *state, const struct mmi_echo_script *script,
                               const mm_sink *sink, mm_error *err) {
    if (script->weights_bytes == 0) {
        return MM_OK;
    }
    MMI_TRY(sink->expect(sink->ctx, script->weights_bytes, err));
    uint8_t *chunk = mmi_alloc(&state->services->allocator, 1, CHUNK_BYTES);
    if (!chunk) {
        return mmi_fail(err, MM_NO_MEMORY, "echo: no memory for a chunk of weights");
    }
    mm_status status = MM_OK;
    for (uint64_t g = 0; status == MM_OK && g < script->groups; g++) {
        status = g > 0 ? sink->group(sink->ctx, err) : MM_OK;
        if (status == MM_OK) {
            status = write_group(script, g, chunk, sink, err);
        }
    }
    mmi_free(&state->services->allocator, chunk, CHUNK_BYTES);
    return status;
}

mm_status mmi_echo_prepare(void *state_, const mm_source *source, const char *config,
                           int32_t device_kind, const mm_sink *sink, mm_error *err) {
    struct echo_state *state = state_;
    (void)config;
    (void)device_kind;
    struct mmi_echo_script script;
    MMI_TRY(read_script(state, source, &script, err));
    MMI_TRY(mmi_echo_hook(state, MMI_ECHO_PREPARE, &script, err));
    if (mmi_echo_pass_time(script.prepare_ns, sink->cancelled, sink->ctx) ||
        sink->cancelled(sink->ctx)) {
        return mmi_fail(err, MM_CANCELLED, "echo: nobody waits for it any more");
    }
    char text[MMI_ECHO_SCRIPT_BYTES];
    size_t length = mmi_echo_print(&script, text);
    uint64_t key = mmi_hash64(text, length, 0);
    MMI_TRY(mmi_echo_fail(state, key, &script, MMI_ECHO_FAIL_PREPARE, err));
    MMI_TRY(sink->describe(sink->ctx, text, length, err));
    return write_weights(state, &script, sink, err);
}
