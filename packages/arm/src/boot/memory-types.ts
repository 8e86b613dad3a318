/**
 * The kernel's memory types: for each, the bits of page entries, of table words and of sections, adjusted to the
 * processor.
 * Source: Linux 6.12 arch/arm/mm/mmu.c (`mem_types`, `cache_policies`, `build_mem_type_table`),
 * asm/pgtable-2level-hwdef.h, asm/pgtable-3level-hwdef.h, asm/domain.h.
 */
import { type LinuxModel, linuxEntry, linuxMask, linuxTypeBits } from '../linux-pte.ts';

/** Names as in `MT_…`. */
export type MemoryTypeName =
  | 'DEVICE'
  | 'DEVICE_NONSHARED'
  | 'DEVICE_CACHED'
  | 'DEVICE_WC'
  | 'UNCACHED'
  | 'CACHECLEAN'
  | 'MINICLEAN'
  | 'LOW_VECTORS'
  | 'HIGH_VECTORS'
  | 'MEMORY_RWX'
  | 'MEMORY_RW'
  | 'MEMORY_RO'
  | 'ROM'
  | 'RWX_NONCACHED'
  | 'RW_DTCM'
  | 'RWX_ITCM'
  | 'RW_SO'
  | 'DMA_READY';

/** One type. */
export interface MemoryType {
  readonly name: MemoryTypeName;
  /** Bits of Linux's page entries (`prot_pte`). Without meaning where `table` is 0. */
  readonly pte: bigint;
  /** Bits of table words (`prot_l1`); 0: cannot be mapped with pages. */
  readonly table: bigint;
  /** Bits of sections (`prot_sect`); 0: cannot be mapped with sections. */
  readonly section: bigint;
  readonly domain: number;
}

/** How caches treat normal memory. */
export type CachePolicy = 'uncached' | 'buffered' | 'writethrough' | 'writeback' | 'writealloc';

/** What the adjustments depend on. */
export interface ArmCpu {
  /** Version of the architecture. */
  readonly arch: 4 | 5 | 6 | 7;
  /** Is TEX remapped? */
  readonly tre: boolean;
  /** Several processors, or one that may be one of several. */
  readonly smp: boolean;
  /** Families with rules of their own. Not supplied: none of them. */
  readonly family?: 'xscale' | 'xsc3';
  /** Not supplied: write-allocate, as the boot mapping has it. */
  readonly policy?: CachePolicy;
  /** With 36-bit I/O the domains of kernel and I/O change places, since supersections know only domain 0. */
  readonly io36?: boolean;
}

/** A Cortex-A as distributions' kernels find it. */
export const USUAL_CPU: ArmCpu = { arch: 7, tre: true, smp: true };

/** Bits of sections, by format. Where long descriptors have nothing of the kind they are 0, as in the kernel. */
export interface SectionBits {
  readonly type: bigint;
  readonly apWrite: bigint;
  /** What makes a section read-only. */
  readonly readOnly: bigint;
  readonly shared: bigint;
  readonly xn: bigint;
  readonly accessed: bigint;
  readonly tex: (value: bigint) => bigint;
  readonly policies: Readonly<Record<CachePolicy, bigint>>;
}

const SECTION: Readonly<Record<LinuxModel, SectionBits>> = {
  short: {
    type: 0x2n,
    apWrite: 0x400n,
    readOnly: 0x8400n,
    shared: 0x1_0000n,
    xn: 0x10n,
    accessed: 0n,
    tex: (value) => value << 12n,
    policies: { uncached: 0n, buffered: 0x4n, writethrough: 0x8n, writeback: 0xcn, writealloc: 0x100cn },
  },
  lpae: {
    type: 0x1n,
    apWrite: 0n,
    readOnly: (1n << 58n) | 0x80n,
    shared: 0x300n,
    xn: 1n << 54n,
    accessed: 0x400n,
    tex: () => 0n,
    policies: { uncached: 0n, buffered: 1n << 2n, writethrough: 2n << 2n, writeback: 3n << 2n, writealloc: 7n << 2n },
  },
};

/** The bits of sections of one format. */
export function sectionBits(model: LinuxModel): SectionBits {
  return SECTION[model];
}

const POLICY_TYPES: Readonly<Record<CachePolicy, string>> = {
  uncached: 'UNCACHED',
  buffered: 'BUFFERABLE',
  writethrough: 'WRITETHROUGH',
  writeback: 'WRITEBACK',
  writealloc: 'WRITEALLOC',
};

/** A type while it is being adjusted. */
interface Draft {
  pte: bigint;
  section: bigint;
  readonly table: boolean;
  readonly domain: 'kernel' | 'io' | 'vectors';
}

type Drafts = Record<MemoryTypeName, Draft>;

