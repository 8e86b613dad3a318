/**
 * Protection constants under Linux's names, without memory encryption.
 * Source: Linux 6.12 arch/x86/include/asm/pgtable_types.h; arch/x86/mm/pgprot.c (`protection_map`).
 */
import { linuxX86Bits } from './linux-bits.ts';

/** Names of all constants. */
export type X86ProtectionName =
  | 'PAGE_NONE'
  | 'PAGE_SHARED'
  | 'PAGE_SHARED_EXEC'
  | 'PAGE_COPY'
  | 'PAGE_COPY_EXEC'
  | 'PAGE_READONLY'
  | 'PAGE_READONLY_EXEC'
  | 'PAGE_KERNEL'
  | 'PAGE_KERNEL_EXEC'
  | 'PAGE_KERNEL_RO'
  | 'PAGE_KERNEL_ROX'
  | 'PAGE_KERNEL_NOCACHE'
  | 'PAGE_KERNEL_VVAR'
  | 'PAGE_KERNEL_LARGE'
  | 'PAGE_KERNEL_LARGE_EXEC'
  | 'PAGE_KERNEL_WP'
  | 'KERNPG_TABLE'
  | 'PAGE_TABLE';

const RECIPES: Readonly<Record<X86ProtectionName, string>> = {
  PAGE_NONE: 'ACCESSED PROTNONE',
  PAGE_SHARED: 'PRESENT RW USER ACCESSED NX',
  PAGE_SHARED_EXEC: 'PRESENT RW USER ACCESSED',
  PAGE_COPY: 'PRESENT USER ACCESSED NX',
  PAGE_COPY_EXEC: 'PRESENT USER ACCESSED',
  PAGE_READONLY: 'PRESENT USER ACCESSED NX',
  PAGE_READONLY_EXEC: 'PRESENT USER ACCESSED',
  PAGE_KERNEL: 'PRESENT RW ACCESSED NX DIRTY GLOBAL',
  PAGE_KERNEL_EXEC: 'PRESENT RW ACCESSED DIRTY GLOBAL',
  // Not dirty since 6.6: read-only and dirty together would be a shadow stack.
  PAGE_KERNEL_RO: 'PRESENT ACCESSED NX GLOBAL',
  PAGE_KERNEL_ROX: 'PRESENT ACCESSED GLOBAL',
  // Index 3 of Linux's PAT: UC.
  PAGE_KERNEL_NOCACHE: 'PRESENT RW ACCESSED NX DIRTY GLOBAL PCD PWT',
  PAGE_KERNEL_VVAR: 'PRESENT USER ACCESSED NX GLOBAL',
  PAGE_KERNEL_LARGE: 'PRESENT RW ACCESSED NX DIRTY PSE GLOBAL',
  PAGE_KERNEL_LARGE_EXEC: 'PRESENT RW ACCESSED DIRTY PSE GLOBAL',
  // Index 5: WP.
  PAGE_KERNEL_WP: 'PRESENT RW ACCESSED NX DIRTY GLOBAL PAT PWT',
  KERNPG_TABLE: 'PRESENT RW ACCESSED DIRTY',
  PAGE_TABLE: 'PRESENT RW USER ACCESSED DIRTY',
};

/** Entry bits by constant. They are raw bits: `map` of core takes them as attributes. */
export const LINUX_X86_PROTECTIONS: Readonly<Record<X86ProtectionName, bigint>> = Object.fromEntries(
  Object.entries(RECIPES).map(([name, bits]) => [name, linuxX86Bits(bits)]),
) as Record<X86ProtectionName, bigint>;

/** Kernel data: read and write, global, accessed and dirty from the start. */
export const PAGE_KERNEL: bigint = LINUX_X86_PROTECTIONS.PAGE_KERNEL;

/** Kernel text. */
export const PAGE_KERNEL_ROX: bigint = LINUX_X86_PROTECTIONS.PAGE_KERNEL_ROX;

/** What a mapping lets a program do. What is not supplied is not allowed. */
export interface X86VmFlags {
  readonly read?: boolean;
  readonly write?: boolean;
  readonly exec?: boolean;
  readonly shared?: boolean;
}

/**
 * What pages of a mapping get (`vm_get_page_prot`, without protection keys and memory encryption). Private pages that
 * may be written are read-only until they are copied.
 */
export function protectionOf({ read = false, write = false, exec = false, shared = false }: X86VmFlags): bigint {
  if (!read && !write && !exec) return LINUX_X86_PROTECTIONS.PAGE_NONE;
  const base = write ? (shared ? 'PAGE_SHARED' : 'PAGE_COPY') : 'PAGE_READONLY';
  return LINUX_X86_PROTECTIONS[exec ? (`${base}_EXEC` as const) : base];
}

/** `pgprot_4k_2_large` and back: the same protection with its PAT bit where pages of that size have it. */
export function pgprotLarge(prot: bigint): bigint {
  const pat = linuxX86Bits('PAT');
  const large = linuxX86Bits('PAT_LARGE');
  return (prot & ~(pat | large)) | ((prot & pat) === 0n ? 0n : large);
}

/** The way back: `pgprot_large_2_4k`. */
export function pgprotSmall(prot: bigint): bigint {
  const pat = linuxX86Bits('PAT');
  const large = linuxX86Bits('PAT_LARGE');
  return (prot & ~(pat | large)) | ((prot & large) === 0n ? 0n : pat);
}
