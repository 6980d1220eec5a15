# SPDX-License-Identifier: GPL-2.0-only
# make            build/mxdp
# make check      every test that needs no package beyond the build's (see tools/check for all of it)
# make bench      what each packet costs, over `return XDP_PASS`
# make soak       attach and detach, package upgrade and downgrade, a thousand times each, under traffic; an hour
# make kernels    the program on Linux 6.1 and 6.12, emulated; ten minutes
# make compilers  the program as each installed clang-N makes it; two minutes each
# make boot       the package's units in a Debian that boots, emulated; ten minutes
# make install    PREFIX, DESTDIR, SYSCONFDIR, UNITDIR
# make deb        a Debian package, in build/deb
# V=1 shows the commands.

VERSION := 0.1.0
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
LOCALSTATEDIR ?= /var
UNITDIR ?= $(PREFIX)/lib/systemd/system
SHAREDIR ?= $(PREFIX)/share
# commented: the rules file is installed with every sentence commented out
CONFIG ?= example
DESTDIR ?=

CC ?= cc
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config

O ?= build
# -DMXDP_OTHER_LAYOUT: a version whose maps are laid out otherwise (tests/lab/upgrade.t)
LAYOUT ?=
ARCH_INC := -I/usr/include/$(shell $(CC) -dumpmachine 2>/dev/null)
REVISION := $(shell git -C $(CURDIR) describe --always --dirty 2>/dev/null || echo unknown)

CFLAGS ?= -O2 -g
MX_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror=implicit-function-declaration -Wshadow -Wno-missing-field-initializers \
	-fno-common -Iinclude -Iuser -I$(O) $(LAYOUT)
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Iinclude $(ARCH_INC) $(LAYOUT)
# libbpf goes in whole. The others too where their archives are there: each shared library costs every start 0.04 ms, and
# fail2ban starts a process for every ban. Where they must not: make LIBS='-l:libbpf.a -lelf -lz -ljson-c'
archive = $(if $(filter /%,$(shell $(CC) -print-file-name=lib$(1).a)),-l:lib$(1).a,$(2))
# The archive of elfutils 0.192 (Debian 13) is there and does not link (sourceware bug 32293). Beside the shared libelf, a zlib
# linked in would take the place of the one that it was made for.
ELF := -l:libelf.a $(call archive,zstd,) $(call archive,z,-lz)
links = $(shell t=$$(mktemp) && echo 'int $(2)(void *); int main(void) { return $(2)(0); }' | \
	$(CC) -o $$t -x c - $(1) 2>/dev/null && echo yes; rm -f $$t)
LIBS := -l:libbpf.a $(if $(call links,$(ELF),elf_end),$(ELF),-lelf -lz) $(call archive,json-c,-ljson-c)

