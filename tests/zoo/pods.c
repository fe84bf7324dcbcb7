/* SPDX-License-Identifier: Apache-2.0 */
/* One hot model with a copy on each of three pods, while one pod is lost: who serves before and
 * after, and that no request fails. The model is made here, so nothing needs to be fetched. A pod
 * can only be lost from inside the library, hence this is a program of its own. */
#include <api/mesh.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PODS = 3, CLIENTS = 4, MIB = 1 << 20 };

static const char script[] =
    "echo1\nweights_bytes 4m\nactivation_bytes 64k\nthrough_device 1\ninfer_ns 200us\n";

struct show {
    mm_mesh *mesh;
    mm_model model;
    _Atomic bool stop;
    _Atomic bool lose; /* the pod that is used next */
    _Atomic uint64_t asked, failed;
};

static int lose_pod(void *user, const char *what) {
    struct show *show = user;
    return strcmp(what, "device") == 0 && atomic_exchange(&show->lose, false) ? ENODEV : 0;
}

static void nap(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void ask(struct show *show) {
    float x[4] = {1, 2, 3, 4};
    mm_value input = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = sizeof(x)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    mm_error err;
    bool right = mm_infer(show->mesh, show->model, &request, &response, &err) == MM_OK &&
                 memcmp(response.outputs[0].data, x, sizeof(x)) == 0;
    mm_response_free(&response);
    atomic_fetch_add(&show->asked, 1);
    atomic_fetch_add(&show->failed, !right);
}

static void *client(void *ctx) {
    struct show *show = ctx;
    while (!atomic_load(&show->stop)) {
        ask(show);
    }
    return NULL;
}

static uint32_t copies_of(const struct show *show, mm_copy_info *copies) {
    mm_model_info info = MM_MODEL_INFO_INIT;
    info.copies = copies;
    info.copy_capacity = PODS;
    if (mm_model_info_get(show->mesh, show->model, &info) != MM_OK) {
        return 0;
    }
    return info.copy_count < PODS ? info.copy_count : PODS;
}

/* For a while; then what each pod did meanwhile. */
static void watch(const struct show *show, const char *when, long ms) {
    mm_copy_info before[PODS] = {0}, now[PODS] = {0};
    uint32_t count = copies_of(show, before);
    uint64_t asked = atomic_load(&show->asked);
    nap(ms);
    uint32_t count_now = copies_of(show, now);
    printf("  %-7s %6" PRIu64 " requests ", when, atomic_load(&show->asked) - asked);
    for (uint32_t i = 0; i < PODS && i < count_now; i++) {
        uint64_t done = now[i].requests;
        for (uint32_t k = 0; k < PODS && k < count; k++) {
            done -= strcmp(before[k].device, now[i].device) == 0 ? before[k].requests : 0;
        }
        printf("  %s %" PRIu64, now[i].device, done);
    }
    printf("   %" PRIu64 " failed\n", (uint64_t)atomic_load(&show->failed));
}

static bool make(struct show *show, mm_error *err) {
    static const char *const names[PODS] = {"sim/pod0", "sim/pod1", "sim/pod2"};
    mm_device_options devices[PODS];
    for (uint32_t i = 0; i < PODS; i++) {
        devices[i] = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
        devices[i].name = names[i];
        devices[i].budget_bytes = 16 * MIB;
    }
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = PODS;
    struct mmi_world world = {.fault = lose_pod, .user = show};
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "hot";
    spec.backend = "echo";
    spec.data = script;
    spec.data_bytes = sizeof(script) - 1;
    spec.replicas = spec.min_replicas = PODS;
    return mmi_mesh_create(&options, &world, &show->mesh, err) == MM_OK &&
           mm_register(show->mesh, &spec, &show->model, err) == MM_OK;
}

/* Until so many copies are there, or a few seconds have passed. */
static void await(const struct show *show, uint32_t count) {
    mm_copy_info copies[PODS];
    for (int i = 0; i < 500 && copies_of(show, copies) != count; i++) {
        nap(10);
    }
    nap(50);
}

static void run(struct show *show) {
    pthread_t threads[CLIENTS];
    uint32_t started = 0;
    ask(show);
    await(show, PODS);
    while (started < CLIENTS && pthread_create(&threads[started], NULL, client, show) == 0) {
        started++;
    }
    printf("copies    a hot model on %d pods, %u clients; one pod is lost\n", PODS, started);
    watch(show, "before", 500);
    atomic_store(&show->lose, true);
    await(show, PODS - 1);
    watch(show, "after", 500);
    atomic_store(&show->stop, true);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("  in all  %6" PRIu64 " requests, %" PRIu64 " failed\n\n",
           (uint64_t)atomic_load(&show->asked), (uint64_t)atomic_load(&show->failed));
}

int main(void) {
    static struct show show;
    mm_error err;
    if (!make(&show, &err)) {
        fprintf(stderr, "zoo: copies: %s\n", err.text);
        return 1;
    }
    run(&show);
    mm_mesh_free(&show.mesh);
    return atomic_load(&show.failed) ? 1 : 0;
}
