/**
 * Finding root tables in memory of which nothing is known but the contents: which tables could be roots, and what speaks
 * for each. Tables are well-formed all the way down, and few other pages are.
 */
import { type PhysAddr, phys } from './address.ts';
import type { Architecture, OptionValues, RootForm } from './architecture.ts';
import { ArgumentError } from './errors.ts';
import type { Bank, Memory } from './memory.ts';
import { RootSieve } from './root-sieve.ts';
import { type RootSurvey, type SurveyedTable, Surveyor } from './root-survey.ts';
import { SearchedMemory, searchPieces } from './searched-memory.ts';
import type { RootDescription } from './space.ts';

/** What is searched. */
export interface FindRootsOptions {
  /** Where to look: what the memory holds. */
  readonly within: readonly Bank[];
  /** Parts of it that are known to hold zeros alone, and need not be looked through. Not supplied: none. */
  readonly blank?: readonly Bank[];
  /** Option values of the architecture that narrow down what is looked for: a mode, a granule. Not supplied: none. */
  readonly values?: OptionValues;
  /**
   * Fewest tables that a root reaches, itself included. With 1, roots of nothing but large leaves are found, and many
   * pieces of memory that look like one by chance. Not supplied: 3.
   */
  readonly minTables?: number;
}

/** A table that could be a root, and what speaks for it. */
export interface FoundRoot {
  readonly address: PhysAddr;
  /** What kind of root it is: `sv48`. */
  readonly form: string;
  /** Option values that name it: {@link Architecture.roots} makes the root of them. */
  readonly options: OptionValues;
  /** The root itself, for {@link createSpace}. */
  readonly root: RootDescription;
  /** Tables that it reaches, each counted once, itself included. */
  readonly tables: number;
  /** Bytes of these tables. */
  readonly tableBytes: bigint;
  /** Entries in them that map memory. */
  readonly leaves: number;
  /** Those of them that map memory which is searched, or a part of it; others map devices, or what an image left out. */
  readonly leavesWithin: number;
  /** Is the root's own memory mapped? Whoever changes tables through them needs that: a kernel's roots are. */
  readonly mapsItself: boolean;
  /** Is there a leaf that users may access? */
  readonly users: boolean;
}

/** A form as the architecture makes roots of it. */
class Form {
  readonly label: string;
  readonly #arch: Architecture;
  readonly #form: RootForm;
  readonly #values: OptionValues;
  /** Roots at address 0: for users, and for the kernel alone. */
  readonly #plain = new Map<boolean, RootDescription>();

  constructor(arch: Architecture, form: RootForm, values: OptionValues) {
    this.label = form.label;
    this.#arch = arch;
    this.#form = form;
    this.#values = values;
  }

  /** A root of this form at address 0. Made once: compiling a paging takes longer than looking at most candidates. */
  plain(users: boolean): RootDescription {
    const known = this.#plain.get(users);
    if (known !== undefined) return known;
    const [root] = this.#arch.roots({ ...this.#values, ...this.#form.options(0n, users) });
    if (root === undefined) {
      throw new ArgumentError('no-root', `${this.#arch.name}: the form ${this.label} names no root`);
    }
    this.#plain.set(users, root);
    return root;
  }

  /** Do the options name a root at that address? A register may be too narrow for it. */
  #names(options: OptionValues, address: PhysAddr): boolean {
    try {
      const [root] = this.#arch.roots({ ...this.#values, ...options });
      return root?.address === address && root.fault === undefined;
    } catch (error) {
      if (error instanceof ArgumentError) return false;
      throw error;
    }
  }

  /** What is found, unless no registers select it. */
  found({ address, users, tables, rootBytes: _, ...rest }: RootSurvey): FoundRoot | undefined {
    const at = phys(address);
    const options = this.#form.options(at, users);
    if (!this.#names(options, at)) return undefined;
    return {
      address: at,
      form: this.label,
      options,
      // All roots of a form share one paging.
      root: { ...this.plain(users), address: at },
      tables: tables.length,
      tableBytes: tables.reduce((sum, { bytes }) => sum + BigInt(bytes), 0n),
      ...rest,
      users,
    };
  }
}

/** A form with something that is found of it. */
interface Candidate {
  readonly form: Form;
  readonly survey: RootSurvey;
}

