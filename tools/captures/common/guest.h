/*
 * What the programs of the guests share: memory that is mapped in some way and reported on the console, touched so that
 * entries come about, and files of the kernel's that are written.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1UL << 20)
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static void *map(const char *what, unsigned long hint, size_t bytes, int prot, int flags, int fd)
{
	void *at = mmap((void *)hint, bytes, prot, flags, fd, 0);
	if (at == MAP_FAILED)
		printf("REGION %s failed\n", what);
	else
		printf("REGION %s %p %#lx\n", what, at, (unsigned long)bytes);
	return at;
}

/* Writes (or reads) one byte every so often. */
static void touch(void *at, size_t bytes, size_t step, int write)
{
	if (at == MAP_FAILED)
		return;
	for (size_t i = 0; i < bytes; i += step) {
		volatile char *byte = (volatile char *)at + i;
		if (write)
			*byte = 1;
		else
			(void)*byte;
	}
}

static void say(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			printf("NOTE %s was refused\n", path);
		close(fd);
	}
}
