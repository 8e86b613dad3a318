/**
 * Registers of 32-bit Arm that translation depends on, as data.
 * Source: Arm Architecture Reference Manual, Armv7-A and Armv7-R (DDI 0406), B4.1: TTBCR, TTBR0, TTBR1, DACR, PRRR,
 * NMRR, MAIR0, MAIR1, SCTLR, DFSR, ID_MMFR0, ID_MMFR3; B3.5.4 and B3.6.4 for the two forms of TTBCR and TTBRn.
 */
import type { BitRange, Field, OptionValues, RegisterFormat } from '@pagefold/core';

type Values = Readonly<Record<number, string>>;
type Row = readonly [name: string, hi: number, lo: number, meaning: string, values?: Values];

const CACHE: Values = { 0: 'non-cacheable', 1: 'write-back, write-allocate', 2: 'write-through', 3: 'write-back' };
const SHARE: Values = { 0: 'non', 1: 'reserved', 2: 'outer', 3: 'inner' };
const OFF: Values = { 0: 'walks', 1: 'translation fault' };
const DOMAIN: Values = { 0: 'no access', 1: 'client', 2: 'reserved', 3: 'manager' };
const TYPE: Values = { 0: 'strongly-ordered', 1: 'device', 2: 'normal', 3: 'reserved' };

function fieldOf(section: string, [name, hi, lo, meaning, values]: Row): Field {
  const bits: readonly BitRange[] = [[hi, lo]];
  return { name, bits, meaning, section, ...(values === undefined ? {} : { values }) };
}

function register(
  name: string,
  bits: 32 | 64,
  title: string,
  rows: readonly Row[],
  more: readonly Field[] = [],
): RegisterFormat {
  const section = `B4.1 ${name.toUpperCase()}`;
  return { name, bits, title, fields: [...rows.map((row) => fieldOf(section, row)), ...more], section };
}

/** Numbers from 0 up, as rows of a register that holds one field for each. */
function rowsFor(count: number, row: (n: number) => Row): readonly Row[] {
  return Array.from({ length: count }, (_, n) => row(n)).reverse();
}

/** IRGN of a 32-bit TTBR lies in two places. */
function irgn(name: string): Field {
  const bits: readonly BitRange[] = [
    [0, 0],
    [6, 6],
  ];
  return { name: 'irgn', bits, meaning: 'inner cacheability of walks', values: CACHE, section: `B4.1 ${name}` };
}

/** TTBCR with EAE = 0. */
export const ttbcrShort: RegisterFormat = register('ttbcr', 32, 'translation table base control, short descriptors', [
  ['eae', 31, 31, 'format of the tables', { 0: 'short', 1: 'long' }],
  ['pd1', 5, 5, 'walks through TTBR1', OFF],
  ['pd0', 4, 4, 'walks through TTBR0', OFF],
  ['n', 2, 0, 'TTBR0 translates 2^(32-N) bytes; 0: everything'],
]);

/** TTBCR with EAE = 1. */
export const ttbcrLong: RegisterFormat = register('ttbcr', 32, 'translation table base control, long descriptors', [
  ['eae', 31, 31, 'format of the tables', { 0: 'short', 1: 'long' }],
  ['sh1', 29, 28, 'shareability of walks through TTBR1', SHARE],
  ['orgn1', 27, 26, 'outer cacheability of walks through TTBR1', CACHE],
  ['irgn1', 25, 24, 'inner cacheability of walks through TTBR1', CACHE],
  ['epd1', 23, 23, 'walks through TTBR1', OFF],
  ['a1', 22, 22, 'which TTBR holds the ASID', { 0: 'TTBR0', 1: 'TTBR1' }],
  ['t1sz', 18, 16, 'TTBR1 translates the top 2^(32-T1SZ) bytes; 0: what TTBR0 leaves'],
  ['sh0', 13, 12, 'shareability of walks through TTBR0', SHARE],
  ['orgn0', 11, 10, 'outer cacheability of walks through TTBR0', CACHE],
  ['irgn0', 9, 8, 'inner cacheability of walks through TTBR0', CACHE],
  ['epd0', 7, 7, 'walks through TTBR0', OFF],
  ['t0sz', 2, 0, 'TTBR0 translates the low 2^(32-T0SZ) bytes'],
]);

const shortBase = (name: string, lo: number): RegisterFormat =>
  register(
    name,
    32,
    `translation table base ${name.slice(4)}, short descriptors`,
    [
      ['base', 31, lo, 'table base; how many low bits count depends on TTBCR.N'],
      ['nos', 5, 5, 'walks are not outer shareable'],
      ['rgn', 4, 3, 'outer cacheability of walks', CACHE],
      ['imp', 2, 2, 'implementation defined'],
      ['s', 1, 1, 'walks are shareable'],
    ],
    [irgn(name.toUpperCase())],
  );

const longBase = (name: string): RegisterFormat =>
  register(name, 64, `translation table base ${name.slice(4)}, long descriptors`, [
    ['asid', 55, 48, 'address-space identifier (TTBCR.A1 says whose counts)'],
    ['base', 39, 4, 'table base; how many low bits count depends on TTBCR.TxSZ'],
  ]);

