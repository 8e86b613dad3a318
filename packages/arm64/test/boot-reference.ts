/**
 * What a booted kernel should map, page by page: nothing here knows tables, levels, blocks or the order of things. Each
 * rule says for one range which pages have which attributes; later rules win.
 */
import { createSpace, type Memory, mappedRanges, type RootDescription } from '@pagefold/core';
import {
  fixmapAddress,
  fixmapSlots,
  type Kernel,
  LINUX_BITS,
  linuxProtections,
  type ProtectionName,
  paBitsOf,
  pgprotTagged,
  symbolPa,
} from '../src/index.ts';

/** A range of pages with equal attributes. */
export interface PlainRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly pa: bigint;
  /** Attributes without type, contiguity and address. */
  readonly prot: bigint;
}

/** A machine in plain numbers. */
export interface PlainMachine {
  readonly page: bigint;
  readonly image: bigint;
  readonly at: (symbol: string) => bigint;
  readonly virtual: bigint;
  readonly linear: (pa: bigint) => bigint;
  readonly banks: readonly { readonly start: bigint; readonly end: bigint }[];
  readonly dtb: { readonly address: bigint; readonly size: bigint };
  readonly fdtVa: bigint;
  readonly prot: (name: ProtectionName, early: boolean) => bigint;
  readonly rodataOff: boolean;
  readonly lpa2: boolean;
  readonly isolationFlag: boolean;
  readonly paBits: 48 | 52;
}

/** The plain form of a booted kernel. */
export function plainMachine(kernel: Kernel): PlainMachine {
  const { options, description, paging, symbols, decision } = kernel;
  const seed = options.nokaslr ? 0n : (description.kaslrSeed ?? 0n);
  const e0pd = (description.idRegisters.get('ID_AA64MMFR2_EL1') ?? 0n) >> 60n !== 0n;
  const nonGlobalKernel = seed !== 0n && !e0pd;
  const lpa2 = decision.lpa2;
  const values = linuxProtections({ lpa2, nonGlobalKernel }).values;
  const early = lpa2 ? values : linuxProtections().values;
  const { granule } = options.build;
  return {
    page: paging.pageBytes,
    image: description.loadAddress,
    at: (symbol) => symbolPa(kernel, symbol),
    virtual: kernel.place.imageStart,
    linear: (pa) => BigInt.asUintN(64, pa - kernel.memstart + symbols.PAGE_OFFSET),
    banks: kernel.memblock.mappable.map(({ start, end }) => ({ start: start as bigint, end })),
    dtb: description.dtb,
    fdtVa: fixmapAddress(granule, symbols.FIXADDR_TOP, fixmapSlots(granule).FIX_FDT as number),
    prot: (name, before) => (before ? early : values)[name],
    rodataOff: options.rodata === 'off',
    lpa2,
    isolationFlag: !nonGlobalKernel,
    paBits: paBitsOf(options.build),
  };
}

/** Which page maps what. */
export class PlainMap {
  readonly #machine: PlainMachine;

  constructor(machine: PlainMachine) {
    this.#machine = machine;
  }

  get imageEnd(): bigint {
    return this.#machine.at('_end');
  }

