/**
 * The hardware word that goes with Linux's page entry (`set_pte_ext`). Accessed and dirty are software's: an entry
 * that is not young has no hardware word at all, and one that is not dirty cannot be written.
 * Source: Linux 6.12 arch/arm/mm/proc-macros.S (`armv6_set_pte_ext`, `armv3_set_pte_ext`), proc-v7-2level.S,
 * proc-v7-3level.S.
 */
import { type Field, type Paging, rangesMask } from '@pagefold/core';
import { hasFlags, LINUX_TYPES, linuxField, linuxMask } from './linux-pte.ts';
import { shortPaging } from './regime.ts';

/** Which processor's code stores entries. */
export type PteModel = 'v7-short' | 'v6-short' | 'v5-short' | 'v7-lpae';

/** AP[2:0] of kernel and user pages, read-write; AP[2] is added for read-only. */
const AP_KERNEL = 1;
const AP_USER = 2;
const AP_READ_ONLY = 4;

const paging: Paging = shortPaging();

/** Can the hardware let writes through? Only what is dirty already. */
function writable(linux: bigint): boolean {
  return hasFlags('short', linux, 'dirty') && !hasFlags('short', linux, 'rdonly');
}

function frameOf(linux: bigint): bigint {
  return linux & linuxMask('short', 'pfn');
}

/** A small page with these fields. */
function smallPage(linux: bigint, fields: Readonly<Record<string, number>>): bigint {
  return paging.encodeLeaf(0, frameOf(linux), fields, 'small');
}

function flag(linux: bigint, name: string): number {
  return Number(hasFlags('short', linux, name));
}

/** The word of a processor that remaps TEX: the low three bits of Linux's type are TEX[0], C and B. */
function v7Word(linux: bigint, notGlobal: number): bigint {
  const type = Number(linuxField('short', 'type', linux));
  const ap = AP_KERNEL | (flag(linux, 'user') * AP_USER) | (writable(linux) ? 0 : AP_READ_ONLY);
  return smallPage(linux, {
    ap,
    tex: (type >> 2) & 1,
    c: (type >> 1) & 1,
    b: type & 1,
    s: flag(linux, 'shared'),
    nG: notGlobal,
    xn: flag(linux, 'xn'),
  });
}

/** What v6 makes of a type: TEX, C, B, and whether AP[2] is inverted (the vectors, which the kernel must write). */
const V6_TYPES: Readonly<Record<number, { tex?: number; c?: number; b?: number; invert?: true }>> = {
  1: { tex: 1 },
  2: { c: 1 },
  3: { c: 1, b: 1 },
  4: { b: 1 },
  7: { tex: 1, c: 1, b: 1 },
  9: { tex: 1 },
  11: { c: 1, b: 1 },
  12: { tex: 2 },
  15: { c: 1, b: 1, invert: true },
};

function v6Word(linux: bigint, notGlobal: number): bigint {
  const { tex = 0, c = 0, b = 0, invert } = V6_TYPES[Number(linuxField('short', 'type', linux))] ?? {};
  const user = hasFlags('short', linux, 'user');
  const readOnly = writable(linux) ? 0 : AP_READ_ONLY;
  // AP 111 does not exist before v7: what users may only read, AP 110 says.
  const base = user ? AP_USER | (readOnly === 0 ? AP_KERNEL : 0) : AP_KERNEL;
  const ap = (base | readOnly) ^ (invert === true ? AP_READ_ONLY : 0);
  return smallPage(linux, { ap, tex, c, b, s: flag(linux, 'shared'), nG: notGlobal, xn: flag(linux, 'xn') });
}

/** A small page before v6: AP once for each quarter of the page, no TEX, no XN, no nG. */
const V5_SMALL: Readonly<Record<'type' | 'cacheable' | 'user' | 'write', Field['bits']>> = {
  type: [[1, 1]],
  cacheable: [[3, 2]],
  write: [4, 6, 8, 10].map((bit) => [bit, bit] as const),
  user: [5, 7, 9, 11].map((bit) => [bit, bit] as const),
};

function v5Word(linux: bigint): bigint {
  return (
    frameOf(linux) |
    (linux & rangesMask(V5_SMALL.cacheable)) |
    rangesMask(V5_SMALL.type) |
    (writable(linux) ? rangesMask(V5_SMALL.write) : 0n) |
    (hasFlags('short', linux, 'user') ? rangesMask(V5_SMALL.user) : 0n)
  );
}

/** The only word that there is under long descriptors, as it is stored. */
function lpaeWord(linux: bigint): bigint {
  if ((linux & 1n) === 0n) return linux;
  if (hasFlags('lpae', linux, 'none')) return linux & ~1n;
  const readOnly = linuxMask('lpae', 'ap2');
  const canWrite = hasFlags('lpae', linux, 'dirty') && !hasFlags('lpae', linux, 'rdonly');
  return canWrite ? linux & ~readOnly : linux | readOnly;
}

/**
 * The hardware word for Linux's page entry.
 * @param linux what `set_pte` was given
 * @param extra bits for the hardware word alone: 0x800 says that it belongs to one process
 */
export function hardwarePte(model: PteModel, linux: bigint, extra = 0n): bigint {
  if (model === 'v7-lpae') return lpaeWord(linux | extra);
  if (!hasFlags('short', linux, 'present', 'young')) return 0n;
  if (model === 'v5-short') return v5Word(linux);
  if (hasFlags('short', linux, 'none')) return 0n;
  const notGlobal = Number(extra !== 0n);
  return model === 'v6-short' ? v6Word(linux, notGlobal) : v7Word(linux, notGlobal);
}

/** Names of the flags that are set in a short page entry, and its type: for output. */
export function linuxPteWords(linux: bigint): readonly string[] {
  const names = ['present', 'young', 'dirty', 'rdonly', 'user', 'xn', 'shared', 'none'];
  const type = Number(linuxField('short', 'type', linux));
  const [word] = Object.entries(LINUX_TYPES.short).find(([, value]) => value === type) ?? [`${type}`];
  return [...names.filter((name) => hasFlags('short', linux, name)).map((name) => name.toUpperCase()), `MT_${word}`];
}
