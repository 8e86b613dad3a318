/**
 * Where generic KASAN keeps its shadow on RV64. The offset is compiled into every instrumented access, so one kernel has
 * one offset for all modes: since v5.17 the end of the shadow is the same address in all of them, and only its start
 * depends on the mode. Source: Linux 6.12 arch/riscv/include/asm/kasan.h; v5.10 the same file.
 */
import { ArgumentError, createShadow, type Shadow } from '@pagefold/core';
import { type RiscvMode, riscvGeometries } from './modes.ts';

/** `KASAN_SHADOW_SCALE_SHIFT`: a shadow byte stands for 8 bytes. */
export const KASAN_SCALE = 3;

/**
 * Where the shadow lies: at the `bottom` of the kernel half (up to v5.16, Sv39 only), or just below the space that
 * modules may use (`below-modules`, since v5.17).
 */
export type ShadowPlacement = 'bottom' | 'below-modules';

/** `KASAN_SHADOW_END` by placement, exclusive. */
const SHADOW_END: Readonly<Record<ShadowPlacement, bigint>> = {
  bottom: 0xffff_ffc8_0000_0000n,
  'below-modules': 0xffff_ffff_0000_0000n,
};

/** The release in which the shadow moved. */
const MOVED = { major: 5, minor: 17 } as const;

/** The shadow of one kernel. */
export interface KasanShadow {
  readonly placement: ShadowPlacement;
  /** First shadow byte in use; a multiple of what a root entry covers. */
  readonly start: bigint;
  /** Exclusive. */
  readonly end: bigint;
  /** The arithmetic; `shadow.offset` is `KASAN_SHADOW_OFFSET`. */
  readonly shadow: Shadow;
}

/**
 * Where a release keeps the shadow.
 * @param release its number, alone or at the start of a longer text: `v6.12`, `v5.18-v6.3`, `v6.11+`
 * @throws ArgumentError `kasan-release` if the text does not begin with a release number
 */
export function shadowPlacement(release: string): ShadowPlacement {
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(release) ?? [];
  if (major === undefined || minor === undefined) {
    throw new ArgumentError('kasan-release', 'a release reads v6.12', { release });
  }
  const age = Number(major) - MOVED.major || Number(minor) - MOVED.minor;
  return age < 0 ? 'bottom' : 'below-modules';
}

/**
 * The shadow in a mode.
 * @param placement Not supplied: that of today
 * @throws ArgumentError `kasan-mode` for Sv32, and at the bottom for anything but Sv39, where there is no KASAN
 */
export function kasanShadow(mode: RiscvMode, placement: ShadowPlacement = 'below-modules'): KasanShadow {
  if (mode === 'sv32' || (placement === 'bottom' && mode !== 'sv39')) {
    throw new ArgumentError('kasan-mode', 'Linux has no KASAN in that mode and place', { mode, placement });
  }
  const end = SHADOW_END[placement];
  const offset = end - (1n << BigInt(64 - KASAN_SCALE));
  const shadow = createShadow({ scale: KASAN_SCALE, offset: BigInt.asUintN(64, offset) });
  const { vaBits, levels } = riscvGeometries[mode];
  const rootSpan = 1n << BigInt(levels[levels.length - 1]?.shift ?? 0);
  return { placement, start: shadow.startFor(vaBits - 1, rootSpan), end, shadow };
}
