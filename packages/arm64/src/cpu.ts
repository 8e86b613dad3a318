/**
 * What a processor has, as far as translation depends on it.
 * Source: Arm Architecture Reference Manual (DDI 0487), the FEAT_ names; ID_AA64MMFRn_EL1.
 */
import { ArgumentError } from '@pagefold/core';

/** What a processor has. */
export interface Arm64Cpu {
  /** Implemented physical address bits. */
  readonly paBits: number;
  /** FEAT_LPA: 52-bit physical addresses with 64K pages. */
  readonly lpa: boolean;
  /** FEAT_LVA: 52-bit virtual addresses with 64K pages. */
  readonly lva: boolean;
  /** FEAT_LPA2: 52-bit addresses with 4K and 16K pages. */
  readonly lpa2: boolean;
  /** FEAT_TTST: small tables. */
  readonly ttst: boolean;
  /** FEAT_HAFDBS: 0 none, 1 access flag, 2 access flag and dirty state. */
  readonly hafdbs: 0 | 1 | 2;
  /** FEAT_XNX: execute never by exception level at stage 2. */
  readonly xnx: boolean;
  /** HCR_EL2.FWB: stage 2 forces write-back. */
  readonly fwb: boolean;
}

/** A processor with everything: what is assumed when nobody says. Registers that ask for less get less. */
export const fullCpu: Arm64Cpu = {
  paBits: 52,
  lpa: true,
  lva: true,
  lpa2: true,
  ttst: true,
  hafdbs: 2,
  xnx: true,
  fwb: false,
};

/** Words for {@link cpuOfWords}: extensions, and `pa48` and the like for the physical address size. */
export const CPU_WORDS = [
  'lpa',
  'lva',
  'lpa2',
  'ttst',
  'haf',
  'hafdbs',
  'xnx',
  'fwb',
  'pa32',
  'pa36',
  'pa40',
  'pa42',
  'pa44',
  'pa48',
  'pa52',
  'none',
] as const;

/**
 * A processor that has what is listed and nothing else. `haf` sets access flags by itself, `hafdbs` manages the dirty
 * state too, `fwb` stands for stage 2 that forces write-back. Without a size: 52 bits if `lpa` or `lpa2` is there, else 48.
 * @throws ArgumentError `cpu-word` for a word that is none of {@link CPU_WORDS}
 */
export function cpuOfWords(words: readonly string[]): Arm64Cpu {
  const unknown = words.find((word) => !CPU_WORDS.some((known) => known === word));
  if (unknown !== undefined) {
    throw new ArgumentError('cpu-word', `a processor is described by ${CPU_WORDS.join(', ')}`, { word: unknown });
  }
  const has = (word: (typeof CPU_WORDS)[number]): boolean => words.includes(word);
  const size = words.find((word) => /^pa\d+$/.test(word));
  return {
    paBits: size === undefined ? (has('lpa') || has('lpa2') ? 52 : 48) : Number(size.slice(2)),
    lpa: has('lpa'),
    lva: has('lva'),
    lpa2: has('lpa2'),
    ttst: has('ttst'),
    hafdbs: has('hafdbs') ? 2 : has('haf') ? 1 : 0,
    xnx: has('xnx'),
    fwb: has('fwb'),
  };
}
