/**
 * ELF core files of physical memory, little-endian, in both classes.
 *
 * Facts: System V ABI (gabi), chapters 4 and 5, and its way out for more than 65534 program headers (PN_XNUM). Every
 * PT_LOAD stands at its physical address (`p_paddr`), its virtual address is 0. The machine is a number of the caller's:
 * nothing here knows an architecture.
 */
import { checkOption, checkPower, EmitError } from './errors.ts';
import type { MemoryPiece } from './pieces.ts';

/** One note, as it stands in a PT_NOTE segment. */
export interface ElfNote {
  /** Owner, such as `CORE`; written with a terminating zero. ASCII. */
  readonly name: string;
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** Options of {@link elfCore}. */
export interface ElfCoreOptions {
  /** `e_machine`: 243 RISC-V, 183 AArch64, 40 ARM, 62 x86-64. */
  readonly machine: number;
  /** Class of the file. Not supplied: 64. */
  readonly bits?: 32 | 64;
  /** `e_flags`. Not supplied: 0. */
  readonly flags?: number;
  /** Notes, written as one PT_NOTE in front of the memory. Not supplied: none. */
  readonly notes?: readonly ElfNote[];
  /** Alignment of the memory's offsets in the file: a power of two, 8 to 2^30. Not supplied: 4096. */
  readonly alignBytes?: number;
}

/** One program header. */
interface Header {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly physical: bigint;
  readonly bytes: Uint8Array;
  readonly align: number;
}

const ET_CORE = 4;
const PT_LOAD = 1;
const PT_NOTE = 4;
const PF_WRITE_READ = 6;
const PF_READ = 4;
/** `e_phnum` when the real count is in `sh_info` of section 0. */
const PN_XNUM = 0xffff;
/** Sizes of the file header, a program header and a section header. */
const SIZES = {
  32: { file: 52, program: 32, section: 40 },
  64: { file: 64, program: 56, section: 64 },
} as const;

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

/** Writes fields one behind the other. */
class Fields {
  readonly #view: DataView;
  readonly #wide: boolean;
  #at: number;

  constructor(file: Uint8Array, at: number, bits: 32 | 64) {
    this.#view = new DataView(file.buffer);
    this.#at = at;
    this.#wide = bits === 64;
  }

  half(...values: number[]): this {
    for (const value of values) {
      this.#view.setUint16(this.#at, value, true);
      this.#at += 2;
    }
    return this;
  }

  word(...values: number[]): this {
    for (const value of values) {
      this.#view.setUint32(this.#at, value, true);
      this.#at += 4;
    }
    return this;
  }

