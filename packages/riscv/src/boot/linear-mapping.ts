/**
 * The linear map: all memory, each piece with the largest leaves that fit, the kernel's own text and read-only data on
 * their own. Source: Linux 6.12 arch/riscv/mm/init.c (`create_linear_mapping_page_table`).
 */
import { phys } from '@pagefold/core';
import { bestMapSize, createPgdMappings } from './create-mapping.ts';
import type { Kernel } from './kernel.ts';
import { kernelText, pgprotFromVa, runtimeSymbol } from './kernel-page-table.ts';

const PAGE = 4096n;

/** Steps of a size from an address that begin below a limit. */
function stepsBelow(from: bigint, limit: bigint, size: bigint): bigint {
  return (limit - from + size - 1n) / size;
}

/**
 * How many steps the loop over a range takes with one leaf size and one protection: until a larger leaf fits, until the
 * rest is too small, until the kernel's text begins or ends.
 */
function equalSteps(kernel: Kernel, pa: bigint, va: bigint, end: bigint, size: bigint, fixed: boolean): number {
  const { names, options, addresses, kernelMap } = kernel;
  let count = size === PAGE || fixed ? stepsBelow(pa, end, size) : (end - pa) / size;
  const atMost = (limit: bigint): void => {
    if (limit < count) count = limit;
  };
  if (!fixed && !options.debugPagealloc && addresses.xlen === 64) {
    for (const larger of [names.p4d, names.pud, names.pmd]) {
      if (larger.folded || larger.size <= size || (va - pa) % larger.size !== 0n) continue;
      const boundary = pa - (pa % larger.size) + larger.size;
      if (end - boundary >= larger.size) atMost(stepsBelow(pa, boundary, size));
    }
  }
  if (options.strictKernelRwx) {
    const text = kernelText(kernel);
    for (const edge of [text.start, text.end]) {
      const alias = kernelMap.lmAlias(edge);
      if (alias > va) atMost(stepsBelow(va, alias, size));
    }
  }
  return Number(count);
}

/**
 * `create_linear_mapping_range`.
 * @param fixedSize bytes of every leaf. Not supplied: as large as fits
 */
export function createLinearMappingRange(kernel: Kernel, start: bigint, end: bigint, fixedSize?: bigint): void {
  const { kernelMap, target, options } = kernel;
  const root = kernel.symbolPa('swapper_pg_dir');
  for (let pa = start; pa < end; ) {
    const va = kernelMap.va(pa);
    const size = fixedSize ?? bestMapSize(target.names, pa, va, end - pa, options.debugPagealloc);
    const count = equalSteps(kernel, pa, va, end, size, fixedSize !== undefined);
    createPgdMappings(target, root, { va, pa, size, prot: pgprotFromVa(kernel, va) }, count);
    pa += BigInt(count) * size;
  }
}

/**
 * `create_linear_mapping_page_table`. Text, read-only data and KFENCE's pool are hidden from memblock while the rest is
 * mapped, so that no large leaf covers them.
 */
export function createLinearMappingPageTable(kernel: Kernel): void {
  const { memblock, kernelMap, options } = kernel;
  const range = (start: bigint, end: bigint) => ({ start: kernelMap.paSymbol(start), end: kernelMap.paSymbol(end) });
  const text = kernelText(kernel);
  const apart = options.strictKernelRwx
    ? [
        range(text.start, text.end),
        range(runtimeSymbol(kernel, '__start_rodata'), runtimeSymbol(kernel, '_data')),
      ].filter(({ start, end }) => start < end)
    : [];
  for (const each of apart) memblock.markNomap(each);

  // KFENCE protects single pages of its pool, so the pool is the first thing to be allocated.
  const poolBytes = options.kfencePoolBytes;
  if (poolBytes > 0n) {
    kernel.kfencePool = memblock.physAlloc(poolBytes, PAGE);
    memblock.markNomap({ start: kernel.kfencePool, end: kernel.kfencePool + poolBytes });
  }

  const first = kernelMap.physical(kernelMap.pageOffset).pa;
  for (const bank of memblock.mappable) {
    const start = bank.start <= first && first < bank.end ? phys(first) : bank.start;
    createLinearMappingRange(kernel, start, bank.end);
  }

  for (const { start, end } of apart) createLinearMappingRange(kernel, start, end);
  for (const each of apart) memblock.clearNomap(each);
  if (kernel.kfencePool !== undefined) {
    const pool = { start: kernel.kfencePool, end: kernel.kfencePool + poolBytes };
    createLinearMappingRange(kernel, pool.start, pool.end, PAGE);
    memblock.clearNomap(pool);
  }
}
