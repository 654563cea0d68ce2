#!/bin/sh
# SPDX-License-Identifier: MIT
# A stale address of the device, behind intel-iommu: nothing is reached.
# vm: amd64 --iommu intel --append iommu.strict=1 --npu-args --fault=stale:1 --hook stale.hook
. "${0%/*}/stale.inc"
expect "read reached nothing, write reached nothing"
