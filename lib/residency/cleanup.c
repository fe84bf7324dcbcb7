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
    mmi_unlock(&res->lock);
    mmi_version_free(&res->env->alloc, MMI_CONTAINER(node, struct mmi_version, dropping));
    mmi_lock(&res->lock);
}

static void close_description(struct mmi_residency *res, struct mmi_list *node) {
    struct mmi_frame frame;
    mmi_unlock(&res->lock);
    mmi_frame_enter(&frame, res, 0, false);
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

void mmi_cleanup_once(struct mmi_residency *res) {
    struct mmi_list *node;
    if ((node = mmi_list_pop(&res->detaching))) {
        detach(res, node);
    } else if ((node = mmi_list_pop(&res->closing))) { /* before its version goes */
        close_description(res, node);
    } else if ((node = mmi_list_pop(&res->dropping))) {
        free_version(res, node);
    } else if ((node = mmi_list_pop(&res->trimmed))) {
        unmap_scratch(res, node);
    } else if (mmi_decisions_to_log(res)) {
        mmi_unlock(&res->lock);
        mmi_decisions_log(res);
        mmi_lock(&res->lock);
    }
}

bool mmi_cleanup_due(struct mmi_residency *res) {
    return !mmi_list_empty(&res->detaching) || !mmi_list_empty(&res->closing) ||
           !mmi_list_empty(&res->dropping) || !mmi_list_empty(&res->trimmed) ||
           mmi_decisions_to_log(res);
}

static void run(struct mmi_task *task) {
    struct mmi_residency *res = MMI_CONTAINER(task, struct mmi_residency, cleanup);
    mmi_res_lock(res);
    while (mmi_cleanup_due(res)) {
        mmi_cleanup_once(res);
        mmi_res_unlock(res); /* whoever waited for it goes on before the next */
        mmi_res_lock(res);
    }
    res->cleaning = false;
    mmi_task_done(res);
    mmi_res_unlock(res);
}

void mmi_cleanup_init(struct mmi_residency *res) {
    res->cleanup.run = run;
}

bool mmi_cleanup_submit(struct mmi_residency *res) {
    if (!res->config.threads || res->joining) {
        return false;
    }
    if (!res->cleaning) {
        res->cleaning = true;
        mmi_assign(res, &res->cleanup, NULL, res->cleanup_executor, false);
    }
    return true;
}

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
