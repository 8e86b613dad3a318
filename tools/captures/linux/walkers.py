"""Walkers that know nothing of Pagefold: all tables under a root, all leaves, and single translations."""

import struct

TOP = 1 << 64


class Walker:
    """
    Tables of 64-bit entries. A format says what an entry is; levels count down to 0, where pages are. Tables are kept
    in `pages`, whole pages by physical address, however small the table is.
    """

    def __init__(self, ram, page_bits, pages):
        self.ram = ram
        self.page_bits = page_bits
        self.stride = page_bits - 3
        self.pages = pages
        self.unpacked = {}
        self.odd = []
        self.tables = 0
        self.entries = 0

    def page(self, address):
        if address not in self.pages:
            self.pages[address] = self.ram.read(address, 1 << self.page_bits)
        return self.pages[address]

    def words(self, address, count):
        key = (address, count)
        if key not in self.unpacked:
            base = address & -(1 << self.page_bits)
            content = self.page(base)
            if content is None:
                self.odd.append(f'table {address:#x} is outside of memory')
                self.pages.pop(base)
                self.unpacked[key] = (0,) * count
            else:
                self.unpacked[key] = struct.unpack_from(f'<{count}Q', content, address - base)
        return self.unpacked[key]

    def shift(self, level):
        return self.page_bits + self.stride * level

    def count(self, level):
        return 1 << (self.va_bits - self.shift(level)) if level == self.root_level else 1 << self.stride

    def runs(self):
        """[start, end, pa, level, attributes, table attributes] in rising order; equal neighbours are joined."""
        out = []
        for va, pa, level, attributes, above in self.descend(self.root, self.root_level, 0, 0):
            self.entries += 1
            va = self.full(va)
            size = 1 << self.shift(level)
            last = out[-1] if out else None
            if last and last[1] == va and last[2] + (va - last[0]) == pa and last[3:] == [level, attributes, above]:
                last[1] = va + size
            else:
                out.append([va, va + size, pa, level, attributes, above])
        return sorted(out)

    def descend(self, table, level, base, above):
        self.tables += 1
        shift = self.shift(level)
        for index, word in enumerate(self.words(table, self.count(level))):
            if not word & 1:
                continue
            kind = self.kind(word, level)
            va = base + (index << shift)
            if kind == 'table':
                yield from self.descend(self.address(word), level - 1, va, above | self.passed_on(word))
            elif kind == 'leaf':
                yield va, self.target(word, level, va), level, self.attributes(word), above
            else:
                self.odd.append(f'{va:#x} level {level}: {word:#x}')

    def translate(self, va):
        if not self.reaches(va):
            return None
        table = self.root
        inside = va & ((1 << self.va_bits) - 1)
        for level in range(self.root_level, -1, -1):
            index = (inside >> self.shift(level)) & (self.count(level) - 1)
            word = self.words(table, self.count(level))[index]
            kind = self.kind(word, level) if word & 1 else None
            if kind == 'leaf':
                return self.target(word, level, va) | (va & ((1 << self.shift(level)) - 1))
            if kind != 'table':
                return None
            table = self.address(word)
        return None


class Riscv(Walker):
    MODES = {8: 3, 9: 4, 10: 5}

    def __init__(self, ram, satp, pages):
        super().__init__(ram, 12, pages)
        self.root_level = self.MODES[satp >> 60] - 1
        self.va_bits = self.shift(self.root_level + 1)
        self.root = (satp & ((1 << 44) - 1)) << 12

    def full(self, va):
        return va | (TOP - (1 << self.va_bits)) if va >> (self.va_bits - 1) else va

    def reaches(self, va):
        return va == self.full(va & ((1 << self.va_bits) - 1))

    def kind(self, word, level):
        if word & 0xE == 0:
            return 'table' if level else None
        if word & 0x6 == 4:
            return None
        group = word >> 63 and level == 0
        return None if group and (word >> 10) & 15 != 8 else 'leaf'

    def address(self, word):
        return (word >> 10 & ((1 << 44) - 1)) << 12

    def target(self, word, level, va):
        pa = self.address(word)
        # 64K groups: all sixteen entries are equal, each page's place is in the address.
        return pa & ~0xFFFF | va & 0xF000 if word >> 63 else pa & ~((1 << self.shift(level)) - 1)

    def passed_on(self, word):
        return 0

    def attributes(self, word):
        return word & 0xFFC00000000003FF

    def row(self, run):
        return [hex(run[0]), hex(run[1]), hex(run[2]), run[3], hex(run[4])]