/** The types as the source lists them. */
function drafts(model: LinuxModel): Drafts {
  const { type, apWrite, shared, xn, readOnly, policies } = SECTION[model];
  const flags = (...names: string[]): bigint =>
    linuxEntry(model, { young: 1 }) |
    linuxMask(model, 'present') |
    names.reduce((all, name) => all | linuxMask(model, name), 0n);
  const device = flags('dirty', 'xn');
  const mt = (name: string): bigint => linuxTypeBits(model, name);
  const draft = (domain: Draft['domain'], pte: bigint, section: bigint, table = true): Draft => ({
    pte,
    section,
    table,
    domain,
  });
  return {
    DEVICE: draft('io', device | mt('DEV_SHARED') | linuxMask(model, 'shared'), type | apWrite | shared),
    DEVICE_NONSHARED: draft('io', device | mt('DEV_NONSHARED'), type | apWrite),
    DEVICE_CACHED: draft('io', device | mt('DEV_CACHED'), type | apWrite | policies.writeback),
    DEVICE_WC: draft('io', device | mt('DEV_WC'), type | apWrite),
    UNCACHED: draft('io', device, type | xn),
    CACHECLEAN: draft('kernel', 0n, type | xn, false),
    // The mini data cache of XScale; there is no such thing under long descriptors.
    MINICLEAN: draft('kernel', 0n, model === 'lpae' ? 0n : type | xn | 0x1008n, false),
    LOW_VECTORS: draft('vectors', flags('dirty', 'rdonly'), 0n),
    HIGH_VECTORS: draft('vectors', flags('dirty', 'rdonly', 'user'), 0n),
    MEMORY_RWX: draft('kernel', flags('dirty'), type | apWrite),
    MEMORY_RW: draft('kernel', device, type | apWrite),
    MEMORY_RO: draft('kernel', flags('dirty', 'xn', 'rdonly'), type | (model === 'lpae' ? readOnly : 0n)),
    ROM: draft('kernel', 0n, type, false),
    RWX_NONCACHED: draft('kernel', flags('dirty') | mt('BUFFERABLE'), type | apWrite),
    RW_DTCM: draft('kernel', device, type | xn),
    RWX_ITCM: draft('kernel', flags('dirty'), 0n),
    RW_SO: draft('kernel', device | mt('UNCACHED'), type | apWrite | shared | policies.uncached | xn),
    DMA_READY: draft('kernel', device, 0n),
  };
}

/** Adds bits to the sections of some types. */
function addSection(types: Drafts, names: readonly MemoryTypeName[], bits: bigint): void {
  for (const name of names) if (types[name].section !== 0n) types[name].section |= bits;
}

const DEVICES = ['DEVICE', 'DEVICE_NONSHARED', 'DEVICE_CACHED', 'DEVICE_WC'] as const;

/** Device sections: their type bits depend on what the processor makes of TEX. */
function adjustDevices(model: LinuxModel, cpu: ArmCpu, types: Drafts): void {
  const { tex, xn, policies } = SECTION[model];
  const extended = cpu.arch >= 6;
  if (extended && cpu.family !== 'xsc3') {
    addSection(types, DEVICES, xn);
    addSection(types, ['MEMORY_RW', 'MEMORY_RO'], xn);
  }
  if (cpu.family === 'xsc3') {
    addSection(types, ['DEVICE'], tex(1n) | policies.buffered);
    addSection(types, ['DEVICE_NONSHARED'], tex(1n));
    addSection(types, ['DEVICE_WC'], tex(1n) | 0x4n);
  } else if (cpu.arch >= 7 && cpu.tre) {
    addSection(types, ['DEVICE', 'DEVICE_NONSHARED'], tex(1n));
    addSection(types, ['DEVICE_WC'], policies.buffered);
  } else if (extended) {
    addSection(types, ['DEVICE'], policies.buffered);
    addSection(types, ['DEVICE_NONSHARED'], tex(2n));
    addSection(types, ['DEVICE_WC'], tex(1n));
  } else {
    addSection(types, ['DEVICE_WC'], policies.buffered);
  }
}

/** The policy in force: several processors need write-allocate, and old ones do not have it. */
export function effectivePolicy({ arch, smp, policy = 'writealloc' }: ArmCpu): CachePolicy {
  if (smp) return 'writealloc';
  return arch < 5 && policy === 'writealloc' ? 'writeback' : policy;
}

/**
 * The types for a processor.
 * @param model format of the tables; long descriptors go with v7 only
 */
