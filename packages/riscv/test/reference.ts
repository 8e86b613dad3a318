/**
 * The manual read aloud: entries and accesses judged bit by bit, slowly and without the format's description.
 * Source: RISC-V ISA Volume II, "Virtual Address Translation Process", "Svnapot", "Svpbmt".
 */

/** Extensions that change what entries mean. */
export interface Extensions {
  readonly svnapot: boolean;
  readonly svpbmt: boolean;
  readonly svrsw60t59b: boolean;
}

const bit = (word: bigint, at: number): boolean => ((word >> BigInt(at)) & 1n) === 1n;
const bits = (word: bigint, hi: number, lo: number): bigint =>
  (word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);

/** What a word is at a level of a table, with all reasons if it is malformed. */
export function referenceEntry(
  xlen: 32 | 64,
  level: number,
  word: bigint,
  extensions: Extensions,
): { readonly kind: 'empty' | 'table' | 'leaf' | 'malformed'; readonly reasons: readonly string[] } {
  const [v, r, w, x, u, , a, d] = Array.from({ length: 8 }, (_, i) => bit(word, i));
  if (v !== true) return { kind: 'empty', reasons: ['v_clear'] };
  const pointer = !r && !w && !x;
  const reasons: string[] = [];
  if (w && !r) reasons.push('w_without_r');
  if (xlen === 64) {
    if (extensions.svrsw60t59b) {
      if (bits(word, 58, 54) !== 0n) reasons.push('reserved_bits_58_54');
    } else if (bits(word, 60, 54) !== 0n) reasons.push('reserved_bits_60_54');
    const pbmt = bits(word, 62, 61);
    if (!extensions.svpbmt && pbmt !== 0n) reasons.push('pbmt_without_svpbmt');
    if (extensions.svpbmt && pbmt === 3n && !pointer) reasons.push('pbmt_value_3');
    if (extensions.svpbmt && pbmt !== 0n && pointer) reasons.push('nonleaf_pbmt');
    const n = bit(word, 63);
    if (n && !extensions.svnapot) reasons.push('n_without_svnapot');
    if (n && extensions.svnapot && level > 0) reasons.push('napot_at_upper_level');
    if (n && extensions.svnapot && level === 0 && (pointer || bits(word, 13, 10) !== 0b1000n)) {
      reasons.push('napot_bad_encoding');
    }
  }
  if (pointer) {
    if (d || a || u) reasons.push('nonleaf_dau');
    if (level === 0) reasons.push('pointer_at_last_level');
  } else if (level > 0) {
    const indexBits = xlen === 32 ? 10 : 9;
    if (bits(word, 10 + indexBits * level - 1, 10) !== 0n) reasons.push('misaligned_superpage');
  }
  if (reasons.length > 0) return { kind: 'malformed', reasons };
  return { kind: pointer ? 'table' : 'leaf', reasons };
}

/** The low bits of a leaf by letter. */
export type LeafFlags = Readonly<Record<'r' | 'w' | 'x' | 'u' | 'a' | 'd', boolean>>;

/** An access and the control bits it is made under. */
export interface ReferenceAccess {
  readonly kind: 'read' | 'write' | 'execute';
  readonly user: boolean;
  readonly sum: boolean;
  readonly mxr: boolean;
  readonly svadu: boolean;
}

/** May the access go through, and which of A and D does the hardware set? Steps 5 to 9 of the process. */
export function referenceAccess(
  leaf: LeafFlags,
  { kind, user, sum, mxr, svadu }: ReferenceAccess,
): { readonly allowed: boolean; readonly setsA: boolean; readonly setsD: boolean } {
  const refused = { allowed: false, setsA: false, setsD: false };
  if (user && !leaf.u) return refused;
  if (!user && leaf.u && kind === 'execute') return refused;
  if (!user && leaf.u && !sum) return refused;
  if (kind === 'read' && !leaf.r && !(mxr && leaf.x)) return refused;
  if (kind === 'write' && !leaf.w) return refused;
  if (kind === 'execute' && !leaf.x) return refused;
  const setsA = !leaf.a;
  const setsD = kind === 'write' && !leaf.d;
  if ((setsA || setsD) && !svadu) return refused;
  return { allowed: true, setsA, setsD };
}
