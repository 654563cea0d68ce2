#!/bin/sh
# SPDX-License-Identifier: MIT
# The suites with intel-iommu in front of the NPU.
# vm: amd64 --iommu intel
. "${0%/*}/iommu.inc"
