#!/bin/sh
# SPDX-License-Identifier: MIT
# A stale address of the device, behind virtio-iommu: nothing is reached.
# vm: amd64 --iommu virtio --append iommu.strict=1 --npu-args --fault=stale:1 --hook stale.hook
. "${0%/*}/stale.inc"
expect "read reached nothing, write reached nothing"
