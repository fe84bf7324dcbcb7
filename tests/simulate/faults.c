/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator, and everything that fails or takes time. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Which one ------------------------------------------------------------------------------- */

/* This call of the point: the fault that hits it, or NULL. */
static const struct fault *next_fault(struct sim *sim, enum point point) {
    uint64_t number = ++sim->counts[point];
    if (sim->quiet_faults) {
        return NULL;
    }
    for (uint32_t i = 0; i < sim->scenario->fault_count; i++) {
        const struct fault *fault = &sim->scenario->faults[i];
        if (!fault->off && fault->point == point && number >= fault->from &&
            number - fault->from < fault->count) {
            sim->hits[i]++;
            return fault;
        }
    }
    return NULL;
}

/* ---- The allocator --------------------------------------------------------------------------- */

static void *take(void *user, uint64_t bytes, uint64_t align) {
    struct sim *sim = user;
    const struct fault *fault = next_fault(sim, POINT_ALLOC);
    if (fault) {
        sim->faulted = true;
        story(sim, "out of memory: allocation %llu, of %llu bytes",
              (unsigned long long)sim->counts[POINT_ALLOC], (unsigned long long)bytes);
        return NULL;
    }
    void *memory =
        align > 16 ? aligned_alloc(align, (bytes + align - 1) / align * align) : malloc(bytes);
    sim->live_blocks += memory != NULL;
    sim->live_bytes += memory ? bytes : 0;
    return memory;
}

static void give(void *user, void *memory, uint64_t bytes) {
    struct sim *sim = user;
    if (memory) {
        sim->live_blocks--;
        sim->live_bytes -= bytes;
        free(memory);
    }
}

void faults_init(struct sim *sim) {
    sim->alloc = (mm_allocator){sim, take, give};
}

/* ---- The system and the devices -------------------------------------------------------------- */

int faults_hook(void *user, const char *what) {
    struct sim *sim = user;
    enum point point;
    if (strcmp(what, "device") == 0) {
        point = POINT_DEVICE;
    } else if (strcmp(what, "thread") == 0) {
        point = POINT_THREAD;
    } else if (strcmp(what, "read") == 0) {
        point = POINT_READ;
    } else if (strcmp(what, "write") == 0 || strcmp(what, "sync") == 0 ||
               strcmp(what, "rename") == 0) {
        point = POINT_WRITE;
    } else {
        return 0;
    }
    if (point != POINT_THREAD && sim->created && mmi_tls()->locks == 0) {
        schedule_pause(sim);
    }
    const struct fault *fault = next_fault(sim, point);
    if (!fault) {
        return 0;
    }
    if (fault->sleep_ns && mmi_tls()->locks == 0) {
        story(sim, "slow: %s %llu", what, (unsigned long long)sim->counts[point]);
        schedule_sleep(sim, fault->sleep_ns);
    }
    if (fault->status) {
        sim->faulted = true;
        sim->lost_device |= fault->status == ENODEV;
        story(sim, "fails: %s %llu, %s", what, (unsigned long long)sim->counts[point],
              fault->status == ENODEV ? "lost" : strerrordesc_np(fault->status));
    }
    return fault->status;
}

/* ---- The slots ------------------------------------------------------------------------------- */

int32_t faults_slot(struct sim *sim, enum point point, bool *late) {
    const struct scenario *scenario = sim->scenario;
    const struct fault *fault = next_fault(sim, point);
    uint64_t sleep_ns = fault ? fault->sleep_ns : 0;
    if (!fault && chance_percent(&sim->chance, scenario->slow_percent)) {
        sleep_ns = chance_between(&sim->chance, 1000, scenario->slow_ns);
    }
    if (sleep_ns) {
        schedule_sleep(sim, sleep_ns);
    } else {
        schedule_pause(sim);
    }
    *late = fault && fault->late;
    int32_t status = fault && point != POINT_DETACH ? fault->status : MM_OK;
    if (status != MM_OK) {
        sim->faulted = true;
        story(sim, "fails: %s %llu, status %d%s", point_name(point),
              (unsigned long long)sim->counts[point], status, *late ? ", late" : "");
    }
    return status;
}

/* ---- What may come of it --------------------------------------------------------------------- */

bool faults_explain(const struct sim *sim, mm_status status) {
    for (uint32_t i = 0; i < sim->scenario->fault_count; i++) {
        const struct fault *fault = &sim->scenario->faults[i];
        if (sim->hits[i] == 0 || fault->status == 0) {
            continue;
        }
        switch (fault->point) {
        case POINT_ALLOC:
            if (status == MM_NO_MEMORY) {
                return true;
            }
            break;
        case POINT_READ:
        case POINT_WRITE: /* then it goes to memory, where there may be no room */
            if (status == MM_IO || status == MM_NO_SPACE || status == MM_CORRUPT) {
                return true;
            }
            break;
        case POINT_DEVICE:
            if (status == (fault->status == ENODEV ? MM_DEVICE_LOST : MM_IO)) {
                return true;
            }
            break;
        case POINT_THREAD:
            if (status == MM_NO_THREADS) {
                return true;
            }
            break;
        default:
            /* Whatever a slot must not say is the backend's failure. */
            if (status == (mm_status)fault->status || status == MM_BACKEND_FAILED) {
                return true;
            }
        }
    }
    return false;
}
