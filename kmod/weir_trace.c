// SPDX-License-Identifier: GPL-2.0
/* weir_trace.c - makes the trace points of weir_trace.h. */
#include "weir.h"

#ifndef __CHECKER__
#define CREATE_TRACE_POINTS
#include "weir_trace.h"
#endif
