/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_TRANSFER_H
#define MMI_RESIDENCY_TRANSFER_H

/* Moves the weights of an artifact into an instance's region, group by group, on the thread of its
 * load: the host reads them into place; to a device, one piece is read into staging while another
 * is copied, on a stream of the load's own. Runs that need a group which is not there yet wait for
 * it; the load's own thread, when it is inside attach, moves it itself. No lock is held, but for
 * what says so. */

#include <residency/state.h>

#include <device/kept.h>

/* A piece on its way to the device. */
struct mmi_piece {
    struct mmi_staging staging; /* kept for the next piece */
    mm_device_event there;
    uint64_t end; /* in the weights; 0 = none is on its way */
};

/* So many are on their way: staging is scarce. */
#define MMI_PIECES 2u

struct mmi_transfer {
    struct mmi_instance *instance;
    struct mmi_device *device; /* NULL: it never began */
    uint64_t at, total;        /* bytes that are there; of all */
    /* Not on the host: */
    struct mmi_kept_stream stream;
    struct mmi_piece pieces[MMI_PIECES]; /* in turn */
    uint32_t next; /* the piece to be put next; those behind it, round to it, are ever younger */
    uint64_t put;  /* bytes that are there or on their way */
};

/* Map the region; where the device can, the artifact's own pages, and all is there at once. The
 * artifact is held. */
mm_status mmi_transfer_begin(struct mmi_transfer *transfer, struct mmi_instance *instance,
                             mm_error *err);
/* Until so many groups are there; UINT32_MAX = all. MM_CANCELLED when the load was. */
mm_status mmi_transfer_until(struct mmi_transfer *transfer, uint32_t groups, mm_error *err);
/* The instance may be gone. */
void mmi_transfer_end(struct mmi_transfer *transfer);
/* Locked: the rest will not come, and why. */
void mmi_transfer_failed(struct mmi_instance *instance, mm_status status);

#endif
