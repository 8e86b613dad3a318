/** `pagefold boot`: the page tables of a kernel at a stage of booting, from a description of the machine. */
import { dirname } from 'node:path';
import { type Architecture, type BootResult, type Capture, hex } from '@pagefold/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { describeBoot, withDeviceTree } from '../boot-files.ts';
import { writeTables } from '../boot-output.ts';
import { UsageError } from '../errors.ts';
import { readJsonObject } from '../files.ts';
import type { Context } from '../main.ts';
import { parseNumber } from '../numbers.ts';
import { jsonLine, type PrintableObject, plainTable } from '../output.ts';
import { architectureNamed, architectures } from '../registry.ts';

/** Options as commander gives them. */
interface Given {
  readonly stage?: string;
  readonly kasan?: boolean;
  readonly out?: string;
  readonly facts?: string;
  readonly json?: boolean;
  readonly dtb?: string;
  readonly systemMap?: string;
  readonly kernel?: string;
  readonly config?: string;
  readonly commandLine?: string;
  readonly loadAddress?: string;
  readonly dtbAddress?: string;
  readonly hardwareModes?: string;
  readonly set?: readonly string[];
}

/** The description, from a file or put together from several. */
function descriptionOf(path: string | undefined, given: Given): Capture {
  const address = (text: string | undefined, option: string): bigint | undefined =>
    text === undefined ? undefined : parseNumber(text, option, 56);
  const { dtb, systemMap, kernel, config, commandLine } = given;
  const loadAddress = address(given.loadAddress, '--load-address');
  const dtbAddress = address(given.dtbAddress, '--dtb-address');
  if (path !== undefined) {
    if (dtb !== undefined || systemMap !== undefined || kernel !== undefined || config !== undefined) {
      throw new UsageError('give a description, or --dtb, --system-map and --kernel, not both');
    }
    return changed(withDeviceTree(readJsonObject(path), dirname(path)), commandLine, loadAddress, dtbAddress);
  }
  if (dtb === undefined || systemMap === undefined || kernel === undefined) {
    throw new UsageError('give a description, or all of --dtb, --system-map and --kernel');
  }
  return describeBoot({ dtb, systemMap, kernel, config, commandLine, loadAddress, dtbAddress });
}

/** A description with what the options say instead. */
function changed(description: Capture, commandLine?: string, load?: bigint, dtb?: bigint): Capture {
  return {
    ...description,
    ...(commandLine === undefined ? {} : { commandLine }),
    ...(load === undefined ? {} : { kernel: { ...(description.kernel as object), loadAddress: hex(load) } }),
    ...(dtb === undefined ? {} : { dtb: { ...(description.dtb as object), address: hex(dtb) } }),
  };
}

/** A member's new value: JSON where it is some, else text (so `0x1124` needs no quotes). */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** An object with the member at a path replaced; objects on the way are made where they are missing. */
function withMember(object: Capture, [name, ...rest]: readonly string[], value: unknown): Capture {
  if (name === undefined) return object;
  const inner = object[name];
  const next = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? (inner as Capture) : {};
  return { ...object, [name]: rest.length === 0 ? value : withMember(next, rest, value) };
}

/** What `--set MEMBER=VALUE` says: the path of the member, and its value as text. */
function settingOf(setting: string): readonly [path: string, text: string] {
  const [, path, text] = /^([\w.-]+)=(.*)$/.exec(setting) ?? [];
  if (path === undefined || text === undefined) throw new UsageError(`--set: '${setting}' is not MEMBER=VALUE`);
  return [path, text];
}

/** The description with what `--set` says. */
function withSettings(description: Capture, settings: readonly string[]): Capture {
  return settings.reduce((changing, setting) => {
    const [path, text] = settingOf(setting);
    return withMember(changing, path.split('.'), parseValue(text));
  }, description);
}

/** The same object, which notes in `seen` the paths of the members that are looked at. */
function watched<T extends object>(object: T, seen: Set<string>, path = ''): T {
  return new Proxy(object, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof name !== 'string') return value;
      seen.add(`${path}${name}`);
      return typeof value === 'object' && value !== null ? watched(value, seen, `${path}${name}.`) : value;
    },
  });
}

/** @throws UsageError if the description names no architecture */
function architectureIn({ arch }: Capture): Architecture {
  if (typeof arch === 'string') return architectureNamed(arch, "the description's arch");
  throw new UsageError(`the description lacks 'arch': one of ${architectures.map(({ name }) => name).join(', ')}`);
}

/** @throws UsageError if the architecture has no such modes */
function checkModes({ name, options }: Architecture, modes: readonly string[]): void {
  const known = options.find((option) => option.name === 'mode')?.values;
  if (known === undefined) throw new UsageError(`--hardware-modes: ${name} has no modes to choose from`);
  if (modes.length === 0) throw new UsageError(`--hardware-modes: no mode is named; there are ${known.join(', ')}`);
  const wrong = modes.find((mode) => !known.includes(mode));
  if (wrong !== undefined) throw new UsageError(`--hardware-modes: '${wrong}' is not one of ${known.join(', ')}`);
}

