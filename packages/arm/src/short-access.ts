/**
 * Permissions, domains and the access flag of short descriptors.
 * Source: Arm Architecture Reference Manual, Armv7-A and Armv7-R (DDI 0406), B3.7 "Memory access control", B3.12.3
 * "Domains"; order of checks B3.6.1.
 */
import type { AccessRules, AccessVerdict } from '@pagefold/core';

/** What a privilege may do with data. */
export type DataRight = 'none' | 'ro' | 'rw';

/** AP[2:0] without the access flag. 100 is reserved: no access. */
const PLAIN: readonly (readonly [privileged: DataRight, user: DataRight])[] = [
  ['none', 'none'],
  ['rw', 'none'],
  ['rw', 'ro'],
  ['rw', 'rw'],
  ['none', 'none'],
  ['ro', 'none'],
  ['ro', 'ro'],
  ['ro', 'ro'],
];

/** AP[2:1] with the access flag in AP[0]. */
const SIMPLIFIED: readonly (readonly [DataRight, DataRight])[] = [
  ['rw', 'none'],
  ['rw', 'rw'],
  ['ro', 'none'],
  ['ro', 'ro'],
];

/** What AP[2:0] grants. */
export function shortRights(ap: number, afe: boolean): { readonly privileged: DataRight; readonly user: DataRight } {
  const [privileged, user] = (afe ? SIMPLIFIED[ap >> 1] : PLAIN[ap]) as readonly [DataRight, DataRight];
  return { privileged, user };
}

/** Values of a domain in DACR. 2 is reserved and acts as no access. */
const CLIENT = 1;
const MANAGER = 3;

/** The access check. DACR comes as an option; 0x55555555 makes every domain a client. */
export const shortAccess: AccessRules = {
  options: [{ name: 'dacr', meaning: 'domain access control register', values: [], section: 'B4.1.43 DACR' }],
  check(leaf, { kind, privilege, options }, features): AccessVerdict {
    const reasons: string[] = [];
    const afe = features.has('afe');
    const ap = leaf.ap ?? 0;
    if (afe && (ap & 1) === 0) reasons.push('access_flag');
    const domain = (Number(options.dacr) >>> ((leaf.domain ?? 0) * 2)) & 3;
    if (domain !== CLIENT && domain !== MANAGER) reasons.push('domain');
    if (domain === MANAGER) return { reasons };
    const right = shortRights(ap, afe)[privilege === 'user' ? 'user' : 'privileged'];
    const privileged = privilege === 'supervisor';
    const execute = right !== 'none' && leaf.xn === 0 && !(privileged && leaf.pxn === 1);
    const allowed = kind === 'read' ? right !== 'none' : kind === 'write' ? right === 'rw' : execute;
    if (!allowed) reasons.push(`no_${kind}`);
    return { reasons };
  },
};
