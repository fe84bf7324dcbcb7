/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_LOG_H
#define MMI_BASE_LOG_H

#include <modelmesh/types.h>

/* A line on its way to the host, which may write others from inside of it. */
struct mmi_logging {
    const struct mmi_logging *outer;
    const mm_log *log;
};

/* Send one line to the host's sink, if its level allows. Never called with a lock held. */
__attribute__((format(printf, 3, 4))) void mmi_log(const mm_log *log, mm_log_level level,
                                                   const char *format, ...);

#endif
