/** All checks, in the order in which an author wants to see them fail. */
import { accessTotality } from './checks/access.ts';
import { canonicalAddresses } from './checks/addresses.ts';
import { translateAgreement } from './checks/agreement.ts';
import { attributes, commonAttributes } from './checks/attributes.ts';
import { classification, faultTotality } from './checks/classification.ts';
import { dryAllocator, refusals } from './checks/failures.ts';
import { foldedNames } from './checks/folded-names.ts';
import { invalidations } from './checks/invalidations.ts';
import { descriptionNames, fieldLayout } from './checks/layout.ts';
import { leafEntries, leafMappings } from './checks/leaves.ts';
import { keepExisting, operations } from './checks/operations.ts';
import { leafChoice } from './checks/plan.ts';
import { edgePages, radix } from './checks/radix.ts';
import { eachSizeOnce, knownRegressions, tableToLeaf, wholeLeaf } from './checks/regressions.ts';
import { runEdits, runEntries } from './checks/runs.ts';
import { leafSizes } from './checks/sizes.ts';
import { tablePointers } from './checks/tables.ts';
import type { ConformanceCheck } from './subject.ts';

/** Every check: first what a description says, then single entries, then operations. */
export const checks: readonly ConformanceCheck[] = [
  radix,
  descriptionNames,
  fieldLayout,
  leafSizes,
  leafEntries,
  attributes,
  commonAttributes,
  tablePointers,
  classification,
  accessTotality,
  edgePages,
  canonicalAddresses,
  faultTotality,
  translateAgreement,
  foldedNames,
  leafMappings,
  runEntries,
  runEdits,
  leafChoice,
  knownRegressions,
  eachSizeOnce,
  tableToLeaf,
  wholeLeaf,
  refusals,
  dryAllocator,
  operations,
  keepExisting,
  invalidations,
];
