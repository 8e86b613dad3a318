/** 32-bit Arm as tools see it: registers, options, and how they become roots. */
import {
  type Architecture,
  ArgumentError,
  checkOptionValues,
  createPaging,
  type OptionValues,
  optionNumber,
  optionWords,
  type Paging,
} from '@pagefold/core';
import { armBoot } from './boot/boot.ts';
import { capturedRoots } from './capture.ts';
import { lpaeGeometry } from './geometry.ts';
import { armLayouts } from './layout/provider.ts';
import {
  type ArmRegisters,
  ASSUMED_FEATURES,
  armRoots,
  isLpae,
  lpaeFormatOf,
  type ShortFeature,
  shortPaging,
} from './regime.ts';
import { armRegisterFormats, pickArmRegister } from './registers.ts';
import { armRootForms } from './root-forms.ts';
import { ARM_ELF, armRootRegisters } from './root-registers.ts';
import { shortAccess } from './short-access.ts';

const FEATURES: readonly ShortFeature[] = ['pxn', 'supersections', 'afe', 'tre'];

const REGISTERS = [
  ['ttbr0', 'TTBR0: table base'],
  ['ttbr1', 'TTBR1: table base'],
  ['ttbcr', 'TTBCR: format and how the addresses are split (not given: 0, short descriptors)'],
  ['dacr', 'DACR: domains, short descriptors (not given: every domain a client)'],
  ['prrr', 'PRRR: memory types, short descriptors (not given: as Linux programs it)'],
  ['nmrr', 'NMRR: cacheability, short descriptors (not given: as Linux programs it)'],
  ['mair0', 'MAIR0: memory types, long descriptors (not given: as Linux programs it)'],
  ['mair1', 'MAIR1: memory types, long descriptors (not given: as Linux programs it)'],
] as const;

/** The registers among option values, of which a format may be known from elsewhere. */
function registersIn(values: OptionValues, known = false): Partial<ArmRegisters> {
  const { ttbcr: control = 0n } = values;
  const short = !known && typeof control === 'bigint' && !isLpae(control);
  checkOptionValues(arm.options, values, (name, value) => {
    // A base is as wide as the format has it: by the value alone, too wide a one would be of the other format.
    const forms = armRegisterFormats.filter((each) => each.name === name);
    return (short ? forms.find(({ bits }) => bits === 32) : undefined) ?? pickArmRegister(name, value, values);
  });
  const number = (name: string): bigint | undefined => optionNumber(values, name);
  const ttbcr = number('ttbcr');
  const dacr = number('dacr');
  return {
    ...(ttbcr === undefined ? {} : { ttbcr }),
    ttbr0: number('ttbr0'),
    ttbr1: number('ttbr1'),
    dacr: dacr === undefined ? undefined : Number(dacr),
    prrr: number('prrr'),
    nmrr: number('nmrr'),
    mair0: number('mair0'),
    mair1: number('mair1'),
  };
}

function featuresIn(values: OptionValues): readonly ShortFeature[] | undefined {
  return optionWords(values, 'features')?.filter((name): name is ShortFeature => name !== 'none');
}

/** 32-bit Arm for tools. */
export const arm: Architecture = {
  name: 'arm',
  aliases: ['arm32', 'armv7', 'armv7l', 'armhf', 'aarch32'],
  title: '32-bit Arm: short descriptors, long descriptors (LPAE)',
  registers: armRegisterFormats,
  pickRegister: pickArmRegister,
  options: [
    ...REGISTERS.map(([name, meaning]) => ({ name, kind: 'number' as const, meaning })),
    {
      name: 'features',
      kind: 'list',
      meaning: `what the processor has, short descriptors (not given: ${ASSUMED_FEATURES.join(',')})`,
      values: [...FEATURES, 'none'],
    },
  ],
  accessOptions: shortAccess.options,
  example: '--ttbr0 0x4020406a --dacr 0x51',
  roots(values) {
    const registers = registersIn(values);
    const { ttbcr = 0n, ttbr0, ttbr1 } = registers;
    const roots = armRoots({ ...registers, ttbcr }, featuresIn(values));
    if (roots.length > 0) return roots;
    if (ttbr0 === undefined && ttbr1 === undefined) throw new ArgumentError('no-root', 'give --ttbr0 or --ttbr1');
    throw new ArgumentError('no-root', 'with that TTBCR only TTBR0 translates: give --ttbr0', { ttbcr });
  },
  paging(values): Paging {
    const registers = registersIn(values);
    const { ttbcr = 0n } = registers;
    if (isLpae(ttbcr)) return createPaging(lpaeFormatOf(registers), lpaeGeometry());
    return shortPaging(featuresIn(values), 32, registers);
  },
  ...{ rootRegisters: armRootRegisters, rootForms: armRootForms, elf: ARM_ELF },
  captureRoots(capture, label, values) {
    return capturedRoots(capture, label, registersIn(values, true), featuresIn(values));
  },
  layouts: armLayouts,
  boot: armBoot,
};
