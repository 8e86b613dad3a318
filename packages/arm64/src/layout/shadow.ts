/**
 * Where KASAN keeps its shadow. The offset is compiled into every instrumented access, so it does not depend on how many
 * bits a 52-bit build finds: the end of the shadow is fixed, and its start moves.
 * Source: Linux 6.12 arch/arm64/include/asm/memory.h, arch/arm64/Kconfig (`KASAN_SHADOW_OFFSET`); v5.3 and v5.4 the same.
 */
import { createShadow, type Shadow } from '@pagefold/core';
import { type LinuxBuild, vaBitsMin } from '../linux-builds.ts';
import type { LayoutProfile } from './profiles.ts';

/** Kinds of KASAN with a shadow. The third kind, with tags in hardware, has none. */
export type KasanKind = 'generic' | 'sw_tags';

/** `KASAN_SHADOW_SCALE_SHIFT`. */
export const KASAN_SCALE: Readonly<Record<KasanKind, number>> = { generic: 3, sw_tags: 4 };

/** What the shadow of memory that nobody may touch is filled with. */
export const KASAN_SHADOW_INIT: Readonly<Record<KasanKind, number>> = { generic: 0, sw_tags: 0xfe };

/** The shadow of one kernel. */
export interface KasanShadow {
  readonly kind: KasanKind;
  readonly start: bigint;
  /** Exclusive. */
  readonly end: bigint;
  /** The arithmetic; `shadow.offset` is `KASAN_SHADOW_OFFSET`. */
  readonly shadow: Shadow;
}

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);

/** The shadow of a build that runs with so many bits. */
export function kasanShadow(
  profile: LayoutProfile,
  build: LinuxBuild,
  actualBits: number,
  kind: KasanKind,
): KasanShadow {
  const scale = KASAN_SCALE[kind];
  const least = vaBitsMin(build);
  const half = -(1n << BigInt(least - 1));
  const end = {
    bottom: -(1n << BigInt(build.vaBits)) + (1n << BigInt(build.vaBits - scale)),
    'above-linear': half + (1n << BigInt(least - scale)),
    'into-linear': half,
  }[profile.shadow];
  const shadow = createShadow({ scale, offset: wrap(end - (1n << BigInt(64 - scale))) });
  return { kind, start: shadow.startFor(actualBits), end: wrap(end), shadow };
}
