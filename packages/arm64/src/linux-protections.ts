/**
 * Protection constants under Linux's names, and what Linux makes of protections.
 * Source: Linux 6.12 arch/arm64/include/asm/pgtable-prot.h, pgtable.h, arch/arm64/mm/mmap.c, mmu.c.
 */
import { LINUX_BITS, linuxBits, placed } from './entry-bits.ts';
import { LINUX_MEMORY_INDEX, type LinuxMemoryType } from './memory-types.ts';

/** Names of all constants. */
export const PROTECTION_NAMES = [
  'PROT_DEVICE_nGnRnE',
  'PROT_DEVICE_nGnRE',
  'PROT_NORMAL_NC',
  'PROT_NORMAL',
  'PROT_NORMAL_TAGGED',
  'PROT_SECT_DEVICE_nGnRE',
  'PROT_SECT_NORMAL',
  'PROT_SECT_NORMAL_EXEC',
  'PAGE_KERNEL',
  'PAGE_KERNEL_RO',
  'PAGE_KERNEL_ROX',
  'PAGE_KERNEL_EXEC',
  'PAGE_KERNEL_EXEC_CONT',
  'PAGE_SHARED',
  'PAGE_SHARED_EXEC',
  'PAGE_READONLY',
  'PAGE_READONLY_EXEC',
  'PAGE_EXECONLY',
  'PAGE_NONE',
] as const;

/** Name of a constant. */
export type ProtectionName = (typeof PROTECTION_NAMES)[number];

interface Recipe {
  /** Bits besides those that every constant of its kind has. */
  readonly bits: string;
  readonly memory?: LinuxMemoryType;
  /** A block, a page, or a page that is not valid. */
  readonly type?: 'block' | 'none';
  /** Of a program: the shareability stays whatever the run-time format, and the page is never global. */
  readonly user?: boolean;
}

const DATA = 'PXN UXN WRITE';
const RECIPES: Readonly<Record<ProtectionName, Recipe>> = {
  PROT_DEVICE_nGnRnE: { bits: DATA, memory: 'DEVICE_nGnRnE' },
  PROT_DEVICE_nGnRE: { bits: DATA, memory: 'DEVICE_nGnRE' },
  PROT_NORMAL_NC: { bits: DATA, memory: 'NORMAL_NC' },
  PROT_NORMAL: { bits: DATA },
  PROT_NORMAL_TAGGED: { bits: DATA, memory: 'NORMAL_TAGGED' },
  PROT_SECT_DEVICE_nGnRE: { bits: 'PXN UXN', memory: 'DEVICE_nGnRE', type: 'block' },
  PROT_SECT_NORMAL: { bits: DATA, type: 'block' },
  PROT_SECT_NORMAL_EXEC: { bits: 'UXN', type: 'block' },
  PAGE_KERNEL: { bits: `${DATA} DIRTY` },
  PAGE_KERNEL_RO: { bits: 'PXN UXN RDONLY DIRTY' },
  PAGE_KERNEL_ROX: { bits: 'UXN RDONLY DIRTY' },
  PAGE_KERNEL_EXEC: { bits: 'UXN WRITE DIRTY' },
  PAGE_KERNEL_EXEC_CONT: { bits: 'UXN WRITE DIRTY CONT' },
  PAGE_SHARED: { bits: `USER RDONLY NG ${DATA}`, user: true },
  PAGE_SHARED_EXEC: { bits: 'USER RDONLY NG PXN WRITE', user: true },
  PAGE_READONLY: { bits: 'USER RDONLY NG PXN UXN', user: true },
  PAGE_READONLY_EXEC: { bits: 'USER RDONLY NG PXN', user: true },
  PAGE_EXECONLY: { bits: 'RDONLY NG PXN', user: true },
  PAGE_NONE: { bits: 'RDONLY PRESENT_INVALID PXN UXN', user: true, type: 'none' },
};

/** What a kernel found when it started. */
export interface ProtectionConfig {
  /** 52-bit descriptors are in use (TCR.DS): the shareability bits hold an address. Not supplied: no. */
  readonly lpa2?: boolean;
  /** Kernel mappings are not global (page table isolation). Not supplied: no. */
  readonly nonGlobalKernel?: boolean;
  /** SCTLR.EPAN: pages that can only be executed exist for programs. Not supplied: no. */
  readonly epan?: boolean;
}

/** What a mapping lets a program do. What is not supplied is not allowed. */
export interface VmFlags {
  readonly read?: boolean;
  readonly write?: boolean;
  readonly exec?: boolean;
  readonly shared?: boolean;
}

