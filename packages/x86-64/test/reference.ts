/**
 * Slow, obvious references: rights as the sentences of SDM 5.6.1 and 5.6.2 state them one by one, error codes as 5.7
 * does, and a descent that knows no more than where the fields are.
 */

/** A leaf with the rights of all levels, an access, and the control bits. */
export interface Situation {
  readonly userAddress: boolean;
  readonly rw: boolean;
  readonly xd: boolean;
  readonly key: number;
  readonly userMode: boolean;
  readonly kind: 'read' | 'write' | 'execute';
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly ac: boolean;
  readonly implicit: boolean;
  readonly nxe: boolean;
  readonly keys: boolean;
  readonly pkru: number;
  readonly pkrs: number;
}

function keyBit(register: number, key: number, at: 0 | 1): boolean {
  return Math.floor(register / 2 ** (2 * key + at)) % 2 === 1;
}

/** SDM 5.6.2, without its last paragraph about shadow stacks. */
export function keyAllows(s: Situation): boolean {
  if (!s.keys || s.kind === 'execute') return true;
  const register = s.userAddress ? s.pkru : s.pkrs;
  if (keyBit(register, s.key, 0)) return false;
  if (s.kind === 'read') return true;
  if (!keyBit(register, s.key, 1)) return true;
  return !s.userMode && !s.wp;
}

/** SDM 5.6.1, sentence by sentence. */
export function rightsAllow(s: Situation): boolean {
  if (!s.userMode) {
    if (s.kind === 'read') {
      if (!s.userAddress) return true;
      if (!s.smap) return true;
      return s.implicit ? false : s.ac;
    }
    if (s.kind === 'write') {
      if (!s.userAddress) return s.wp ? s.rw : true;
      if (s.smap && (s.implicit || !s.ac)) return false;
      return s.wp ? s.rw : true;
    }
    if (s.userAddress && s.smep) return false;
    return s.nxe ? !s.xd : true;
  }
  if (!s.userAddress) return false;
  if (s.kind === 'read') return true;
  if (s.kind === 'write') return s.rw;
  return s.nxe ? !s.xd : true;
}

/** What the processor pushes, as SDM 5.7 lists the bits. */
export function errorCode(s: Situation, found: 'not-present' | 'reserved' | 'rights'): number {
  let code = 0;
  if (found !== 'not-present') code += 1;
  if (s.kind === 'write') code += 2;
  if (s.userMode) code += 4;
  if (found === 'reserved') code += 8;
  if (s.kind === 'execute' && (s.smep || s.nxe)) code += 16;
  if (found === 'rights' && !keyAllows(s)) code += 32;
  return code;
}

/** What a word is. */
export interface Reading {
  readonly kind: 'empty' | 'table' | 'leaf' | 'malformed';
  readonly address?: bigint;
}

/** Tables 5-14 to 5-20 of the SDM, bit by bit. */
export function read(
  level: number,
  word: bigint,
  machine: { readonly nxe: boolean; readonly gbpages: boolean; readonly amd: boolean; readonly paBits: number },
): Reading {
  const bit = (at: number): boolean => (word >> BigInt(at)) % 2n === 1n;
  if (!bit(0)) return { kind: 'empty' };
  let reserved = bit(63) && !machine.nxe;
  for (let at = machine.paBits; at < 52; at++) reserved ||= bit(at);
  const large = level === 1 || (level === 2 && machine.gbpages);
  const leaf = level === 0 || (large && bit(7));
  if (leaf) for (let at = 13; at < 12 + 9 * level; at++) reserved ||= bit(at);
  else {
    reserved ||= bit(7);
    reserved ||= machine.amd && level >= 3 && bit(8);
  }
  if (reserved) return { kind: 'malformed' };
  let address = 0n;
  for (let at = leaf ? 12 + 9 * level : 12; at < 52; at++) if (bit(at)) address += 2n ** BigInt(at);
  return { kind: leaf ? 'leaf' : 'table', address };
}
