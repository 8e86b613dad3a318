/**
 * Linux's protections as plain constants: v6.12, the same on RV32 and RV64, without memory types. They are raw entry
 * bits, so `map` of core takes them as attributes. Other releases and memory types: `linuxProtections`.
 * Source: Linux 6.12 arch/riscv/include/asm/pgtable.h.
 */
import { linuxProtections } from './linux-protections.ts';

const { values } = linuxProtections();

/** A pointer to a table: V and nothing else. */
export const PAGE_TABLE: bigint = values.PAGE_TABLE;

/** A page that is there but may not be touched: V clear, G as the marker, R. */
export const PAGE_NONE: bigint = values.PAGE_NONE;

/** User pages: read. */
export const PAGE_READ: bigint = values.PAGE_READ;

/** User pages: read and write. */
export const PAGE_WRITE: bigint = values.PAGE_WRITE;

/** User pages: execute only. */
export const PAGE_EXEC: bigint = values.PAGE_EXEC;

/** User pages: read and execute. */
export const PAGE_READ_EXEC: bigint = values.PAGE_READ_EXEC;

/** User pages: read, write and execute. */
export const PAGE_WRITE_EXEC: bigint = values.PAGE_WRITE_EXEC;

/** Private user pages that may be written: read-only until they are copied. */
export const PAGE_COPY: bigint = values.PAGE_COPY;

/** The same, executable. */
export const PAGE_COPY_EXEC: bigint = values.PAGE_COPY_EXEC;

/** Shared user pages that may be written. */
export const PAGE_SHARED: bigint = values.PAGE_SHARED;

/** The same, executable. */
export const PAGE_SHARED_EXEC: bigint = values.PAGE_SHARED_EXEC;

/** Kernel data: read and write, global, accessed and dirty from the start. */
export const PAGE_KERNEL: bigint = values.PAGE_KERNEL;

/** Kernel data that is only read. */
export const PAGE_KERNEL_READ: bigint = values.PAGE_KERNEL_READ;

/** Kernel memory that allows everything. */
export const PAGE_KERNEL_EXEC: bigint = values.PAGE_KERNEL_EXEC;

/** Kernel text. */
export const PAGE_KERNEL_READ_EXEC: bigint = values.PAGE_KERNEL_READ_EXEC;
