/* SPDX-License-Identifier: Apache-2.0 */
#include <conformance/host.h>

#include <base/checked.h>
#include <base/status.h>
#include <catalog/shown.h>
#include <plugin/status.h>

#include <stdlib.h>
#include <string.h>

#define GUARD_BYTES 64
#define GUARD 0xd7
#define POISON 0xee

/* This host is small: a damaged model that claims gigabytes is told that there is no room. */
static uint64_t most_bytes(const struct life *life) {
    return (UINT64_C(4) << 20) + life->subject.byte_count * 4;
}

/* ---- Memory of the suite */

struct heap_block {
    struct heap_block *next;
    void *base;
    uint8_t *guard;
};

void *heap_take(struct heap *heap, uint64_t bytes, uint64_t align) {
    struct heap_block *block = calloc(1, sizeof(*block));
    uint64_t rounded = 0;
    assert_true(block && mmi_round_up(bytes + GUARD_BYTES, mmi_max_u64(align, 16), &rounded));
    block->base = aligned_alloc(mmi_max_u64(align, 16), rounded);
    assert_non_null(block->base);
    memset(block->base, 0, bytes);
    block->guard = (uint8_t *)block->base + bytes;
    memset(block->guard, GUARD + heap->mark, GUARD_BYTES);
    block->next = heap->blocks;
    heap->blocks = block;
    return block->base;
}

void heap_free(struct heap *heap) {
    while (heap->blocks) {
        struct heap_block *block = heap->blocks;
        heap->blocks = block->next;
        for (unsigned i = 0; i < GUARD_BYTES; i++) {
            assert_int_equal(block->guard[i], GUARD + heap->mark); /* written behind the end */
        }
        free(block->base);
        free(block);
    }
}

void check_error(mm_status status, const mm_error *err) {
    assert_int_not_equal(status, MM_OK);
    assert_string_not_equal(mm_status_name(status), "MM_?");
    assert_int_equal(err->status, status);
    assert_non_null(memchr(err->text, '\0', sizeof(err->text)));
    assert_true(err->text[0] != '\0' && !strchr(err->text, '\n'));
}

/* ---- Services */

static void *limited_alloc(void *user, size_t bytes, size_t align) {
    const struct life *life = user;
    const mm_allocator *alloc = &life->world->env.alloc;
    return bytes <= most_bytes(life) ? alloc->alloc(alloc->user, bytes, align) : NULL;
}

static void limited_free(void *user, void *memory, size_t bytes) {
    const struct life *life = user;
    life->world->env.alloc.free(life->world->env.alloc.user, memory, bytes);
}

static uint64_t now_ns(void *host) {
    const struct life *life = host;
    return mmi_now(&life->world->env.clock);
}

/* From the last to the first, so that nobody counts on an order. */
static void parallel_for(void *host, uint64_t count, void (*body)(void *ctx, uint64_t i),
                         void *ctx) {
    (void)host;
    for (uint64_t i = count; i > 0; i--) {
        body(ctx, i - 1);
    }
}

/* ---- Source */

static mm_status source_read(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err) {
    struct life *life = ctx;
    if (++life->reads == life->trouble.read_fails_at) {
        return mmi_fail(err, MM_IO, "the disk is gone");
    }
    if (offset > life->subject.byte_count || count > life->subject.byte_count - offset) {
        return mmi_fail(err, MM_INVALID_MODEL, "the model ends before");
    }
    memcpy(to, life->subject.bytes + offset, count);
    return MM_OK;
}

static mm_status source_open(void *ctx, const char *relative, mm_source *sibling, mm_error *err) {
    (void)ctx;
    (void)sibling;
    return mmi_fail(err, MM_INVALID_MODEL, "%s: there is no such file", relative);
}

/* ---- Sink */

static bool sink_fails(struct life *life, mm_error *err) {
    if (++life->sink_calls == life->trouble.sink_fails_at) {
        mmi_fail(err, MM_NO_SPACE, "the disk is full");
        return true;
    }
    return false;
}

static mm_status sink_describe(void *ctx, const void *bytes, uint64_t count, mm_error *err) {
    struct life *life = ctx;
    struct artifact *artifact = &life->artifact;
    assert_false(artifact->described);
    if (sink_fails(life, err)) {
        return MM_NO_SPACE;
    }
    artifact->described = true;
    artifact->description = heap_take(&life->heap, count, 16);
    artifact->description_bytes = count;
    if (count > 0) {
        memcpy(artifact->description, bytes, count);
    }
    return MM_OK;
}

