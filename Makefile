# SPDX-License-Identifier: MIT
# make            builds the library and the program into build/ (O=DIR: elsewhere)
# make run        installs what is missing, builds, gets the default model and talks
# make kmod       builds weir.ko for the kernel of KDIR (default: the one that runs) into $O/kmod
# make dkms       puts the module's sources where DKMS finds them
# make check      installs what is missing, builds, runs every test
# make bench      measures Weir beside packaged llama.cpp, in 15 minutes (QUICK=1: in 3); LLAMA=PATH is its llama-bench
# make bench-sweep  time a token against the context's length and the model's size
# make bench-docs   both, and puts what they measured into README and docs/speed.md
# make check-vm   the kernel module's suites in virtual machines: Linux 6.1, 6.12 and the newest packaged, arm64 too
# make check-kasan  the same on a kernel that looks for bugs, which the first run builds
# SANITIZE=address,undefined builds with sanitizers, in a folder of their own.

O ?= build
ifdef SANITIZE
override O := $(O)/sanitize
endif
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
CLANG ?= clang
OPT ?= -O2

VERSION := 0.1.0
SONAME := libweir.so.0
WEIR_TEST_DATA ?= $(abspath ../shared/data)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-missing-field-initializers
DRM_CFLAGS := $(shell pkg-config --cflags libdrm 2>/dev/null || echo -I/usr/include/libdrm)
# Contracted multiply-adds would make results depend on the machine.
BASE := -std=gnu11 -ffp-contract=off -D_GNU_SOURCE -g $(WARN) -Iruntime -Iruntime/include -I. $(DRM_CFLAGS)
PKGS := OpenCL libdrm libpcre2-8 json-c libpng libjpeg
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null || echo -lOpenCL -ldrm -lpcre2-8 -ljson-c -lpng -ljpeg) \
	-lpthread -lm
TOOL_LIBS := -ledit -ljson-c -lm
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null || echo -lcheck)

ifdef SANITIZE
SAN := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer
ifneq ($(findstring undefined,$(SANITIZE)),)
SAN += -fno-sanitize-recover=undefined
endif
endif

# V=1 shows commands.
ifndef V
Q := @
say = @echo '  $(1)' '$(patsubst $O/%,%,$@)'
endif

ALL_CFLAGS = $(BASE) $(OPT) $(SAN) $(CFLAGS) -fPIC -fvisibility=default -MMD -MP
ALL_LDFLAGS = $(SAN) $(LDFLAGS)

