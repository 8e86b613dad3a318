/** Machines to boot in tests: the captured ones, and others made from them. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type Capture, hex, type Memory, phys, SparseMemory, writeWord } from '@pagefold/core';
import { type LinuxBuild, PAGE_BITS } from '../src/index.ts';

/** The stages that were captured. */
export const CAPTURED = ['mmu_off_idmap', 'start_kernel', 'paging_init', 'after_paging_init'] as const;

/** A stage that was captured. */
export type CapturedStage = (typeof CAPTURED)[number];

/** What a captured root says of itself. */
export interface CapturedRootFacts {
  readonly root_pa: string;
  readonly ttbr?: string;
  readonly start_level: number | null;
  readonly tables: number;
  readonly leaf_entries: number;
}

/** The facts file of a capture. */
export interface CaptureFacts {
  readonly roots: Readonly<Record<string, CapturedRootFacts>>;
  readonly registers: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, string>>;
  readonly symbols: Readonly<Record<string, string>>;
  readonly boot_args: string;
  readonly page_size: number;
  readonly boot: Readonly<Record<string, unknown>> & {
    readonly ram_banks: readonly unknown[];
    readonly image_header: unknown;
  };
}

function file(capture: string, name: string): URL {
  return new URL(`./fixtures/${capture}/${name}`, import.meta.url);
}

/** The facts file of a capture. */
export function capturedFacts(capture: string): CaptureFacts {
  return JSON.parse(readFileSync(file(capture, 'registers.json'), 'utf8')) as CaptureFacts;
}

/** A run of leaves of a capture's own walker. */
export type CapturedRun = readonly [
  start: string,
  end: string,
  pa: string,
  level: number,
  bits: string,
  tables: string,
];

/** The runs of a capture's own walker by root. */
export function capturedRuns(capture: string): Readonly<Record<string, readonly CapturedRun[]>> {
  const text = gunzipSync(readFileSync(file(capture, 'leaves.json.gz'))).toString('utf8');
  return (JSON.parse(text) as { roots: Record<string, CapturedRun[]> }).roots;
}

/** The name of the capture of a stage. */
export function earlyCapture(stage: CapturedStage): string {
  return `arm64-4k-48-6.12-early-${stage}`;
}

/** The page-table pages of a capture: the segments of its ELF64 core at their physical addresses. */
export function capturedTables(stage: CapturedStage): Memory {
  const core = gunzipSync(readFileSync(file(earlyCapture(stage), 'tables.elf.gz')));
  const memory = new SparseMemory();
  const headers = Number(core.readBigUInt64LE(32));
  for (let i = 0; i < core.readUInt16LE(56); i++) {
    const header = headers + i * 56;
    if (core.readUInt32LE(header) !== 1) continue;
    const [offset, , physical, size] = [8, 16, 24, 32].map((at) => core.readBigUInt64LE(header + at)) as bigint[];
    for (let at = 0n; at < (size as bigint); at += 8n) {
      writeWord(memory, phys((physical as bigint) + at), core.readBigUInt64LE(Number((offset as bigint) + at)));
    }
  }
  return memory;
}

