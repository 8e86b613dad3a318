/**
 * What the kernel was built with and told on its command line, as far as its tables depend on it.
 * Source: Linux 6.12 arch/arm64/Kconfig, lib/Kconfig.kfence, arch/arm64/kernel/pi/idreg-override.c,
 * arch/arm64/include/asm/setup.h (`rodata=`), arch/arm64/mm/mmu.c (`kfence.sample_interval=`).
 */
import { BootError, commandOptions, memparse } from '@pagefold/core';
import { GRANULES, type Granule, PAGE_BITS } from '../granule.ts';
import type { KasanKind } from '../layout/shadow.ts';
import { checkBuild, LINUX_BUILDS, type LinuxBuild, vaBitsMin } from '../linux-builds.ts';
import type { BootDescription } from './description.ts';

/** Build options and boot arguments. */
export interface BuildOptions {
  readonly build: LinuxBuild;
  /** CONFIG_RELOCATABLE: the text is written to before it becomes executable. */
  readonly relocatable: boolean;
  /** CONFIG_RANDOMIZE_BASE, whether or not the kernel is moved. */
  readonly randomizeBase: boolean;
  /** `nokaslr`. */
  readonly nokaslr: boolean;
  /** CONFIG_UNMAP_KERNEL_AT_EL0: page table isolation is built. */
  readonly isolation: boolean;
  /** CONFIG_ARM64_E0PD. */
  readonly e0pd: boolean;
  /** CONFIG_ARM64_HW_AFDBM. */
  readonly accessFlag: boolean;
  /** CONFIG_ARM64_MTE. */
  readonly mte: boolean;
  /** CONFIG_ARM64_BTI_KERNEL. */
  readonly bti: boolean;
  /** KASAN with a shadow. */
  readonly kasan: KasanKind | undefined;
  /** CONFIG_RODATA_FULL_DEFAULT_ENABLED: without `rodata=`, the linear map follows the protections of pages. */
  readonly rodataFullByDefault: boolean;
  /** `rodata=`. */
  readonly rodata: 'off' | 'on' | 'full';
  /** The kernel's first map of itself leaves its text writable: an override of its own, which `rodata=off` sets. */
  readonly writableText: boolean;
  readonly debugPagealloc: boolean;
  readonly kfence: boolean;
  /** Bytes of KFENCE's pool; 0 if it has none at boot, because it does not sample. */
  readonly kfencePoolBytes: bigint;
}

/** Page sizes by bits 2:1 of the image header's flags. */
const HEADER_GRANULES: readonly (Granule | undefined)[] = [undefined, '4K', '16K', '64K'];

function granuleOf({ pageSize, imageFlags, config }: BootDescription): Granule {
  const configured = GRANULES.find((granule) => config.get(`CONFIG_ARM64_${granule}_PAGES`) === true);
  const said = GRANULES.find((granule) => pageSize === 1n << BigInt(PAGE_BITS[granule]));
  if (pageSize !== undefined && said === undefined) {
    throw new BootError('description-page', 'pages have 4 KiB, 16 KiB or 64 KiB', { pageSize });
  }
  return said ?? configured ?? HEADER_GRANULES[Number(((imageFlags ?? 0n) >> 1n) & 3n)] ?? '4K';
}

/** The build; what the configuration does not say follows from where the kernel was linked. */
function buildOf(description: BootDescription): LinuxBuild {
  const { config, symbols } = description;
  const granule = granuleOf(description);
  const number = (name: string): number | undefined => {
    const value = Number(config.get(name) ?? Number.NaN);
    return Number.isInteger(value) ? value : undefined;
  };
  const text = symbols.get('_text') ?? 0n;
  // The image lies above the middle of the half that the smallest number of bits gives; the widest such build is usual.
  const linked = LINUX_BUILDS.filter((build) => {
    const bits = BigInt(vaBitsMin(build) - 1);
    return build.granule === granule && text >= (1n << 64n) - (1n << bits) && text < (1n << 64n) - (1n << (bits - 1n));
  }).at(-1);
  const vaBits = number('CONFIG_ARM64_VA_BITS') ?? linked?.vaBits ?? 48;
  const paBits = number('CONFIG_ARM64_PA_BITS');
  const build: LinuxBuild = { granule, vaBits, ...(paBits === undefined ? {} : { paBits: paBits as 48 | 52 }) };
  checkBuild(build);
  return build;
}

