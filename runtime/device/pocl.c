/* SPDX-License-Identifier: MIT */
/* Which PoCL a platform is. */
#include "device/pocl.h"

#include <stdlib.h>
#include <string.h>

int weir_pocl_major(cl_platform_id platform)
{
	char name[64] = "", version[256] = "";
	const char *p;

	clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof(name) - 1, name, NULL);
	if (strcmp(name, "Portable Computing Language") != 0)
		return 0;
	clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof(version) - 1, version, NULL);
	p = strstr(version, "PoCL ");
	if (!p)
		p = strstr(version, "pocl ");
	return p ? (int)strtol(p + 5, NULL, 10) : 1;
}

bool weir_pocl_runs_binaries(int major)
{
	const char *specialized = getenv("POCL_WORK_GROUP_SPECIALIZATION");

	return weir_pocl_gives_binaries(major) && (major == 0 || (specialized && !strcmp(specialized, "0")));
}
