"""A walker that knows nothing of Pagefold: all tables under a root, all leaves, one address."""

import struct

PAGE = 4096
ADDRESS = ((1 << 52) - 1) & ~(PAGE - 1)


class Walker:
    """All tables under a root and all leaves, by the rules of 4-level and 5-level paging."""

    def __init__(self, memory, levels):
        self.memory = memory
        self.levels = levels
        self.tables = {}
        self.leaf_entries = 0

    def words(self, address):
        if address not in self.tables:
            self.tables[address] = self.memory.page(address)
        return struct.unpack('<512Q', self.tables[address])

    def canonical(self, va):
        bits = 12 + 9 * self.levels
        return va | (((1 << 64) - 1) ^ ((1 << bits) - 1)) if va >> (bits - 1) else va

    def leaves(self, root):
        """(start, end, pa) runs in rising order; runs that continue each other are joined."""
        run = None
        for va, pa, size in self.descend(root, self.levels - 1, 0):
            self.leaf_entries += 1
            va = self.canonical(va)
            if run and run[1] == va and run[2] + (va - run[0]) == pa:
                run[1] = va + size
                continue
            if run:
                yield tuple(run)
            run = [va, va + size, pa]
        if run:
            yield tuple(run)

    def descend(self, table, level, base):
        shift = 12 + 9 * level
        for index, word in enumerate(self.words(table)):
            if not word & 1:
                continue
            va = base + (index << shift)
            if level == 0 or (level <= 2 and word & 0x80):
                size = 1 << shift
                yield va, word & ADDRESS & ~(size - 1), size
            else:
                yield from self.descend(word & ADDRESS, level - 1, va)

    def translate(self, root, va):
        if va != self.canonical(va & ((1 << (12 + 9 * self.levels)) - 1)):
            return None
        table = root
        for level in range(self.levels - 1, -1, -1):
            shift = 12 + 9 * level
            word = self.words(table)[(va >> shift) & 511]
            if not word & 1:
                return None
            if level == 0 or (level <= 2 and word & 0x80):
                mask = (1 << shift) - 1
                return (word & ADDRESS & ~mask) | (va & mask)
            table = word & ADDRESS
        return None