/** The description of the captured machine, without the outcome. */
export function capturedMachine(stage: CapturedStage = 'start_kernel'): Capture & {
  readonly kernel: { readonly symbols: Readonly<Record<string, string>> };
  readonly config: Readonly<Record<string, unknown>>;
} {
  const { expect: _, ...inputs } = JSON.parse(readFileSync(file(earlyCapture(stage), 'boot.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  return inputs as ReturnType<typeof capturedMachine>;
}

/** The description of a machine whose running system was captured. */
export function runningMachine(capture: string): Capture {
  const { boot, registers, symbols, boot_args, page_size } = capturedFacts(capture);
  const ids = Object.entries(registers).filter(([name]) => name.startsWith('ID_'));
  return {
    arch: 'arm64',
    commandLine: boot_args,
    pageSize: page_size,
    kernel: { loadAddress: boot.kernel_entry_pa, symbols, imageHeader: boot.image_header },
    dtb: { address: boot.x0_dtb_pa, size: boot.dtb_totalsize },
    ram: boot.ram_banks,
    initrd: { start: boot.initrd_start, end: boot.initrd_end },
    idRegisters: Object.fromEntries(ids),
    config: capturedMachine().config,
  };
}

/** Identification registers: whether 52-bit addresses exist, and E0PD. */
export function identification(wide: boolean, e0pd = true): Record<string, string> {
  // PARange 48 or 52 bits; TGran4 and TGran16 with LPA2 or without; VARange.
  return {
    ID_AA64MMFR0_EL1: wide ? '0x10200126' : '0x100125',
    ID_AA64MMFR1_EL1: '0x2',
    ID_AA64MMFR2_EL1: hex((wide ? 0x1_0000n : 0n) | (e0pd ? 1n << 60n : 0n)),
  };
}

/** What differs from the captured machine. */
export interface MachineChange {
  readonly build: LinuxBuild;
  readonly wide?: boolean;
  readonly e0pd?: boolean;
  readonly loadAddress?: bigint;
  readonly commandLine?: string;
  /** Banks: first and last address, exclusive. */
  readonly ram?: readonly (readonly [start: bigint, end: bigint])[];
  readonly kaslrSeed?: bigint;
  readonly dtb?: bigint;
  readonly config?: Readonly<Record<string, boolean | number>>;
  readonly reservedMemory?: readonly unknown[];
}

/** Tables of the image for a page size: each on pages of its own, inside the segments where they belong. */
function tableSymbols(build: LinuxBuild, text: bigint): Record<string, string> {
  const page = 1n << BigInt(PAGE_BITS[build.granule]);
  const rodata = text + 0x1a0_0000n;
  const bss = text + 0x240_0000n;
  const at = (base: bigint, pages: number): string => hex(base + BigInt(pages) * page);
  const init = text + 0x1e1_0000n;
  const last = text + 0x270_0000n;
  return {
    idmap_pg_dir: at(rodata, 0),
    tramp_pg_dir: at(rodata, 1),
    reserved_pg_dir: at(rodata, 2),
    swapper_pg_dir: at(rodata, 3),
    idmap_ptes: at(rodata, 4),
    kpti_ptes: at(rodata, 8),
    init_idmap_pg_dir: hex(init),
    init_idmap_pg_end: at(init, 16),
    'map_fdt.ptes': at(init, 16),
    bm_pud: at(bss, 0),
    bm_pmd: at(bss, 1),
    bm_pte: at(bss, 2),
    init_pg_dir: hex(last),
    init_pg_end: at(last, 16),
    _end: hex(last + 0x10_0000n),
  };
}

/** The description of another machine. */
export function machineWith(change: MachineChange): Capture {
  const captured = capturedMachine();
  const { build, wide = true, e0pd = true, ram } = change;
  const text = BigInt(captured.kernel.symbols._text as string);
  const load = change.loadAddress ?? 0x4020_0000n;
  const { initrd: _, ...rest } = captured as Record<string, unknown>;
  return {
    ...rest,
    commandLine: change.commandLine ?? 'nokaslr',
    pageSize: 1 << PAGE_BITS[build.granule],
    kernel: {
      ...captured.kernel,
      loadAddress: hex(load),
      symbols: { ...captured.kernel.symbols, ...tableSymbols(build, text) },
    },
    dtb: { address: hex(change.dtb ?? (load & -0x20_0000n) + 0x800_0000n), size: '0x1dcf' },
    ...(ram && { ram: ram.map(([start, end]) => ({ start: hex(start), end: hex(end) })) }),
    ...(change.kaslrSeed === undefined ? {} : { kaslrSeed: hex(change.kaslrSeed) }),
    ...(change.reservedMemory && { reservedMemory: change.reservedMemory }),
    idRegisters: identification(wide, e0pd),
    config: {
      ...captured.config,
      CONFIG_ARM64_VA_BITS: build.vaBits,
      CONFIG_ARM64_PA_BITS: build.paBits ?? (build.granule !== '64K' && build.vaBits === 52 ? 52 : 48),
      ...change.config,
    },
  };
}
