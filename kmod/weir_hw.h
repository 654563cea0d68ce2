/* SPDX-License-Identifier: GPL-2.0 */
/*
 * weir_hw.h - what the files of weir.ko share about the NPU: address spaces, admin commands,
 * queues, waits, resets. The end of weir.h, whose locks and lifetimes hold here too.
 */
#ifndef WEIR_HW_H
#define WEIR_HW_H

/* ---- weir_vm.c, weir_bind.c: address spaces -------------------------------------------------- */

/**
 * struct weir_vm - the address space of one file: a context of the NPU
 * @ref: files and queues hold it
 * @npu: NPU
 * @ctx: context id of the device
 * @live: there is a context: from the first binding on
 * @prepare_lock: guards the making of @table, @entries and @used; outside of reset_sem
 * @lock: guards what follows
 * @mm: device addresses
 * @bindings: struct weir_binding
 * @table: context table, in memory that the device reads; NULL once the device is unplugged
 * @table_dma: its bus address
 * @entries: its entries; 0: nothing was ever bound
 * @used: which entries are taken
 * @node: in &weir_npu.vms
 */
struct weir_vm {
	struct kref ref;
	struct weir_npu *npu;
	u32 ctx;
	bool live;
	struct mutex prepare_lock;	/* guards the making of the table */
	struct mutex lock;		/* guards what follows */
	struct drm_mm mm;
	struct list_head bindings;
	struct weir_npu_entry *table;
	dma_addr_t table_dma;
	u32 entries;
	unsigned long *used;
	struct list_head node;
};

/* The first device address: what is near 0 is no buffer, so that a forgotten one faults. */
#define WEIR_VM_BEGIN	SZ_1M
/* Between buffers, so that what runs over the end of one faults. */
#define WEIR_VM_GUARD	SZ_64K

struct weir_vm *weir_vm_create(struct weir_npu *npu);	/* ERR_PTR */
/* The last one takes reset_sem and sleeps. */
void weir_vm_put(struct weir_vm *vm);

/*
 * A handle of bo appears in, or vanishes from, the file of vm: &drm_gem_object_funcs.open and
 * close; a queue binds its ring. They count, take reset_sem, and sleep. The first binding makes the
 * context in the device (-ENOSPC: it has no other).
 */
int weir_vm_bind(struct weir_vm *vm, struct weir_bo *bo);
void weir_vm_unbind(struct weir_vm *vm, struct weir_bo *bo);

/*
 * What the device puts on the bus for the first size bytes of sgt, neighbours merged: how many runs
 * there are, written to out if it is there. -EINVAL when they are not whole pages of the device.
 */
int weir_segments_of(struct sg_table *sgt, u64 size, struct weir_npu_segment *out);

/* Device address of bo in vm, 0: not bound. */
u64 weir_vm_address(struct weir_vm *vm, struct weir_bo *bo);

/*
 * After a device reset or resume, reset_sem held for writing: makes the context in the device
 * again.
 */
int weir_vm_restore(struct weir_vm *vm);
/*
 * Frees what the device reads (table, segments); reset_sem held for writing, the device no longer
 * runs.
 */
void weir_vm_unplug(struct weir_vm *vm);

/*
 * For weir_bind.c: memory that a context needs (inside drm_dev_enter(), without locks), and the
 * context in the device, made if it is not there (reset_sem and vm->lock held).
 */
int weir_vm_prepare(struct weir_vm *vm);
int weir_vm_start(struct weir_vm *vm);
void weir_bindings_unplug(struct weir_vm *vm);

/* ---- weir_npu.c: registers, admin ring, start, pause and sleep ------------------------------- */

enum weir_npu_life {
	WEIR_NPU_RUNNING,	/* takes commands */
	WEIR_NPU_FAILED,	/* waits for weir_reset.c */
	WEIR_NPU_SUSPENDED,	/* system suspend */
	WEIR_NPU_REMOVED,	/* unplugged, or reset did not help: gone for good */
};

