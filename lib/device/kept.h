/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_DEVICE_KEPT_H
#define MMI_DEVICE_KEPT_H

/* Streams and staging that a device keeps between uses: both are dear to make on CUDA. Any thread,
 * no lock held. Nothing here waits for others. The host keeps nothing: its streams are NULL, and
 * its staging is ordinary memory. */

#include <device/device.h>

#define MMI_STAGING_BYTES (UINT64_C(4) << 20) /* of one buffer */
#define MMI_STAGING_KEPT 8u                   /* buffers of one device: what is page-locked */
#define MMI_STREAMS_KEPT 64u                  /* streams of one device */

/* The right to use a stream. Zeroed = none. */
struct mmi_kept_stream {
    struct mmi_stream *stream; /* NULL on the host */
    uint32_t slot;             /* 1 + where it is kept; 0 = it is not */
};

/* A stream with nothing on it. */
mm_status mmi_stream_take(struct mmi_device *device, struct mmi_kept_stream *kept, mm_error *err);
/* All that was put on it has been waited for; or it is not sound, and is closed, which waits. */
void mmi_stream_give(struct mmi_device *device, struct mmi_kept_stream *kept, bool sound);

/* Memory between a file and the device. Zeroed = none. */
struct mmi_staging {
    void *memory; /* aligned to 4096 when kept */
    uint64_t bytes;
    bool kept; /* page-locked where the device can; else ordinary memory */
};

/* At least `bytes`, at most MMI_STAGING_BYTES. When all buffers that the device may keep are in
 * use, or it cannot make one, ordinary memory: right as well, but slower. MM_NO_MEMORY. */
mm_status mmi_staging_take(struct mmi_device *device, uint64_t bytes, struct mmi_staging *staging,
                           mm_error *err);
/* No copy from or to it is under way, or the device is lost. Zeroed does nothing. */
void mmi_staging_give(struct mmi_device *device, struct mmi_staging *staging);

#endif
