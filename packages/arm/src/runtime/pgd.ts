/**
 * Roots of processes: they hold copies of the kernel's entries, and what the kernel adds later is copied when it is
 * missed. Sources: Linux 6.12 arch/arm/mm/pgd.c (`pgd_alloc`, `pgd_free`), fault.c (`do_translation_fault`).
 */
import { type PhysAddr, phys, type TableRequest, virt } from '@pagefold/core';
import { type KernelTables, SWAPPER_ENTRY } from '../boot/kernel-tables.ts';
import type { ArmAddresses } from '../layout/numbers.ts';

const LPAE_ROOT_BYTES = 32;

function rootRequest({ names }: KernelTables): TableRequest {
  const { level, tableBytes, alignBytes } = names.geometry.root;
  return { level, va: virt(0n), bytes: tableBytes, alignBytes };
}

function copyWords(tables: KernelTables, from: bigint, to: bigint, bytes: bigint): void {
  const step = BigInt(tables.wordBytes);
  for (let at = 0n; at < bytes; at += step) tables.writeWord(phys(to + at), tables.readWord(phys(from + at)));
}

/**
 * A new root: the user's part empty, the kernel's copied. Under long descriptors the gigabyte of the modules gets a
 * second-level table of its own, because programs share it.
 */
export function pgdAlloc(tables: KernelTables, addresses: ArmAddresses): PhysAddr {
  const { names, model, root, allocator } = tables;
  const request = rootRequest(tables);
  const fresh = allocator.allocate(request);
  const user = addresses.userRootEntries * BigInt(names.pgd.slotBytes);
  for (let at = 0n; at < user; at += BigInt(tables.wordBytes)) tables.writeWord(phys(fresh + at), 0n);
  copyWords(tables, root + user, fresh + user, BigInt(request.bytes) - user);
  if (model === 'short') return fresh;
  const { pgd, p4d, pud, pmd } = names;
  const va = addresses.modules.start;
  const slot = pud.offset(p4d.offset(pgd.offset(fresh, va), va), va);
  const table = pmd.allocOne(va);
  if (table !== null) pud.populate(slot, table);
  if (addresses.shadow !== undefined && table !== null) {
    // The shadow lies in the same gigabyte.
    const first = BigInt(pmd.index(addresses.taskSize) * pmd.slotBytes);
    const end = BigInt(pmd.index(va) * pmd.slotBytes);
    const { address } = tables.pmdSlot(addresses.taskSize);
    copyWords(tables, address, table + first, end - first);
  }
  return fresh;
}

/**
 * Gives a root back. Of second-level tables only those go with it that are not the kernel's; tables of pages must be
 * gone.
 * @returns the tables that were freed, the root last
 */
export function pgdFree(tables: KernelTables, root: PhysAddr): PhysAddr[] {
  const { names, allocator } = tables;
  const freed: PhysAddr[] = [];
  if (tables.model === 'lpae') {
    for (let i = 0; i < LPAE_ROOT_BYTES / 8; i++) {
      const slot = phys(root + BigInt(8 * i));
      const word = tables.readWord(slot);
      if (word === 0n || (word & SWAPPER_ENTRY) !== 0n) continue;
      const table = names.pgd.tableAddress(word);
      tables.writeWord(slot, 0n);
      names.pmd.freeOne(table);
      freed.push(table);
    }
  }
  allocator.free(root, rootRequest(tables));
  return [...freed, root];
}

/** What became of a missing kernel entry. */
export type SyncResult = 'copied' | 'present' | 'bad-area';

/**
 * A translation fault of the kernel at an address above user space: compares a process's root with the kernel's, name
 * by
 * name, and copies what is missing. Under short descriptors the test looks at the very word of the address, because a
 * single section may stand in either half of a pair; both words are copied.
 */
export function syncKernelEntry(tables: KernelTables, root: PhysAddr, va: bigint): SyncResult {
  const { pgd, p4d, pud, pmd } = tables.names;
  const theirs = pud.offset(p4d.offset(pgd.offset(tables.root, va), va), va);
  const ours = pud.offset(p4d.offset(pgd.offset(root, va), va), va);
  if (pud.none(theirs.load())) return 'bad-area';
  let copied = false;
  if (!pud.present(ours.load())) {
    pud.set(ours, theirs.load());
    copied = true;
  }
  const from = pmd.offset(theirs, va);
  const to = pmd.offset(ours, va);
  const half = (va & (pmd.size - 1n)) / tables.sectionBytes;
  const word = tables.readWord(phys(from.address + half * BigInt(tables.wordBytes)));
  if (pmd.none(word)) return 'bad-area';
  const same = BigInt(pmd.slotBytes);
  const differs = tables.readWord(phys(to.address + half * BigInt(tables.wordBytes))) !== word;
  if (from.address !== to.address && differs) {
    copyWords(tables, from.address, to.address, same);
    copied = true;
  }
  return copied ? 'copied' : 'present';
}