static mm_status sink_expect(void *ctx, uint64_t weights_bytes, mm_error *err) {
    struct life *life = ctx;
    struct artifact *artifact = &life->artifact;
    assert_null(artifact->weights);
    if (sink_fails(life, err)) {
        return MM_NO_SPACE;
    }
    if (weights_bytes > most_bytes(life)) {
        return mmi_fail(err, MM_NO_SPACE, "no room for so many weights");
    }
    artifact->expected_bytes = weights_bytes;
    artifact->weights = heap_take(&life->heap, weights_bytes, 4096);
    return MM_OK;
}

static mm_status sink_weights(void *ctx, const void *bytes, uint64_t count, mm_error *err) {
    struct life *life = ctx;
    struct artifact *artifact = &life->artifact;
    assert_non_null(artifact->weights); /* expected before */
    assert_true(count <= artifact->expected_bytes - artifact->weights_bytes);
    if (sink_fails(life, err)) {
        return MM_NO_SPACE;
    }
    memcpy(artifact->weights + artifact->weights_bytes, bytes, count);
    artifact->weights_bytes += count;
    return MM_OK;
}

static void end_group(struct artifact *artifact) {
    uint32_t g = artifact->group_count++;
    assert_true(g < sizeof(artifact->ends) / sizeof(artifact->ends[0]));
    assert_true(artifact->weights_bytes > (g > 0 ? artifact->ends[g - 1] : 0)); /* not empty */
    artifact->ends[g] = artifact->weights_bytes;
}

static mm_status sink_group(void *ctx, mm_error *err) {
    struct life *life = ctx;
    if (sink_fails(life, err)) {
        return MM_NO_SPACE;
    }
    end_group(&life->artifact);
    return MM_OK;
}

static bool sink_cancelled(void *ctx) {
    struct life *life = ctx;
    life->cancel_calls++;
    return life->trouble.cancelled_at > 0 && life->cancel_calls >= life->trouble.cancelled_at;
}

static void sink_progress(void *ctx, uint32_t permille) {
    struct life *life = ctx;
    assert_true(permille <= 1000);
    assert_true(permille >= life->artifact.done_bytes); /* never backwards */
    life->artifact.done_bytes = permille;
}

static mm_status prepare(struct life *life, mm_error *err) {
    const mm_sink sink = {life,       sink_describe,  sink_expect,  sink_weights,
                          sink_group, sink_cancelled, sink_progress};
    struct artifact *artifact = &life->artifact;
    if (!life->table->prepare) {
        return MM_OK;
    }
    mm_status status = life->table->prepare(
        life->state, &life->source, life->subject.sample->config, life->subject.kind, &sink, err);
    if (status == MM_OK) {
        assert_true(artifact->described);
        assert_int_equal(artifact->weights_bytes, artifact->expected_bytes);
        uint32_t g = artifact->group_count;
        if (artifact->weights_bytes > (g > 0 ? artifact->ends[g - 1] : 0)) {
            end_group(artifact);
        }
    }
    return status;
}

/* ---- Region */

/* Exactly the group that is asked for comes, at the moment it is asked for. */
static mm_status region_wait(void *ctx, uint32_t group) {
    struct life *life = ctx;
    const struct artifact *artifact = &life->artifact;
    assert_true(group < artifact->group_count);
    if (life->trouble.weights_fail) {
        return MM_IO;
    }
    pthread_mutex_lock(&life->arrival);
    if (!life->arrived[group]) {
        uint64_t begin = group > 0 ? artifact->ends[group - 1] : 0;
        memcpy(life->memory + begin, artifact->weights + begin, artifact->ends[group] - begin);
        life->arrived[group] = true;
    }
    pthread_mutex_unlock(&life->arrival);
    return MM_OK;
}

static void make_region(struct life *life) {
    uint64_t bytes = life->description.weights_bytes;
    /* Devices with chunks align small regions to 256 and no further. */
    uint64_t shift = life->subject.kind == MM_DEVICE_SIM && bytes < (UINT64_C(2) << 20) ? 256 : 0;
    life->memory = (uint8_t *)heap_take(&life->heap, bytes + shift, 4096) + shift;
    memset(life->memory, POISON, bytes);
    hand_init(&life->device, life->world, life->subject.kind);
    life->region = (mm_region){life->memory, bytes, life, region_wait};
}

/* ---- Life */

/* Somebody listens, so backends say what they would. */
static void hear(void *user, int32_t level, const char *text) {
    (void)user;
    assert_in_range(level, MM_LOG_ERROR, MM_LOG_DEBUG);
    assert_null(strchr(text, '\n'));
}

void life_init(struct life *life, struct world *world, const struct subject *subject) {
    *life = (struct life){.world = world, .subject = *subject, .table = subject->table};
    pthread_mutex_init(&life->arrival, NULL);
    life->services = (mm_services){
        .struct_size = sizeof(mm_services),
        .abi_minor = MM_BACKEND_ABI_MINOR,
        .host = life,
        .allocator = {life, limited_alloc, limited_free},
        .log = {.line = hear},
        .now_ns = now_ns,
        .parallel_for = parallel_for,
        .threads = 4,
        .limits_nesting = 64,
    };
}

