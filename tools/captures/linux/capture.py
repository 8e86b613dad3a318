#!/usr/bin/env python3
"""
Boots a Linux kernel under QEMU, stops it at stages of its boot and when its only program runs, and writes one capture a
stop: table pages, registers, what QEMU's own MMU walk answers (`gva2gpa`), and for early stops what it was booted from.
See README.md beside this file.
"""

import argparse
import json
import os
import re
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'common'))

from arches import ARCHES
from device_tree import device_tree, regions, with_banks
from files import dump, elf_core, initramfs, write_gzip
from qemu import Machine
from questions import questions


def hexed(values):
    return {name: hex(value) for name, value in values.items() if value is not None}


# --- What the kernel is booted from ----------------------------------------------------------------------------------


class BootInputs:
    """The device tree as the kernel gets it, and what stands in it."""

    def __init__(self, ram, address):
        (size,) = struct.unpack('>4xI', ram.read(address, 8))
        self.address = address
        self.blob = ram.read(address, size)
        nodes, self.memreserve = device_tree(self.blob)
        root = nodes[0][1]
        self.banks = [
            bank for path, each in nodes if re.match(r'/memory(@|$)', path) for bank in regions(each['reg'][1], root)
        ]
        self.reserved = [
            (path, *region, 'no-map' in each)
            for path, each in nodes
            if path.startswith('/reserved-memory/') and 'reg' in each
            for region in regions(each['reg'][1], root)
        ]
        # The kernel chooses the place of these; #size-cells is that of the root.
        self.dynamic = [
            (path, int.from_bytes(each['size'][1], 'big'), int.from_bytes(each.get('alignment', (0, b''))[1], 'big'), 'no-map' in each)
            for path, each in nodes
            if path.startswith('/reserved-memory/') and 'reg' not in each and 'size' in each
        ]
        chosen = next((each for path, each in nodes if path == '/chosen'), {})
        number = lambda name: int.from_bytes(chosen[name][1], 'big') if name in chosen else None
        self.initrd = (number('linux,initrd-start'), number('linux,initrd-end'))
        self.seed = number('kaslr-seed')
        self.command_line = chosen['bootargs'][1].rstrip(b'\0').decode() if 'bootargs' in chosen else ''


def image_header(path):
    """Text offset, size and flags of an arm64 or riscv Image; nothing for a zImage."""
    with open(path, 'rb') as file:
        head = file.read(64)
    if head[56:60] not in (b'ARMd', b'RSC\x05') and head[48:53] != b'RISCV':
        return None
    text_offset, size, flags = struct.unpack_from('<QQQ', head, 8)
    return {'text_offset': hex(text_offset), 'image_size': hex(size), 'flags': hex(flags)}


def configuration(path):
    """The switches and numbers of a kernel configuration that are asked for by name."""
    values = {}
    with open(path, encoding='utf8') as file:
        for line in file:
            found = re.match(r'(CONFIG_\w+)=(.*)$', line)
            if found:
                text = found.group(2)
                values[found.group(1)] = {'y': True, 'm': True}.get(text, int(text) if text.isdigit() else text)
    return lambda names: {name: values.get(name, False) for name in names}


# --- One capture -----------------------------------------------------------------------------------------------------


