/*
 * Into 64-bit mode, and from there into single accesses and back.
 *
 * Linear addresses: the first GiB is mapped as it is, for the supervisor only, by one PML4 entry; entry 1 is the
 * questions' (guest.c writes it); entry 2 maps one page of user code. So SMEP and SMAP never concern the guest itself.
 */
	.section .boot,"ax"
	.align 4
	/* Multiboot: modules on pages, memory map. */
	.long 0x1badb002, 3, -(0x1badb002 + 3)

	.code32
	.globl start
start:
	mov $stack_top, %esp
	mov %ebx, boot_info
	/* Present and writable; 0x80 is PS. The user's way down has U/S at each level (SDM vol. 3A, 5.6.1). */
	mov $own_pdpt + 3, %eax
	mov %eax, root
	mov $own_pd + 3, %eax
	mov %eax, own_pdpt
	mov $own_pd, %edi
	mov $0x83, %eax
	mov $512, %ecx
1:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	dec %ecx
	jnz 1b
	mov $user_pdpt + 7, %eax
	mov %eax, root + 16
	mov $user_pd + 7, %eax
	mov %eax, user_pdpt
	mov $user_pt + 7, %eax
	mov %eax, user_pd
	/* Read-only, as code should be. */
	mov $user_code + 0x25, %eax
	mov %eax, user_pt
	/* SDM vol. 3A, 11.8.5 "Initializing IA-32e Mode": PAE, CR3, LME, then PG. */
	mov $0x20, %eax
	mov %eax, %cr4
	mov $root, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov $0x80000011, %eax
	mov %eax, %cr0
	lgdt gdt_register
	ljmp $8, $long_mode

	.code64
long_mode:
	mov $0x10, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $stack_top, %rsp
	mov boot_info, %edi
	call main
2:	hlt
	jmp 2b

	.text
/*
 * u64 attempt(u64 va, u64 rip, u64 cs, u64 ss, u64 rflags): goes to rip with rdi = va. What comes back is the first
 * exception or `int $0x80`: all handlers drop the interrupted context, so one access is made and never repeated.
 */
	.globl attempt
attempt:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, saved_stack
	push %rcx
	push $inner_stack_top
	push %r8
	push %rdx
	push %rsi
	iretq

	.globl on_page_fault, on_exception, on_done
on_page_fault:
	pop %rax			/* the error code: SDM vol. 3A, 5.7 */
	or $0x10000, %rax
	jmp back
on_exception:
	mov $0x20000, %rax
	jmp back
on_done:
	xor %eax, %eax
back:
	mov saved_stack, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.globl supervisor_read, supervisor_write
supervisor_read:
	mov 0x800(%rdi), %al
	int $0x80
supervisor_write:
	mov %al, 0x800(%rdi)
	int $0x80

	/* The same for user mode, alone on its page: read, and 64 bytes further on write. */
	.align 4096
user_code:
	mov 0x800(%rdi), %al
	int $0x80
	.org user_code + 64
	mov %al, 0x800(%rdi)
	int $0x80
	.align 4096

	.data
	.align 16
	.globl tss_descriptor
	/* Null; supervisor code and data; user code and data; the TSS. */
gdt:	.quad 0, 0x00209a0000000000, 0x0000920000000000, 0x0020fa0000000000, 0x0000f20000000000
tss_descriptor:
	.quad 0, 0
gdt_register:
	.word 55
	.quad gdt
boot_info:
	.quad 0
saved_stack:
	.quad 0

	.bss
	.align 4096
	.skip 16384
stack_top:
	.skip 16384
	.globl inner_stack_top
inner_stack_top:

	.section .tables,"aw",@nobits
	.globl root, tables
root:	.skip 4096
own_pdpt: .skip 4096
own_pd:	.skip 4096
user_pdpt: .skip 4096
user_pd: .skip 4096
user_pt: .skip 4096
tables:	.skip 4096 * 3			/* PDPT, PD and PT of the questions */

	/* What every question's leaf maps, at a multiple of 2 MiB in the first GiB: code at 0, data (written) at 0x800. */
	.section .target,"ax",@progbits
	.globl target
target:	int $0x80
	.org target + 4096
