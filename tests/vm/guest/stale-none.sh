#!/bin/sh
# SPDX-License-Identifier: MIT
# A stale address of the device, without an IOMMU: it lands, so the tests behind one can tell the difference.
# vm: amd64 --npu-args --fault=stale:1 --hook stale.hook
. "${0%/*}/stale.inc"
expect "read landed, write landed"