  /** Fields as wide as an address. */
  address(...values: (number | bigint)[]): this {
    for (const value of values) {
      if (!this.#wide) this.word(Number(value));
      else {
        this.#view.setBigUint64(this.#at, BigInt(value), true);
        this.#at += 8;
      }
    }
    return this;
  }
}

/** Sorts pieces, leaves out empty ones and checks where they lie. */
function sortPieces(pieces: readonly MemoryPiece[], bits: 32 | 64): MemoryPiece[] {
  const limit = bits === 32 ? 1n << 32n : 1n << 56n;
  const sorted = pieces
    .filter(({ bytes }) => bytes.length > 0)
    .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  let previous = 0n;
  for (const { address, bytes } of sorted) {
    const end = address + BigInt(bytes.length);
    if (address < 0n || end > limit) {
      throw new EmitError('piece-address', `a piece does not lie below ${bits === 32 ? '2^32' : '2^56'}`, {
        start: address,
        end,
      });
    }
    if (address < previous) throw new EmitError('piece-overlap', 'two pieces overlap', { address, end: previous });
    previous = end;
  }
  return sorted;
}

/** The bytes of a PT_NOTE segment: name and contents padded to 4 bytes, in both classes. */
function noteBytes(notes: readonly ElfNote[]): Uint8Array {
  const parts = notes.map(({ name, type, bytes }) => {
    const part = new Uint8Array(12 + roundUp(name.length + 1, 4) + roundUp(bytes.length, 4));
    new Fields(part, 0, 32).word(name.length + 1, bytes.length, checkOption('note type', type, 0, 2 ** 32 - 1));
    for (let i = 0; i < name.length; i++) part[12 + i] = checkOption('note name', name.charCodeAt(i), 1, 127);
    part.set(bytes, 12 + roundUp(name.length + 1, 4));
    return part;
  });
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Where everything lies in the file. */
interface Plan {
  readonly headers: readonly Header[];
  /** Offset of section header 0, or 0 without one. */
  readonly section: number;
  readonly size: number;
}

function planFile(pieces: readonly MemoryPiece[], notes: Uint8Array, bits: 32 | 64, align: number): Plan {
  const count = pieces.length + (notes.length > 0 ? 1 : 0);
  const extended = count >= PN_XNUM;
  const headersEnd = SIZES[bits].file + count * SIZES[bits].program;
  const section = extended ? roundUp(headersEnd, 8) : 0;
  let at = extended ? section + SIZES[bits].section : headersEnd;
  const headers: Header[] = [];
  if (notes.length > 0) {
    at = roundUp(at, 4);
    headers.push({ type: PT_NOTE, flags: PF_READ, offset: at, physical: 0n, bytes: notes, align: 4 });
    at += notes.length;
  }
  for (const { address, bytes } of pieces) {
    at = roundUp(at, align);
    headers.push({ type: PT_LOAD, flags: PF_WRITE_READ, offset: at, physical: address, bytes, align });
    at += bytes.length;
  }
  const limit = bits === 32 ? 2 ** 32 - 1 : 2 ** 33;
  if (at > limit) throw new EmitError('elf-size', 'the file would be too large', { size: at, limit });
  return { headers, section, size: at };
}

function writeHeader(file: Uint8Array, at: number, bits: 32 | 64, header: Header): void {
  const fields = new Fields(file, at, bits);
  const { type, flags, offset, physical, bytes, align } = header;
  const memory = type === PT_LOAD ? bytes.length : 0;
  if (bits === 64) fields.word(type, flags).address(offset, 0, physical, bytes.length, memory, align);
  else fields.word(type).address(offset, 0, physical, bytes.length, memory).word(flags, align);
}

/**
 * Writes an ELF core of physical memory. The same input gives the same bytes.
 * @param pieces memory, in any order; each non-empty piece becomes one PT_LOAD, in rising order of addresses
 * @throws EmitError `piece-address`, `piece-overlap`, `elf-size`, `option`
 */
export function elfCore(pieces: readonly MemoryPiece[], options: ElfCoreOptions): Uint8Array {
  const { bits = 64, flags = 0, notes = [], alignBytes = 4096 } = options;
  if (bits !== 32 && bits !== 64) throw new EmitError('option', 'bits must be 32 or 64', { bits });
  const machine = checkOption('machine', options.machine, 0, 0xffff);
  checkOption('flags', flags, 0, 2 ** 32 - 1);
  checkPower('alignBytes', alignBytes, 8, 2 ** 30);
  const plan = planFile(sortPieces(pieces, bits), noteBytes(notes), bits, alignBytes);
  const sizes = SIZES[bits];
  const count = plan.headers.length;
  const extended = plan.section !== 0;
  const file = new Uint8Array(plan.size);
  file.set([0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1]);
  new Fields(file, 16, bits)
    .half(ET_CORE, machine)
    .word(1)
    .address(0, count === 0 ? 0 : sizes.file, plan.section)
    .word(flags)
    .half(sizes.file, sizes.program, extended ? PN_XNUM : count)
    .half(extended ? sizes.section : 0, extended ? 1 : 0, 0);
  plan.headers.forEach((header, index) => {
    writeHeader(file, sizes.file + index * sizes.program, bits, header);
    file.set(header.bytes, header.offset);
  });
  // Section 0 is empty; only its sh_info counts. It follows name, type, flags, address, offset, size and link.
  if (extended) {
    new Fields(file, plan.section, bits).word(0, 0).address(0, 0, 0, 0).word(0, count);
  }
  return file;
}
