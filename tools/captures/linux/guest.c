/*
 * The only program of the guest, started as /init: prints the kernel symbols and facts that the capture wants, maps
 * memory in every way that leaves different entries behind, and spins in user mode so that the machine can be stopped
 * with this process's root active. Built for riscv64, arm64 and 32-bit arm; pages may have 4, 16 or 64 KiB.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "guest.h"

#define PAGEMAP_LINES 600

static unsigned long page;

static void print(const char *tag, const char *path)
{
	char line[512];
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file))
		printf("%s %s", tag, line);
	if (file)
		fclose(file);
}

/* The lines of /proc/kallsyms whose names stand in /symbols, one a line. */
static void symbols(void)
{
	static char names[512][64];
	size_t count = 0;
	char line[512], name[256], address[32];
	FILE *list = fopen("/symbols", "r");
	while (list && count < 512 && fscanf(list, "%63s", names[count]) == 1)
		count++;
	if (list)
		fclose(list);
	FILE *file = fopen("/proc/kallsyms", "r");
	while (file && fgets(line, sizeof line, file)) {
		if (strchr(line, '[') || sscanf(line, "%31s %*s %255s", address, name) != 2)
			continue;
		for (size_t i = 0; i < count; i++)
			if (strcmp(name, names[i]) == 0)
				printf("SYMBOL %s %s\n", address, name);
	}
	if (file)
		fclose(file);
}

/* What the kernel says of this process's pages: present ones with their frames. */
static void pagemap(void)
{
	static char lines[64][256];
	size_t count = 0;
	int left = PAGEMAP_LINES;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && count < 64 && fgets(lines[count], sizeof *lines, maps))
		count++;
	if (maps)
		fclose(maps);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	for (size_t i = 0; fd >= 0 && i < count; i++) {
		unsigned long long start, end;
		char prot[8];
		if (sscanf(lines[i], "%llx-%llx %7s", &start, &end, prot) != 3)
			continue;
		int here = 24;
		for (unsigned long long at = start; at < end && left > 0 && here > 0; at += page) {
			uint64_t entry;
			if (pread(fd, &entry, 8, at / page * 8) != 8 || !(entry >> 63) || !(entry << 9 >> 9))
				continue;
			printf("PAGEMAP %#llx %#llx %s\n", at, (unsigned long long)(entry << 9 >> 9), prot);
			left--;
			here--;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void hugetlb(int log2, unsigned long bytes)
{
	char path[96], what[32];
	snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages", 1UL << (log2 - 10));
	if (log2 < 30)
		say(path, log2 > 22 ? "1" : "2");
	snprintf(what, sizeof what, "hugetlb-2^%d", log2);
	void *at = map(what, 0, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (log2 << 26), -1);
	touch(at, bytes, 1UL << log2, 1);
}

int main(void)
{
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS;
	const int rw = PROT_READ | PROT_WRITE;

	page = sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IOLBF, 0);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	say("/proc/sys/kernel/printk", "1 1 1 1");
	say("/proc/sys/kernel/kptr_restrict", "0");
	say("/sys/kernel/mm/transparent_hugepage/enabled", "always");

	puts("");
	symbols();
	print("IOMEM", "/proc/iomem");
	print("KERNEL", "/proc/version");
	print("MEMINFO", "/proc/meminfo");
	print("CPUINFO", "/proc/cpuinfo");

	touch(map("every-second-page", 0, 32 * page, rw, anon, -1), 32 * page, 2 * page, 1);
	touch(map("zero-page", 0, 8 * page, rw, anon, -1), 8 * page, page, 0);
	touch(map("low", 0x10000, 0x10000, rw, anon | MAP_FIXED_NOREPLACE, -1), 0x10000, page, 1);
	touch(map("shared", 0, 8 * page, rw, MAP_SHARED | MAP_ANONYMOUS, -1), 8 * page, page, 1);
	touch(map("rwx", 0, 4 * page, rw | PROT_EXEC, anon, -1), 4 * page, page, 1);
	static const struct { const char *what; int prot; } later[] = {
		{ "read-only", PROT_READ }, { "none", PROT_NONE }, { "read-exec", PROT_READ | PROT_EXEC }, { "exec", PROT_EXEC },
	};
	for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
		void *at = map(later[i].what, 0, 6 * page, rw, anon, -1);
		touch(at, 6 * page, page, 1);
		if (at != MAP_FAILED)
			mprotect(at, 6 * page, later[i].prot);
	}
	int self = open("/init", O_RDONLY);
	touch(map("file", 0, 16 * page, PROT_READ, MAP_PRIVATE, self), 16 * page, page, 0);
	touch(map("file-copy", 0, 16 * page, rw, MAP_PRIVATE, self), 16 * page, 3 * page, 1);
	touch(map("transparent", 0, 16 * MIB, rw, anon, -1), 16 * MIB, MIB, 1);
	hugetlb(16, 4UL << 16);
	hugetlb(21, 4 * MIB);
	hugetlb(25, 32 * MIB);
#if UINTPTR_MAX > 0xffffffffUL
	static const int hints[] = { 38, 46, 47, 50, 51, 55 };
	hugetlb(30, 1UL << 30);
	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
		char what[32];
		snprintf(what, sizeof what, "hint-2^%d", hints[i]);
		touch(map(what, (1UL << hints[i]) + 0x12340000, 4 * page, rw, anon, -1), 4 * page, page, 1);
	}
#endif
	print("MAPS", "/proc/self/maps");
	pagemap();
	puts("READY");
	fflush(stdout);
	for (;;)
		__asm__ volatile("nop");
}
