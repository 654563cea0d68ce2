/* SPDX-License-Identifier: MIT */
/* What the parts of the NPU's suite share: npu_cases.c starts it, each part adds its cases. */
#ifndef WEIR_TESTS_NPU_DEVICE_H
#define WEIR_TESTS_NPU_DEVICE_H

#include "device/npu.h"
#include "device_suite.h"

void npu_plans_add(Suite *s);
void npu_faults_add(Suite *s);

/* Counts the ioctls of whatever stands behind weir_drm_calls from now on. */
void npu_plans_count(void);

/* Fixture: the suite's folder, which npu_cases.c made, is this part's too. */
static inline void npu_join_work(void)
{
	const char *kernels = getenv("WEIR_KERNELS");

	snprintf(work, sizeof(work), "%.*s", (int)(strlen(kernels) - strlen("/k")), kernels);
}

static inline struct weir_device_settings npu_settings(enum weir_provider provider)
{
	struct weir_device_settings s = settings_for(provider);

	s.device = "npu";
	return s;
}

static inline weir_device *open_npu(enum weir_provider provider)
{
	struct weir_device_settings s = npu_settings(provider);

	return open_with(&s);
}

#endif