/** TTBR0, 32 bits. */
export const ttbr0Short: RegisterFormat = shortBase('ttbr0', 7);
/** TTBR1, 32 bits. */
export const ttbr1Short: RegisterFormat = shortBase('ttbr1', 14);
/** TTBR0, 64 bits. */
export const ttbr0Long: RegisterFormat = longBase('ttbr0');
/** TTBR1, 64 bits. */
export const ttbr1Long: RegisterFormat = longBase('ttbr1');

/** DACR: two bits for each domain. */
export const dacr: RegisterFormat = register(
  'dacr',
  32,
  'domain access control',
  rowsFor(16, (n) => [`d${n}`, 2 * n + 1, 2 * n, `domain ${n}`, DOMAIN]),
);

/** PRRR: types by TEX[0]:C:B. It is the same register as MAIR0. */
export const prrr: RegisterFormat = register('prrr', 32, 'primary region remap', [
  ...rowsFor(8, (n): Row => [`nos${n}`, 24 + n, 24 + n, `shareable type ${n} is inner shareable only`]),
  ['ns1', 19, 19, 'normal memory with S = 1 is shareable'],
  ['ns0', 18, 18, 'normal memory with S = 0 is shareable'],
  ['ds1', 17, 17, 'device memory with S = 1 is shareable'],
  ['ds0', 16, 16, 'device memory with S = 0 is shareable'],
  ...rowsFor(8, (n): Row => [`tr${n}`, 2 * n + 1, 2 * n, `type ${n}`, TYPE]),
]);

/** NMRR: cacheability of normal types. It is the same register as MAIR1. */
export const nmrr: RegisterFormat = register('nmrr', 32, 'normal memory remap', [
  ...rowsFor(8, (n): Row => [`or${n}`, 2 * n + 17, 2 * n + 16, `outer cacheability of type ${n}`, CACHE]),
  ...rowsFor(8, (n): Row => [`ir${n}`, 2 * n + 1, 2 * n, `inner cacheability of type ${n}`, CACHE]),
]);

/** MAIR0: attributes 0 to 3. */
export const mair0: RegisterFormat = register(
  'mair0',
  32,
  'memory attribute indirection 0',
  rowsFor(4, (n) => [`attr${n}`, 8 * n + 7, 8 * n, `attributes of index ${n}`]),
);

/** MAIR1: attributes 4 to 7. */
export const mair1: RegisterFormat = register(
  'mair1',
  32,
  'memory attribute indirection 1',
  rowsFor(4, (n) => [`attr${n + 4}`, 8 * n + 7, 8 * n, `attributes of index ${n + 4}`]),
);

/** SCTLR: only bits that bear on memory. */
export const sctlr: RegisterFormat = register('sctlr', 32, 'system control', [
  ['te', 30, 30, 'exceptions are taken to Thumb code'],
  ['afe', 29, 29, 'AP[0] is the access flag'],
  ['tre', 28, 28, 'TEX remap'],
  ['ee', 25, 25, 'big-endian exceptions and walks'],
  ['uwxn', 20, 20, 'what users can write is not executable by privileged code'],
  ['wxn', 19, 19, 'what is writable is not executable'],
  ['ha', 17, 17, 'hardware sets the access flag'],
  ['v', 13, 13, 'vectors are high'],
  ['i', 12, 12, 'instruction cache'],
  ['c', 2, 2, 'data cache'],
  ['a', 1, 1, 'alignment is checked'],
  ['m', 0, 0, 'MMU is on'],
]);

/** ID_MMFR0: the field that says which translation tables there are. */
export const idMmfr0: RegisterFormat = register('id_mmfr0', 32, 'memory model features 0', [
  ['vmsa', 3, 0, 'VMSA', { 3: 'VMSAv7', 4: 'VMSAv7 with PXN', 5: 'VMSAv7 with PXN and long descriptors' }],
]);

/** ID_MMFR3: supersections and how walks see the caches. */
export const idMmfr3: RegisterFormat = register('id_mmfr3', 32, 'memory model features 3', [
  ['supersec', 31, 28, 'supersections', { 0: 'supported', 15: 'not supported' }],
  ['cohwalk', 23, 20, 'walks see the data cache', { 0: 'no', 1: 'yes' }],
]);

/** All of them; where a name has two forms, the narrower and plainer one first. */
export const armRegisterFormats: readonly RegisterFormat[] = [
  ttbcrShort,
  ttbcrLong,
  ttbr0Short,
  ttbr0Long,
  ttbr1Short,
  ttbr1Long,
  dacr,
  prrr,
  nmrr,
  mair0,
  mair1,
  sctlr,
  idMmfr0,
  idMmfr3,
];

/**
 * Which of several forms of a register a value belongs to: TTBCR by EAE, bases by the EAE of a TTBCR that is known, else
 * by their width.
 */
export function pickArmRegister(name: string, value: bigint, { ttbcr }: OptionValues): RegisterFormat | undefined {
  const forms = armRegisterFormats.filter((each) => each.name === name);
  if (name === 'ttbcr') return (value >> 31n) & 1n ? ttbcrLong : ttbcrShort;
  if (typeof ttbcr === 'bigint' && (ttbcr >> 31n) & 1n) return forms.find(({ bits }) => bits === 64) ?? forms[0];
  return forms.find(({ bits }) => value >> BigInt(bits) === 0n) ?? forms[0];
}
