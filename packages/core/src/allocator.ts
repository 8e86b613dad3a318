/** How an operation asks for the memory of a new table. */
import type { PhysAddr, VirtAddr } from './address.ts';

/** A request for one table. */
export interface TableRequest {
  /** Level, from the leaves, of the table itself. */
  readonly level: number;
  /** First virtual address that the table covers. */
  readonly va: VirtAddr;
  /** Bytes of the table. */
  readonly bytes: number;
  /** Alignment that its address needs, a power of two. */
  readonly alignBytes: number;
}

/**
 * Hands out memory for tables. It decides where, never what: whoever installs a table zeroes it first, so an allocator
 * needs no access to memory. Requests come in the order in which the tables are installed.
 */
export interface TableAllocator {
  /**
   * The physical address for a table.
   * @throws OutOfTablesError if there is none left that fits
   */
  allocate(request: TableRequest): PhysAddr;
  /** Takes a table back. An allocator that cannot reuse it just forgets it. */
  free(address: PhysAddr, request: TableRequest): void;
}
