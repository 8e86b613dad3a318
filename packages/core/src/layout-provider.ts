/** How an architecture offers its layouts to tools. */
import type { Layout } from './layout.ts';
import type { LayoutRules } from './layout-rules.ts';
import type { AddressRange } from './range.ts';

/** Something that shapes a layout. */
export interface LayoutOption {
  /** Name without dashes: `struct-page`. */
  readonly name: string;
  /** `size` is a number that may carry a unit, `ranges` a list of address ranges, `flag` is there or not. */
  readonly kind: 'word' | 'number' | 'size' | 'ranges' | 'flag';
  /** One line of help. */
  readonly meaning: string;
  /** Allowed words. Not supplied: any. */
  readonly values?: readonly string[];
}

/** Values for {@link LayoutOption}s, by name. */
export type LayoutValues = Readonly<
  Record<string, bigint | string | boolean | readonly AddressRange<bigint>[] | undefined>
>;

/** The layouts that an architecture knows. */
export interface LayoutProvider {
  readonly options: readonly LayoutOption[];
  /** Example options for help texts. */
  readonly example: string;
  /**
   * The layouts that option values describe: one, or one for each mode if they leave the mode open.
   * @throws ArgumentError if they describe none
   */
  create(values: LayoutValues): readonly Layout[];
  /** A layout as the operating system itself prints it at boot. */
  lines(layout: Layout): readonly string[];
  /**
   * What the architecture demands of a layout, which may be one that a user wrote: its `name` says the mode.
   * @throws ArgumentError if the name is no mode
   */
  rules(layout: Layout): LayoutRules;
}
