/**
 * The kernel's dump of its tables. It walks by itself, since the odd half of a pair may hold a section that nothing
 * else sees.
 * Source: Linux 6.12 arch/arm/mm/dump.c, ptdump_debugfs.c.
 */
import {
  type AddressMarker,
  hex,
  type Layout,
  type LinuxNames,
  type NotedLine,
  NotePage,
  type PhysAddr,
  phys,
  readWord,
  type Slot,
} from '@pagefold/core';
import { LINUX_TYPES, type LinuxModel, linuxEntry, linuxMask } from '../linux-pte.ts';
import { secondWordIsLeaf } from '../linux-tables.ts';

/** One column: printed if the bits have the value, else the other text (or nothing). */
interface Column {
  readonly mask: bigint;
  readonly value: bigint;
  readonly set: string;
  readonly clear?: string;
}

const flag = (mask: bigint, set: string, clear: string): Column => ({ mask, value: mask, set, clear });

/** Texts of memory types, in the kernel's order. Types that share a value are printed both. */
const TYPE_TEXTS: readonly (readonly [type: string, text: string])[] = [
  ['UNCACHED', 'SO/UNCACHED'],
  ['BUFFERABLE', 'MEM/BUFFERABLE/WC'],
  ['WRITETHROUGH', 'MEM/CACHED/WT'],
  ['WRITEBACK', 'MEM/CACHED/WBRA'],
  ['MINICACHE', 'MEM/MINICACHE'],
  ['WRITEALLOC', 'MEM/CACHED/WBWA'],
  ['DEV_SHARED', 'DEV/SHARED'],
  ['DEV_NONSHARED', 'DEV/NONSHARED'],
  ['DEV_WC', 'DEV/WC'],
  ['DEV_CACHED', 'DEV/CACHED'],
];

/** Left out of the dump under long descriptors, where they are other types under other names. */
const SHORT_ONLY = ['MINICACHE', 'DEV_NONSHARED'];

function pageColumns(model: LinuxModel): readonly Column[] {
  const mask = (name: string): bigint => linuxMask(model, name);
  const types = TYPE_TEXTS.flatMap(([type, set]): Column[] => {
    const value = LINUX_TYPES[model][type];
    if (value === undefined || (model === 'lpae' && SHORT_ONLY.includes(type))) return [];
    return [{ mask: mask('type'), value: linuxEntry(model, { type: value }), set }];
  });
  return [
    flag(mask('user'), 'USR', '   '),
    flag(mask('rdonly'), 'ro', 'RW'),
    flag(mask('xn'), 'NX', 'x '),
    flag(mask('shared'), 'SHD', '   '),
    ...types,
  ];
}

const SECTION_COLUMNS: Readonly<Record<LinuxModel, readonly Column[]>> = {
  // AP[2:0] as a whole: the user's column is part of the text.
  short: [
    { mask: 0x8c00n, value: 0x8400n, set: '    ro' },
    { mask: 0x8c00n, value: 0x0400n, set: '    RW' },
    { mask: 0x8c00n, value: 0x0800n, set: 'USR ro' },
    { mask: 0x8c00n, value: 0x0c00n, set: 'USR RW' },
    flag(0x10n, 'NX', 'x '),
    flag(0x1_0000n, 'SHD', '   '),
  ],
  lpae: [
    flag(0x40n, 'USR', '   '),
    flag((1n << 58n) | 0x80n, 'ro', 'RW'),
    flag(1n << 54n, 'NX', 'x '),
    flag(0x300n, 'SHD', '   '),
  ],
};

const maskOf = (columns: readonly Column[]): bigint => columns.reduce((all, { mask }) => all | mask, 0n);

/** The kernel's numbers of levels. */
const LEVEL = { pgd: 1, p4d: 2, pud: 3, pmd: 4, pte: 5 } as const;

const DOMAIN_NAMES = ['KERNEL ', 'USER   ', 'IO     ', 'VECTORS'];

/** What a domain is called, in seven letters; long descriptors have none. */
function domainName(model: LinuxModel, pmd: bigint): string | undefined {
  if (model === 'lpae') return undefined;
  return DOMAIN_NAMES[Number((pmd >> 5n) & 0xfn)] ?? 'unknown';
}

/** A level's name in the dump: that of the table its entries really are in. */
function levelName(model: LinuxModel, level: number): string {
  if (level === LEVEL.pte) return 'PTE';
  return level === LEVEL.pmd && model === 'lpae' ? 'PMD' : 'PGD';
}

