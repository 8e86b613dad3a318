/** `pagefold translate`: what is mapped where, permissions aside. */
import { hex, sizeText, type Translation, translate } from '@pagefold/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { EXIT_FOUND } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseNumber } from '../numbers.ts';
import { jsonLine, type PrintableObject } from '../output.ts';
import { addTargetOptions, openTarget, type TargetOptions, takeAddresses } from '../target.ts';

/** A fault as JSON. */
export function faultJson(result: Translation): PrintableObject | undefined {
  if (result.mapped) return undefined;
  const { type, code, reason, hardwareLevel, slot, entry } = result;
  return { type, code, reason, level: hardwareLevel ?? null, slot, entry };
}

/** A translation as JSON. */
export function translationJson(result: Translation): PrintableObject {
  return {
    va: result.va,
    pa: result.mapped ? result.pa : null,
    level: result.hardwareLevel ?? null,
    size: result.mapped ? result.leafBytes : null,
    fault: faultJson(result),
  };
}

/** A fault for people. */
export function faultText(result: Translation): string {
  if (result.mapped) return '';
  const code = result.code === undefined ? '' : ` (code ${result.code})`;
  const at = result.hardwareLevel === undefined ? '' : ` at level ${result.hardwareLevel}`;
  return `${result.type}${code}: ${result.reasons.join(', ')}${at}`;
}

/** A translation for people. */
export function translationText(result: Translation): string {
  if (!result.mapped) return `${hex(result.va)} ${pc.red('not mapped')}: ${faultText(result)}`;
  return `${hex(result.va)} -> ${pc.green(hex(result.pa))} ${sizeText(result.leafBytes)} ${result.shape} at level ${result.hardwareLevel}`;
}

/** Adds the command. */
export function addTranslate(program: Command, context: Context): void {
  addTargetOptions(
    program
      .command('translate')
      .description('translate virtual addresses: what is mapped, permissions aside')
      .argument('[va...]', 'virtual addresses; - reads them from standard input'),
  )
    .option('--exit-code', 'exit with 1 if an address is not mapped')
    .addHelpText(
      'after',
      `
Examples:
  $ pagefold translate --image core.elf --arch riscv --satp 0x9000000000081fca 0xffffffff80000000
  $ cut -f1 addresses.txt | pagefold translate --image ram.bin@0x80000000 --arch riscv --satp 0x8000000000081fca --json -`,
    )
    .action(async (args: string[], given: TargetOptions) => {
      const { addresses, options } = takeAddresses(args, given);
      const values = addresses.map((text) => parseNumber(text, 'address'));
      const target = await openTarget(options);
      try {
        for (const va of values) {
          const result = translate(target.space, va);
          if (!result.mapped && given.exitCode === true) context.exitCode = EXIT_FOUND;
          const line = given.json === true ? jsonLine(translationJson(result)) : translationText(result);
          context.output.out(`${line}\n`);
        }
      } finally {
        target[Symbol.dispose]();
      }
    });
}