/**
 * struct weir_npu - the NPU
 * @wdev: its render node
 * @pdev: PCI device
 * @regs: BAR0
 * @doorbells: physical address of BAR2
 * @caps: WEIR_NPU_CAP_* of the device
 * @max_contexts: contexts that the device has
 * @max_queues: queues that it has
 * @max_entries: entries that a context table can have
 * @stride: bytes from one doorbell page to the next
 * @addr_bits: device addresses are below 1 << this
 * @identity: what IDENTIFY told
 * @reset_sem: see the top
 * @life: enum weir_npu_life; written under reset_sem for writing (REMOVED and FAILED from anywhere,
 *	atomically)
 * @life_wait: woken when @life changes
 * @lost: system sleep begins with work that could not be finished: resume has to reset
 * @admin_lock: guards the admin ring
 * @admin: the admin ring
 * @admin_dma: its bus address
 * @admin_tail: commands posted since RUN was set
 * @admin_busy: somebody waits for @admin_done
 * @admin_done: completed by WEIR_NPU_IRQ_ADMIN
 * @contexts: context ids in use
 * @hw_queues: queue ids in use
 * @vms: struct weir_vm that have a context; changed under reset_sem for reading and @queues_lock,
 *	walked under reset_sem for writing
 * @queues_lock: guards @queues, and changes of @vms
 * @queues: struct weir_queue
 * @watch: looks at progress while any queue is awake (weir_reset.c)
 * @reset_work: resets the device (weir_reset.c)
 * @report: writes what is known of queues that died (weir_report.c)
 * @wq: where @watch and @reset_work run: fences wait for them, so it needs no new memory
 * @resets: of the whole device
 * @faults: queues that died, of the whole device's life, for debugfs
 */
struct weir_npu {
	struct weir_device *wdev;
	struct pci_dev *pdev;
	void __iomem *regs;
	phys_addr_t doorbells;
	u32 caps;
	u32 max_contexts;
	u32 max_queues;
	u32 max_entries;
	u32 stride;
	u32 addr_bits;
	struct weir_npu_identity *identity;
	struct rw_semaphore reset_sem;
	int life;
	wait_queue_head_t life_wait;
	bool lost;
	struct mutex admin_lock;	/* guards the admin ring */
	struct weir_npu_admin *admin;
	dma_addr_t admin_dma;
	u32 admin_tail;
	bool admin_busy;
	struct completion admin_done;
	struct ida contexts;
	struct ida hw_queues;
	struct list_head vms;
	spinlock_t queues_lock;		/* guards queues and changes of vms */
	struct list_head queues;
	struct delayed_work watch;
	struct work_struct reset_work;
	struct work_struct report;
	struct workqueue_struct *wq;
	u32 resets;
	atomic_t faults;
};

#define WEIR_ADMIN_ENTRIES	64
#define WEIR_ADMIN_BYTES	(WEIR_ADMIN_ENTRIES * sizeof(struct weir_npu_admin))
/* Behind the ring is the place that IDENTIFY writes. */
#define WEIR_ADMIN_ALLOC	(WEIR_ADMIN_BYTES + sizeof(struct weir_npu_identity))

/*
 * Posts one command and waits for it: 0; -EIO when the device refused or does not answer (it is
 * then FAILED and reset_work scheduled), -ENOSPC for RESULT_RESOURCE, -ENODEV when it is gone.
 * reset_sem is held. Takes a runtime power reference for its time.
 */
int weir_npu_command(struct weir_npu *npu, const struct weir_npu_admin *command);

/*
 * reset_sem for reading, with life RUNNING: 0, or -EIO (failed), -ENODEV (removed); suspended:
 * waits. up undoes.
 */
int weir_npu_down_read(struct weir_npu *npu);
void weir_npu_up_read(struct weir_npu *npu);

/*
 * reset_sem for reading, with life RUNNING (true) or REMOVED (false), waiting for a reset or resume
 * that is due, not for longer than these take. For ways out, which cannot fail: after it, whatever
 * the device was told to forget is forgotten, or the device reaches no memory any more.
 */
bool weir_npu_down_settled(struct weir_npu *npu);

/*
 * The device is gone for good: REMOVED, without bus mastering; reset_work is scheduled and ends the
 * queues. From any context.
 */
void weir_npu_gone(struct weir_npu *npu, const char *why);

/*
 * Resets registers and admin ring and starts it again (RUNNING); reset_sem held for writing. 0, or
 * -EIO: then weir_npu_gone() was called. Contexts are empty after it.
 */
int weir_npu_restart(struct weir_npu *npu);

/* Pauses the device (RUN 0) and waits until IDLE, at most limit_ms. 0 or -EBUSY. For suspend. */
int weir_npu_pause(struct weir_npu *npu, unsigned int limit_ms);

void weir_npu_write_kick(struct weir_npu *npu, u32 hw_queue);

/*
 * Looks at STATUS, with power: 0, -EIO (weir_npu_failed() was called), -ENODEV (weir_npu_gone() was
 * called). From any context. A device that died says nothing: who waits for it looks now and then.
 */
int weir_npu_check(struct weir_npu *npu);

/* Drops a reference of pm_runtime_resume_and_get(), with the delay before suspend. */
void weir_npu_power_put(struct weir_npu *npu);

