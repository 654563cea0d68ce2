/* SPDX-License-Identifier: MIT */
/* The runtime on the NPU of the kernel module: for a machine, or a guest, that has one. */
#include <stdio.h>
#include <string.h>

#include "npu_cases.h"
#include "weir/weir.h"

static bool has_npu(void)
{
	struct weir_node node;

	for (int i = 0; i < weir_node_count(); i++) {
		if (weir_node_describe((unsigned)i, &node) == 0 && node.usable && node.npu)
			return true;
		if (!node.usable)
			printf("%s: %s\n", node.path, node.access);
	}
	return false;
}

int main(int argc, char **argv)
{
	if (!has_npu()) {
		printf("skip: no node of the kernel module weir with an NPU can be opened here\n");
		return 77;
	}
	return npu_cases_run(argc, argv, NULL);
}