static mm_status begin_state(struct life *life, mm_error *err) {
    uint64_t bytes = life->table->state_bytes;
    life->state = heap_take(&life->heap, bytes, 16);
    life->source = (mm_source){life, life->subject.sample->name, life->subject.byte_count,
                               source_read, source_open};
    return life->table->init ? life->table->init(life->state, &life->services, err) : MM_OK;
}

static mm_status begin_model(struct life *life, mm_error *err) {
    const struct artifact *artifact = &life->artifact;
    life->model = heap_take(&life->heap, life->table->model_bytes, 16);
    life->view = (mm_artifact){
        .description = artifact->description,
        .description_bytes = artifact->description_bytes,
        .weights_bytes = artifact->weights_bytes,
        .group_ends = artifact->ends,
        .group_count = artifact->group_count,
        .config = life->subject.sample->config,
        .source = life->table->prepare ? NULL : &life->source,
    };
    life->description = (mm_description){.struct_size = sizeof(mm_description)};
    return life->table->open(life->state, life->model, &life->view, &life->description, err);
}

static mm_status begin_signature(struct life *life, mm_error *err) {
    const mm_description *description = &life->description;
    life->inputs = heap_take(&life->heap, description->input_count * sizeof(mm_value), 16);
    for (uint32_t i = 0; i < description->input_count; i++) {
        make_input(life, &description->inputs[i], &life->inputs[i]);
    }
    life->size.outputs = heap_take(&life->heap, description->output_count * sizeof(mm_value), 16);
    life->size.exactness = heap_take(&life->heap, description->output_count, 1);
    life->signature = heap_take(&life->heap, life->table->signature_bytes, 16);
    struct mmi_shown shown; /* as the library shows them, and gone afterwards */
    assert_true(mmi_shown_make(&mmi_malloc_allocator, description, life->inputs, &shown));
    mm_status status = life->table->size(life->model, life->subject.kind, life->signature,
                                         shown.values, &life->size, err);
    mmi_shown_free(&mmi_malloc_allocator, &shown);
    return status;
}

static mm_status begin_instance(struct life *life, mm_error *err) {
    make_region(life);
    life->instance = heap_take(&life->heap, life->table->instance_bytes, 16);
    return life->table->attach(life->model, life->instance, &life->device.pub, &life->region, err);
}

mm_status life_lead(struct life *life, enum stage to, mm_error *err) {
    static mm_status (*const begin[])(struct life *, mm_error *) = {
        begin_state, prepare, begin_model, begin_signature, begin_instance,
    };
    static const enum mmi_backend_slot slots[] = {
        MMI_SLOT_INIT, MMI_SLOT_PREPARE, MMI_SLOT_OPEN, MMI_SLOT_SIZE, MMI_SLOT_ATTACH,
    };
    mm_status status = MM_OK;
    for (enum stage at = life->state ? life->reached + 1 : STAGE_STATE; status == MM_OK && at <= to;
         at++) {
        memset(err, 0, sizeof(*err));
        life->reached = at;
        status = begin[at](life, err);
        assert_true(mmi_slot_may(life->table, slots[at], status));
    }
    return status;
}

void life_fini(struct life *life) {
    const mm_backend *table = life->table;
    if (life->instance) {
        table->detach(life->instance);
    }
    if (life->signature && table->size_done) {
        table->size_done(life->signature);
    }
    if (life->model) {
        table->close(life->model);
    }
    if (life->state && table->fini) {
        table->fini(life->state);
    }
    hand_fini(&life->device);
    heap_free(&life->heap);
    pthread_mutex_destroy(&life->arrival);
}

/* ---- Infer */

static struct run *run_of(mm_exec *exec) {
    return exec->host;
}

static void *exec_more(mm_exec *exec, uint64_t bytes) {
    struct run *run = run_of(exec);
    run->more++;
    bool none = run->life->trouble.no_more || bytes > most_bytes(run->life);
    return none ? NULL : heap_take(&run->heap, bytes, 256);
}

static void *exec_output(mm_exec *exec, uint32_t index, uint64_t bytes) {
    struct run *run = run_of(exec);
    const mm_size *size = &run->life->size;
    run->asked++;
    assert_true(index < run->life->description.output_count);
    assert_int_not_equal(size->exactness[index], MM_SIZE_EXACT);
    assert_true(size->exactness[index] == MM_SIZE_UNKNOWN || bytes <= size->outputs[index].bytes);
    if (run->life->trouble.no_output) {
        return NULL;
    }
    if (run->life->places & PLACE_SMALL) {
        run->outputs[index].flags &= ~(uint32_t)MM_VALUE_LOCATION;
    }
    void *memory = heap_take(&run->heap, bytes, 64);
    if (run->life->places) {
        bool there = run->outputs[index].flags & MM_VALUE_LOCATION;
        hand_place(&run->life->device, memory, bytes, there);
    }
    return memory;
}

