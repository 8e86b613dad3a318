/**
 * A layout as the kernel prints it at boot when built with DEBUG_VM. The form is that of Linux 6.12
 * arch/riscv/mm/init.c (`print_vm_layout`), also for older profiles, whose kernels chose other units.
 */
import { hex, type Layout, regionNamed } from '@pagefold/core';

/** The line above the others. */
export const VM_LAYOUT_HEADER = 'Virtual kernel memory layout:';

/** Units that the kernel uses when at least 10 of them fill the region; otherwise kB. */
const UNITS = [
  { name: 'TB', shift: 40n },
  { name: 'GB', shift: 30n },
  { name: 'MB', shift: 20n },
] as const;

function line(name: string, start: bigint, end: bigint, wordBits: number): string {
  const bytes = end - start;
  const unit = UNITS.find(({ name: each, shift }) => bytes >> shift >= 10n && !(each === 'TB' && wordBits === 32));
  const size = `${bytes >> (unit?.shift ?? 10n)}`.padStart(4);
  return `${name.padStart(12)} : ${hex(start, 8)} - ${hex(end, 8)}   (${size} ${unit?.name ?? 'kB'})`;
}

/**
 * The lines below the header. `lowmem` ends at the fact `high_memory`; without one, where the linear map may end.
 * The end of `kernel` is the last address, as the kernel has it.
 */
export function vmLayoutLines(layout: Layout): string[] {
  const { wordBits, facts } = layout;
  const wide = wordBits === 64;
  const lines: string[] = [];
  const add = (label: string, name: string, end?: bigint) => {
    const region = regionNamed(layout, name);
    if (region !== undefined) lines.push(line(label, region.start, end ?? region.end, wordBits));
  };
  add('fixmap', 'fixmap');
  add('pci io', 'pci_io');
  add('vmemmap', 'vmemmap');
  add('vmalloc', 'vmalloc');
  if (wide) add('modules', 'modules');
  add('lowmem', 'linear', facts.high_memory);
  if (wide) {
    add('kasan', 'kasan_shadow');
    add('kernel', 'kernel', (1n << 64n) - 1n);
  }
  return lines;
}
