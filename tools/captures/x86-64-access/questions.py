"""The questions: one path of tables with control bits and one access each, from dice whose seed is given."""

import random
import struct

ROOT = 0x200000
TABLES = [0x206000, 0x207000, 0x208000]  # PDPT, PD, PT
TARGET = 0x600000
VA = 0x8000600000
DATA = 0x800
SLOTS = [ROOT + 8, TABLES[0], TABLES[1] + 3 * 8, TABLES[2]]

KINDS = ['read', 'write', 'execute']
PACKED = struct.Struct('<4QQ2I5B11x')

# Bits of entries: SDM vol. 3A, tables 5-15 to 5-20.
P, RW, US, PWT, PCD, A, D, PS, G = (1 << bit for bit in range(9))
PAT_OF_LARGE = 1 << 12
XD = 1 << 63
IGNORED = (7 << 9) | (0x7F << 52)

CR4_PAE, CR4_PGE, CR4_SMEP, CR4_SMAP, CR4_PKE, CR4_PKS = (1 << bit for bit in (5, 7, 20, 21, 22, 24))


class Dice:
    """Only what every Python answers alike for a seed."""

    def __init__(self, seed):
        self.source = random.Random(seed)

    def bits(self, count):
        return self.source.getrandbits(count)

    def chance(self, of_thousand):
        return self.bits(20) % 1000 < of_thousand

    def below(self, limit):
        return self.bits(32) % limit


def rights(dice, depth, everywhere, nowhere):
    """
    One bit in each entry of a path. Rights of all levels count together (SDM 5.6.1), so independent bits would nearly
    always refuse: mostly they are all set or all clear but one.
    """
    mood = dice.below(1000)
    if mood < everywhere:
        return [True] * depth
    if mood < everywhere + nowhere:
        return [False] * depth
    if dice.chance(700):
        odd, value = dice.below(depth), everywhere < nowhere
        return [(level == odd) == value for level in range(depth)]
    return [dice.chance(500) for _ in range(depth)]


def reserved_bit(dice, step, depth, leaf, width):
    """A bit that must be clear (SDM 5.5.4): above the width; below a large leaf's address; PS in the PML4E."""
    if step == 0 and dice.chance(400):
        return PS
    if leaf > 0 and step == depth - 1 and dice.chance(600):
        return 1 << (13 + dice.below(9 * leaf - 1))
    return 1 << (width + dice.below(52 - width))


def entries(dice, leaf):
    """A path that ends in a leaf of 4 KiB (0), 2 MiB (1) or 1 GiB (2), with nothing wrong but rights."""
    depth = 4 - leaf
    write = rights(dice, depth, 550, 0)
    user = rights(dice, depth, 500, 0)
    no_execute = rights(dice, depth, 0, 650)
    busy = dice.chance(300)
    path = []
    for step in range(depth):
        last = step == depth - 1
        word = (0 if leaf == 2 else TARGET) if last else TABLES[step]
        word |= P | (RW if write[step] else 0) | (US if user[step] else 0) | (XD if no_execute[step] else 0)
        word |= (A if dice.chance(500) else 0) | (D if dice.chance(400) else 0)
        if last and leaf > 0:
            word |= PS | (PAT_OF_LARGE if dice.chance(300) else 0)
        elif last and dice.chance(300):
            word |= PS  # the PAT bit here
        if last:
            word |= (G if dice.chance(300) else 0) | dice.bits(4) << 59  # the protection key
        if busy:  # everything that must make no difference
            word |= (PWT if dice.chance(300) else 0) | (PCD if dice.chance(300) else 0) | dice.bits(63) & IGNORED
            word |= (0 if last else (G if dice.chance(300) else 0) | dice.bits(4) << 59)
        path.append(word)
    return path


def damage(dice, path, leaf, width):
    """Faults of the entries themselves: none in most questions, one in some, several in a few."""
    mood = dice.below(100)
    for _ in range(0 if mood < 72 else 1 if mood < 92 else 3):
        step = dice.below(len(path))
        if dice.chance(400):
            path[step] &= ~P
        else:
            path[step] |= reserved_bit(dice, step, len(path), leaf, width)


def states(dice, rounds):
    """What registers can say: every combination of the control bits, each time with other keys' rights."""
    made = []
    for number in range(128 * rounds):
        cr4 = CR4_PAE
        for at, bit in enumerate((CR4_PGE, CR4_SMEP, CR4_SMAP, CR4_PKE, CR4_PKS)):
            cr4 |= bit if number >> at & 1 else 0
        # Key 0 of IA32_PKRS is the guest's own. Without NXE, XD is a reserved bit.
        keys = {'pkru': dice.bits(32), 'pkrs': dice.bits(32) & ~3}
        made.append({'cr4': cr4, 'wp': number >> 5 & 1, 'nxe': number >> 6 & 1, **keys})
    return made


def question(dice, number, state, width):
    leaf = number % 3
    path = entries(dice, leaf)
    damage(dice, path, leaf, width)
    return {
        'kind': number // 3 % 3,
        'user': number // 9 % 2,
        'ac': dice.bits(1),
        'entries': path,
        **state,
    }


def questions(count, width, seed):
    dice = Dice(seed)
    all_states = states(dice, 3)
    return [question(dice, number, all_states[dice.below(len(all_states))], width) for number in range(count)]


def packed(q):
    path = q['entries'] + [0] * (4 - len(q['entries']))
    return PACKED.pack(*path, q['cr4'], q['pkru'], q['pkrs'], q['wp'], q['nxe'], q['kind'], q['user'], q['ac'])
