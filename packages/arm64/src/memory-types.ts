/**
 * Memory types: what the eight bytes of MAIR mean.
 * Sources: Arm Architecture Reference Manual (DDI 0487), MAIR_EL1; Linux 6.12 arch/arm64/mm/proc.S,
 * include/asm/sysreg.h, include/asm/memory.h.
 */

/** Linux's indices into MAIR. */
export const LINUX_MEMORY_INDEX = {
  NORMAL: 0,
  NORMAL_TAGGED: 1,
  NORMAL_NC: 2,
  DEVICE_nGnRnE: 3,
  DEVICE_nGnRE: 4,
} as const;

/** A memory type under Linux's name. */
export type LinuxMemoryType = keyof typeof LINUX_MEMORY_INDEX;

/** The attribute byte of each of Linux's types; tagged memory only once the memory tagging extension is set up. */
export const LINUX_MEMORY_ATTRIBUTES: Readonly<Record<LinuxMemoryType, number>> = {
  NORMAL: 0xff,
  NORMAL_TAGGED: 0xf0,
  NORMAL_NC: 0x44,
  DEVICE_nGnRnE: 0x00,
  DEVICE_nGnRE: 0x04,
};

/**
 * Linux's MAIR_EL1.
 * @param mte is memory tagging set up? Until then the tagged type is the normal one. Not supplied: no.
 */
export function linuxMair(mte = false): bigint {
  return Object.entries(LINUX_MEMORY_INDEX).reduce((mair, [name, index]) => {
    const type = name === 'NORMAL_TAGGED' && !mte ? 'NORMAL' : (name as LinuxMemoryType);
    return mair | (BigInt(LINUX_MEMORY_ATTRIBUTES[type]) << BigInt(8 * index));
  }, 0n);
}

/** What Linux programs at boot. */
export const LINUX_MAIR: bigint = linuxMair();

/** The name of one half of an attribute byte of normal memory. */
function policy(nibble: number): 'uncached' | 'write-through' | 'write-back' {
  if (nibble === 4) return 'uncached';
  return (nibble & 4) === 0 ? 'write-through' : 'write-back';
}

/** What a byte of MAIR says: `normal` (write-back), `uncached`, `device`, or something rarer in words. */
export function memoryTypeName(attribute: number): string {
  const outer = attribute >> 4;
  const inner = attribute & 15;
  if (outer === 0) return (inner & 2) === 0 ? 'device' : `reserved ${attribute}`;
  // Tagged memory is normal memory; 0x40 and 0xa0 say "not cached" and "write-through" with the XS attribute clear.
  if (attribute === 0xf0) return 'normal';
  if (attribute === 0x40) return 'uncached';
  if (attribute === 0xa0) return 'normal write-through';
  if (inner === 0) return `reserved ${attribute}`;
  const [out, into] = [policy(outer), policy(inner)];
  if (out !== into) return `normal outer ${out} inner ${into}`;
  return out === 'write-back' ? 'normal' : out === 'uncached' ? 'uncached' : `normal ${out}`;
}

function attributes(mair: bigint): number[] {
  return Array.from({ length: 8 }, (_, index) => Number((mair >> BigInt(8 * index)) & 0xffn));
}

/** Names of the eight types of a MAIR value. */
export function memoryTypes(mair: bigint): readonly string[] {
  return attributes(mair).map(memoryTypeName);
}

/** The index that stands for a memory type: the first that does; for devices one with early acknowledgement if there is. */
export function preferredIndex(mair: bigint, memory: string): number | undefined {
  const found = memory === 'device' ? attributes(mair).indexOf(LINUX_MEMORY_ATTRIBUTES.DEVICE_nGnRE) : -1;
  const index = found >= 0 ? found : memoryTypes(mair).indexOf(memory);
  return index < 0 ? undefined : index;
}
