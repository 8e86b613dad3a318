/** Which mode a kernel picks at boot, by release, hardware, command line and device tree. */
import { describe, expect, it } from 'vitest';
import {
  type CpuNode,
  chooseMode,
  createSatpHart,
  encodeSatp,
  findModePolicy,
  modePolicies,
  type RiscvMode,
} from '../src/index.ts';

const KERNEL = 0x8020_0000n;
const HARDWARE: readonly (readonly RiscvMode[])[] = [['sv39'], ['sv39', 'sv48'], ['sv39', 'sv48', 'sv57']];

function choose(
  policy: string,
  hw: readonly RiscvMode[],
  more: { commandLine?: string; cpus?: CpuNode[]; kasan?: boolean; xip?: boolean; kernelPa?: bigint } = {},
) {
  const hart = createSatpHart(hw);
  const { mode, probes, reasons } = chooseMode({ hart, policy: findModePolicy(policy), kernelPa: KERNEL, ...more });
  expect(hart.satp, 'satp is given back').toBe(0n);
  return { mode, tried: probes.map((probe) => probe.mode).join(' '), reasons };
}

describe('the modelled hart', () => {
  it('ignores a write with a mode that it lacks, all of it', () => {
    const hart = createSatpHart(['sv39', 'sv48']);
    const good = encodeSatp('sv48', 0x8000_1000n, 7);
    hart.write(good);
    expect(hart.satp).toBe(good);
    hart.write(encodeSatp('sv57', 0x8000_2000n));
    hart.write(0xb000_0000_0008_0000n);
    expect(hart.satp).toBe(good);
    hart.write(0n);
    expect(hart.satp).toBe(0n);
  });

  it('keeps only the ASID bits that it has', () => {
    const hart = createSatpHart(['sv39'], { asidBits: 4 });
    hart.write(encodeSatp('sv39', 0x8000_0000n, 0xffff));
    expect(hart.satp).toBe(encodeSatp('sv39', 0x8000_0000n, 0xf));
  });

  it('of RV32 has Sv32 alone', () => {
    const hart = createSatpHart(['sv32']);
    hart.write(encodeSatp('sv32', 0x8000_0000n, 1));
    expect(hart.satp).toBe(encodeSatp('sv32', 0x8000_0000n, 1));
    expect(() => createSatpHart(['sv32', 'sv39'])).toThrow(expect.objectContaining({ rule: 'hart-modes' }));
  });
});

describe('policies', () => {
  it.each([
    ['5.10', 'v5.16'],
    ['v5.17', 'v5.17'],
    ['6.1.y', 'v5.18-v6.3'],
    ['6.4', 'v6.4-v6.17'],
    ['6.12', 'v6.4-v6.17'],
    ['6.12.91', 'v6.4-v6.17'],
    ['6.12.92', 'v6.12.y'],
    ['6.12.107+deb13-riscv64', 'v6.12.y'],
    ['v6.12.y', 'v6.12.y'],
    ['6.18', 'v6.18-v7.0'],
    ['7.2', 'v7.1+'],
    ['sv48-series-v3', 'sv48-series-v3'],
  ])('%s follows %s', (text, name) => {
    expect(findModePolicy(text).name).toBe(name);
  });

  it('are not known for everything', () => {
    expect(() => findModePolicy('newest')).toThrow(expect.objectContaining({ rule: 'mode-policy' }));
  });
});

