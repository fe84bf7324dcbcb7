/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>

static void progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    show_progress("verify", done, total);
}

int command_verify(int argc, char **argv) {
    if (argc != 1) {
        return bad_argument("verify", "one cache directory is wanted");
    }
    mm_error err;
    mm_cache_report report = MM_CACHE_REPORT_INIT;
    mm_status status = mm_cache_verify(argv[0], progress, NULL, &report, &err);
    end_progress();
    if (status != MM_OK) {
        return failure(argv[0], &err);
    }
    printf("%" PRIu64 " entries, %s; %" PRIu64 " damaged, %" PRIu64 " removed, %" PRIu64
           " foreign, %" PRIu64 " leftovers removed\n",
           report.entries, show_bytes(report.bytes), report.damaged, report.removed, report.foreign,
           report.leftovers);
    return report.damaged ? EXIT_FAILED : EXIT_DONE;
}