SRC := $(filter-out user/main.c,$(sort $(wildcard user/*.c)))
OBJ := $(SRC:user/%.c=$(O)/%.o)
TEST_SRC := $(sort $(wildcard tests/unit/test_*.c tests/packets/test_*.c))
TESTS := $(TEST_SRC:%.c=$(O)/%)
TEST_HELP := $(patsubst %.c,$(O)/%.o,$(sort $(filter-out $(TEST_SRC) %.bpf.c,$(wildcard tests/unit/*.c tests/packets/*.c))))

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

all: $(O)/mxdp

$(O)/mxdp: $(O)/main.o $(O)/libmxdp.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(O)/libmxdp.a: $(OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/%.o: user/%.c | $(O)/mxdp.skel.h $(O)/conns.skel.h
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(MX_CFLAGS) $(CFLAGS) -DMXDP_VERSION='"$(VERSION)"' -DMXDP_REVISION='"$(REVISION)"' \
		-DMXDP_SYSCONFDIR='"$(SYSCONFDIR)"' -DMXDP_LOCALSTATEDIR='"$(LOCALSTATEDIR)"' -MMD -MP -c -o $@ $<

$(O)/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(O)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(O)/$*.bpf.d -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(O)/%.skel.h: $(O)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

$(O)/refuse.bpf.o: tests/packets/refuse.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(O)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(O)/refuse.bpf.d -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(O)/refuse.skel.h: $(O)/refuse.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name refuse_bpf > $@.tmp && mv $@.tmp $@

# What the kernel's side of a ban needs, to be run by a test
$(O)/ban_insert.bpf.o: tests/packets/ban_insert.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(O)
	$(Q)$(CLANG) $(BPF_CFLAGS) -Ibpf -MMD -MP -MT $@ -MF $(O)/ban_insert.bpf.d -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(O)/ban_insert.skel.h: $(O)/ban_insert.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name ban_insert_bpf > $@.tmp && mv $@.tmp $@

$(O)/tests/packets/test_bans.o: $(O)/ban_insert.skel.h
$(O)/tests/%.o: tests/%.c | $(O)/mxdp.skel.h $(O)/refuse.skel.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(MX_CFLAGS) -Itests/unit -Itests/packets $(CFLAGS) -MMD -MP -c -o $@ $<

$(TESTS): %: %.o $(TEST_HELP) $(O)/libmxdp.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(TEST_HELP) $(O)/libmxdp.a $(LIBS) -lcmocka

tests: $(TESTS) $(O)/bench $(O)/flood $(O)/turns

# Everything that needs nothing but the build's packages; as root. tools/check runs all tests.
check: all tests
	@fail=0; for t in $(TESTS); do echo "== $$t"; $$t || fail=1; done; exit $$fail

$(O)/bench.bpf.o: tools/bench/bench.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(O)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(O)/bench.bpf.d -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(O)/bench.skel.h: $(O)/bench.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name bench_bpf > $@.tmp && mv $@.tmp $@

$(O)/bench: tools/bench/bench.c $(O)/bench.skel.h $(O)/libmxdp.a
	$(call say,LD,$@)
	$(Q)$(CC) $(MX_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(O)/libmxdp.a $(LIBS)

$(O)/flood.bpf.o: tools/bench/flood.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(O)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(O)/flood.bpf.d -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(O)/flood.skel.h: $(O)/flood.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name flood_bpf > $@.tmp && mv $@.tmp $@

$(O)/flood: tools/bench/flood.c $(O)/flood.skel.h $(O)/libmxdp.a
	$(call say,LD,$@)
	$(Q)$(CC) $(MX_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(O)/libmxdp.a $(LIBS)

$(O)/turns: tools/bench/turns.c
	$(call say,LD,$@)
	$(Q)$(CC) $(MX_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<

# Coverage-guided fuzzing of every parser, SECONDS each (tools/install-packages fuzz)
SECONDS ?= 60
FUZZ_SRC := $(addprefix user/,token.c words.c grammar.c limits.c listfile.c listtable.c listjson.c prefixsort.c \
	listguard.c listload.c listcopy.c conffile.c rules.c freeze.c diag.c \
	import.c import_eval.c import_print.c import_text.c import_iptables.c import_nft.c import_ufw.c import_firewalld.c)
fuzz:
	@mkdir -p $(O)/fuzz
	@for f in rules listfile thaw import; do echo "  FUZZ    $$f"; \
		$(CLANG) -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $(MX_CFLAGS) \
			-o $(O)/fuzz/$$f tests/fuzz/fuzz_$$f.c $(FUZZ_SRC) -lz && mkdir -p $(O)/fuzz/new_$$f && \
		$(O)/fuzz/$$f -max_total_time=$(SECONDS) -print_final_stats=1 $(O)/fuzz/new_$$f tests/fuzz/corpus/$$f \
			2>$(O)/fuzz/$$f.log || { tail -n 40 $(O)/fuzz/$$f.log; exit 1; }; \
		grep number_of_executed $(O)/fuzz/$$f.log; done

# The same program on Debian 12's kernels, 6.1 and 6.12, in software emulation (tools/install-packages kernels); ten minutes
kernels: all tests
	tests/kernels/run

# The same program made by other compilers, as far as they are installed
compilers:
	MXDP_BUILD=$(abspath $(O)) tests/compilers/run

# Debian 12 with systemd and the package, booted three times (tools/install-packages build test deb kernels); ten minutes
boot: all deb
	MXDP_BUILD=$(abspath $(O)) tests/kernels/boot

# ROUNDS of attach and detach, PACKAGES of upgrades and downgrades (tools/install-packages build test deb)
soak: export ROUNDS ?= 1000
soak: export PACKAGES ?= 1000
soak: all
	MXDP_BUILD=$(abspath $(O)) bash tests/lab/soak.t

# all of it, also where a row of one is over its budget
bench: all $(O)/bench $(O)/flood $(O)/turns
	@over=0; $(O)/bench --json $(O)/bench.json || over=1; O=$(O) tools/bench/flood || over=1; O=$(O) tools/bench/command || over=1; \
		exit $$over

install: all
	install -D -m 0755 $(O)/mxdp $(DESTDIR)$(SBINDIR)/mxdp
	for n in 5 8; do for m in docs/man/*.$$n; do \
		install -D -m 0644 $$m $(DESTDIR)$(MANDIR)/man$$n/$$(basename $$m) || exit 1; done; done
	for u in tools/systemd/*; do install -D -m 0644 $$u $(DESTDIR)$(UNITDIR)/$$(basename $$u) || exit 1; done
	install -D -m 0644 tools/completions/mxdp.bash $(DESTDIR)$(SHAREDIR)/bash-completion/completions/mxdp
	install -D -m 0644 tools/completions/mxdp.zsh $(DESTDIR)$(SHAREDIR)/zsh/vendor-completions/_mxdp
	install -D -m 0644 tools/integrations/fail2ban-action.conf $(DESTDIR)$(SYSCONFDIR)/fail2ban/action.d/mxdp.conf
	install -d -m 0755 $(DESTDIR)$(SYSCONFDIR)/mxdp/conf.d $(DESTDIR)$(SYSCONFDIR)/mxdp/lists
	test -e $(DESTDIR)$(SYSCONFDIR)/mxdp/mxdp.conf || { \
		sed '$(if $(filter commented,$(CONFIG)),s/^[^#]/#&/)' docs/mxdp.conf.example > $(O)/mxdp.conf && \
		install -m 0640 $(O)/mxdp.conf $(DESTDIR)$(SYSCONFDIR)/mxdp/mxdp.conf; }

uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/mxdp $(foreach m,$(wildcard docs/man/*.8),$(DESTDIR)$(MANDIR)/man8/$(notdir $(m))) \
		$(foreach m,$(wildcard docs/man/*.5),$(DESTDIR)$(MANDIR)/man5/$(notdir $(m))) \
		$(foreach u,$(wildcard tools/systemd/*),$(DESTDIR)$(UNITDIR)/$(notdir $(u))) \
		$(DESTDIR)$(SHAREDIR)/bash-completion/completions/mxdp $(DESTDIR)$(SHAREDIR)/zsh/vendor-completions/_mxdp \
		$(DESTDIR)$(SYSCONFDIR)/fail2ban/action.d/mxdp.conf

deb:
	tools/make-deb $(O)/deb

clean:
	rm -rf $(O)

.PHONY: all tests clean check fuzz kernels compilers boot soak bench install uninstall deb
.DELETE_ON_ERROR:
.SECONDARY:
-include $(wildcard $(O)/*.d $(O)/tests/*/*.d)