describe('the choice', () => {
  it('is Sv39 without a question up to v5.16 and for kernels in flash', () => {
    for (const hw of HARDWARE) {
      expect(choose('5.16', hw)).toMatchObject({ mode: 'sv39', tried: '' });
      expect(choose('6.12', hw, { xip: true })).toMatchObject({ mode: 'sv39', tried: '' });
    }
  });

  it('finds by probing what the hardware has', () => {
    expect(HARDWARE.map((hw) => choose('5.17', hw)).map(({ mode, tried }) => `${mode}:${tried}`)).toEqual([
      'sv39:sv48',
      'sv48:sv48',
      'sv48:sv48',
    ]);
    expect(HARDWARE.map((hw) => choose('6.1', hw)).map(({ mode, tried }) => `${mode}:${tried}`)).toEqual([
      'sv39:sv57 sv48',
      'sv48:sv57 sv48',
      'sv57:sv57',
    ]);
  });

  it('hears the command line from v6.4 on', () => {
    const hw = ['sv39', 'sv48', 'sv57'] as const;
    expect(choose('6.1', hw, { commandLine: 'no4lvl' }).mode).toBe('sv57');
    expect(choose('6.4', hw, { commandLine: 'no4lvl' })).toMatchObject({ mode: 'sv39', tried: '' });
    expect(choose('6.4', hw, { commandLine: 'no5lvl' })).toMatchObject({ mode: 'sv48', tried: 'sv48' });
    expect(choose('6.4', hw, { commandLine: 'xno5lvly no4lvl' }).reasons).toContain('no4lvl is in the command line');
  });

  it('hears the device tree in the 2021 series only without KASAN, and only Sv39', () => {
    const hw = ['sv39', 'sv48'] as const;
    const asks = (type: string) => [{}, { mmuType: type, enabled: false }, { mmuType: 'riscv,sv48' }];
    const cpus = asks('riscv,sv39');
    expect(choose('sv48-series-v3', hw, { cpus })).toMatchObject({ mode: 'sv39', tried: '' });
    expect(choose('sv48-series-v3', hw, { cpus, kasan: true })).toMatchObject({ mode: 'sv48', tried: 'sv48' });
    expect(choose('sv48-series-v3', hw, { cpus: asks('riscv,sv32') }).mode).toBe('sv48');
    expect(choose('v5.17', hw, { cpus }).mode, 'it was not merged').toBe('sv48');
  });

  it('never tries more than mmu-type of the first enabled CPU from v6.18 on', () => {
    const hw = ['sv39'] as const;
    const cpus = (type: string): CpuNode[] => [{ mmuType: 'riscv,sv57', enabled: false }, { mmuType: type }];
    expect(choose('6.18', hw, { cpus: cpus('riscv,sv39') })).toMatchObject({ mode: 'sv39', tried: '' });
    expect(choose('6.18', hw, { cpus: cpus('riscv,sv48') })).toMatchObject({ mode: 'sv39', tried: 'sv48' });
    expect(choose('6.18', hw, { cpus: [{}, { mmuType: 'riscv,sv39' }] }).tried, 'the first has none').toBe('sv57 sv48');
    expect(choose('6.12', hw, { cpus: cpus('riscv,sv39') }).tried).toBe('sv57 sv48');
    expect(choose('6.18', hw, { cpus: cpus('riscv,sv39'), kasan: true }).mode).toBe('sv39');
    const limited = choose('6.18', ['sv39', 'sv48', 'sv57'], { cpus: cpus('riscv,sv48'), commandLine: 'no4lvl' });
    expect(limited).toMatchObject({ mode: 'sv39', tried: '' });
  });

  it('keeps a mode untried in which the code has no address of its own', () => {
    const kernelPa = 0x8000_0000_0000n;
    expect(choose('6.12.92', ['sv39', 'sv48'], { kernelPa })).toMatchObject({ mode: 'sv48', tried: 'sv57' });
    expect(choose('6.12.91', ['sv39', 'sv48'], { kernelPa })).toMatchObject({ mode: 'sv48', tried: 'sv57 sv48' });
  });

  it('agrees with the rules said in words, for all combinations', () => {
    const order: readonly RiscvMode[] = ['sv39', 'sv48', 'sv57'];
    for (const policy of modePolicies) {
      for (const hw of HARDWARE) {
        for (const commandLine of ['', 'no5lvl', 'no4lvl', 'no5lvl no4lvl']) {
          for (const mmuType of [undefined, 'riscv,sv39', 'riscv,sv48', 'riscv,sv57', 'riscv,none']) {
            const allowed = order.filter((mode) => {
              const rank = order.indexOf(mode);
              if (rank > order.indexOf(policy.largest)) return false;
              if (policy.commandLine && commandLine.includes('no4lvl') && rank > 0) return false;
              if (policy.commandLine && commandLine.includes('no5lvl') && rank > 1) return false;
              if (policy.deviceTree !== 'ignored' && mmuType === 'riscv,sv39' && rank > 0) return false;
              return !(policy.deviceTree === 'limit' && mmuType === 'riscv,sv48' && rank > 1);
            });
            const best = allowed.filter((mode) => hw.includes(mode)).at(-1);
            const tried = allowed.filter((mode) => mode !== 'sv39' && (best === undefined || mode >= best));
            const cpus = [mmuType === undefined ? {} : { mmuType }];
            const chosen = choose(policy.name, hw, { commandLine, cpus });
            expect([chosen.mode, chosen.tried], JSON.stringify([policy.name, hw, commandLine, mmuType])).toEqual([
              best,
              tried.reverse().join(' '),
            ]);
          }
        }
      }
    }
  });
});