class Arm64(Walker):
    """VMSAv8-64 stage 1: `tsz`, granule and DS choose the geometry; hardware counts levels up to 3."""

    def __init__(self, ram, granule_bits, tsz, ds, upper, top_byte_ignored, root, pages):
        super().__init__(ram, granule_bits, pages)
        self.va_bits = 64 - tsz
        self.root_level = -(-(self.va_bits - granule_bits) // self.stride) - 1
        self.ds = ds
        self.upper = upper
        self.ignored = top_byte_ignored
        self.root = root

    def full(self, va):
        return va | (TOP - (1 << self.va_bits)) if self.upper else va

    def reaches(self, va):
        if self.ignored:
            va = va | 0xFF << 56 if va >> 55 & 1 else va & ((1 << 56) - 1)
        return va >> self.va_bits == ((1 << (64 - self.va_bits)) - 1 if self.upper else 0)

    def kind(self, word, level):
        if word & 2:
            return 'table' if level else 'leaf'
        largest = 2 if self.page_bits == 12 else 1
        return 'leaf' if 0 < level <= largest + self.ds else None

    @property
    def mask(self):
        return (1 << (50 if self.ds else 48)) - (1 << self.page_bits)

    def address(self, word):
        return word & self.mask | ((word >> 8 & 3) << 50 if self.ds else 0)

    def target(self, word, level, va):
        return self.address(word) & ~((1 << self.shift(level)) - 1)

    def passed_on(self, word):
        return word & 0xF800000000000000

    def attributes(self, word):
        return word & ~self.mask & ~(0x300 if self.ds else 0)

    def row(self, run):
        return [hex(run[0]), hex(run[1]), hex(run[2]), 3 - run[3], hex(run[4]), hex(run[5])]


class ArmLong(Arm64):
    """VMSAv7 long descriptors: 32-bit addresses, up to three levels, 40 bits out."""

    def __init__(self, ram, tsz, root, pages):
        super().__init__(ram, 12, 32 + tsz, False, False, False, root, pages)
        self.va_bits = 32 - tsz
        self.root_level = -(-(self.va_bits - 12) // 9) - 1

    def reaches(self, va):
        return va >> self.va_bits == 0

    @property
    def mask(self):
        return 0xFFFFFFF000


class ArmShort(Walker):
    """VMSAv7 short descriptors: 16 KiB of sections and pointers to tables of 1 KiB."""

    def __init__(self, ram, root, pages):
        super().__init__(ram, 12, pages)
        self.root = root
        self.root_level = 1
        self.va_bits = 32

    def half(self, address, count):
        out = []
        while len(out) < count:
            base = address & ~0xFFF
            content = self.page(base)
            take = min(count - len(out), (base + 4096 - address) // 4)
            out += struct.unpack_from(f'<{take}I', content, address - base)
            address += take * 4
        return out

    def leaf(self, first, va):
        """(pa, size, level, attributes) of what maps an address."""
        if first & 3 in (2, 3):
            if first >> 18 & 1:
                return first & 0xFF000000 | va & 0xF00000, 1 << 20, 1, first & 0xFFFFF
            return first & 0xFFF00000, 1 << 20, 1, first & 0xFFFFF
        if first & 3 == 1:
            second = self.half(first & 0xFFFFFC00, 256)[va >> 12 & 255]
            if second & 2:
                return second & 0xFFFFF000, 1 << 12, 0, second & 0xFFF
            if second & 1:
                return second & 0xFFFF0000 | va & 0xF000, 1 << 12, 0, second & 0xFFFF
        return None

    def runs(self):
        out = []
        self.tables = 1
        for index, first in enumerate(self.half(self.root, 4096)):
            self.tables += first & 3 == 1
            step = 1 << 12 if first & 3 == 1 else 1 << 20
            for va in range(index << 20, (index + 1) << 20, step) if first & 3 else ():
                found = self.leaf(first, va)
                if found is None:
                    continue
                self.entries += 1
                pa, size, level, attributes = found
                last = out[-1] if out else None
                if last and last[1] == va and last[2] + (va - last[0]) == pa and last[3:] == [level, attributes, 0]:
                    last[1] = va + size
                else:
                    out.append([va, va + size, pa, level, attributes, 0])
        return out

    def translate(self, va):
        if va >> 32:
            return None
        found = self.leaf(self.half(self.root, 4096)[va >> 20], va)
        return None if found is None else found[0] | va & (found[1] - 1)

    def row(self, run):
        return [hex(run[0]), hex(run[1]), hex(run[2]), 2 - run[3], hex(run[4]), hex(run[5])]
