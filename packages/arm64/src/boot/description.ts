/**
 * The description of a machine and a kernel that a boot starts from, as JSON: what the boot loader and the build knew.
 * The outcome (`expect`) may stand in it and is never read.
 */
import {
  type Capture,
  describedNumber,
  describedNumbers,
  describedObject,
  describedOptional,
  firstMember,
  type MachineDescription,
  readMachineDescription,
} from '@pagefold/core';

/** A description, checked. Of its symbols only the distances from `_text` count, which is where the image is loaded. */
export interface BootDescription extends MachineDescription {
  /** The image header's flags, which name the page size; not supplied: `undefined`. */
  readonly imageFlags: bigint | undefined;
  /** Physical address and bytes of the device tree. */
  readonly dtb: { readonly address: bigint; readonly size: bigint };
  /** Bytes of a page, if somebody said so. */
  readonly pageSize: bigint | undefined;
  /** Identification registers by name: `ID_AA64MMFR0_EL1`. */
  readonly idRegisters: ReadonlyMap<string, bigint>;
  /** Random number for moving the kernel. Not supplied: `undefined`. */
  readonly kaslrSeed: bigint | undefined;
}

/**
 * Reads a description.
 * @throws BootError `description` and rules that begin with it, naming the member that is missing or wrong
 */
export function readDescription(capture: Capture): BootDescription {
  const machine = readMachineDescription(capture);
  const kernel = describedObject(capture.kernel, 'kernel');
  const header = describedObject(kernel.imageHeader ?? {}, 'kernel.imageHeader');
  const dtb = describedObject(capture.dtb, 'dtb');
  return {
    ...machine,
    imageFlags: describedOptional(header.flags, 'kernel.imageHeader.flags'),
    dtb: { address: describedNumber(dtb.address, 'dtb.address'), size: describedNumber(dtb.size, 'dtb.size') },
    pageSize: describedOptional(capture.pageSize, 'pageSize'),
    idRegisters: describedNumbers(capture.idRegisters, 'idRegisters'),
    kaslrSeed: describedOptional(
      firstMember(capture, 'kaslrSeed', 'kaslr_seed') ?? firstMember(kernel, 'kaslrSeed', 'kaslr_seed'),
      'kaslrSeed',
    ),
  };
}
