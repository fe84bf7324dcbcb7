/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/cleanup.h>

#include <residency/decisions.h>
#include <residency/frame.h>
#include <residency/instance.h>
#include <residency/lock.h>

static void detach(struct mmi_residency *res, struct mmi_list *node) {
    struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, queue);
    mmi_unlock(&res->lock);
    mmi_instance_detach(res, instance);
    mmi_lock(&res->lock);
    mmi_instance_detached(res, instance);
}

static void free_version(struct mmi_residency *res, struct mmi_list *node) {
    struct mmi_frame frame;
    mmi_unlock(&res->lock);
    mmi_frame_enter(&frame, res, 0, MMI_FRAME_SLOT);
    mmi_version_free(&res->env->alloc, MMI_CONTAINER(node, struct mmi_version, dropping));
    mmi_frame_leave(&frame);
    mmi_lock(&res->lock);
}

static void close_description(struct mmi_residency *res, struct mmi_list *node) {
    struct mmi_frame frame;
    mmi_unlock(&res->lock);
    mmi_frame_enter(&frame, res, 0, MMI_FRAME_SLOT);
    mmi_opened_close(&res->env->alloc, MMI_CONTAINER(node, struct mmi_opened, closing));
    mmi_frame_leave(&frame);
    mmi_lock(&res->lock);
}

static void unmap_scratch(struct mmi_residency *res, struct mmi_list *node) {
    struct mmi_exec_slot *slot = MMI_CONTAINER(node, struct mmi_exec_slot, trimmed);
    res->unmapping++;
    mmi_unlock(&res->lock);
    slot->region.device->ops->unmap(&slot->region);
    mmi_lock(&res->lock);
    res->unmapping--;
    mmi_cond_broadcast(&res->quiet); /* a budget may wait for it */
    atomic_store(&slot->busy, 0);
    mmi_mark_memory(res); /* a run may wait for a slot */
}

/* ---- Bytes, which somebody may wait for, and the rest ---------------------------------------- */

static bool bytes_due(const struct mmi_residency *res) {
    return !mmi_list_empty(&res->detaching) || !mmi_list_empty(&res->trimmed);
}

static bool rest_due(struct mmi_residency *res) {
    return !mmi_list_empty(&res->closing) || !mmi_list_empty(&res->dropping) ||
           mmi_decisions_to_log(res);
}

static void give_bytes(struct mmi_residency *res) {
    struct mmi_list *node;
    if ((node = mmi_list_pop(&res->detaching))) {
        detach(res, node);
    } else if ((node = mmi_list_pop(&res->trimmed))) {
        unmap_scratch(res, node);
    }
}

static void do_rest(struct mmi_residency *res) {
    struct mmi_list *node;
    if ((node = mmi_list_pop(&res->closing))) { /* before its version goes */
        close_description(res, node);
    } else if ((node = mmi_list_pop(&res->dropping))) {
        free_version(res, node);
    } else if (mmi_decisions_to_log(res)) {
        mmi_unlock(&res->lock);
        mmi_decisions_log(res);
        mmi_lock(&res->lock);
    }
}

void mmi_cleanup_once(struct mmi_residency *res) {
    if (bytes_due(res)) {
        give_bytes(res);
    } else {
        do_rest(res);
    }
}

bool mmi_cleanup_due(struct mmi_residency *res) {
    return bytes_due(res) || rest_due(res);
}

/* ---- Workers --------------------------------------------------------------------------------- */

static void run(struct mmi_task *task) {
    struct mmi_cleanup_worker *worker = MMI_CONTAINER(task, struct mmi_cleanup_worker, task);
    struct mmi_residency *res = worker->res;
    bool rest = worker == &res->rest_worker;
    mmi_res_lock(res);
    worker->starting = false;
    while (rest ? rest_due(res) : bytes_due(res)) {
        (rest ? do_rest : give_bytes)(res);
        mmi_res_unlock(res); /* whoever waited for it goes on before the next */
        mmi_res_lock(res);
    }
    worker->busy = false;
    mmi_task_done(res);
    mmi_res_unlock(res);
}

void mmi_cleanup_init(struct mmi_residency *res) {
    res->rest_worker = (struct mmi_cleanup_worker){.task.run = run, .res = res};
    for (unsigned i = 0; i < MMI_BYTES_WORKERS; i++) {
        res->bytes_workers[i] = res->rest_worker;
    }
}

static void start(struct mmi_residency *res, struct mmi_cleanup_worker *worker) {
    worker->busy = worker->starting = true;
    mmi_assign(res, &worker->task, NULL, res->cleanup_executor, false);
}

/* One worker is enough while nobody waits for what is queued behind its detach. */
static struct mmi_cleanup_worker *worker_for_bytes(struct mmi_residency *res) {
    bool awaited = atomic_load(&res->stopping) || res->exempt > 0 || res->shrinking > 0 ||
                   !mmi_list_empty(&res->loads) || !mmi_list_empty(&res->runs);
    struct mmi_cleanup_worker *idle = NULL;
    for (unsigned i = 0; i < MMI_BYTES_WORKERS; i++) {
        struct mmi_cleanup_worker *worker = &res->bytes_workers[i];
        if (worker->starting || (worker->busy && !awaited)) {
            return NULL;
        }
        idle = idle || worker->busy ? idle : worker;
    }
    return idle;
}

bool mmi_cleanup_submit(struct mmi_residency *res) {
    if (!res->config.threads || res->joining) {
        return false;
    }
    if (rest_due(res) && !res->rest_worker.busy) {
        start(res, &res->rest_worker);
    }
    struct mmi_cleanup_worker *worker = bytes_due(res) ? worker_for_bytes(res) : NULL;
    if (worker) {
        start(res, worker);
    }
    return true;
}

/* ---- Of a claim ------------------------------------------------------------------------------ */

void mmi_detach_victims(struct mmi_residency *res, struct mmi_list *victims) {
    struct mmi_list *node;
    while ((node = mmi_list_pop(victims))) {
        struct mmi_instance *victim = MMI_CONTAINER(node, struct mmi_instance, queue);
        mmi_instance_detach(res, victim);
        mmi_res_lock(res);
        mmi_instance_detached(res, victim);
        mmi_res_unlock(res);
    }
}
