/**
 * Writers for finished page tables: ELF cores, raw binaries, C and assembler sources, JSON and pictures. Nothing here
 * needs Node.
 */
export {
  type ManifestRoot,
  type ManifestTable,
  type TableBinary,
  type TableBinaryOptions,
  type TableManifest,
  tableBinary,
} from './binary.ts';
export { type CSourceOptions, cSource } from './c-source.ts';
export { type ElfCoreOptions, type ElfNote, elfCore } from './elf-core.ts';
export { type EntrySvgOptions, entrySvg } from './entry-svg.ts';
export { EmitError, type EmitRule } from './errors.ts';
export { type GasSourceOptions, gasSource } from './gas.ts';
export {
  type EntryDocument,
  type RangeDocument,
  type TableDocument,
  type TablesDocument,
  type TablesDocumentOptions,
  tablesDocument,
  tablesJson,
} from './json.ts';
export { type LayoutInput, type LayoutRegion, type LayoutSvgOptions, layoutSvg } from './layout-svg.ts';
export { type MemoryPiece, type PhysicalRange, type ReadPiecesOptions, readPieces } from './pieces.ts';
export type { PictureOptions } from './svg.ts';
export type { SourceOptions } from './symbols.ts';
export {
  type CollectOptions,
  collectTables,
  type TablePagesOptions,
  type TablePiece,
  type TableSource,
  type TableUse,
  tablePages,
} from './tables.ts';
export { type TablesSvgOptions, tablesSvg } from './tables-svg.ts';
export { type WalkSvgOptions, walkSvg } from './walk-svg.ts';
