/* SPDX-License-Identifier: MIT */
/*
 * Checks packets against uapi/weir_npu.h: all that can be said of one without the context's
 * memory and programs.
 */
#include <stddef.h>
#include <string.h>

#include "worker.h"

#define BODY(type, field) (offsetof(struct weir_npu_packet, body) + offsetof(type, field))

static int wrong(uint64_t at, uint64_t *where)
{
	*where = at;
	return WEIR_NPU_FAULT_PACKET;
}

/* Bytes from `from` on, up to the packet's end, must be 0. */
static int check_zero(const void *bytes, size_t at, size_t size, uint64_t *where)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < size; i++) {
		if (p[i])
			return wrong(at + i, where);
	}
	return 0;
}

static int check_rest(const struct weir_npu_packet *p, size_t used, uint64_t *where)
{
	size_t at = offsetof(struct weir_npu_packet, body) + used;

	return check_zero(p->body + used, at, sizeof(p->body) - used, where);
}

static int check_launch(
	const struct weir_npu_packet *p, const struct weir_npu_identity *identity, uint64_t *where)
{
	uint64_t groups = 1, items = 1;
	struct weir_npu_launch l;

	memcpy(&l, p->body, sizeof(l));
	if (l.zero)
		return wrong(BODY(struct weir_npu_launch, zero), where);
	for (unsigned i = 0; i < 3; i++) {
		/* 64 bits hold either product: the one before is below 1 << 32. */
		groups *= l.groups[i];
		if (groups == 0 || groups > WEIR_NPU_GROUPS_MAX)
			return wrong(BODY(struct weir_npu_launch, groups) + 4 * i, where);
	}
	for (unsigned i = 0; i < 3; i++) {
		items *= l.local[i];
		if (items == 0 || items > identity->max_local)
			return wrong(BODY(struct weir_npu_launch, local) + 4 * i, where);
	}
	if (l.n_args > identity->max_args)
		return wrong(BODY(struct weir_npu_launch, n_args), where);
	if (l.args % 8)
		return wrong(BODY(struct weir_npu_launch, args), where);
	return 0;
}

static int check_load(const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_load l;

	memcpy(&l, p->body, sizeof(l));
	if (l.code_size == 0)
		return wrong(BODY(struct weir_npu_load, code_size), where);
	if (l.report_size < sizeof(struct weir_npu_report))
		return wrong(BODY(struct weir_npu_load, report_size), where);
	if (l.report % 8)
		return wrong(BODY(struct weir_npu_load, report), where);
	return 0;
}

static int check_unload(const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_unload u;

	memcpy(&u, p->body, sizeof(u));
	if (u.zero)
		return wrong(BODY(struct weir_npu_unload, zero), where);
	return check_rest(p, sizeof(u), where);
}

static int check_copy(const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_copy c;
	uint64_t distance;

	memcpy(&c, p->body, sizeof(c));
	distance = c.to > c.from ? c.to - c.from : c.from - c.to;
	if (c.size == 0)
		return wrong(BODY(struct weir_npu_copy, size), where);
	if (distance < c.size)
		return wrong(BODY(struct weir_npu_copy, from), where);
	return check_rest(p, sizeof(c), where);
}

static int check_fill(const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_fill f;

	memcpy(&f, p->body, sizeof(f));
	if (f.to % 4)
		return wrong(BODY(struct weir_npu_fill, to), where);
	if (f.size == 0 || f.size % 4)
		return wrong(BODY(struct weir_npu_fill, size), where);
	if (f.zero)
		return wrong(BODY(struct weir_npu_fill, zero), where);
	return check_rest(p, sizeof(f), where);
}

static int check_signal(const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_signal s;

	memcpy(&s, p->body, sizeof(s));
	if (s.addr % 8)
		return wrong(BODY(struct weir_npu_signal, addr), where);
	return check_rest(p, sizeof(s), where);
}

int ring_check_packet(const struct weir_npu_packet *p, uint32_t queue_class,
	const struct weir_npu_identity *identity, uint64_t *where)
{
	int err;

	if (p->flags & ~WEIR_NPU_PACKET_BARRIER)
		return wrong(offsetof(struct weir_npu_packet, flags), where);
	err = check_zero(p->zero, offsetof(struct weir_npu_packet, zero), sizeof(p->zero), where);
	if (err)
		return err;
	if (p->stamp % 8)
		return wrong(offsetof(struct weir_npu_packet, stamp), where);
	switch (p->type) {
	case WEIR_NPU_PACKET_NOP:
		return check_rest(p, 0, where);
	case WEIR_NPU_PACKET_LAUNCH:
		return check_launch(p, identity, where);
	case WEIR_NPU_PACKET_LOAD:
		return check_load(p, where);
	case WEIR_NPU_PACKET_UNLOAD:
		return check_unload(p, where);
	case WEIR_NPU_PACKET_COPY:
		return check_copy(p, where);
	case WEIR_NPU_PACKET_FILL:
		return check_fill(p, where);
	case WEIR_NPU_PACKET_WAIT:
		if (queue_class != WEIR_NPU_CLASS_LONG_RUNNING)
			return wrong(offsetof(struct weir_npu_packet, type), where);
		return check_signal(p, where);
	case WEIR_NPU_PACKET_SIGNAL:
		return check_signal(p, where);
	default:
		return wrong(offsetof(struct weir_npu_packet, type), where);
	}
}