  /** What a root should map, in rising order, as large as possible. */
  ranges(root: 'swapper_pg_dir' | 'init_idmap_pg_dir' | 'idmap_pg_dir' | 'init_pg_dir'): PlainRange[] {
    switch (root) {
      case 'init_pg_dir':
        return merged(this.#image());
      case 'init_idmap_pg_dir':
        return merged(this.#earlyIdmap());
      case 'idmap_pg_dir':
        return merged(this.#idmap());
      case 'swapper_pg_dir':
        return merged([...this.#linear(), ...this.#image(), this.#deviceTree()]);
    }
  }

  #image(): PlainRange[] {
    const { at, image, virtual, prot, rodataOff } = this.#machine;
    const data = prot('PAGE_KERNEL', false);
    const text = prot(rodataOff ? 'PAGE_KERNEL_EXEC' : 'PAGE_KERNEL_ROX', false);
    const piece = (from: string, to: string, bits: bigint): PlainRange => {
      const [start, end] = [at(from), at(to)];
      return { start: start - image + virtual, end: end - image + virtual, pa: start, prot: bits };
    };
    return [
      piece('_text', '_stext', data),
      piece('_stext', '_etext', text),
      piece('__start_rodata', '__inittext_begin', data),
      piece('__inittext_begin', '__inittext_end', text),
      piece('__initdata_begin', '_end', data),
    ];
  }

  #earlyIdmap(): PlainRange[] {
    const { at, prot, dtb, page, lpa2 } = this.#machine;
    const same = (start: bigint, end: bigint, bits: bigint): PlainRange => ({ start, end, pa: start, prot: bits });
    const image = [
      same(at('_stext'), at('__initdata_begin'), prot('PAGE_KERNEL_ROX', true)),
      same(at('__initdata_begin'), at('_end'), prot('PAGE_KERNEL', true)),
    ];
    if (lpa2) return image;
    const fdt = dtb.address & -page;
    const end = (dtb.address + 0x20_0000n + page - 1n) & -page;
    return [...image, same(fdt, end, prot('PAGE_KERNEL', true))];
  }

  #idmap(): PlainRange[] {
    const { at, prot, page, isolationFlag } = this.#machine;
    const pages = (start: bigint, end: bigint, bits: bigint): PlainRange => {
      const from = start & -page;
      return { start: from, end: (end + page - 1n) & -page, pa: from, prot: bits };
    };
    const flag = at('__idmap_kpti_flag');
    return [
      pages(at('__idmap_text_start'), at('__idmap_text_end'), prot('PAGE_KERNEL_ROX', false)),
      ...(isolationFlag ? [pages(flag, flag + 4n, prot('PAGE_KERNEL', false))] : []),
    ];
  }

  #linear(): PlainRange[] {
    const { banks, linear, at, prot } = this.#machine;
    const plain = prot('PAGE_KERNEL', false);
    const tagged = pgprotTagged(plain);
    const alias = { start: at('_text'), end: at('__init_begin') };
    return banks.flatMap(({ start, end }) => {
      if (alias.start < start || alias.end > end) {
        return [{ start: linear(start), end: linear(start) + (end - start), pa: start, prot: tagged }];
      }
      return [
        { start, end: alias.start, prot: tagged },
        { ...alias, prot: plain },
        { start: alias.end, end, prot: tagged },
      ]
        .filter((piece) => piece.start < piece.end)
        .map((piece) => {
          const va = linear(piece.start);
          return { start: va, end: va + (piece.end - piece.start), pa: piece.start, prot: piece.prot };
        });
    });
  }

  #deviceTree(): PlainRange {
    const { dtb, fdtVa, page, prot } = this.#machine;
    const pa = dtb.address & -page;
    const bytes = (dtb.address + dtb.size - pa + page - 1n) & -page;
    return { start: fdtVa, end: fdtVa + bytes, pa, prot: prot('PAGE_KERNEL_RO', false) };
  }

  /** What tables map, in the same form. */
  static observed(memory: Memory, root: RootDescription): PlainRange[] {
    const { paging } = root;
    const found = mappedRanges(createSpace(memory, root), { start: 0n, end: 1n << 64n });
    return merged(
      found.map(({ start, end, pa, level, bits }) => {
        const shape = paging.codec(level).leaves[0];
        const address = shape === undefined ? 0n : shape.address.mask;
        return { start, end, pa, prot: bits & ~address };
      }),
    );
  }
}

/** Neighbours that continue each other become one; only attributes count. */
function merged(ranges: readonly PlainRange[]): PlainRange[] {
  const ignored = LINUX_BITS.TYPE_MASK | LINUX_BITS.CONT;
  const result: PlainRange[] = [];
  for (const { start, end, pa, prot } of [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    const bits = prot & ~ignored;
    const last = result.at(-1);
    if (last !== undefined && last.end === start && last.prot === bits && last.pa + (last.end - last.start) === pa) {
      result[result.length - 1] = { ...last, end };
    } else result.push({ start, end, pa, prot: bits });
  }
  return result;
}
