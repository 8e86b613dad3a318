/** RISC-V as tools see it: registers, options, and how they become roots. */
import {
  type Architecture,
  ArgumentError,
  type Capture,
  checkOptionValues,
  numberIn,
  type OptionValues,
  optionNumber,
  optionWords,
  type Paging,
  type RootDescription,
  rootFacts,
} from '@pagefold/core';
import { riscvAccess } from './access.ts';
import { riscvBoot } from './boot/boot.ts';
import { riscvFences } from './fence-provider.ts';
import { riscvLayouts } from './layout/provider.ts';
import { RISCV_MODES, type RiscvFeature, type RiscvMode, riscvPaging } from './modes.ts';
import { riscvRootForms } from './root-forms.ts';
import { RISCV_ELF, riscvRootRegisters } from './root-registers.ts';
import { decodeSatp, satp32, satp64 } from './satp.ts';
import { sstatus32, sstatus64 } from './sstatus.ts';

const FEATURES: readonly RiscvFeature[] = ['svnapot', 'svpbmt', 'svrsw60t59b', 'xtheadmae'];
/**
 * What is assumed on when nobody says: extensions whose absence would only make entries malformed. A kernel that does
 * not use them leaves their bits zero.
 */
const ASSUMED: readonly RiscvFeature[] = ['svnapot', 'svpbmt'];

function featuresOf(values: OptionValues, mode: RiscvMode): readonly RiscvFeature[] {
  if (mode === 'sv32') return [];
  return optionWords(values, 'features')?.filter((name): name is RiscvFeature => name !== 'none') ?? ASSUMED;
}

function isMode(word: unknown): word is RiscvMode {
  return RISCV_MODES.some((mode) => mode === word);
}

/**
 * XLEN of a satp value: a value of 32 bits with bit 31 set is Sv32, since read as RV64 it would be Bare with fields set,
 * which no one writes.
 */
function satpXlen(value: bigint): 32 | 64 {
  return value >> 31n === 1n ? 32 : 64;
}

function rootOfSatp(value: bigint, values: OptionValues, label: string): RootDescription {
  const decoded = decodeSatp(value, satpXlen(value));
  if (decoded.kind !== 'translation') {
    const why = decoded.kind.replaceAll('_', ' ');
    throw new ArgumentError('satp-mode', `satp selects no translation (${why})`, { satp: value });
  }
  return { paging: riscvPaging(decoded.mode, featuresOf(values, decoded.mode)), address: decoded.root, label };
}

function rootAt(mode: RiscvMode, address: bigint, values: OptionValues, label: string): RootDescription {
  return { paging: riscvPaging(mode, featuresOf(values, mode)), address, label };
}

/** The root that `--satp` names; `--mode` and `--root-pa` may only repeat what it says. */
function givenSatp(satp: bigint, values: OptionValues, label: string): RootDescription {
  const root = rootOfSatp(satp, values, label);
  const { name } = root.paging.geometry;
  const { mode } = values;
  if (mode !== undefined && name !== mode) {
    throw new ArgumentError('mode-conflict', `satp says ${name}, the option ${String(mode)}`, { satp });
  }
  const address = optionNumber(values, 'root-pa');
  if (address !== undefined && address !== BigInt(root.address)) {
    throw new ArgumentError('root-conflict', 'satp says another root than the option', { satp, rootPa: address });
  }
  return root;
}

/** RISC-V for tools. */
export const riscv: Architecture = {
  name: 'riscv',
  aliases: ['riscv64', 'riscv32', 'rv64', 'rv32'],
  title: 'RISC-V: Sv32, Sv39, Sv48, Sv57',
  registers: [satp64, satp32, sstatus64, sstatus32],
  pickRegister: (name, value) => (name === 'satp' ? (satpXlen(value) === 32 ? satp32 : satp64) : undefined),
  options: [
    { name: 'satp', kind: 'number', meaning: 'satp: mode and root' },
    { name: 'mode', kind: 'word', meaning: 'translation mode', values: RISCV_MODES },
    { name: 'root-pa', kind: 'number', meaning: 'physical address of the root table, with --mode' },
    {
      name: 'features',
      kind: 'list',
      meaning: `extensions that are on (not given: ${ASSUMED.join(',')})`,
      values: [...FEATURES, 'none'],
    },
  ],
  accessOptions: riscvAccess.options,
  example: '--satp 0x9000000000081fca',
  roots(values) {
    checkOptionValues(riscv.options, values);
    const { satp, mode } = values;
    const address = values['root-pa'];
    if (typeof satp === 'bigint') return [givenSatp(satp, values, 'satp')];
    if (isMode(mode) && typeof address === 'bigint') return [rootAt(mode, address, values, 'root')];
    throw new ArgumentError('no-root', 'give --satp, or --mode and --root-pa');
  },
  paging(values): Paging {
    checkOptionValues(riscv.options, values);
    const { satp, mode } = values;
    if (typeof satp === 'bigint') return givenSatp(satp, values, 'satp').paging;
    if (isMode(mode)) return riscvPaging(mode, featuresOf(values, mode));
    throw new ArgumentError('no-mode', 'give --mode or --satp');
  },
  ...{ rootRegisters: riscvRootRegisters, rootForms: riscvRootForms, elf: RISCV_ELF },
  captureRoots(capture: Capture, label, values) {
    checkOptionValues(riscv.options, values);
    const root = rootFacts(capture, label);
    const given = optionNumber(values, 'satp');
    if (given !== undefined) return [givenSatp(given, values, label)];
    const satp = numberIn(root, 'satp');
    const written = satp === undefined ? undefined : decodeSatp(satp, satpXlen(satp));
    const held = written?.kind === 'translation' ? written : undefined;
    // What is said about the root itself goes before what is said about the machine.
    const mode = [values.mode, root.mode, held?.mode, capture.mode].find(isMode);
    const address = optionNumber(values, 'root-pa') ?? numberIn(root, 'root_pa') ?? held?.root;
    if (mode !== undefined && address !== undefined) return [rootAt(mode, address, values, label)];
    if (satp !== undefined) return [rootOfSatp(satp, values, label)];
    throw new ArgumentError('capture-root', `root ${label} has neither satp nor mode and root_pa`);
  },
  layouts: riscvLayouts,
  fences: riscvFences,
  boot: riscvBoot,
};
