/**
 * ELF core files as memory dumps: the headers, and the segments they describe.
 *
 * Facts: System V ABI (gabi), chapters 4 and 5; the extended program header count in the gabi's e_phnum; what
 * dump-guest-memory writes in QEMU 7.2's dump/dump.c.
 */
import { type ByteSource, readUpTo } from './byte-source.ts';
import { firstBytes, ImageError } from './errors.ts';
import type { SourcedSegment } from './segments.ts';

/** A range of bytes of the file, half-open. */
export interface FileRange {
  /** Offset of the first byte. */
  readonly start: number;
  /** Offset behind the last byte. */
  readonly end: number;
}

/** A range of physical addresses, half-open. */
export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** One PT_LOAD program header with memory in the file or zero fill. */
export interface ElfLoad {
  /** Number of the program header, from 0. */
  readonly index: number;
  /** `p_paddr`: physical address of the first byte. */
  readonly physical: bigint;
  /** `p_vaddr`: virtual address of the first byte, 0 where the writer knew none. Not interpreted. */
  readonly virtual: bigint;
  /** `p_offset`: where the bytes are in the file. */
  readonly offset: number;
  /** `p_filesz`: bytes in the file. */
  readonly fileBytes: number;
  /** `p_memsz`: bytes in memory, at least `fileBytes`; the rest reads zero. */
  readonly memoryBytes: bigint;
}

/** What the headers of an ELF core say. */
export interface ElfLayout {
  /** ELF32 or ELF64. */
  readonly bits: 32 | 64;
  /** `e_machine`: 243 RISC-V, 183 AArch64, 40 ARM, 62 x86-64. Not interpreted. */
  readonly machine: number;
  /** Segments with memory, in file order. */
  readonly loads: readonly ElfLoad[];
  /** The notes (registers and the like), unparsed. */
  readonly notes: readonly FileRange[];
  /** Memory that existed and that the dump leaves out: QEMU marks it with no bytes and an offset of all ones. */
  readonly unstored: readonly AddressRange[];
}

/** Where the fields lie, by class. Offsets are in bytes from the start of the structure. */
interface ElfClass {
  readonly bits: 32 | 64;
  readonly headerBytes: number;
  readonly entryBytes: number;
  readonly sectionBytes: number;
  readonly phoff: number;
  readonly shoff: number;
  readonly phentsize: number;
  readonly phnum: number;
  readonly shInfo: number;
  readonly offset: number;
  readonly vaddr: number;
  readonly paddr: number;
  readonly filesz: number;
  readonly memsz: number;
}

const ELF32: ElfClass = {
  bits: 32,
  headerBytes: 52,
  entryBytes: 32,
  sectionBytes: 40,
  phoff: 28,
  shoff: 32,
  phentsize: 42,
  phnum: 44,
  shInfo: 28,
  offset: 4,
  vaddr: 8,
  paddr: 12,
  filesz: 16,
  memsz: 20,
};

const ELF64: ElfClass = {
  bits: 64,
  headerBytes: 64,
  entryBytes: 56,
  sectionBytes: 64,
  phoff: 32,
  shoff: 40,
  phentsize: 54,
  phnum: 56,
  shInfo: 44,
  offset: 8,
  vaddr: 16,
  paddr: 24,
  filesz: 32,
  memsz: 40,
};

const ET_CORE = 4;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** `e_phnum` when the real count is in `sh_info` of section 0. */
const PN_XNUM = 0xffff;
/** More program headers than any dump has; bounds the memory that a hostile file can ask for. */
const MAX_SEGMENTS = 1 << 20;

/** Whether bytes begin like an ELF file. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** An address-sized field. */
function word(data: DataView, elf: ElfClass, at: number): bigint {
  return elf.bits === 64 ? data.getBigUint64(at, true) : BigInt(data.getUint32(at, true));
}

/** Checks that a range given by the file lies inside it, and gives its bounds as numbers. */
function inFile(source: ByteSource, start: bigint, bytes: bigint, what: string): FileRange {
  if (start + bytes > BigInt(source.size)) {
    const values = { start, end: start + bytes, size: source.size };
    throw new ImageError('elf-truncated', `${what} ends behind the end of the file`, values);
  }
  return { start: Number(start), end: Number(start + bytes) };
}

function readRange(source: ByteSource, start: bigint, bytes: bigint, what: string): Uint8Array {
  const range = inFile(source, start, bytes, what);
  return readUpTo(source, range.start, range.end - range.start);
}

