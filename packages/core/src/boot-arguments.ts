/**
 * Boot arguments as a kernel reads them.
 * Source: Linux 6.12 lib/cmdline.c (`memparse`), kernel/params.c (`parameq`), init/do_mounts_initrd.c.
 */
import type { DescribedPiece, MachineDescription } from './description-reader.ts';

const UNITS = 'kmgtpe';

/** `memparse`: a number with an optional unit; 0 for what is none. */
export function memparse(text: string): bigint {
  const [, digits = '0', unit = ''] = /^(0x[0-9a-f]+|[0-9]+)([kmgtpe]?)/i.exec(text) ?? [];
  return BigInt(digits) << BigInt(10 * (unit === '' ? 0 : UNITS.indexOf(unit.toLowerCase()) + 1));
}

/** The values of all `name=value` of a command line, in their order. Dashes and underscores of the name are equal. */
export function commandOptions(commandLine: string, name: string): string[] {
  const prefix = `${name}=`.replaceAll('-', '_');
  return commandLine
    .split(/\s+/)
    .filter((word) => word.slice(0, prefix.length).replaceAll('-', '_') === prefix)
    .map((word) => word.slice(prefix.length));
}

/** The initrd of the command line (`initrd=START,SIZE`), else that of the device tree. */
export function initrdOf(description: Pick<MachineDescription, 'commandLine' | 'initrd'>): DescribedPiece | undefined {
  const [start, size] = commandOptions(description.commandLine, 'initrd').at(-1)?.split(',') ?? [];
  if (start === undefined || size === undefined) return description.initrd;
  return { start: memparse(start), end: memparse(start) + memparse(size) };
}