function resultJson(result: BootResult): PrintableObject {
  const { stage, mode, roots, registers, values, tables, reserved, warnings } = result;
  const offsets = Object.fromEntries(Object.entries(values).filter(([name]) => name.endsWith('offset')));
  return {
    stage,
    mode,
    roots: Object.fromEntries(roots.map((root) => [root.label, { root_pa: BigInt(root.address), ...root.registers }])),
    registers: { ...registers },
    offsets,
    values: { ...values },
    tables: tables.map(({ symbol, level, address, va, bytes, roots: users }) => ({
      name: symbol ?? 'memblock',
      level,
      pa: address,
      va,
      size: bytes,
      roots: [...users],
    })),
    reserved: reserved.map(({ start, end }) => ({ start, end })),
    warnings: [...warnings],
  };
}

function resultText({ stage, mode, roots, registers, tables, warnings }: BootResult): string {
  const list = (values: Readonly<Record<string, bigint>>): string =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${hex(value)}`)
      .join('  ');
  const rows = tables.map((table) => [
    hex(table.address),
    table.symbol ?? 'memblock',
    `level ${table.level}`,
    hex(table.va),
    table.roots.join(' '),
  ]);
  return [
    `${pc.bold(stage)}: ${mode}, ${list(registers)}`,
    ...warnings.map((warning) => pc.yellow(`warning: ${warning}`)),
    plainTable(roots.map((root) => [root.label, hex(root.address), list(root.registers)])),
    '',
    plainTable(rows, ['table', 'name', 'level', 'first address', 'reached from']),
    '',
  ].join('\n');
}

function stagesText(): string {
  return architectures
    .flatMap(({ name, boot }) =>
      (boot?.stages ?? []).map((stage) => `  ${stage.name.padEnd(22)} ${name}: ${stage.meaning}`),
    )
    .join('\n');
}

/** Adds the command. */
export function addBoot(program: Command, context: Context): void {
  program
    .command('boot')
    .description('build the page tables that a kernel has at a stage of booting')
    .argument('[description]', 'description of machine and kernel: a JSON file')
    .requiredOption('--stage <stage>', 'how far to boot')
    .option('--kasan', 'as if the kernel had been built with KASAN')
    .option('--out <file>', 'write the tables as an ELF core (gzip if it ends in .gz), and a facts file')
    .option('--facts <file>', 'where the facts file goes (not given: registers.json beside the tables)')
    .option('--dtb <file>', 'instead of a description: the device tree')
    .option('--system-map <file>', 'the symbol list (System.map, kallsyms)')
    .option('--kernel <file>', 'the kernel image, for its header')
    .option('--config <file>', "the kernel's .config (not given: guessed from its symbols)")
    .option('--load-address <address>', 'where the kernel was loaded')
    .option('--dtb-address <address>', 'where the device tree was loaded')
    .option('--command-line <text>', 'boot arguments')
    .option('--hardware-modes <a,b>', 'modes that the hardware takes (not given: as described, or all)')
    .option('--set <member=value...>', 'change a member of the description, such as config.CONFIG_KFENCE=false')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Stages:
${stagesText()}

A registers.json that was not written for the same --out is never replaced: --facts says where else to write.

Examples:
  $ pagefold boot boot.json --stage start_kernel --json
  $ pagefold boot boot.json --stage after_setup_vm_final --out tables.elf
  $ pagefold dump --image tables.elf --registers registers.json --root swapper_pg_dir
  $ pagefold boot --dtb board.dtb --system-map System.map --kernel Image --stage start_kernel
  $ pagefold boot boot.json --stage start_kernel --set idRegisters.ID_AA64MMFR0_EL1=0x1125`,
    )
    .action((path: string | undefined, given: Given) => {
      if (given.facts !== undefined && given.out === undefined) throw new UsageError('--facts needs --out');
      const read = descriptionOf(path, given);
      const modes = given.hardwareModes?.split(',').filter((word) => word !== '');
      const described = modes === undefined ? read : { ...read, hardwareModes: modes };
      const description = withSettings(described, given.set ?? []);
      const arch = architectureIn(description);
      if (modes !== undefined) checkModes(arch, modes);
      if (arch.boot === undefined) throw new UsageError(`no boot of ${arch.name} is modelled`);
      const stage = given.stage ?? '';
      if (!arch.boot.stages.some(({ name }) => name === stage)) {
        const stages = arch.boot.stages.map(({ name }) => name).join(', ');
        throw new UsageError(`--stage: '${stage}' is not one of ${stages}`);
      }
      const seen = new Set<string>();
      const result = arch.boot.boot(watched(description, seen), {
        stage,
        ...(given.kasan === true ? { kasan: true } : {}),
      });
      // A mistyped member would change nothing, and nobody would notice.
      const unread = (given.set ?? []).map((setting) => settingOf(setting)[0]).find((path) => !seen.has(path));
      if (unread !== undefined) throw new UsageError(`--set: no boot of ${arch.name} to ${stage} reads '${unread}'`);
      if (given.out !== undefined) writeTables(result, given.out, given.facts);
      context.output.out(given.json === true ? `${jsonLine(resultJson(result))}\n` : resultText(result));
    });
}
