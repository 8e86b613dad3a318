/**
 * Counting the tables of an address space as kernels account them (Linux 6.12 include/linux/mm.h,
 * `mm->pgtables_bytes`).
 */
import type { PhysAddr } from './address.ts';
import type { TableAllocator, TableRequest } from './allocator.ts';
import { TABLE_NAMES, type TableName } from './geometry.ts';
import type { Paging } from './paging.ts';

/** Names whose tables are charged to a process. p4d tables and the root are allocated, but not counted. */
const CHARGED: readonly TableName[] = ['pud', 'pmd', 'pte'];

/** An allocator that passes everything on and keeps count. */
export class TableCounter implements TableAllocator {
  readonly #inner: TableAllocator;
  /** The name whose tables stand at each level, and what one of them is charged with. */
  readonly #byLevel: readonly { readonly name: TableName; readonly charge: number }[];
  readonly #tables: Record<TableName, number> = { pgd: 0, p4d: 0, pud: 0, pmd: 0, pte: 0 };
  #bytes = 0;

  /**
   * @param inner the allocator that does the work
   * @param paging says which names have tables, and at which level
   */
  constructor(inner: TableAllocator, paging: Paging) {
    const { names, levels } = paging.geometry;
    this.#inner = inner;
    this.#byLevel = levels.map(({ level }) => {
      const name = TABLE_NAMES.find((each) => names[each].level === level && !names[each].folded) ?? 'pgd';
      // Entries times entry size: where software and hardware tables share a page, only the software's part counts.
      const charge = CHARGED.includes(name) ? names[name].entries * paging.format.entryBytes : 0;
      return { name, charge };
    });
  }

  /** Tables in use, by name; those of folded names do not exist and stay 0. */
  get tables(): Readonly<Record<TableName, number>> {
    return { ...this.#tables };
  }

  /** Bytes charged: the pud, pmd and pte tables in use. */
  get pgtablesBytes(): number {
    return this.#bytes;
  }

  allocate(request: TableRequest): PhysAddr {
    const address = this.#inner.allocate(request);
    this.#note(request.level, 1);
    return address;
  }

  free(address: PhysAddr, request: TableRequest): void {
    this.#inner.free(address, request);
    this.#note(request.level, -1);
  }

  #note(level: number, by: 1 | -1): void {
    const found = this.#byLevel[level];
    if (found === undefined) return;
    this.#tables[found.name] += by;
    this.#bytes += by * found.charge;
  }
}
