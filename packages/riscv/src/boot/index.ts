/** What the boot offers: the whole of it, and its steps one by one. */
export { type AddressOptions, fixToVirt, type KernelAddresses, kernelAddresses } from './addresses.ts';
export { bootKernel, createMachine, riscvBoot } from './boot.ts';
export { setupBootmem } from './bootmem.ts';
export { type BuildOptions, buildOptions } from './build-options.ts';
export {
  bestMapSize,
  createP4dMapping,
  createPgdMapping,
  createPgdMappings,
  createPmdMapping,
  createPteMapping,
  createPudMapping,
  type Mapping,
  type MappingTarget,
} from './create-mapping.ts';
export { type BootDescription, readDescription } from './description.ts';
export { Fixmap } from './fixmap.ts';
export {
  fitsPud,
  type KaslrChoice,
  kaslrOffset,
  noKaslr,
  type RelocatedWord,
  type Relocation,
  relocateKernel,
} from './kaslr.ts';
export type { BootMachine, Kernel } from './kernel.ts';
export { KernelMap, type KernelPlacement, type PhysicalAnswer, type XipPlacement } from './kernel-map.ts';
export {
  createKernelPageTable,
  kernelVmArea,
  pgprotFromVa,
  runtimeSymbol,
  type TextRange,
} from './kernel-page-table.ts';
export { createLinearMappingPageTable, createLinearMappingRange } from './linear-mapping.ts';
export { setupVm } from './setup-vm.ts';
export { pagingInit, setupVmFinal } from './setup-vm-final.ts';