static void *exec_part(mm_exec *exec, uint64_t bytes) {
    struct run *run = run_of(exec);
    run->parts++;
    return run->life->trouble.no_part ? NULL : heap_take(&run->heap, bytes, 16);
}

static bool exec_stopped(mm_exec *exec) {
    struct life *life = run_of(exec)->life;
    uint64_t calls = ++life->stop_calls;
    return life->trouble.stopped_at > 0 && calls >= life->trouble.stopped_at;
}

/* Strings and values inside of others never lie on a device. */
static bool may_lie(const mm_value *value) {
    return value->kind == MM_TENSOR && value->dtype != MM_STRING &&
           !(value->flags & MM_VALUE_UNWANTED);
}

/* Inputs on the device are on their way there: what the caller put on the stream. */
static void place_inputs(struct run *run) {
    struct life *life = run->life;
    uint32_t count = life->description.input_count;
    run->inputs = heap_take(&run->heap, count * sizeof(mm_value), 16);
    for (uint32_t i = 0; i < count; i++) {
        const mm_value *from = &life->inputs[i];
        mm_value *to = &run->inputs[i];
        bool looked_at = life->description.inputs[i].flags & MM_VALUE_INFO_SHAPE_INPUT;
        bool there = life->places & PLACE_INPUTS && may_lie(from) && !looked_at;
        *to = *from;
        if (there) {
            to->flags = MM_ON_DEVICE(0);
            to->data = heap_take(&run->heap, from->bytes, 1);
            memset(to->data, POISON, from->bytes);
            hand_send(&life->device, run->exec.stream, to->data, from->data, from->bytes);
        }
        if (may_lie(from)) {
            hand_place(&life->device, to->data, to->bytes, there);
        }
    }
}

static void place_outputs(struct run *run) {
    struct life *life = run->life;
    for (uint32_t i = 0; i < life->description.output_count; i++) {
        mm_value *output = &run->outputs[i];
        bool there = life->places & PLACE_OUTPUTS && may_lie(output);
        output->flags |= there ? MM_ON_DEVICE(0) : 0;
        if (output->data) {
            hand_place(&life->device, output->data, output->bytes, there);
        }
    }
}

static void call_infer(struct run *run) {
    struct life *life = run->life;
    run->inputs = life->inputs;
    if (life->places) {
        place_inputs(run);
        place_outputs(run);
    }
    run->status =
        life->table->infer(life->instance, &run->exec, run->inputs, run->outputs, &run->err);
    assert_false(run->status == MM_OK && hand_owes_host(&life->device));
    hand_finish(&life->device, run->exec.stream);
    if (life->places) {
        hand_forget_places(&life->device);
    }
}

void run_infer(struct run *run, struct life *life, uint32_t unwanted) {
    const mm_size *size = &life->size;
    uint32_t count = life->description.output_count;
    uint64_t bytes = size->activation_bytes;
    *run = (struct run){.life = life, .heap = {.mark = 1}};
    run->outputs = heap_take(&run->heap, count * sizeof(mm_value), 16);
    for (uint32_t i = 0; i < count; i++) {
        bytes = mmi_add_cap(bytes, size->outputs[i].bytes);
    }
    if (bytes > most_bytes(life)) {
        run->status = mmi_fail(&run->err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for the scratch");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        run->outputs[i] = size->outputs[i];
        if (unwanted >> i & 1) {
            run->outputs[i].flags = MM_VALUE_UNWANTED;
        } else if (size->exactness[i] == MM_SIZE_EXACT) {
            run->outputs[i].data = heap_take(&run->heap, size->outputs[i].bytes, 1);
        }
    }
    uint8_t *scratch = heap_take(&run->heap, size->activation_bytes, 256);
    memset(scratch, POISON, size->activation_bytes);
    run->exec = (mm_exec){
        .host = run,
        .signature = life->signature,
        .scratch = scratch,
        .scratch_bytes = size->activation_bytes,
        .scratch_more = exec_more,
        .output = exec_output,
        .output_part = exec_part,
        .stopped = exec_stopped,
        .stream = life->subject.kind == MM_DEVICE_HOST ? NULL : run,
        .device = &life->device.pub,
    };
    call_infer(run);
    assert_true(mmi_slot_may(life->table, MMI_SLOT_INFER, run->status));
}

void run_fini(struct run *run) {
    heap_free(&run->heap);
}
