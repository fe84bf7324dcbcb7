/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_WARM_H
#define MMI_CATALOG_WARM_H

/* Input shapes that a spec names, so that their signatures are made with each load:
 * "x=1x3x640x640,mask=1x640;x=8x3x640x640". */

#include <base/status.h>

#include <modelmesh/backend.h>

/* Checks the form. MM_INVALID_ARGUMENT names the place that is wrong. */
mm_status mmi_warm_check(const char *text, mm_error *err);

/* One request of a checked text, from *at, which moves behind it. inputs: [input_count] get kinds,
 * types and shapes, no data; one left out is absent where that is allowed, else of its fixed shape.
 * *status: MM_INVALID_ARGUMENT, the model takes no such request. false: *at is at the end. */
bool mmi_warm_next(const char **at, const mm_description *description, mm_value *inputs,
                   mm_status *status, mm_error *err);

#endif