class Session:
    """A boot, and the captures that are made during it."""

    def __init__(self, given, arch, symbols):
        self.given = given
        self.arch = arch
        self.machine = None
        self.inputs = None
        self.linked = symbols
        self.symbols = dict(symbols)
        self.load = arch.load
        self.console = ''

    def lines(self, tag):
        return re.findall(rf'^{tag} (.*)$', self.console, re.M)

    def image(self, name, count=8):
        """A variable of the image, by its symbol."""
        if name not in self.linked:
            return None
        raw = self.machine.ram.read(self.linked[name] - self.linked[self.arch.text] + self.load, count)
        return None if raw is None else int.from_bytes(raw, 'little')

    def physical(self, name):
        return self.linked[name] - self.linked[self.arch.text] + self.load

    def capture(self, stage, extra_lines=()):
        """Walks, asks, compares, writes."""
        given, arch, machine = self.given, self.arch, self.machine
        early = stage != 'full'
        name = os.path.basename(os.path.normpath(given.out)) + (f'-early-{stage}' if early else '')
        out = os.path.join(os.path.dirname(os.path.abspath(given.out)), name)
        os.makedirs(out, exist_ok=True)
        target = lambda file: os.path.join(out, file)
        pages = {}
        facts = {'name': name, 'arch': arch.name, 'stage': f'early:{stage}' if early else 'full'}
        state = arch.state(self, stage, pages)
        facts.update(state['facts'])
        oracle = list(extra_lines)
        odd = {}
        leaves = {}
        differences = []
        for label, root in state['roots'].items():
            walker = root.pop('walker', None)
            ask = root.pop('ask', None)
            if walker is None:
                continue
            runs = walker.runs()
            leaves[label] = [walker.row(run) for run in runs]
            root.update(tables=walker.tables, merged_leaves=len(runs), leaf_entries=walker.entries)
            odd[label] = walker.odd[:20]
            # Some tables are looked at by questions only; the walk must have found all of them.
            if ask is not None:
                restore = arch.force(machine.gdb, ask)
                for va in questions(runs, walker, arch.bits, given.questions, name + label):
                    if not root_selects(ask, va):
                        continue
                    pa = machine.translate(va)
                    oracle.append({'va': hex(va), 'pa': None if pa is None else hex(pa), 'root': label, 'source': 'gva2gpa'})
                    if walker.translate(va) != pa:
                        differences.append([label, hex(va), pa and hex(pa), walker.translate(va)])
                restore()
        facts['roots'] = state['roots']
        facts.update(state['after'])
        if not early:
            for line in self.lines('PAGEMAP'):
                va, frame, prot = line.split()
                pa = hex(int(frame, 16) * self.given.page)
                oracle.append({'va': va, 'pa': pa, 'root': 'user', 'source': 'pagemap', 'prot': prot})
        facts['qemu'] = self.command
        facts['qemu_version'] = machine.version()
        facts['dtb_edit'] = f'memory node rewritten before the first instruction: {given.banks}' if given.banks else None
        facts['kernel_version'] = given.version
        facts['boot_args'] = self.inputs.command_line
        facts['symbols'] = hexed(self.symbols)
        facts['values'] = arch.values(self)
        facts['walker'] = {'odd': odd}
        facts['agreement'] = {'gva2gpa_total': sum(line['source'] == 'gva2gpa' for line in oracle), 'gva2gpa_disagree': differences}
        if not early:
            facts['user_regions'] = [
                dict(zip(('what', 'va_or_code', 'len_or_errno'), line.split())) for line in self.lines('REGION')
            ]
        inputs = self.inputs
        banks = [{'base': hex(base), 'size': hex(size)} for base, size in inputs.banks]
        facts['boot'] = {
            'kernel_entry_pa': hex(self.load),
            'dtb_pa': hex(inputs.address),
            'dtb_totalsize': hex(len(inputs.blob)),
            'dtb_file': 'boot.dtb.gz',
            'ram_banks': banks,
            'initrd_start': hex(inputs.initrd[0] or 0),
            'initrd_end': hex(inputs.initrd[1] or 0),
            'kaslr_seed_in_dtb': inputs.seed is not None,
            'image_header': image_header(given.kernel),
        }
        if early:
            dump(target('boot.json'), self.description(state))
        dump(target('registers.json'), facts)
        write_gzip(target('tables.elf.gz'), elf_core(pages, arch.elf_machine, self.given.page))
        write_gzip(target('oracle.jsonl.gz'), ''.join(json.dumps(line) + '\n' for line in oracle).encode())
        write_gzip(target('leaves.json.gz'), json.dumps({'note': "from the capture's own walker", 'roots': leaves}).encode())
        write_gzip(target('boot.dtb.gz'), inputs.blob)
        if not early:
            with open(target('user_maps.txt'), 'w', encoding='utf8') as file:
                file.write('\n'.join(self.lines('MAPS')) + '\n')
        with open(target('layout.txt'), 'w', encoding='utf8') as file:
            for each, at in self.symbols.items():
                file.write(f'{at:x} {each}\n')
            for tag in ('IOMEM', 'MEMINFO', 'CPUINFO'):
                file.write('\n'.join(['', f'# {tag.lower()}', *self.lines(tag), '']))
        wrong = f', the walker of this script differs {len(differences)} times' if differences else ''
        print(f'{name}: {len(pages)} table pages, {len(oracle)} answers, roots {", ".join(leaves)}{wrong}', flush=True)

    def description(self, state):
        """boot.json: what the kernel built its tables from."""
        given, inputs = self.given, self.inputs
        header = image_header(given.kernel)
        kernel = {'loadAddress': hex(self.load), 'symbols': hexed(self.symbols)}
        if header:
            kernel['imageHeader'] = header
        out = {
            'arch': self.arch.name,
            'kernelVersion': given.version,
            'commandLine': inputs.command_line,
            'kernel': kernel,
            'dtb': {'address': hex(inputs.address), 'size': hex(len(inputs.blob)), 'file': 'boot.dtb.gz'},
            'ram': [{'base': hex(base), 'size': hex(size)} for base, size in inputs.banks],
            'memreserve': [{'base': hex(base), 'size': hex(size)} for base, size in inputs.memreserve],
            'reservedMemory': [
                {'node': path, 'base': hex(base), 'size': hex(size), 'no_map': no_map}
                for path, base, size, no_map in inputs.reserved
            ]
            + [
                {'node': path, 'size': hex(size), 'alignment': hex(alignment), 'no_map': no_map}
                for path, size, alignment, no_map in inputs.dynamic
            ],
            'pageSize': given.page,
        }
        if inputs.initrd[0] is not None:
            out['initrd'] = {'start': hex(inputs.initrd[0]), 'end': hex(inputs.initrd[1])}
        if inputs.seed and 'nokaslr' not in inputs.command_line:
            out['kaslrSeed'] = hex(inputs.seed)
        out.update(state['description'])
        if given.config:
            out['config'] = configuration(given.config)(self.arch.options)
        return out


