/**
 * Protection constants under Linux's names, with the masks and the map from VM flags.
 * Source: Linux 6.12 arch/riscv/include/asm/pgtable.h, asm/pgtable-bits.h, asm/pgtable-64.h, mm/init.c; older values
 * from the same files of v5.10, v5.13, v5.17 and v6.1.
 */
import { entryFlags, entryMask } from './entry-bits.ts';
import { type LinuxConfig, type LinuxVersion, linuxConfig, sinceVersion } from './linux-config.ts';
import { memoryTypeBits, memoryTypeMask, withDefaultType } from './memory-types.ts';

/** Names of all constants. */
export const PROTECTION_NAMES = [
  '_PAGE_TABLE',
  'PAGE_TABLE',
  '_PAGE_BASE',
  'PAGE_NONE',
  'PAGE_READ',
  'PAGE_WRITE',
  'PAGE_EXEC',
  'PAGE_READ_EXEC',
  'PAGE_WRITE_EXEC',
  'PAGE_COPY',
  'PAGE_COPY_EXEC',
  'PAGE_COPY_READ_EXEC',
  'PAGE_SHARED',
  'PAGE_SHARED_EXEC',
  '_PAGE_KERNEL',
  'PAGE_KERNEL',
  'PAGE_KERNEL_READ',
  'PAGE_KERNEL_EXEC',
  'PAGE_KERNEL_READ_EXEC',
  '_PAGE_IOREMAP',
  'PAGE_KERNEL_IO',
] as const;

/** Name of a constant. */
export type ProtectionName = (typeof PROTECTION_NAMES)[number];

/** Every user page: accessed from the start, never dirty. */
const BASE = 'v a u';
/** Every kernel page: accessed and dirty from the start, and global. */
const KERNEL = 'v r w a d g';

/** Fields that each constant sets in v6.12. */
const CONSTANTS: Readonly<Record<ProtectionName, string>> = {
  _PAGE_TABLE: 'v',
  PAGE_TABLE: 'v',
  _PAGE_BASE: BASE,
  PAGE_NONE: 'g r',
  PAGE_READ: `${BASE} r`,
  PAGE_WRITE: `${BASE} r w`,
  PAGE_EXEC: `${BASE} x`,
  PAGE_READ_EXEC: `${BASE} r x`,
  PAGE_WRITE_EXEC: `${BASE} r w x`,
  PAGE_COPY: `${BASE} r`,
  PAGE_COPY_EXEC: `${BASE} r x`,
  PAGE_COPY_READ_EXEC: `${BASE} r x`,
  PAGE_SHARED: `${BASE} r w`,
  PAGE_SHARED_EXEC: `${BASE} r w x`,
  _PAGE_KERNEL: KERNEL,
  PAGE_KERNEL: KERNEL,
  PAGE_KERNEL_READ: 'v r a d g',
  PAGE_KERNEL_EXEC: `${KERNEL} x`,
  PAGE_KERNEL_READ_EXEC: 'v r a d g x',
  _PAGE_IOREMAP: KERNEL,
  PAGE_KERNEL_IO: KERNEL,
};

/** Constants of kernel mappings, global since v5.17. */
const KERNEL_NAMES: readonly ProtectionName[] = PROTECTION_NAMES.filter((name) => CONSTANTS[name].includes('d g'));
/** Those that add the type of device memory. */
const DEVICE_NAMES: readonly ProtectionName[] = ['_PAGE_IOREMAP', 'PAGE_KERNEL_IO'];

/** Fields that constants set before a release; the first entry that a kernel is older than holds. */
const OLDER: Partial<Record<ProtectionName, readonly (readonly [before: LinuxVersion, fields: string])[]>> = {
  PAGE_NONE: [
    ['v5.17', 'r'],
    ['v6.1', 'g'],
  ],
  PAGE_COPY_EXEC: [['v6.1', `${BASE} x`]],
};

/** By READ + 2·WRITE + 4·EXEC, private pages: writing means copying first, so a writable page is read-only. */
const PRIVATE: readonly ProtectionName[] = [
  'PAGE_NONE',
  'PAGE_READ',
  'PAGE_COPY',
  'PAGE_COPY',
  'PAGE_EXEC',
  'PAGE_READ_EXEC',
  'PAGE_COPY_EXEC',
  'PAGE_COPY_EXEC',
];

/** The same for shared pages. Write always brings read; exec alone is execute-only. */
const SHARED: readonly ProtectionName[] = [
  'PAGE_NONE',
  'PAGE_READ',
  'PAGE_SHARED',
  'PAGE_SHARED',
  'PAGE_EXEC',
  'PAGE_READ_EXEC',
  'PAGE_SHARED_EXEC',
  'PAGE_SHARED_EXEC',
];

