/* SPDX-License-Identifier: MIT */
/* Maps files read-only. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

static int map_fd(int fd, const void **data, size_t *size)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st))
		return weir_fail(errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return weir_fail(EINVAL, "it is not a regular file");
	if (st.st_size < 0 || (uintmax_t)st.st_size > PTRDIFF_MAX)
		return weir_fail(EFBIG, "it is too big for this machine's addresses");
	if (!st.st_size) /* cannot be mapped; the reader says that it is empty */
		return 0;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return weir_fail(errno, "it cannot be mapped: %s", strerror(errno));
	*data = map;
	*size = (size_t)st.st_size;
	return 0;
}

int weir_file_map(const char *path, const void **data, size_t *size)
{
	/* Not blocking: the path may be a pipe that nobody writes to. */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	*data = NULL;
	*size = 0;
	if (fd < 0)
		return weir_fail(errno, "%s", strerror(errno));
	err = map_fd(fd, data, size);
	close(fd);
	return err;
}