/** What could be a root, of any of the forms. */
function candidatesOf(
  forms: readonly Form[],
  memory: Memory,
  { within, blank, minTables = 3 }: FindRootsOptions,
): Candidate[] {
  if (!Number.isInteger(minTables) || minTables < 1) {
    throw new ArgumentError('min-tables', 'a root reaches at least one table: itself', {
      minTables: String(minTables),
    });
  }
  const searched = new SearchedMemory(within, blank);
  const searches = forms.flatMap((form) => {
    const { paging, fault } = form.plain(true);
    // What the processor cannot have, it does not have.
    if (fault !== undefined) return [];
    return [{ form, sieve: new RootSieve(memory, paging, searched), surveyor: new Surveyor(memory, paging, searched) }];
  });
  const found: Candidate[] = [];
  for (const piece of searchPieces(memory, searched)) {
    for (const { form, sieve, surveyor } of searches) {
      for (const address of sieve.addresses(piece)) {
        const survey = surveyor.survey(address);
        if (survey !== undefined && survey.tables.length >= minTables) found.push({ form, survey });
      }
    }
  }
  return found;
}

/**
 * What speaks for a candidate, most first. What looks like leaves by chance maps anything; leaves of true tables map what
 * is there. A part of a tree maps less than the whole, or as much with fewer tables.
 */
function compare({ survey: a }: Candidate, { survey: b }: Candidate): number {
  return (
    b.leavesWithin - a.leavesWithin ||
    b.tables.length - a.tables.length ||
    b.rootBytes - a.rootBytes ||
    a.address - b.address
  );
}

/** A table of a root that was accepted. */
interface TakenTable extends SurveyedTable {
  readonly form: Form;
}

/** Memory is looked up by pieces of this size: no table is smaller by far. */
const PIECE = 0x400;

/** Tables of the roots that were accepted: memory cannot be a table of two kinds. */
class Taken {
  readonly #pieces = new Map<number, TakenTable[]>();

  /** Is no table of a root part of something else already? */
  fits(form: Form, { tables }: RootSurvey): boolean {
    return tables.every((table) =>
      this.#near(table).every(
        (known) =>
          known.start >= table.start + table.bytes ||
          known.start + known.bytes <= table.start ||
          (known.form === form && known.start === table.start && known.level === table.level),
      ),
    );
  }

  take(form: Form, { tables }: RootSurvey): void {
    for (const table of tables) {
      for (const piece of piecesOf(table)) {
        const list = this.#pieces.get(piece) ?? [];
        if (!list.some(({ start }) => start === table.start)) list.push({ ...table, form });
        this.#pieces.set(piece, list);
      }
    }
  }

  #near(table: SurveyedTable): TakenTable[] {
    return piecesOf(table).flatMap((piece) => this.#pieces.get(piece) ?? []);
  }
}

function piecesOf({ start, bytes }: SurveyedTable): number[] {
  const first = Math.floor(start / PIECE);
  return Array.from({ length: Math.ceil((start + bytes) / PIECE) - first }, (_, i) => first + i);
}

/**
 * Looks for root tables in memory: tables that are well-formed all the way down, lie in memory with all that they point
 * to, and map something. Where candidates take the same memory for tables of different kinds, the better one has it:
 * tables below a root, or pieces of them, are not listed as roots. Where the best one maps mostly memory that is searched,
 * those that map nothing of it are left out.
 *
 * What is found may still be no root: of a process that has ended, of another machine inside this one, by chance. That is
 * why each comes with what speaks for it, the best first.
 * @param memory read only where `within` says; tables elsewhere count as well if the memory has them
 * @returns the candidates, the most likely ones first
 * @throws ArgumentError `no-search` if the architecture does not say what its roots look like, `search-range` for a range
 *   that is none, `min-tables` for less than 1, or what the architecture throws for option values
 */
export function findRoots(memory: Memory, arch: Architecture, options: FindRootsOptions): FoundRoot[] {
  if (arch.rootForms === undefined) {
    throw new ArgumentError('no-search', `${arch.name} does not say what its roots look like`);
  }
  const { values = {} } = options;
  const forms = arch.rootForms(values).map((form) => new Form(arch, form, values));
  const candidates = candidatesOf(forms, memory, options).sort(compare);
  const [best] = candidates;
  if (best === undefined) return [];
  // Where the best one maps what is there, those that map nothing of it are accidents.
  const whole = best.survey.leavesWithin * 2 >= best.survey.leaves;
  const plausible = candidates.filter(({ survey }) => !whole || survey.leavesWithin > 0);
  // One machine, one kind of root, as a rule: what could be of that kind is.
  const alike = plausible.filter(({ form }) => form === best.form);
  const others = plausible.filter(({ form }) => form !== best.form);
  const taken = new Taken();
  const found: FoundRoot[] = [];
  for (const { form, survey } of [...alike, ...others]) {
    if (!taken.fits(form, survey)) continue;
    const root = form.found(survey);
    if (root === undefined) continue;
    taken.take(form, survey);
    found.push(root);
  }
  return found;
}