export function memoryTypes(model: LinuxModel, cpu: ArmCpu = USUAL_CPU): Readonly<Record<MemoryTypeName, MemoryType>> {
  const types = drafts(model);
  const bits = SECTION[model];
  const policy = effectivePolicy(cpu);
  const cached = bits.policies[policy];
  const extended = cpu.arch >= 6;
  adjustDevices(model, cpu, types);
  const sharedPte = cpu.smp && extended ? linuxMask(model, 'shared') : 0n;
  const kernelPte = linuxTypeBits(model, POLICY_TYPES[policy]) | sharedPte;
  if (extended && model === 'short') addSection(types, ['ROM', 'MINICLEAN', 'CACHECLEAN', 'MEMORY_RO'], bits.readOnly);
  if (extended && cpu.smp) {
    addSection(
      types,
      ['DEVICE_WC', 'DEVICE_CACHED', 'MEMORY_RWX', 'MEMORY_RW', 'MEMORY_RO', 'RWX_NONCACHED'],
      bits.shared,
    );
    for (const name of ['DEVICE_WC', 'DEVICE_CACHED', 'RWX_NONCACHED'] as const) types[name].pte |= sharedPte;
  }
  if (extended) {
    // Non-cached normal memory is "buffered" through remap, else TEX says it.
    addSection(types, ['RWX_NONCACHED'], cpu.arch >= 7 && cpu.tre ? bits.policies.buffered : bits.tex(1n));
  } else {
    addSection(types, ['RWX_NONCACHED'], bits.policies.buffered);
  }
  for (const name of ['MEMORY_RWX', 'MEMORY_RW', 'MEMORY_RO', 'DMA_READY'] as const) types[name].pte |= kernelPte;
  // v6 cannot say "users read, kernel writes" in a domain of its own, so its vectors have a type of their own.
  const vectors = kernelPte | (cpu.arch === 6 && model === 'short' ? linuxTypeBits(model, 'VECTORS') : 0n);
  for (const name of ['LOW_VECTORS', 'HIGH_VECTORS'] as const) types[name].pte |= vectors;
  addSection(types, ['MEMORY_RWX', 'MEMORY_RW', 'MEMORY_RO', 'ROM'], cached);
  addSection(types, ['CACHECLEAN'], policy === 'writethrough' ? bits.policies.writethrough : bits.policies.writeback);
  return finish(model, cpu, types);
}

/** What is said of all types at once, and the domains, which come last. */
function finish(model: LinuxModel, cpu: ArmCpu, types: Drafts): Record<MemoryTypeName, MemoryType> {
  const { accessed, shared, tex } = SECTION[model];
  const domains = { kernel: cpu.io36 === true ? 2 : 0, io: cpu.io36 === true ? 0 : 2, vectors: 3 };
  const oldBit4 = model === 'short' && cpu.arch < 6 && cpu.family === undefined ? 0x10n : 0n;
  const noBit4 = model === 'short' && cpu.family !== undefined ? ~0x10n : ~0n;
  const noShared = cpu.arch < 6 && cpu.family !== 'xsc3' ? ~shared : ~0n;
  const noTex = cpu.arch < 5 ? ~tex(7n) : ~0n;
  const done = Object.entries(types).map(([key, { pte, section, table, domain }]): [string, MemoryType] => {
    const field = model === 'short' ? BigInt(domains[domain]) << 5n : 0n;
    const name = key as MemoryTypeName;
    const tableType = model === 'lpae' ? 3n : 1n;
    return [
      name,
      {
        name,
        pte: table ? pte : 0n,
        table: table ? tableType | field | oldBit4 : 0n,
        section: section === 0n ? 0n : ((section | oldBit4) & noBit4 & noShared & noTex) | accessed | field,
        domain: domains[domain],
      },
    ];
  });
  return Object.fromEntries(done) as Record<MemoryTypeName, MemoryType>;
}

/** Names of the protections of user pages. */
export type UserProtection = 'NONE' | 'SHARED' | 'SHARED_EXEC' | 'COPY' | 'COPY_EXEC' | 'READONLY' | 'READONLY_EXEC';

/** Protections of pages (`pgprot_user`, `pgprot_kernel` and what is made of them), in Linux's bits. */
export interface PageProtections {
  readonly user: Readonly<Record<UserProtection, bigint>>;
  readonly kernel: bigint;
  readonly kernelExec: bigint;
}

/** The protections that go with {@link memoryTypes}. */
export function pageProtections(model: LinuxModel, cpu: ArmCpu = USUAL_CPU): PageProtections {
  const mask = (...names: string[]): bigint => linuxMask(model, ...names);
  const shared = cpu.smp && cpu.arch >= 6 ? mask('shared') : 0n;
  const base = mask('present', 'young') | linuxTypeBits(model, POLICY_TYPES[effectivePolicy(cpu)]) | shared;
  // Under long descriptors the kernel never runs user pages.
  const user = base | (model === 'lpae' ? mask('pxn') : 0n);
  const readOnly = user | mask('user', 'rdonly');
  return {
    user: {
      NONE: user | mask('xn', 'rdonly', 'none'),
      SHARED: user | mask('user', 'xn'),
      SHARED_EXEC: user | mask('user'),
      COPY: readOnly | mask('xn'),
      COPY_EXEC: readOnly,
      READONLY: readOnly | mask('xn'),
      READONLY_EXEC: readOnly,
    },
    kernel: base | mask('dirty', 'xn'),
    kernelExec: base | mask('dirty'),
  };
}

/**
 * The protection of a mapping by what is allowed in it. Private writable areas are copied when written, so their pages
 * are read-only; writing and executing imply reading.
 */
export function userProtection(read: boolean, write: boolean, execute: boolean, shared: boolean): UserProtection {
  if (!read && !write && !execute) return 'NONE';
  if (write && shared) return execute ? 'SHARED_EXEC' : 'SHARED';
  if (write) return execute ? 'COPY_EXEC' : 'COPY';
  return execute ? 'READONLY_EXEC' : 'READONLY';
}
