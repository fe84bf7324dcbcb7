/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_API_INFER_H
#define MMI_API_INFER_H

/* What the blocking and the asynchronous inference share. */

#include <api/request.h>

mm_status mmi_check_response(const mm_response *response, mm_error *err);
/* MM_INVALID_STATE: `call` was made where nothing may be waited for. */
mm_status mmi_would_block(const char *call, mm_error *err);
/* MM_INVALID_STATE inside a backend's call, unless its backend may call back. */
mm_status mmi_check_frame(const mm_mesh *mesh, bool *nested, mm_error *err);
void mmi_request_init(struct mmi_request *core_request, mm_model model, const mm_request *request,
                      bool nested);
/* Is this request valid for this description? */
mm_status mmi_check_request(mm_mesh *mesh, uint64_t model_id, struct mmi_opened *opened,
                            const mm_request *request, mm_error *err);
/* Run and give the admission back. MM_PENDING: its device was lost meanwhile; it is to be admitted
 * again, and runs elsewhere. */
mm_status mmi_run_admitted(mm_mesh *mesh, struct mmi_request *core_request,
                           struct mmi_admission *admission, const mm_request *request,
                           mm_response *response, mm_error *err);

#endif