/** Checks the identification and the type. */
function readClass(head: Uint8Array): ElfClass {
  if (!isElf(head)) throw new ImageError('not-elf', 'not an ELF file', { bytes: firstBytes(head) });
  const [, , , , elfClass, order, version] = head;
  if (elfClass === undefined || order === undefined || version === undefined || head.length < 20) {
    throw new ImageError('elf-truncated', 'the ELF header is incomplete', { size: head.length });
  }
  if (elfClass !== 1 && elfClass !== 2) throw new ImageError('elf-class', 'unknown ELF class', { elfClass });
  if (order !== 1) throw new ImageError('elf-big-endian', 'only little-endian ELF files can be read', { order });
  if (version !== 1) throw new ImageError('elf-version', 'unknown ELF version', { version });
  const type = view(head).getUint16(16, true);
  if (type !== ET_CORE) {
    // The physical addresses of executables are link-time addresses, most often the virtual ones again.
    throw new ImageError('elf-type', 'only ELF core files (ET_CORE, 4) hold physical memory', { type });
  }
  return elfClass === 1 ? ELF32 : ELF64;
}

/** The number of program headers, with gabi's way out for more than 65534. */
function countHeaders(source: ByteSource, elf: ElfClass, header: DataView): number {
  const count = header.getUint16(elf.phnum, true);
  if (count !== PN_XNUM) return count;
  const sections = word(header, elf, elf.shoff);
  if (sections === 0n) throw new ImageError('elf-header', 'e_phnum refers to section 0, which is missing', { count });
  const section = readRange(source, sections, BigInt(elf.sectionBytes), 'section header 0');
  return view(section).getUint32(elf.shInfo, true);
}

/**
 * Reads the headers of an ELF core.
 * @param source the whole file
 * @throws ImageError `not-elf` and every rule that begins with `elf-`, except `elf-no-memory`; what reading throws
 */
export function readElfLayout(source: ByteSource): ElfLayout {
  const elf = readClass(readUpTo(source, 0, ELF64.headerBytes));
  const header = view(readRange(source, 0n, BigInt(elf.headerBytes), 'the ELF header'));
  const count = countHeaders(source, elf, header);
  if (count > MAX_SEGMENTS) {
    throw new ImageError('elf-too-many-segments', 'too many program headers', { count, limit: MAX_SEGMENTS });
  }
  const entryBytes = header.getUint16(elf.phentsize, true);
  if (count > 0 && entryBytes !== elf.entryBytes) {
    const values = { entryBytes, expected: elf.entryBytes };
    throw new ImageError('elf-header', 'program headers have an unexpected size', values);
  }
  const tableAt = word(header, elf, elf.phoff);
  const table = view(readRange(source, tableAt, BigInt(count * elf.entryBytes), 'the program header table'));
  const loads: ElfLoad[] = [];
  const notes: FileRange[] = [];
  const unstored: AddressRange[] = [];
  for (let index = 0; index < count; index++) {
    const at = index * elf.entryBytes;
    const type = table.getUint32(at, true);
    if (type !== PT_LOAD && type !== PT_NOTE) continue;
    const offset = word(table, elf, at + elf.offset);
    const fileBytes = word(table, elf, at + elf.filesz);
    if (type === PT_NOTE) {
      notes.push(inFile(source, offset, fileBytes, `note segment ${index}`));
      continue;
    }
    const physical = word(table, elf, at + elf.paddr);
    const virtual = word(table, elf, at + elf.vaddr);
    const memoryBytes = word(table, elf, at + elf.memsz);
    if (memoryBytes < fileBytes) {
      const values = { index, fileBytes, memoryBytes };
      throw new ImageError('elf-segment-size', 'a segment has more bytes in the file than in memory', values);
    }
    if (memoryBytes === 0n) continue;
    if (fileBytes === 0n && offset === BigInt.asUintN(elf.bits, -1n)) {
      unstored.push({ start: physical, end: physical + memoryBytes });
      continue;
    }
    // A segment without bytes has no place in the file, whatever its offset says.
    const range = inFile(source, fileBytes === 0n ? 0n : offset, fileBytes, `segment ${index}`);
    loads.push({ index, physical, virtual, offset: range.start, fileBytes: Number(fileBytes), memoryBytes });
  }
  return { bits: elf.bits, machine: header.getUint16(18, true), loads, notes, unstored };
}

/**
 * The segments of an ELF core.
 * @param name the image's name, for messages
 * @throws ImageError `elf-no-memory`
 */
export function elfSegments(source: ByteSource, layout: ElfLayout, name: string): readonly SourcedSegment[] {
  if (layout.loads.length === 0) {
    throw new ImageError('elf-no-memory', 'the ELF core holds no memory', { origin: name });
  }
  return layout.loads.map(({ index, physical, memoryBytes, fileBytes, offset }) => ({
    start: physical,
    end: physical + memoryBytes,
    stored: BigInt(fileBytes),
    origin: `${name}, segment ${index}`,
    source,
    offset,
  }));
}
