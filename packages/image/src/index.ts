/**
 * Memory images, device trees, kernel headers and symbol lists from buffers. Nothing here needs Node;
 * `@pagefold/image/node` adds files.
 */
export { type ByteSource, bufferSource } from './byte-source.ts';
export type { SourceHint, SourceKind } from './detect.ts';
export { Dtb, type DtbHeader, type DtbReservation, parseDtb } from './dtb.ts';
export { DtbNode, type DtbReg } from './dtb-node.ts';
export {
  type AddressRange,
  type ElfLayout,
  type ElfLoad,
  type FileRange,
  isElf,
  readElfLayout,
} from './elf-core.ts';
export { ImageError, type ImageRule } from './errors.ts';
export { gunzip, isGzip } from './gzip.ts';
export {
  combineImages,
  type Image,
  type ImageKind,
  type ReadImageOptions,
  type ReadOptions,
  readElfCore,
  readImage,
  readRaw,
} from './image.ts';
export { ImageMemory, type MemoryOptions } from './image-memory.ts';
export {
  type Arm64Image,
  type ArmZImage,
  type KernelImage,
  type RiscvImage,
  readKernelImage,
} from './kernel-image.ts';
export {
  type Chosen,
  type Cpu,
  type DynamicReservation,
  type Machine,
  machineFromDtb,
  type ReservedRange,
} from './machine.ts';
export type { Segment, SourcedSegment } from './segments.ts';
export { type DuplicateSymbol, parseSystemMap, type SystemMap } from './system-map.ts';