/** Headings by address, from a layout of this architecture. */
export function ptdumpMarkers({ facts }: Layout): AddressMarker[] {
  const names: readonly (readonly [fact: string, name: string, offset?: bigint])[] = [
    ['KASAN_SHADOW_START', 'Kasan shadow start'],
    ['KASAN_SHADOW_END', 'Kasan shadow end'],
    ['MODULES_VADDR', 'Modules'],
    ['PAGE_OFFSET', 'Kernel Mapping'],
    ['VMALLOC_START', 'vmalloc() Area'],
    ['FDT_FIXED_BASE', 'FDT Area'],
    ['FIXADDR_START', 'Fixmap Area'],
    ['VECTORS_BASE', 'Vectors'],
    ['VECTORS_BASE', 'Vectors End', 0x2000n],
  ];
  return names.flatMap(([fact, name, offset = 0n]) => {
    const at = facts[fact];
    return at === undefined ? [] : [{ at: at + offset, name }];
  });
}

class Walker {
  readonly #model: LinuxModel;
  readonly #names: LinuxNames;
  readonly #state: NotePage;
  readonly #pages: readonly Column[];

  constructor(model: LinuxModel, names: LinuxNames, markers: readonly AddressMarker[]) {
    this.#model = model;
    this.#names = names;
    this.#pages = pageColumns(model);
    this.#state = new NotePage({
      style: { recordsFirst: false, markers: 'one', printsUnmapped: false, wordBits: 32 },
      markers,
    });
  }

  walk(root: PhysAddr): string[] {
    const { pgd, p4d, pud } = this.#names;
    for (let i = 0; i < pgd.entries; i++) {
      const addr = BigInt(i) * pgd.size;
      const above = p4d.offset(pgd.offset(root, addr), addr);
      if (p4d.none(above.load())) this.#note(addr, LEVEL.p4d, 0n, undefined);
      else {
        const slot = pud.offset(above, addr);
        if (pud.none(slot.load())) this.#note(addr, LEVEL.pud, 0n, undefined);
        else this.#pmds(slot, addr);
      }
    }
    return this.#state.finish().map((line) => this.#text(line));
  }

  #note(addr: bigint, level: number, word: bigint, group: string | undefined): void {
    const mask =
      level === LEVEL.pte ? maskOf(this.#pages) : level === LEVEL.pmd ? maskOf(SECTION_COLUMNS[this.#model]) : 0n;
    this.#state.note({ addr, level, prot: word & mask, ...(group === undefined ? {} : { group }) });
  }

  #pmds(pud: Slot<'pud'>, start: bigint): void {
    const { pmd, geometry } = this.#names;
    const section = BigInt(geometry.levels[pmd.level]?.entrySpan ?? 0);
    for (let i = 0; i < pmd.entries; i++) {
      const addr = start + BigInt(i) * pmd.size;
      const slot = pmd.offset(pud, addr);
      const word = slot.load();
      const domain = domainName(this.#model, word);
      if (pmd.none(word) || pmd.leaf(word) || !pmd.present(word)) this.#note(addr, LEVEL.pmd, word, domain);
      else this.#ptes(slot, addr, domain);
      if (section === pmd.size) continue;
      const second = readWord(this.#names.memory, phys(slot.address + 4n), 4);
      if (secondWordIsLeaf(second)) this.#note(addr + section, LEVEL.pmd, second, domainName(this.#model, second));
    }
  }

  #ptes(pmd: Slot<'pmd'>, start: bigint, domain: string | undefined): void {
    const { pte } = this.#names;
    let slot = pte.offset(pmd, start);
    for (let i = 0; i < pte.entries; i++) {
      this.#note(start + BigInt(i) * pte.size, LEVEL.pte, slot.load(), domain);
      slot = pte.next(slot);
    }
  }

  #text(line: NotedLine): string {
    if ('marker' in line) return `---[ ${line.marker} ]---`;
    const [start, end] = line.range;
    const columns = line.level === LEVEL.pte ? this.#pages : SECTION_COLUMNS[this.#model];
    const words = columns.flatMap(({ mask, value, set, clear }) => {
      const text = (line.prot & mask) === value ? set : clear;
      return text === undefined ? [] : [` ${text}`];
    });
    const domain = line.group === undefined ? '' : ` ${line.group}`;
    const size = line.size.padStart(10);
    return `${hex(start, 8)}-${hex(end, 8)}   ${size} ${levelName(this.#model, line.level)}${domain}${words.join('')}`;
  }
}

/**
 * The dump of a root, line by line.
 * @param markers headings, rising; see {@link ptdumpMarkers}
 */
export function ptdump(
  model: LinuxModel,
  names: LinuxNames,
  root: PhysAddr,
  markers: readonly AddressMarker[],
): string[] {
  return new Walker(model, names, markers).walk(root);
}
