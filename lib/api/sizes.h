/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_API_SIZES_H
#define MMI_API_SIZES_H

/* The public structs that have a struct_size, each with the last field of its first version. New
 * fields go to the end of the struct and change nothing here. tests/abi/older has the first
 * versions as a header. */

#include <base/sized.h>

#include <modelmesh/modelmesh.h>

#define MMI_DEVICE_OPTIONS_SIZES MMI_SIZES(mm_device_options, budget_bytes)
#define MMI_MESH_OPTIONS_SIZES MMI_SIZES(mm_mesh_options, flags)
#define MMI_MODEL_SPEC_SIZES MMI_SIZES(mm_model_spec, min_residency_ns)
#define MMI_REQUEST_SIZES MMI_SIZES(mm_request, binding)
#define MMI_RESPONSE_SIZES MMI_SIZES(mm_response, owned)
#define MMI_ASYNC_SIZES MMI_SIZES(mm_async, reserved)
#define MMI_PROGRESS_SIZES MMI_SIZES(mm_progress, reserved)
#define MMI_PLAN_SIZES MMI_SIZES(mm_plan, resident)
#define MMI_MODEL_INFO_SIZES MMI_SIZES(mm_model_info, retry_after_ns)
#define MMI_MESH_STATS_SIZES MMI_SIZES(mm_mesh_stats, cache_bytes)
#define MMI_CACHE_REPORT_SIZES MMI_SIZES(mm_cache_report, foreign)

#endif
