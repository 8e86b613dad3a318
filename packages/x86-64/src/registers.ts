/**
 * Registers that decide about paging, as data.
 * Sources: Intel SDM vol. 3A, section 2.5 "Control Registers", 2.2.1 "Extended Feature Enable Register", 5.6.2
 * (PKRU, IA32_PKRS), 5.5.2 tables 5-12 and 5-13 (CR3), 13.12.2 (IA32_PAT); AMD APM vol. 2, section 3.1.7 (EFER).
 */
import type { Field, RegisterFormat } from '@pagefold/core';
import { MEMORY_TYPES } from './memory-types.ts';

/** One-bit fields from `name:bit:meaning` lines. */
function flags(section: string, lines: readonly string[]): readonly Field[] {
  return lines.map((line) => {
    const [, name = '', at = '', meaning = ''] = /^(\w+):(\d+):(.*)$/.exec(line) ?? [];
    return { name, bits: [[Number(at), Number(at)]], meaning, section };
  });
}

/** CR0. */
export const cr0: RegisterFormat = {
  name: 'cr0',
  bits: 64,
  title: 'CR0: operating modes',
  section: 'SDM 2.5',
  fields: flags('SDM 2.5', [
    'pg:31:paging',
    'cd:30:cache disable',
    'nw:29:not write-through',
    'am:18:alignment mask',
    'wp:16:supervisors obey R/W',
    'ne:5:numeric error',
    'et:4:extension type',
    'ts:3:task switched',
    'em:2:emulation',
    'mp:1:monitor coprocessor',
    'pe:0:protection',
  ]),
};

const CR3_HIGH: readonly Field[] = [
  ...flags('SDM 5.5.2', [
    'lam_u48:62:linear-address masking of user addresses, bits 62:48',
    'lam_u57:61:linear-address masking of user addresses, bits 62:57',
  ]),
  {
    name: 'address',
    bits: [[51, 12]],
    meaning: 'physical address of the root table, divided by 4096',
    section: 'SDM 5.5.2',
  },
];

/** CR3 while CR4.PCIDE is clear. */
export const cr3: RegisterFormat = {
  name: 'cr3',
  bits: 64,
  title: 'CR3: the root table',
  section: 'SDM 5.5.2, table 5-12',
  fields: [
    ...CR3_HIGH,
    ...flags('SDM 5.5.2', ['pcd:4:cache disable for the root table', 'pwt:3:write-through for the root table']),
  ],
};

/** CR3 while CR4.PCIDE is set. */
export const cr3Pcid: RegisterFormat = {
  name: 'cr3',
  bits: 64,
  title: 'CR3 while CR4.PCIDE is set: the root table and the process-context identifier',
  section: 'SDM 5.5.2, table 5-13',
  fields: [
    ...flags('SDM 5.10.4.1', ['no_flush:63:written, not kept: cached translations of the PCID stay']),
    ...CR3_HIGH,
    { name: 'pcid', bits: [[11, 0]], meaning: 'process-context identifier', section: 'SDM 5.10.1' },
  ],
};

/** CR4. */
export const cr4: RegisterFormat = {
  name: 'cr4',
  bits: 64,
  title: 'CR4: extensions',
  section: 'SDM 2.5',
  fields: flags('SDM 2.5', [
    'fred:32:flexible return and event delivery',
    'lam_sup:28:linear-address masking of supervisor addresses',
    'lass:27:linear-address-space separation',
    'uintr:25:user interrupts',
    'pks:24:protection keys for supervisor pages',
    'cet:23:control-flow enforcement',
    'pke:22:protection keys for user pages',
    'smap:21:supervisors access no user data',
    'smep:20:supervisors never execute user pages',
    'kl:19:key locker',
    'osxsave:18:XSAVE enabled',
    'pcide:17:process-context identifiers',
    'fsgsbase:16:RDFSBASE and its relatives',
    'smxe:14:safer mode extensions',
    'vmxe:13:virtual-machine extensions',
    'la57:12:5-level paging',
    'umip:11:user-mode instruction prevention',
    'osxmmexcpt:10:unmasked SIMD exceptions',
    'osfxsr:9:FXSAVE and FXRSTOR',
    'pce:8:performance counters for user mode',
    'pge:7:global pages',
    'mce:6:machine check',
    'pae:5:physical-address extension',
    'pse:4:page-size extensions of 32-bit paging',
    'de:3:debugging extensions',
    'tsd:2:time stamp disable',
    'pvi:1:protected-mode virtual interrupts',
    'vme:0:virtual-8086 mode extensions',
  ]),
};

/** EFER. */
export const efer: RegisterFormat = {
  name: 'efer',
  bits: 64,
  title: 'EFER: long mode and what belongs to it',
  section: 'SDM 2.2.1, APM 3.1.7',
  fields: flags('SDM 2.2.1, APM 3.1.7', [
    'aibrse:21:AMD: automatic IBRS',
    'uaie:20:AMD: upper address ignore',
    'intwb:18:AMD: interruptible WBINVD',
    'mcommit:17:AMD: MCOMMIT',
    'tce:15:AMD: translation cache extension',
    'ffxsr:14:AMD: fast FXSAVE',
    'lmsle:13:AMD: long-mode segment limits',
    'svme:12:AMD: virtual machines',
    'nxe:11:bit 63 of entries forbids execution',
    'lma:10:long mode is active',
    'lme:8:long mode is enabled',
    'sce:0:SYSCALL',
  ]),
};

function keyRegister(name: string, bits: 32 | 64, title: string): RegisterFormat {
  const keys = Array.from({ length: 16 }, (_, at) => 15 - at);
  return {
    name,
    bits,
    title,
    section: 'SDM 5.6.2',
    fields: flags(
      'SDM 5.6.2',
      keys.flatMap((key) => [
        `wd${key}:${2 * key + 1}:no writes with key ${key}`,
        `ad${key}:${2 * key}:no data accesses with key ${key}`,
      ]),
    ),
  };
}

/** PKRU. */
export const pkru: RegisterFormat = keyRegister('pkru', 32, 'PKRU: rights by protection key for user pages');

/** IA32_PKRS. */
export const pkrs: RegisterFormat = keyRegister('pkrs', 64, 'IA32_PKRS: rights by protection key for supervisor pages');

/** IA32_PAT. */
export const pat: RegisterFormat = {
  name: 'pat',
  bits: 64,
  title: 'IA32_PAT: memory types by index',
  section: 'SDM 13.12.2',
  fields: [7, 6, 5, 4, 3, 2, 1, 0].map((index) => ({
    name: `pa${index}`,
    bits: [[8 * index + 2, 8 * index]],
    meaning: `memory type of index ${index}`,
    values: MEMORY_TYPES,
    section: 'SDM 13.12.2',
  })),
};

/** All of them. */
export const x86Registers: readonly RegisterFormat[] = [cr0, cr3, cr3Pcid, cr4, efer, pkru, pkrs, pat];
