/** x86-64 as tools see it: registers, options, and how they become roots. */
import {
  type Architecture,
  ArgumentError,
  type Capture,
  checkOptionValues,
  type Facts,
  numberIn,
  type OptionValues,
  optionNumber,
  optionWords,
  type RootDescription,
  recordIn,
  rootFacts,
} from '@pagefold/core';
import { x86Access } from './access.ts';
import { usesPcid, type X86Cpu, type X86Registers, x86FeaturesOf, x86LevelsOf, x86Root } from './configuration.ts';
import { x86Fences } from './fence-provider.ts';
import { MAX_PHYSICAL_BITS, x86Paging } from './geometry.ts';
import { x86Layouts } from './layout/provider.ts';
import { cr3, cr3Pcid, x86Registers } from './registers.ts';
import { x86RootForms } from './root-forms.ts';
import { X86_ELF, x86RootRegisters } from './root-registers.ts';

const CPU_WORDS = ['gbpages', 'amd', 'none'] as const;
const REGISTER_NAMES = ['cr0', 'cr3', 'cr4', 'efer', 'pkru', 'pkrs', 'pat'] as const;

/**
 * MAXPHYADDR.
 * @throws ArgumentError if it is none
 */
function physicalBits(given: bigint | undefined): number | undefined {
  if (given !== undefined && (given < 32n || given > BigInt(MAX_PHYSICAL_BITS))) {
    throw new ArgumentError('maxphyaddr', `a physical-address width is 32 to ${MAX_PHYSICAL_BITS}`, { bits: given });
  }
  return given === undefined ? undefined : Number(given);
}

function cpuOf(values: OptionValues, facts: Facts = {}): X86Cpu {
  const words = optionWords(values, 'cpu');
  return {
    paBits: physicalBits(optionNumber(values, 'maxphyaddr') ?? numberIn(facts, 'maxphyaddr')),
    gbPages: words === undefined ? facts.gbpages !== false : words.includes('gbpages'),
    amd: words === undefined ? facts.amd === true : words.includes('amd'),
  };
}

/** Register values: options go before what a root says of itself, that before the registers of the machine. */
function registersOf(values: OptionValues, root: Facts = {}, machine: Facts = {}): Partial<X86Registers> {
  return Object.fromEntries(
    REGISTER_NAMES.map((name) => [
      name,
      optionNumber(values, name) ?? numberIn(root, name) ?? numberIn(machine, name, name.toUpperCase()),
    ]),
  );
}

function rootOf(registers: Partial<X86Registers>, cpu: X86Cpu, label: string): RootDescription {
  const { cr3: root } = registers;
  if (root === undefined) throw new ArgumentError('no-root', 'give --cr3');
  return x86Root({ ...registers, cr3: root }, cpu, label);
}

/** x86-64 for tools. */
export const x86: Architecture = {
  name: 'x86-64',
  aliases: ['x86_64', 'amd64', 'x64'],
  title: 'x86-64: 4-level and 5-level paging',
  registers: x86Registers,
  // CR4.PCIDE decides which of the two layouts CR3 has; the value alone cannot.
  pickRegister: (name, _, { cr4: extensions }) => {
    if (name !== 'cr3') return undefined;
    return typeof extensions === 'bigint' && usesPcid(extensions) ? cr3Pcid : cr3;
  },
  options: [
    { name: 'cr3', kind: 'number', meaning: 'CR3: the root table' },
    { name: 'cr4', kind: 'number', meaning: 'CR4: levels (LA57), SMEP, SMAP, keys (not given: four levels)' },
    { name: 'cr0', kind: 'number', meaning: 'CR0: WP (not given: set)' },
    { name: 'efer', kind: 'number', meaning: 'EFER: NXE (not given: set)' },
    { name: 'pkru', kind: 'number', meaning: 'PKRU, if CR4.PKE is set' },
    { name: 'pkrs', kind: 'number', meaning: 'IA32_PKRS, if CR4.PKS is set' },
    { name: 'pat', kind: 'number', meaning: "IA32_PAT: memory types (not given: Linux's)" },
    { name: 'levels', kind: 'word', meaning: 'levels of tables, instead of --cr4', values: ['4', '5'] },
    { name: 'maxphyaddr', kind: 'number', meaning: 'physical-address width (not given: 52)' },
    { name: 'cpu', kind: 'list', meaning: 'what the processor has (not given: gbpages)', values: CPU_WORDS },
  ],
  accessOptions: x86Access.options,
  example: '--cr3 0x10de4a000 --cr4 0x3506f0 --efer 0xd01',
  roots(values) {
    checkOptionValues(x86.options, values);
    return [rootOf(withLevels(registersOf(values), values), cpuOf(values), 'cr3')];
  },
  paging(values) {
    checkOptionValues(x86.options, values);
    const registers = withLevels(registersOf(values), values);
    const { paBits, ...cpu } = cpuOf(values);
    return x86Paging(x86LevelsOf(registers), {
      features: x86FeaturesOf(registers, cpu),
      ...(paBits === undefined ? {} : { paBits }),
      ...(registers.pat === undefined ? {} : { pat: registers.pat }),
    });
  },
  ...{ rootRegisters: x86RootRegisters, rootForms: x86RootForms, elf: X86_ELF },
  captureRoots(capture: Capture, label, values) {
    checkOptionValues(x86.options, values);
    const root = rootFacts(capture, label);
    const registers = registersOf(values, root, recordIn(capture, 'registers'));
    // The machine's CR3 is one of its roots: it says nothing of a root that has an address of its own.
    const address = optionNumber(values, 'cr3') ?? numberIn(root, 'cr3', 'root_pa') ?? registers.cr3;
    return [
      rootOf(
        withLevels({ ...registers, ...(address === undefined ? {} : { cr3: address }) }, values),
        cpuOf(values, recordIn(capture, 'cpu')),
        label,
      ),
    ];
  },
  layouts: x86Layouts,
  fences: x86Fences,
};

/**
 * CR4 with what `--levels` says about it.
 * @throws ArgumentError if `--cr4` says otherwise
 */
function withLevels(registers: Partial<X86Registers>, { levels, cr4 }: OptionValues): Partial<X86Registers> {
  if (levels === undefined) return registers;
  const la57 = 1n << 12n;
  if (typeof cr4 === 'bigint' && ((cr4 & la57) !== 0n) !== (levels === '5')) {
    throw new ArgumentError('levels-conflict', `CR4 says other levels than the option, ${String(levels)}`, { cr4 });
  }
  const base = registers.cr4 ?? 0x20n;
  return { ...registers, cr4: levels === '5' ? base | la57 : base & ~la57 };
}