LIB_SRC := $(wildcard runtime/*/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$O/%.o) $O/gen/kernel_sources.o
KERNELS := $(sort $(wildcard kernels/*.cl kernels/*.clh))
TOOL_SRC := $(wildcard tools/weir/*.c)
TOOL_OBJ := $(TOOL_SRC:%.c=$O/%.o)
NPU_OBJ := $(patsubst %.c,$O/%.o,$(wildcard tools/weir-npu/*.c))
SUITES := $(patsubst tests/%.c,$O/tests/%,$(wildcard tests/test_*.c))
# What suites share: writers of files, the reference decoder.
TEST_SRC := $(filter-out $(wildcard tests/test_*.c tests/npu_*.c),$(wildcard tests/*.c))
TEST_OBJ := $(TEST_SRC:%.c=$O/%.o)
# The runtime on an NPU, for the suite on a worker and for the one in a guest.
NPU_CASES_OBJ := $(patsubst %,$O/tests/npu_%.o,cases faults pass picture plans share)
# Suites that talk to the kernel module: built here, run in guests.
DRM_SUITES := $(patsubst %.c,$O/%,$(wildcard tests/drm/test_*.c tests/drm/cost.c))
DRM_OBJ := $(patsubst %.c,$O/%.o,$(filter-out $(wildcard tests/drm/test_*.c tests/drm/cost.c),$(wildcard tests/drm/*.c)))
# What make bench takes beside the program.
BENCH_TOOLS := $(addprefix $O/tests/bench/,kernels mkmodel spent bandwidth)
CHECKCL_OBJ := $(patsubst %.c,$O/%.o,$(wildcard tests/checkcl/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$O/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
# Objects without a rule that names them would be removed as intermediate.
.SECONDARY:
.PHONY: all kmod dkms run check check-vm check-kasan bench bench-sweep bench-docs suites drm checkcl fuzz install clean setup setup-check setup-kasan fetch FORCE

all: $O/weir $O/$(SONAME) $O/libweir.a $O/weir-npu

$O/%.o: %.c $O/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Plain C references do by loops what the kernels do: -O3 keeps the suites short.
$O/tests/reference.o $O/tests/checkcl/%.o: OPT := -O3
# Loops over all weights, many times.
$O/runtime/quant/rtn.o $O/runtime/quant/clip.o $O/runtime/quant/forms.o $O/runtime/quant/awq.o: OPT := -O3
$O/tests/bench/blocks.o: OPT := -O3
# Sums over vocabularies, for each token: -O3 makes vectors of them.
$O/tools/weir/eval_logits.o: private OPT := -O3

$O/gen/kernel_sources.o: $O/gen/kernel_sources.c
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$O/gen/kernel_sources.c: $(KERNELS) tools/embed
	@mkdir -p $(@D)
	$(call say,EMBED)
	$(Q)sh tools/embed $(KERNELS) > $@.tmp && mv $@.tmp $@

# Changed flags rebuild: the file changes only when they do.
$O/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(BASE) $(OPT) $(SAN) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(BASE) $(OPT) $(SAN) $(CFLAGS)' > $@

$O/libweir.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$O/$(SONAME): $(LIB_OBJ) runtime/libweir.map
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script,runtime/libweir.map \
		-Wl,--no-undefined -o $@ $(LIB_OBJ) $(LIBS)
	$(Q)ln -sf $(SONAME) $O/libweir.so

# The program in the build folder carries the library in itself; the installed one links the shared library.
$O/weir: $(TOOL_OBJ) $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(TOOL_OBJ) $O/libweir.a $(LIBS) $(TOOL_LIBS)

$O/weir-npu: $(NPU_OBJ) $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lseccomp

$O/weir-shared: $(TOOL_OBJ) $O/$(SONAME)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(TOOL_OBJ) -L$O -lweir $(TOOL_LIBS)

$O/tests/test_%: $O/tests/test_%.o $(TEST_OBJ) $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(TEST_OBJ) $O/libweir.a $(LIBS) $(CHECK_LIBS)

$O/tests/drm/%.o: BASE += -Itests
$(DRM_SUITES): %: %.o $(DRM_OBJ) $(NPU_CASES_OBJ) $(TEST_OBJ) $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(CHECK_LIBS)

# The NPU's worker is linked in, and the program starts itself again as one.
$O/tests/test_npu_backend: $O/tests/test_npu_backend.o $O/tests/npu_local.o $(NPU_CASES_OBJ) $(TEST_OBJ) \
		$(filter-out %/main.o,$(NPU_OBJ)) $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lseccomp $(CHECK_LIBS)

# weir-npu's worker on a bench of its own, without the main process.
NPU_BENCH_OBJ := $(patsubst %.c,$O/%.o,$(wildcard tests/npu/*.c)) $(filter-out %/main.o,$(NPU_OBJ))
$(addprefix $O/tests/test_npu_,worker queues harm kill): %: %.o $(NPU_BENCH_OBJ) $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lseccomp $(CHECK_LIBS)

$O/tests/checkcl/checkcl: $(CHECKCL_OBJ) $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Kernels beside the limits of memory and arithmetic.
$O/tests/bench/kernels: $O/tests/bench/kernels.o $O/tests/bench/limits.o $(filter-out %/main.o,$(CHECKCL_OBJ)) \
		$O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$O/tests/bench/mkmodel: %: %.o $O/tests/bench/blocks.o $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$O/tests/bench/spent: %: %.o
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

$O/tests/bench/bandwidth: %: %.o $O/tests/bench/limits.o $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$O/tests/test_blocks: $O/tests/test_blocks.o $O/tests/bench/blocks.o $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(CHECK_LIBS)

# README's two examples are programs: they compile or the check fails.
$O/tests/readme%.c: README.md
	@mkdir -p $(@D)
	$(Q)awk '/^## The library/ {in_part = 1} /^```/ {n += in_part && /^```c$$/; code = n == $* && /^```c$$/; next} code' $< > $@
	$(Q)test -s $@

$O/tests/readme%: $O/tests/readme%.c $O/libweir.a
	$(call say,LD)
	$(Q)$(CC) $(BASE) $(OPT) $(SAN) -o $@ $< $O/libweir.a $(LIBS)

FUZZ_OBJ = $(LIB_SRC:%.c=$O/fuzz-obj/%.o) $O/fuzz-obj/kernel_sources.o $O/fuzz-obj/gguf_writer.o \
	$(patsubst %,$O/fuzz-obj/tests/%.o,folder_sample folder_writer golden picture_writer tflite_writer tflite_sample)
FUZZ_FLAGS := $(BASE) -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

$O/fuzz-obj/kernel_sources.o: $O/gen/kernel_sources.c
	@mkdir -p $(@D)
	$(call say,CLANG)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -c -o $@ $<

$O/fuzz-obj/gguf_writer.o: tests/gguf_writer.c
	@mkdir -p $(@D)
	$(call say,CLANG)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$O/fuzz-obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CLANG)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$O/fuzz/%: tests/fuzz/%.c $(FUZZ_OBJ)
	@mkdir -p $(@D)
	$(call say,CLANG)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -Itests -o $@ $< $(FUZZ_OBJ) $(LIBS)

# OpenCL is played by play_opencl.c.
NPU_FUZZ_OBJ := $(patsubst %,$O/fuzz-obj/tools/weir-npu/%.o,bound exec program queue ring space)
$O/fuzz/fuzz_npu_ring: tests/fuzz/fuzz_npu_ring.c $O/fuzz-obj/tests/fuzz/play_opencl.o $(NPU_FUZZ_OBJ) \
		$O/fuzz-obj/runtime/device/tier.o $O/fuzz-obj/runtime/device/pocl.o
	@mkdir -p $(@D)
	$(call say,CLANG)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ -lpthread

# weir-npu's main process; the target stands in for the workers.
VFIO_FUZZ_OBJ := $(patsubst %,$O/fuzz-obj/tools/weir-npu/%.o,admin client context counters device memory pci stale table vfio_user)
$O/fuzz/fuzz_vfio_user: tests/fuzz/fuzz_vfio_user.c $(VFIO_FUZZ_OBJ)
	@mkdir -p $(@D)
	$(call say,CLANG)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ -ljson-c

fuzz: $(FUZZERS)

suites: $(SUITES) $(DRM_SUITES) $O/tests/checkcl/checkcl $(BENCH_TOOLS) $O/tests/readme1 $O/tests/readme2

# What a guest runs.
drm: $O/weir $(DRM_SUITES) $O/tests/test_vision_models

setup:
	@tools/setup run

setup-check:
	@tools/setup check

setup-kasan:
	@tools/setup kasan

fetch: setup
	@tools/fetch-model

# What may be missing is installed first: so the build is a make of its own, after it.
run: fetch
	@$(MAKE) --no-print-directory all
	@$O/weir chat

check: setup-check
	@$(MAKE) --no-print-directory all suites fuzz
	@WEIR_TEST_DATA=$(WEIR_TEST_DATA) tests/run $O

# QUICK=1: fewer models and rounds.
bench: fetch
	@$(MAKE) --no-print-directory all $(BENCH_TOOLS)
	@tests/bench/run $(if $(QUICK),quick,full) $O

bench-sweep: fetch
	@$(MAKE) --no-print-directory all $(BENCH_TOOLS)
	@tests/bench/sweep $O

bench-docs:
	@$(MAKE) --no-print-directory bench QUICK=
	@$(MAKE) --no-print-directory bench-sweep
	@tests/bench/docs $O

check-kasan: setup-kasan
check-vm: setup-check

check-vm check-kasan:
	@$(MAKE) --no-print-directory all drm
	@WEIR_TEST_DATA=$(WEIR_TEST_DATA) tests/vm/run $(if $(filter check-vm,$@),all,kasan) $O

# Kbuild writes beside the sources: so it gets a copy. KDIR, ARCH, CROSS_COMPILE, W, C and V reach it
# as they stand on the command line; O means something else to it.
KDIR ?= /lib/modules/$(shell uname -r)/build
KMOD_SRC := Kbuild $(wildcard kmod/*.[ch] uapi/*.h)

kmod:
	@mkdir -p $O/kmod/src/kmod $O/kmod/src/uapi
	@for f in $(KMOD_SRC); do cmp -s $$f $O/kmod/src/$$f || cp $$f $O/kmod/src/$$f || exit 1; done
	$(Q)MAKEFLAGS='$(filter-out O=%,$(MAKEFLAGS))' $(MAKE) -C $(KDIR) M=$(abspath $O/kmod/src) modules
	@cp $O/kmod/src/weir.ko $O/kmod/weir.ko

DKMS_DIR := $(DESTDIR)/usr/src/weir-$(VERSION)

dkms:
	install -d $(DKMS_DIR)/kmod $(DKMS_DIR)/uapi
	install -m 644 Kbuild dkms.conf $(DKMS_DIR)/
	install -m 644 $(wildcard kmod/*.[ch]) $(DKMS_DIR)/kmod/
	install -m 644 $(wildcard uapi/*.h) $(DKMS_DIR)/uapi/

install: all $O/weir-shared
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig \
		$(DESTDIR)$(PREFIX)/include/weir $(DESTDIR)$(PREFIX)/share/weir/kernels \
		$(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $O/weir-shared $(DESTDIR)$(PREFIX)/bin/weir
	install -m 755 $O/weir-npu $(DESTDIR)$(PREFIX)/bin/weir-npu
	install -m 755 $O/$(SONAME) $(DESTDIR)$(PREFIX)/lib/libweir.so.$(VERSION)
	ln -sf libweir.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libweir.so
	install -m 644 $O/libweir.a $(DESTDIR)$(PREFIX)/lib/libweir.a
	install -m 644 runtime/include/weir/*.h $(DESTDIR)$(PREFIX)/include/weir/
	install -m 644 $(KERNELS) $(DESTDIR)$(PREFIX)/share/weir/kernels/
	install -m 644 docs/weir.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' \
		'Name: weir' 'Description: quantized neural networks on the accelerator of a small Linux machine' \
		'Version: $(VERSION)' 'Requires.private: $(PKGS)' 'Libs: -L$${libdir} -lweir' \
		'Libs.private: -lpthread -lm' 'Cflags: -I$${includedir}' > $(DESTDIR)$(PREFIX)/lib/pkgconfig/weir.pc

clean:
	rm -rf $O

-include $(shell find $O -name '*.d' 2>/dev/null)
