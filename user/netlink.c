// SPDX-License-Identifier: GPL-2.0-only
#include <dlfcn.h>
#include <errno.h>
#include "netlink.h"

#define LIBRARY "libmnl.so.0"

struct mnl mnl;

static const struct {
	const char *name;
	void *to; /* a pointer to a function, which POSIX lets dlsym() give as one to data */
} calls[] = {
#define X(call) { "mnl_" #call, &mnl.call },
	MNL_CALLS(X)
#undef X
};

int netlink_load(struct diag *d)
{
	static void *lib;
	size_t n = 0;

	if (!lib)
		lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	while (lib && n < sizeof(calls) / sizeof(*calls) && (*(void **)calls[n].to = dlsym(lib, calls[n].name)))
		n++;
	if (n == sizeof(calls) / sizeof(*calls))
		return 0;
	diag_error(d, "cannot ask the kernel over netlink: %s; Debian has that library in the package libmnl0", dlerror());
	return -ENOENT;
}
