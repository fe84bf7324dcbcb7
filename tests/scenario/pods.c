/* SPDX-License-Identifier: Apache-2.0 */
#include "pods.h"

#include <stdio.h>

void pods_open_staying(struct fixture *f, uint64_t first, uint64_t second, uint64_t third,
                       uint64_t min_residency_ns) {
    mm_device_options devices[PODS_MAX] = {fixture_host("sim/pod1", first * MIB),
                                           fixture_host("sim/pod2", second * MIB),
                                           fixture_host("sim/pod3", third * MIB)};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = third ? 3 : 2;
    options.min_residency_ns = min_residency_ns;
    fixture_open(f, &options);
}

void pods_open(struct fixture *f, uint64_t first, uint64_t second, uint64_t third) {
    pods_open_staying(f, first, second, third, 1);
}

mm_model_spec pods_spec(struct fixture *f, const char *name, const char *lines, uint32_t replicas,
                        uint32_t least) {
    char script[256];
    snprintf(script, sizeof(script), "weights_bytes 4m\ncheck 0\nversion %s\n%s", name, lines);
    mm_model_spec spec = fixture_spec(f, name, "gated", script);
    spec.replicas = replicas;
    spec.min_replicas = least;
    return spec;
}

mm_model pods_add(struct fixture *f, const char *name, uint32_t replicas, uint32_t least) {
    mm_model_spec spec = pods_spec(f, name, "", replicas, least);
    return fixture_register(f, &spec);
}

mm_model pods_add_serial(struct fixture *f, const char *name, uint32_t replicas) {
    mm_model_spec spec = pods_spec(f, name, "", replicas, 0);
    spec.max_concurrency = 1;
    return fixture_register(f, &spec);
}

mm_model pods_add_on(struct fixture *f, const char *name, const char *pod) {
    mm_model_spec spec = pods_spec(f, name, "", 0, 0);
    spec.device = pod;
    return fixture_register(f, &spec);
}

/* ---- Looking --------------------------------------------------------------------------------- */

struct copies pods_copies(struct fixture *f, mm_model model) {
    struct copies copies = {0};
    mm_model_info info = MM_MODEL_INFO_INIT;
    info.copies = copies.at;
    info.copy_capacity = PODS_MAX;
    assert_int_equal(mm_model_info_get(f->mesh, model, &info), MM_OK);
    copies.count = info.copy_count;
    for (uint32_t i = 0; i < info.copy_count && i < PODS_MAX; i++) {
        copies.ready += copies.at[i].state == MM_STATE_READY;
    }
    return copies;
}

struct wish {
    struct fixture *f;
    mm_model model;
    uint32_t ready;
};

static bool are_ready(void *ctx) {
    struct wish *wish = ctx;
    struct copies copies = pods_copies(wish->f, wish->model);
    return copies.ready == wish->ready && copies.count == wish->ready;
}

void pods_until_ready(struct fixture *f, mm_model model, uint32_t ready) {
    fixture_pass_time_until(f, are_ready, &(struct wish){f, model, ready});
    fixture_advance(f, MS_NS); /* all of them may leave */
}

uint64_t pods_used_bytes(struct fixture *f) {
    return fixture_device(f, "pod1").used_bytes + fixture_device(f, "pod2").used_bytes +
           fixture_device(f, "pod3").used_bytes;
}

bool pods_are_empty(void *ctx) {
    return pods_used_bytes(ctx) == 0;
}

void pods_start_inside(struct fixture *f, struct caller *callers, uint32_t count, mm_model model,
                       struct gate *gate) {
    unsigned before = gate_arrived(gate);
    for (uint32_t i = 0; i < count; i++) {
        caller_start(&callers[i], f, model);
        gate_wait_arrived(gate, before + i + 1);
    }
}

void pods_join(struct caller *callers, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(caller_join(&callers[i]), MM_OK);
    }
}

mm_model pods_serving(struct fixture *f, const char *lines) {
    pods_open(f, 16, 16, 16);
    mm_model_spec spec = pods_spec(f, "m", lines, 3, 3);
    mm_model model = fixture_register(f, &spec);
    assert_ok(f, fixture_infer(f, model));
    pods_until_ready(f, model, 3);
    return model;
}
