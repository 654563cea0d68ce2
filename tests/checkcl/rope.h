/* SPDX-License-Identifier: MIT */
/* The rows of rope.cl, which attention.c lists. */
#ifndef WEIR_CHECKCL_ROPE_H
#define WEIR_CHECKCL_ROPE_H

#include "checkcl.h"

void rope_run_store(struct checkcl *c);

#endif