/* System sleep and resume, and runtime suspend (0 or -EBUSY) and resume, of a device with power. */
void weir_npu_sleep(struct weir_npu *npu);
void weir_npu_wake(struct weir_npu *npu);
int weir_npu_doze(struct weir_npu *npu);
void weir_npu_undoze(struct weir_npu *npu);

/* REMOVED: the device forgets all, if it can hear, and reaches no memory from then on. */
void weir_npu_halt(struct weir_npu *npu);

static inline u32 weir_npu_read(struct weir_npu *npu, u32 reg)
{
	return readl(npu->regs + reg);
}

static inline void weir_npu_write(struct weir_npu *npu, u32 reg, u32 value)
{
	writel(value, npu->regs + reg);
}

/* ---- weir_pci.c: the binding ----------------------------------------------------------------- */

extern struct pci_driver weir_pci_driver;

/* ---- weir_queue.c: queues, their pages and ioctls -------------------------------------------- */

/**
 * struct weir_queue - a user-mode queue
 * @ref: the file, mappings of its pages, waiters and the list hold it
 * @npu: NPU
 * @vm: address space
 * @ring: buffer of the ring; kept alive
 * @ring_addr: device address of the ring
 * @ring_offset: of the ring in its buffer
 * @order: log2 of its packets
 * @id: in the file
 * @hw: in the device: doorbell page too; -1 once destroyed
 * @queue_class: enum weir_npu_class
 * @priority: WEIR_QUEUE_PRIORITY_*
 * @status_page: ours; mapped for the device while it is plugged
 * @control_page: likewise
 * @status: address of the status page
 * @control: address of the control page
 * @status_dma: bus address of the status page
 * @control_dma: bus address of the control page
 * @doorbell: the kernel's view of its doorbell page, to read published
 * @lock: guards what follows
 * @ending: it is being destroyed: no reset brings it back
 * @in_device: the device knows it; changes under @command_lock
 * @hung: the watch gave up on it; the reset that follows makes it guilty
 * @dead: state as told: no longer OK; set once
 * @reported: weir_reset.c has written its report
 * @state: enum weir_npu_queue_state, once dead
 * @code: enum weir_npu_fault, once dead
 * @wait: waiters for completed or death
 * @wants: struct weir_want (fences, eventfds, waiters), by seq: what control->irq_seq follows
 * @n_events: how many of them are eventfds
 * @fence_context: of its fences
 * @fenced: highest seq that a fence was made for
 * @awake: a power reference is held for it
 * @busy: the watch found packets that were not done
 * @seen_completed: completed, when the watch looked last
 * @seen_read: read_index, when the watch looked last
 * @seen_at: jiffies when it moved
 * @resets: of the device, when it was made
 * @command_lock: one command about it at a time; under reset_sem
 * @map_lock: guards @mapped and @dummy; taken in page faults: nothing that a fence waits for takes
 *	it
 * @mapped: faults of the doorbell mapping get the doorbell page
 * @dummy: what they get after that
 * @node: in &weir_npu.queues
 * @pid: of the process that made it
 * @label: its name
 */
struct weir_queue {
	struct kref ref;
	struct weir_npu *npu;
	struct weir_vm *vm;
	struct weir_bo *ring;
	u64 ring_addr;
	u64 ring_offset;
	u32 order;
	u32 id;
	int hw;
	u32 queue_class;
	u32 priority;
	struct page *status_page;
	struct page *control_page;
	struct weir_npu_status *status;
	struct weir_npu_control *control;
	dma_addr_t status_dma;
	dma_addr_t control_dma;
	struct weir_npu_doorbell __iomem *doorbell;
	spinlock_t lock;		/* guards what follows */
	bool ending;
	bool in_device;
	bool hung;
	bool dead;
	bool reported;
	u32 state;
	u32 code;
	wait_queue_head_t wait;
	struct list_head wants;
	u32 n_events;
	u64 fence_context;
	u64 fenced;
	bool awake;
	bool busy;
	u64 seen_completed;
	u64 seen_read;
	unsigned long seen_at;
	u32 resets;
	struct mutex command_lock;	/* one command about it at a time */
	struct mutex map_lock;		/* guards mapped and dummy */
	bool mapped;
	struct page *dummy;
	struct list_head node;
	pid_t pid;
	char label[TASK_COMM_LEN];
};

/* Queue ids of a file are 1 to this: each has a mebibyte of mmap offsets (weir_queue.c). */
#define WEIR_QUEUE_ID_MAX	4095
/* Bytes of a doorbell page that such an offset has room for. */
#define WEIR_QUEUE_STRIDE_MAX	(512u << 10)

