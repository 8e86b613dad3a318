/**
 * The boot of an RV64 kernel, slow and obvious: memory is looked at page by page, the linear map is made one leaf at a
 * time, tables are plain arrays of words. Nothing of the library is used but what a machine is described with.
 */

/** A machine, in plain numbers. Addresses are exact in a double. */
export interface PlainMachine {
  readonly levels: 3 | 4 | 5;
  readonly pageOffset: bigint;
  readonly fixaddrStart: bigint;
  readonly link: bigint;
  readonly load: number;
  /** Distances from `_start`. */
  readonly symbols: Readonly<Record<string, number>>;
  readonly ram: readonly (readonly [start: number, end: number])[];
  /** Everything that is in use, apart from the kernel. */
  readonly reserved: readonly (readonly [start: number, end: number])[];
  readonly nomap: readonly (readonly [start: number, end: number])[];
  readonly poolBytes: number;
}

const PAGE = 4096;
const LARGE = 2 ** 21;

/** Tables by physical address. */
export type PlainTables = Map<number, BigUint64Array>;

/** One boot. */
export class PlainBoot {
  readonly tables: PlainTables = new Map();
  readonly #machine: PlainMachine;
  readonly #taken: [start: number, end: number][] = [];
  readonly #root: number;

  constructor(machine: PlainMachine) {
    this.#machine = machine;
    this.#root = machine.load + (machine.symbols.swapper_pg_dir ?? 0);
    this.tables.set(this.#root, new BigUint64Array(512));
    const { load, symbols } = machine;
    this.#taken.push(
      [load, Math.ceil((load + (symbols._end ?? 0)) / LARGE) * LARGE],
      ...machine.reserved.map(([a, b]) => [a, b] as [number, number]),
    );
    this.#run();
  }

  /** Is the page memory, mapped, and in no use? */
  #isFree(page: number): boolean {
    const inside = ([start, end]: readonly [number, number]): boolean => page >= start && page + PAGE <= end;
    const touches = ([start, end]: readonly [number, number]): boolean => page < end && page + PAGE > start;
    const { ram, nomap } = this.#machine;
    return ram.some(inside) && !nomap.some(touches) && !this.#taken.some(touches);
  }

  /** The highest place for some pages, found by looking at every page from the top. */
  #allocate(pages: number): number {
    const top = Math.max(...this.#machine.ram.map(([, end]) => end));
    let run = 0;
    for (let page = top - PAGE; page >= PAGE; page -= PAGE) {
      run = this.#isFree(page) ? run + 1 : 0;
      if (run < pages) continue;
      this.#taken.push([page, page + pages * PAGE]);
      return page;
    }
    throw new Error('no memory is left');
  }

  #create(va: bigint, pa: number, size: number, prot: number): void {
    let table = this.tables.get(this.#root) as BigUint64Array;
    for (let level = this.#machine.levels - 1; ; level--) {
      const shift = 12 + 9 * level;
      const index = Number((va >> BigInt(shift)) & 511n);
      const word = table[index] as bigint;
      if (size === 2 ** shift) {
        if (word === 0n) table[index] = (BigInt(Math.floor(pa / PAGE)) << 10n) | BigInt(prot);
        return;
      }
      let next: number;
      if (word === 0n) {
        next = this.#allocate(1);
        table[index] = (BigInt(next / PAGE) << 10n) | 1n;
        this.tables.set(next, new BigUint64Array(512));
      } else {
        next = Number(word >> 10n) * PAGE;
      }
      table = this.tables.get(next) as BigUint64Array;
    }
  }

  /** One range of the linear map, leaf by leaf. */
  #linear(start: number, end: number, base: number, fixed?: number): void {
    const { pageOffset, levels, load, symbols } = this.#machine;
    for (let pa = start; pa < end; ) {
      const va = pageOffset + BigInt(pa - base);
      const fits = (size: number): boolean => pa % size === 0 && va % BigInt(size) === 0n && end - pa >= size;
      let size = fixed ?? PAGE;
      if (fixed === undefined) {
        if (fits(LARGE)) size = LARGE;
        if (levels >= 4 && fits(2 ** 30)) size = 2 ** 30;
        if (levels >= 5 && fits(2 ** 39)) size = 2 ** 39;
      }
      const text = pa >= load && pa < load + (symbols.__init_data_begin ?? 0);
      this.#create(va, pa, size, text ? 0xe3 : 0xe7);
      pa += size;
    }
  }

  #run(): void {
    const { ram, nomap, load, symbols, poolBytes, fixaddrStart, levels, link } = this.#machine;
    const at = (name: string): number => load + (symbols[name] ?? 0);
    const next = at(['fixmap_pmd', 'fixmap_pud', 'fixmap_p4d'][levels - 3] as string);
    this.#create(fixaddrStart, next, 2 ** (12 + 9 * (levels - 1)), 1);
    const base = Math.floor(Math.min(...ram.map(([start]) => start)) / LARGE) * LARGE;
    const apart: [number, number][] = [
      [load, at('__init_data_begin')],
      [at('__start_rodata'), at('_data')],
    ];
    const pool = this.#allocatePool(poolBytes, apart);
    const hidden = [...nomap, ...apart, [pool, pool + poolBytes] as [number, number]].filter(([a, b]) => a < b);
    for (const [start, end] of ram) {
      for (const [a, b] of without([start, end], hidden)) this.#linear(a, b, base);
    }
    for (const [a, b] of apart) this.#linear(a, b, base);
    this.#linear(pool, pool + poolBytes, base, PAGE);
    for (let offset = 0; offset < (symbols._end ?? 0); offset += LARGE) {
      const prot = offset < (symbols.__init_data_begin ?? 0) ? 0xeb : 0xe7;
      this.#create(link + BigInt(offset), load + offset, LARGE, prot);
    }
  }

  #allocatePool(bytes: number, apart: readonly [number, number][]): number {
    if (bytes === 0) return 0;
    const before = this.#taken.length;
    this.#taken.push(...apart);
    const pool = this.#allocate(bytes / PAGE);
    this.#taken.splice(before, apart.length);
    return pool;
  }
}

/** What remains of a range without others, in rising order. */
function without(range: readonly [number, number], holes: readonly (readonly [number, number])[]): [number, number][] {
  let pieces: [number, number][] = [[range[0], range[1]]];
  for (const [start, end] of holes) {
    pieces = pieces.flatMap(([a, b]): [number, number][] => {
      if (end <= a || start >= b) return [[a, b]];
      return [[a, Math.max(a, start)] as [number, number], [Math.min(b, end), b] as [number, number]].filter(
        ([x, y]) => x < y,
      );
    });
  }
  return pieces.sort((x, y) => x[0] - y[0]);
}