/** What a mapping lets its user do. What is not supplied is not allowed. */
export interface VmFlags {
  readonly read?: boolean;
  readonly write?: boolean;
  readonly exec?: boolean;
  readonly shared?: boolean;
}

/** The protections of one kernel. Made by {@link linuxProtections}. */
export interface LinuxProtections {
  readonly config: LinuxConfig;
  /** Entry bits by constant. Names that a release did not have yet are formed as later releases do. */
  readonly values: Readonly<Record<ProtectionName, bigint>>;
  /** `_PAGE_PFN_MASK`: the page number. */
  readonly pfnMask: bigint;
  /** `_PAGE_MTMASK`: the memory type; 0 if the kernel knows none. */
  readonly memoryTypeMask: bigint;
  /** `_PAGE_CHG_MASK`: what `pte_modify` keeps. */
  readonly changeMask: bigint;
  /** `_PAGE_PROT_NONE`: with V clear, marks a page that is there but may not be touched. */
  readonly protNone: bigint;
  /** Constant by READ + 2·WRITE + 4·EXEC + 8·SHARED. */
  readonly vmFlags: readonly ProtectionName[];
  /** The protection of a mapping with these flags. */
  fromVmFlags(flags: VmFlags): bigint;
  /** `pgprot_noncached`: as device memory. Unchanged if the kernel knows no types. */
  noncached(prot: bigint): bigint;
  /** `pgprot_writecombine`: as memory that is not cached. Unchanged if the kernel knows no types. */
  writecombine(prot: bigint): bigint;
  /** `pte_modify`: an entry with another protection; page number, A, D and software bits stay. */
  modify(entry: bigint, prot: bigint): bigint;
}

/** The bit that marks a page as there but untouchable: G, before v5.17 R. */
export function protNoneBit({ xlen, version }: LinuxConfig): bigint {
  return entryMask(xlen, sinceVersion(version, 'v5.17') ? 'g' : 'r');
}

function bitsOf(name: ProtectionName, { xlen, version, memoryTypes }: LinuxConfig): bigint {
  const older = OLDER[name]?.find(([before]) => !sinceVersion(version, before))?.[1];
  const bits = entryFlags(xlen, older ?? CONSTANTS[name]);
  if (KERNEL_NAMES.includes(name) && !sinceVersion(version, 'v5.17')) return bits & ~entryMask(xlen, 'g');
  return DEVICE_NAMES.includes(name) ? bits | memoryTypeBits(memoryTypes, 'io') : bits;
}

function vmFlagsOf(version: LinuxVersion): readonly ProtectionName[] {
  const names = [...PRIVATE, ...SHARED];
  // Copy and exec without read existed: only the combination of all three was readable too.
  if (!sinceVersion(version, 'v6.1')) names[7] = 'PAGE_COPY_READ_EXEC';
  return names;
}

/**
 * The protections of a kernel.
 * @param config what is not supplied: RV64, v6.12, no memory types
 * @throws ArgumentError as {@link linuxConfig}
 */
export function linuxProtections(config: Partial<LinuxConfig> = {}): LinuxProtections {
  const complete = linuxConfig(config);
  const { xlen, version, memoryTypes } = complete;
  const values = Object.fromEntries(PROTECTION_NAMES.map((name) => [name, bitsOf(name, complete)]));
  const types = memoryTypeMask(memoryTypes);
  const vmFlags = vmFlagsOf(version);
  const changeMask = BigInt.asUintN(xlen, ~(entryFlags(xlen, 'v r w x u g') | types));
  const retyped = (prot: bigint, type: 'io' | 'nc'): bigint => (prot & ~types) | memoryTypeBits(memoryTypes, type);
  return {
    config: complete,
    values: values as Record<ProtectionName, bigint>,
    pfnMask: entryMask(xlen, 'ppn'),
    memoryTypeMask: types,
    changeMask,
    protNone: protNoneBit(complete),
    vmFlags,
    fromVmFlags: ({ read = false, write = false, exec = false, shared = false }) => {
      const name = vmFlags[Number(read) + 2 * Number(write) + 4 * Number(exec) + 8 * Number(shared)] ?? 'PAGE_NONE';
      return values[name] as bigint;
    },
    noncached: (prot) => retyped(prot, 'io'),
    writecombine: (prot) => retyped(prot, 'nc'),
    modify: (entry, prot) => (entry & changeMask) | withDefaultType(memoryTypes, prot),
  };
}