int weir_queue_create_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
int weir_queue_destroy_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
int weir_queue_kick_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
int weir_queue_state_ioctl(struct drm_device *drm, void *data, struct drm_file *file);

/* with a reference, or NULL */
struct weir_queue *weir_queue_lookup(struct weir_file *wf, u32 id);
struct weir_queue *weir_queue_get(struct weir_queue *queue);
void weir_queue_put(struct weir_queue *queue);

/* Ends all queues of a file that is closed. */
void weir_queue_close_all(struct weir_file *wf);

/* weir_qmap.c: mmap of a doorbell or status page: below DRM_FILE_PAGE_OFFSET_START. */
int weir_queue_mmap(struct weir_file *wf, struct vm_area_struct *vma);
u64 weir_queue_doorbell_cookie(const struct weir_queue *queue);
u64 weir_queue_status_cookie(const struct weir_queue *queue);

/*
 * Status, control and doorbell page: made; the doorbell taken from processes (not under reset_sem:
 * faults, which it waits for, allocate memory); all taken from the device and from us; freed.
 */
int weir_queue_pages_alloc(struct weir_queue *queue);
void weir_queue_zap(struct weir_queue *queue);
void weir_queue_pages_unmap(struct weir_queue *queue);
void weir_queue_pages_free(struct weir_queue *queue);

/* from the doorbell page; 0 once the device is gone; locked: the caller holds queue->lock */
u64 weir_queue_published(struct weir_queue *queue);
u64 weir_queue_published_locked(struct weir_queue *queue);
u64 weir_queue_read_index(struct weir_queue *queue);
u64 weir_queue_completed(struct weir_queue *queue);

/*
 * The queue dies: tells state and code (status page as well, when the device wrote none itself),
 * signals waiters, eventfds and fences with -EIO (-ENODEV when gone). Once only; the device touches
 * nothing for it any more. From any context.
 */
void weir_queue_kill(struct weir_queue *queue, u32 state, u32 code);
/* All but the signals. */
void weir_queue_die_locked(struct weir_queue *queue, u32 state, u32 code);

/* Takes the queue from the device, after QUEUE_RESET if @reset. reset_sem held. 0 or -errno. */
int weir_queue_leave(struct weir_queue *queue, bool reset);

/* Wakes the device for the queue. reset_sem held for reading. 0 or -errno. */
int weir_queue_kick(struct weir_queue *queue);

/*
 * After a device reset or resume, reset_sem held for writing: makes the queue in the device again
 * from where it was.
 */
int weir_queue_restore(struct weir_queue *queue);
/* The device goes: unmaps the pages from it. After drm_dev_unplug(); reset_sem for writing. */
void weir_queue_unplug(struct weir_queue *queue);

/* ---- weir_wait.c: fences, waits, interrupts -------------------------------------------------- */

int weir_queue_fence_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
int weir_queue_wait_ioctl(struct drm_device *drm, void *data, struct drm_file *file);

/*
 * Something moved (interrupt, watch, death): signals what is due and sets control->irq_seq. From
 * any context.
 */
void weir_queue_progress(struct weir_queue *queue);
void weir_queues_progress(struct weir_npu *npu);	/* all of them: from WEIR_NPU_IRQ_QUEUE */

/* ---- weir_reset.c: hangs, resets, reports ---------------------------------------------------- */

int weir_reset_init(struct weir_npu *npu);
void weir_reset_fini(struct weir_npu *npu);	/* no work of ours runs after it */
void weir_report_work(struct work_struct *work);	/* weir_report.c: &weir_npu.report */

/* The queue was kicked: holds power for it and starts the watch. Sleeps. 0 or -errno. */
int weir_queue_wake(struct weir_queue *queue);
void weir_queue_rest(struct weir_queue *queue);	/* and gives the power back; from any context */

/*
 * The device is about to sleep; paused: it stands still. False: queues have work, and it must not.
 * undoze: it is about to go on.
 */
bool weir_queues_doze(struct weir_npu *npu, bool paused);
void weir_queues_undoze(struct weir_npu *npu);

/*
 * What reset_work does, and system resume if the device lost its state: restart, then all contexts
 * and queues that can go on. reset_sem held for writing. Queues end GONE where the device is.
 */
void weir_reset_device(struct weir_npu *npu);

/* The device failed: RUNNING becomes FAILED and the reset is scheduled. From any context. */
void weir_npu_failed(struct weir_npu *npu, const char *why);

#endif /* WEIR_HW_H */
