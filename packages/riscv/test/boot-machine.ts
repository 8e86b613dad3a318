/** Machines to boot in tests: the captured one, and others made from it. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import {
  type Capture,
  createSpace,
  hex,
  type Memory,
  mappedRanges,
  phys,
  SparseMemory,
  writeWord,
} from '@pagefold/core';
import { bootKernel, type Kernel, kernelAddresses, type RiscvMode } from '../src/index.ts';

/** A folder with a capture of the early boot. */
export function captureUrl(stage: 'start_kernel' | 'after_setup_vm_final', file: string): URL {
  return new URL(`./fixtures/riscv64-sv48-6.12-early-${stage}/${file}`, import.meta.url);
}

/** The page-table pages of a capture: the segments of its ELF64 core at their physical addresses. */
export function capturedTables(stage: 'start_kernel' | 'after_setup_vm_final'): Memory {
  const file = gunzipSync(readFileSync(captureUrl(stage, 'tables.elf.gz')));
  const memory = new SparseMemory();
  const headers = Number(file.readBigUInt64LE(32));
  for (let i = 0; i < file.readUInt16LE(56); i++) {
    const header = headers + i * 56;
    if (file.readUInt32LE(header) !== 1) continue;
    const [offset, , physical, size] = [8, 16, 24, 32].map((at) => file.readBigUInt64LE(header + at)) as bigint[];
    for (let at = 0n; at < (size as bigint); at += 8n) {
      writeWord(memory, phys((physical as bigint) + at), file.readBigUInt64LE(Number((offset as bigint) + at)));
    }
  }
  return memory;
}

/** The description of the captured machine. */
export function capturedMachine(): Capture & { readonly kernel: { readonly symbols: Record<string, string> } } {
  return JSON.parse(readFileSync(captureUrl('start_kernel', 'boot.json'), 'utf8')) as ReturnType<
    typeof capturedMachine
  >;
}

/** What differs from the captured machine. */
export interface MachineChange {
  readonly mode?: RiscvMode;
  /** Banks as hex text. */
  readonly ram?: readonly (readonly [start: string, end: string])[];
  readonly loadAddress?: bigint;
  /** Symbols by their distance from `_start`. */
  readonly symbols?: Readonly<Record<string, bigint>>;
  readonly config?: Readonly<Record<string, boolean | number>>;
  readonly commandLine?: string;
  readonly dtb?: { readonly address: string; readonly size: string };
  readonly initrd?: { readonly start: string; readonly end: string };
  readonly reservedMemory?: readonly unknown[];
  readonly memreserve?: readonly unknown[];
}

const COMMAND: Readonly<Partial<Record<RiscvMode, string>>> = { sv39: 'no4lvl', sv48: 'no5lvl', sv57: '' };

/** The description of another machine. Without banks that hold them, device tree and initrd lie in the kernel's bank. */
export function machineWith(change: MachineChange): Capture {
  const captured = capturedMachine();
  const link = kernelAddresses(change.mode ?? 'sv48').kernelLink;
  const symbols = Object.fromEntries(
    Object.entries(change.symbols ?? {}).map(([name, distance]) => [name, `0x${(link + distance).toString(16)}`]),
  );
  const load = change.loadAddress ?? 0x8020_0000n;
  return {
    ...captured,
    commandLine: change.commandLine ?? COMMAND[change.mode ?? 'sv48'] ?? '',
    kernel: {
      ...captured.kernel,
      loadAddress: `0x${load.toString(16)}`,
      symbols: { ...captured.kernel.symbols, ...symbols },
    },
    ...(change.ram && { ram: change.ram.map(([base, end]) => ({ base, end })) }),
    ...(change.dtb && { dtb: change.dtb }),
    ...(change.initrd && { initrd: change.initrd }),
    ...(change.reservedMemory && { reservedMemory: change.reservedMemory }),
    ...(change.memreserve && { memreserve: change.memreserve }),
    config: { ...(captured.config as object), ...change.config },
  };
}

/** Boots a machine until all memory is mapped. */
export function bootedKernel(change: MachineChange & { readonly kasan?: boolean }): Kernel {
  const stage = 'after_setup_vm_final';
  return bootKernel(machineWith(change), { stage, ...(change.kasan === undefined ? {} : { kasan: change.kasan }) });
}

/** Leaves of a root as lines. */
export function rootLines(kernel: Kernel, label: string): string[] {
  const space = createSpace(kernel.memory, { paging: kernel.paging, address: kernel.symbolPa(label) });
  return mappedRanges(space, { start: 0n, end: 1n << 64n }).map(({ start, end, pa, level, bits }) => {
    return `${hex(start)}-${hex(end)} ${hex(pa)} level ${level} ${hex(bits)}`;
  });
}