/** What the last `rodata=` that is spelled exactly says; all others are refused. */
function rodataOf(commandLine: string, full: boolean): BuildOptions['rodata'] {
  const known = ['off', 'on', 'full'] as const;
  const said = commandOptions(commandLine, 'rodata').flatMap((word) => known.filter((each) => each === word));
  return said.at(-1) ?? (full ? 'full' : 'on');
}

/** Once `rodata=off` was read, a later `rodata=` changes only what comes after the first map. */
function writableTextOf(commandLine: string): boolean {
  const words = commandLine.split(/\s+/).map((word) => (word === 'rodata=off' ? 'arm64_sw.rodataoff=1' : word));
  return commandOptions(words.join(' '), 'arm64_sw.rodataoff').at(-1) === '1';
}

/**
 * The options of a description. What it does not say is what distributions build: relocatable, randomized, with page
 * table isolation, KFENCE, full protection of read-only data, without KASAN.
 * @throws BootError `description-page`; ArgumentError `linux-build` for a build that does not exist
 */
export function buildOptions(description: BootDescription): BuildOptions {
  const { config, commandLine } = description;
  const flag = (name: string, usual: boolean): boolean => {
    const said = config.get(name);
    return said === undefined ? usual : said !== false && said !== 'n' && said !== 0;
  };
  const build = buildOf(description);
  const number = (name: string, usual: number): bigint => memparse(String(config.get(name) ?? usual));
  const interval = commandOptions(commandLine, 'kfence.sample_interval').at(-1);
  const kfence = flag('CONFIG_KFENCE', true);
  const samples = interval === undefined ? number('CONFIG_KFENCE_SAMPLE_INTERVAL', 100) : memparse(interval);
  const pool = (number('CONFIG_KFENCE_NUM_OBJECTS', 255) + 1n) * (2n << BigInt(PAGE_BITS[build.granule]));
  const debug = commandOptions(commandLine, 'debug_pagealloc').at(-1);
  const kasan = flag('CONFIG_KASAN', false) && !flag('CONFIG_KASAN_HW_TAGS', false);
  const randomizeBase = flag('CONFIG_RANDOMIZE_BASE', true);
  const rodataFullByDefault = flag('CONFIG_RODATA_FULL_DEFAULT_ENABLED', true);
  return {
    build,
    relocatable: randomizeBase || flag('CONFIG_RELOCATABLE', true),
    randomizeBase,
    nokaslr: /(^|\s)(nokaslr|arm64_sw\.nokaslr=1)(\s|$)/.test(commandLine),
    isolation: flag('CONFIG_UNMAP_KERNEL_AT_EL0', true),
    e0pd: flag('CONFIG_ARM64_E0PD', true),
    accessFlag: flag('CONFIG_ARM64_HW_AFDBM', true),
    mte: flag('CONFIG_ARM64_MTE', true),
    bti: flag('CONFIG_ARM64_BTI_KERNEL', false),
    kasan: kasan ? (flag('CONFIG_KASAN_SW_TAGS', false) ? 'sw_tags' : 'generic') : undefined,
    rodataFullByDefault,
    rodata: rodataOf(commandLine, rodataFullByDefault),
    writableText: writableTextOf(commandLine),
    debugPagealloc:
      flag('CONFIG_DEBUG_PAGEALLOC', false) &&
      (debug === undefined ? flag('CONFIG_DEBUG_PAGEALLOC_ENABLE_DEFAULT', false) : /^(on|1|y)/i.test(debug)),
    kfence,
    kfencePoolBytes: kfence && samples !== 0n ? pool : 0n,
  };
}
