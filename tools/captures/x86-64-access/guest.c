/*
 * Answers questions about accesses: writes the entries of one path of tables, sets the control bits, makes the access,
 * and says what the processor did. Questions come as a multiboot module, answers leave through the debug console.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum { READ, WRITE, EXECUTE };

/* As questions.py packs it. */
struct question {
	u64 entries[4]; /* PML4E to PTE */
	u64 cr4;
	u32 pkru, pkrs;
	u8 wp, nxe, kind, user, ac, pad[11];
};

/* As capture.py unpacks it: 0, or 0x10000 with the error code of a page fault, or anything else for other exceptions. */
struct answer {
	u64 outcome, cr2, cr0, cr4, efer;
	u64 entries[4];
};

#define CR0_PE_ET_PG 0x80000011ul
#define CR0_WP (1ul << 16)
#define CR4_PAE (1ul << 5)
#define CR4_PKE (1ul << 22)
#define EFLAGS_AC (1ul << 18)
#define MSR_EFER 0xc0000080
#define EFER_NXE (1ul << 11)
#define MSR_PKRS 0x6e1

/* PML4 entry 1, PDPT entry 0, PD entry 3, PT entry 0: offset 0x600000 of a leaf of any size is `target`. */
#define VA 0x8000600000ul
/* PML4 entry 2: the page of user code. */
#define USER_CODE 0x10000000000ul

extern u64 root[512], tables[3][512], tss_descriptor[2];
extern u8 inner_stack_top[], target[];
extern u8 supervisor_read[], supervisor_write[], on_page_fault[], on_exception[], on_done[];
u64 attempt(u64 va, u64 rip, u64 cs, u64 ss, u64 rflags);

static struct {
	u16 low, selector;
	u8 stack, type;
	u16 middle;
	u32 high, reserved;
} __attribute__((packed)) idt[129];
static u8 tss[104] __attribute__((aligned(16)));

static void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static void put(const void *from, u64 bytes)
{
	for (u64 i = 0; i < bytes; i++)
		outb(0xe9, ((const u8 *)from)[i]);
}

static void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)));
}

static u64 rdmsr(u32 msr)
{
	u32 low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (u64)high << 32;
}

static void gate(int vector, const u8 *handler, u8 type)
{
	u64 at = (u64)handler;
	idt[vector].low = at;
	idt[vector].middle = at >> 16;
	idt[vector].high = at >> 32;
	idt[vector].selector = 8;
	idt[vector].type = type;
}

static void prepare_interrupts(void)
{
	for (int vector = 0; vector < 32; vector++)
		gate(vector, on_exception, 0x8e);
	gate(14, on_page_fault, 0x8e);
	gate(0x80, on_done, 0xee); /* user mode may call it */
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idtr = { sizeof idt - 1, (u64)idt };
	__asm__ volatile("lidt %0" ::"m"(idtr));

	u64 at = (u64)tss;
	*(u64 *)(tss + 4) = (u64)inner_stack_top; /* RSP0 */
	tss_descriptor[0] = 103 | (at & 0xffffff) << 16 | 0x89ul << 40 | (at >> 24 & 0xff) << 56;
	tss_descriptor[1] = at >> 32;
	__asm__ volatile("ltr %w0" ::"r"(0x28));
}

/* What the questions rely on, so that capture.py can refuse another processor or another layout. */
static void introduce(void)
{
	static const u32 leaves[] = { 0x80000008, 0x80000001, 7 };
	u64 facts[10] = { (u64)root, (u64)tables, (u64)target, VA };
	for (int i = 0; i < 3; i++) {
		u32 a = leaves[i], b, c = 0, d;
		__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
		facts[4 + 2 * i] = a | (u64)b << 32;
		facts[5 + 2 * i] = c | (u64)d << 32;
	}
	put(facts, sizeof facts);
}

static void answer_one(const struct question *q)
{
	volatile u64 *slots[4] = { &root[1], &tables[0][0], &tables[1][3], &tables[2][0] };
	struct answer a;
	for (int i = 0; i < 4; i++)
		*slots[i] = q->entries[i];

	/* Keys get their rights whether they will count or not; WRPKRU needs CR4.PKE (SDM vol. 3A, 5.6.2). */
	__asm__ volatile("mov %0, %%cr4" ::"r"(CR4_PAE | CR4_PKE));
	__asm__ volatile("wrpkru" ::"a"(q->pkru), "c"(0), "d"(0));
	wrmsr(MSR_PKRS, q->pkrs);
	wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~EFER_NXE) | (q->nxe ? EFER_NXE : 0));
	__asm__ volatile("mov %0, %%cr4" ::"r"(q->cr4));
	__asm__ volatile("mov %0, %%cr0" ::"r"(CR0_PE_ET_PG | (q->wp ? CR0_WP : 0)));
	/* CR3 leaves global translations, INVLPG takes those of its address too (SDM vol. 3A, 5.10.4.1). */
	__asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
	__asm__ volatile("invlpg (%0)" ::"r"(VA) : "memory");
	__asm__ volatile("mov %0, %%cr2" ::"r"(0ul));

	u64 rip = VA;
	if (q->kind != EXECUTE && q->user)
		rip = USER_CODE + (q->kind == WRITE ? 64 : 0);
	else if (q->kind != EXECUTE)
		rip = (u64)(q->kind == WRITE ? supervisor_write : supervisor_read);
	/* Bit 1 of RFLAGS is always set; interrupts stay off. CR0.AM is clear, so AC means SMAP only. */
	a.outcome = attempt(VA, rip, q->user ? 0x1b : 8, q->user ? 0x23 : 0x10, 2 | (q->ac ? EFLAGS_AC : 0));

	__asm__ volatile("mov %%cr2, %0" : "=r"(a.cr2));
	__asm__ volatile("mov %%cr0, %0" : "=r"(a.cr0));
	__asm__ volatile("mov %%cr4, %0" : "=r"(a.cr4));
	a.efer = rdmsr(MSR_EFER);
	__asm__ volatile("mov %0, %%cr4" ::"r"(CR4_PAE));
	for (int i = 0; i < 4; i++)
		a.entries[i] = *slots[i];
	put(&a, sizeof a);
}

void main(const u32 *boot_info)
{
	prepare_interrupts();
	introduce();
	/* Multiboot: word 6 is where the modules are described, each by its start and its end. */
	const u32 *module = (const u32 *)(u64)boot_info[6];
	const struct question *end = (const struct question *)(u64)module[1];
	for (const struct question *q = (const struct question *)(u64)module[0]; q < end; q++)
		answer_one(q);
	outb(0xf4, 0); /* isa-debug-exit: ends QEMU */
}