def root_selects(ask, va):
    """A root answers for the addresses that select it: by bit 55 on arm64, by a predicate elsewhere."""
    return ask.get('selects', lambda _: True)(va)


# --- The course of a boot --------------------------------------------------------------------------------------------


def start(session, arguments):
    given, arch = session.given, session.arch
    options = ['-M', f'{given.machine},memory-backend=ram', '-cpu', given.cpu, '-smp', '1', '-m', str(given.memory)]
    command = f'{arch.qemu} -M {given.machine} -cpu {given.cpu} -smp 1 -m {given.memory}M -display none'
    command += ' -dtb <dtb>' if given.dtb else ''
    session.command = f'{command} -kernel <kernel> -initrd <initramfs> -append "{arguments}"'
    options += ['-dtb', given.dtb] if given.dtb else []
    files = ['-kernel', given.kernel, '-initrd', given.initramfs, '-append', arguments]
    session.machine = Machine(arch.qemu, [*options, *files], given.memory, arch.ram_base)
    return session.machine


def read_symbols(given, arch):
    """One boot without randomization that only reads /proc/kallsyms and /proc/iomem."""
    session = Session(given, arch, {})
    machine = start(session, f'{arch.console} nokaslr {given.symbols_append}'.strip())
    try:
        machine.run_until_ready(given.wait)
        session.console = machine.console()
        session.load = arch.load
        symbols = {}
        for line in session.lines('SYMBOL'):
            value, name = line.split()
            symbols.setdefault(name, int(value, 16))
        symbols.update(arch.more_symbols(session))
        version = session.lines('KERNEL')[0].split()[2]
    finally:
        machine.close()
    return {'version': version, 'symbols': hexed(symbols)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('arch', choices=sorted(ARCHES))
    parser.add_argument('kernel', help='Image, vmlinuz')
    parser.add_argument('out', help='folder of the capture of the running system; early ones stand beside it')
    parser.add_argument('--symbols', required=True, help='JSON of symbols; made by a boot of its own if it is not there')
    parser.add_argument('--symbols-append', default='', help='boot arguments of that boot')
    parser.add_argument('--config', help="the kernel's configuration, for boot.json")
    parser.add_argument('--machine', default='virt')
    parser.add_argument('--cpu', required=True)
    parser.add_argument('--memory', type=int, default=1024, help='MiB')
    parser.add_argument('--banks', help='base+size,... to put into the device tree instead of its memory')
    parser.add_argument('--dtb', help='device tree instead of QEMU\'s own (which -machine dumpdtb=FILE writes)')
    parser.add_argument('--append', default='nokaslr', help='boot arguments')
    parser.add_argument('--stages', default='', help='early stages, in their order; all: every one')
    parser.add_argument('--no-running', action='store_true', help='only the early stages')
    parser.add_argument('--compiler', help='C compiler for the guest')
    parser.add_argument('--questions', type=int, default=2400, help='per root')
    parser.add_argument('--wait', type=int, default=300, help='seconds until the guest must be ready')
    given = parser.parse_args()
    arch = ARCHES[given.arch]()
    scratch = os.path.abspath(given.symbols) + '.d'
    os.makedirs(scratch, exist_ok=True)
    names = ('\n'.join(arch.wanted) + '\n').encode()
    program = os.path.join(HERE, 'guest.c')
    given.initramfs = initramfs(scratch, given.compiler or arch.compiler, program, [('symbols', names)])
    given.page = 4096
    if not os.path.exists(given.symbols):
        dump(given.symbols, read_symbols(given, arch))
    with open(given.symbols, encoding='utf8') as file:
        known = json.load(file)
    given.version = known['version']
    header = image_header(given.kernel)
    if given.arch == 'arm64' and header:
        given.page = {1: 4096, 2: 16384, 3: 65536}[int(header['flags'], 16) >> 1 & 3]
    symbols = {name: int(value, 16) for name, value in known['symbols'].items()}
    session = Session(given, arch, symbols)
    machine = start(session, f'{arch.console} {given.append}'.strip())
    try:
        machine.gdb.run_to(arch.entry, 60, 'the entry')
        address = machine.gdb.read(arch.dtb_register)
        session.inputs = BootInputs(machine.ram, address)
        if given.banks:
            banks = [tuple(int(word, 0) for word in bank.split('+')) for bank in given.banks.split(',')]
            machine.ram.write(address, with_banks(session.inputs.blob, banks))
            session.inputs = BootInputs(machine.ram, address)
        stages = arch.stages if given.stages == 'all' else [word for word in given.stages.split(',') if word]
        arch.boot(session, stages)
        if not given.no_running:
            machine.run_until_ready(given.wait)
            session.console = machine.console()
            arch.running(session)
    finally:
        machine.close()


if __name__ == '__main__':
    main()
