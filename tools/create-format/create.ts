/** Writing a new format's package. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type FormatNames, filesOf } from './templates.ts';

/**
 * What a package is called after.
 * @throws Error if the name is not kebab-case
 */
export function namesOf(name: string): FormatNames {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    throw new Error(`'${name}' is no name for a package: small letters, digits and single dashes`);
  }
  const identifier = name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  return { name, identifier, packageName: `@pagefold/${name}` };
}

/**
 * Writes the package.
 * @param folder where packages stand; the package gets a folder of its name there
 * @returns the files, as paths under `folder`
 * @throws Error if the folder exists already: nothing is overwritten
 */
export function createFormat(name: string, folder: string): readonly string[] {
  const names = namesOf(name);
  const target = join(folder, name);
  if (existsSync(target)) throw new Error(`${target} exists already`);
  const files = filesOf(names);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    writeFileSync(join(target, path), text);
  }
  return Object.keys(files).map((path) => join(name, path));
}