/** The protections of one running kernel. Made by {@link linuxProtections}. */
export interface LinuxProtections {
  /** Entry bits by constant. */
  readonly values: Readonly<Record<ProtectionName, bigint>>;
  /** Constant by READ + 2·WRITE + 4·EXEC + 8·SHARED (`protection_map`). */
  readonly vmFlags: readonly ProtectionName[];
  /** What pages of a mapping get. With LPA2 the table of protections has lost its shareability. */
  fromVmFlags(flags: VmFlags): bigint;
}

/** Private pages by READ + 2·WRITE + 4·EXEC: writing means copying first, so nothing is writable. */
const PRIVATE: readonly ProtectionName[] = [
  'PAGE_NONE',
  'PAGE_READONLY',
  'PAGE_READONLY',
  'PAGE_READONLY',
  'PAGE_READONLY_EXEC',
  'PAGE_READONLY_EXEC',
  'PAGE_READONLY_EXEC',
  'PAGE_READONLY_EXEC',
];

/** The same for shared pages. */
const SHARED: readonly ProtectionName[] = [
  'PAGE_NONE',
  'PAGE_READONLY',
  'PAGE_SHARED',
  'PAGE_SHARED',
  'PAGE_READONLY_EXEC',
  'PAGE_READONLY_EXEC',
  'PAGE_SHARED_EXEC',
  'PAGE_SHARED_EXEC',
];

/** Entry bits of an index into Linux's MAIR. */
export function memoryIndexBits(memory: LinuxMemoryType): bigint {
  return placed(LINUX_BITS.ATTRINDX_MASK, LINUX_MEMORY_INDEX[memory]);
}

function bitsOf({ bits, memory = 'NORMAL', type, user = false }: Recipe, config: ProtectionConfig): bigint {
  const kind = type === 'none' ? LINUX_BITS.TABLE_BIT : type === 'block' ? LINUX_BITS.VALID : LINUX_BITS.TYPE_MASK;
  const word = kind | linuxBits('AF SHARED') | linuxBits(bits) | memoryIndexBits(memory);
  if (user) return word;
  const shared = config.lpa2 === true ? word & ~LINUX_BITS.SHARED : word;
  return config.nonGlobalKernel === true ? shared | LINUX_BITS.NG : shared;
}

/** The protections of a kernel. */
export function linuxProtections(config: ProtectionConfig = {}): LinuxProtections {
  const values = Object.fromEntries(PROTECTION_NAMES.map((name) => [name, bitsOf(RECIPES[name], config)]));
  const vmFlags = [...PRIVATE, ...SHARED];
  if (config.epan === true) for (const at of [4, 12]) vmFlags[at] = 'PAGE_EXECONLY';
  return {
    values: values as Record<ProtectionName, bigint>,
    vmFlags,
    fromVmFlags: ({ read = false, write = false, exec = false, shared = false }) => {
      const name = vmFlags[Number(read) + 2 * Number(write) + 4 * Number(exec) + 8 * Number(shared)] as ProtectionName;
      const bits = values[name] as bigint;
      return config.lpa2 === true ? bits & ~LINUX_BITS.SHARED : bits;
    },
  };
}

function retyped(prot: bigint, memory: LinuxMemoryType, more: bigint): bigint {
  return (prot & ~LINUX_BITS.ATTRINDX_MASK) | memoryIndexBits(memory) | more;
}

const NEVER_EXECUTED = linuxBits('PXN UXN');

/** `pgprot_noncached`: as strongly ordered device memory, never executed. */
export function pgprotNoncached(prot: bigint): bigint {
  return retyped(prot, 'DEVICE_nGnRnE', NEVER_EXECUTED);
}

/** `pgprot_device`: as device memory with early acknowledgement, never executed. */
export function pgprotDevice(prot: bigint): bigint {
  return retyped(prot, 'DEVICE_nGnRE', NEVER_EXECUTED);
}

/** `pgprot_writecombine` and `pgprot_dmacoherent`: as normal memory that is not cached, never executed. */
export function pgprotWritecombine(prot: bigint): bigint {
  return retyped(prot, 'NORMAL_NC', NEVER_EXECUTED);
}

/** `pgprot_tagged` and `pgprot_mhp`: as memory with tags; what may be done with it stays. */
export function pgprotTagged(prot: bigint): bigint {
  return retyped(prot, 'NORMAL_TAGGED', 0n);
}

/** `phys_mem_access_prot`: what a program gets that maps physical memory. */
export function physicalMemoryProtection(prot: bigint, isRam: boolean, synchronous: boolean): bigint {
  if (!isRam) return pgprotNoncached(prot);
  return synchronous ? pgprotWritecombine(prot) : prot;
}
