#!/bin/sh
# SPDX-License-Identifier: MIT
# The suites with virtio-iommu in front of the NPU.
# vm: amd64 --iommu virtio
. "${0%/*}/iommu.inc"
