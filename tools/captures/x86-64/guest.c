/*
 * The only program of the guest, started as /init: maps memory in every way that leaves different entries behind, says
 * so on the console, and spins in user mode so that the machine can be stopped with this process's root active.
 */
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "guest.h"

#define PAGE 4096UL

/* Prints the lines of a file that hold one of some words. */
static void print(const char *tag, const char *path, const char *const *words)
{
	char line[512];
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file)) {
		int wanted = words == NULL;
		char name[256] = "";
		if (words && sscanf(line, "%*s %*s %255s", name) == 1)
			for (const char *const *word = words; *word; word++)
				wanted |= strcmp(name, *word) == 0;
		if (wanted)
			printf("%s %s", tag, line);
	}
	if (file)
		fclose(file);
}

int main(void)
{
	static const char *const symbols[] = { "_text", "_etext", "__start_rodata", "__end_rodata", "_end", "init_top_pgt",
		"page_offset_base", "vmalloc_base", "vmemmap_base", "pgdir_shift", "__pgtable_l5_enabled", NULL };
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS;
	const int rw = PROT_READ | PROT_WRITE;

	setvbuf(stdout, NULL, _IOLBF, 0);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	say("/proc/sys/vm/nr_hugepages", "4");
	say("/sys/kernel/mm/transparent_hugepage/enabled", "always");

	touch(map("every-second-page", 0, 64 * PAGE, rw, anon, -1), 64 * PAGE, 2 * PAGE, 1);
	touch(map("zero-page", 0, 8 * PAGE, rw, anon, -1), 8 * PAGE, PAGE, 0);
	touch(map("low", 0x10000, 3 * PAGE, rw, anon | MAP_FIXED_NOREPLACE, -1), 3 * PAGE, PAGE, 1);
	touch(map("shared", 0, 8 * PAGE, rw, MAP_SHARED | MAP_ANONYMOUS, -1), 8 * PAGE, PAGE, 1);
	touch(map("rwx", 0, 4 * PAGE, rw | PROT_EXEC, anon, -1), 4 * PAGE, PAGE, 1);
	static const struct { const char *what; int prot; } later[] = {
		{ "read-only", PROT_READ }, { "none", PROT_NONE }, { "read-exec", PROT_READ | PROT_EXEC }, { "exec", PROT_EXEC },
	};
	for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
		void *at = map(later[i].what, 0, 6 * PAGE, rw, anon, -1);
		touch(at, 6 * PAGE, PAGE, 1);
		if (at != MAP_FAILED)
			mprotect(at, 6 * PAGE, later[i].prot);
	}
	int self = open("/init", O_RDONLY);
	touch(map("file", 0, 16 * PAGE, PROT_READ, MAP_PRIVATE, self), 16 * PAGE, PAGE, 0);
	touch(map("file-copy", 0, 16 * PAGE, rw, MAP_PRIVATE, self), 16 * PAGE, 3 * PAGE, 1);
	touch(map("huge-2M", 0, 4 * MIB, rw, anon | MAP_HUGETLB | (21 << 26), -1), 4 * MIB, 2 * MIB, 1);
	touch(map("huge-1G", 0, 1024 * MIB, rw, anon | MAP_HUGETLB | (30 << 26), -1), 1024 * MIB, 1024 * MIB, 1);
	touch(map("transparent", 0x200000000000, 8 * MIB, rw, anon, -1), 8 * MIB, 2 * MIB, 1);
	touch(map("high-5-level", 1UL << 50, 8 * PAGE, rw, anon, -1), 8 * PAGE, PAGE, 1);
	long key = syscall(SYS_pkey_alloc, 0, 0);
	void *keyed = map("protection-key", 0, 4 * PAGE, rw, anon, -1);
	touch(keyed, 4 * PAGE, PAGE, 1);
	if (key > 0 && keyed != MAP_FAILED)
		printf("KEY %ld %ld\n", key, syscall(SYS_pkey_mprotect, keyed, 4 * PAGE, rw, key));

	/* CPUID: bits 7:0 of 0x80000008:EAX are the physical-address width, bit 26 of 0x80000001:EDX is Page1GB. */
	unsigned int eax = 0x80000008, ebx, ecx = 0, edx;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	printf("MAXPHYADDR %u\n", eax & 255);
	eax = 0x80000001, ecx = 0;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	printf("GBPAGES %u\n", edx >> 26 & 1);
	print("SYMBOL", "/proc/kallsyms", symbols);
	print("MAPS", "/proc/self/maps", NULL);
	print("KERNEL", "/proc/version", NULL);
	puts("READY");
	fflush(stdout);
	for (;;)
		__asm__ volatile("nop");
}
