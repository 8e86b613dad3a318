#!/usr/bin/env python3
"""Boots an x86-64 kernel under QEMU, stops it in user mode, and writes a capture: table pages, registers, oracle.

The oracle is QEMU's own: the monitor commands `gva2gpa` for addresses, `info tlb` for leaves, `info mem` for
permissions. Which pages are tables is found by the small walker below, which knows nothing of Pagefold. See README.md
beside this file.
"""

import argparse
import gzip
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time

PAGE = 4096
ADDRESS = ((1 << 52) - 1) & ~(PAGE - 1)
CR4_LA57 = 1 << 12
HERE = os.path.dirname(os.path.abspath(__file__))


# --- The guest's file system -----------------------------------------------------------------------------------------


def cpio(entries):
    """A newc archive of (name, mode, content, device) entries."""
    out = bytearray()

    def member(name, mode, content, device, inode):
        header = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, device[0], device[1], len(name) + 1, 0]
        out.extend(b'070701' + ''.join(f'{value:08x}' for value in header).encode() + name.encode() + b'\0')
        out.extend(b'\0' * (-len(out) % 4))
        out.extend(content)
        out.extend(b'\0' * (-len(out) % 4))

    for inode, entry in enumerate(entries, 1):
        member(*entry, inode)
    member('TRAILER!!!', 0, b'', (0, 0), 0)
    return bytes(out)


def initramfs(directory):
    program = os.path.join(directory, 'init')
    subprocess.run(['cc', '-O1', '-static', '-s', '-o', program, os.path.join(HERE, 'guest.c')], check=True)
    with open(program, 'rb') as file:
        init = file.read()
    path = os.path.join(directory, 'initramfs.gz')
    files = [('dev', 0o40755, b'', (0, 0)), ('dev/console', 0o20600, b'', (5, 1)), ('init', 0o100755, init, (0, 0))]
    with gzip.open(path, 'wb') as file:
        file.write(cpio(files))
    return path


# --- QEMU ------------------------------------------------------------------------------------------------------------


def connect(path):
    for _ in range(100):
        try:
            channel = socket.socket(socket.AF_UNIX)
            channel.connect(path)
            return channel
        except OSError:
            time.sleep(0.1)
    sys.exit(f'QEMU did not open {path}')


class Qmp:
    def __init__(self, path):
        self.channel = connect(path)
        self.file = self.channel.makefile('rw', encoding='utf8')
        self.file.readline()
        self.command('qmp_capabilities')

    def command(self, name, **arguments):
        self.file.write(json.dumps({'execute': name, 'arguments': arguments}) + '\n')
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if 'return' in answer:
                return answer['return']
            if 'error' in answer:
                sys.exit(f'{name}: {answer["error"]["desc"]}')

    def monitor(self, line):
        return self.command('human-monitor-command', **{'command-line': line})


class Gdb:
    """Just enough of the remote protocol to write one register: another root for the monitor's walks."""

    def __init__(self, path):
        self.channel = connect(path)
        self.numbers = self.register_numbers()

    def send(self, text):
        body = text.encode()
        self.channel.sendall(b'$' + body + b'#%02x' % (sum(body) & 255))
        data = b''
        while not re.search(rb'\$[^#]*#..', data):
            data += self.channel.recv(65536)
        self.channel.sendall(b'+')
        return re.search(rb'\$([^#]*)#..', data).group(1).decode('latin1')

    def document(self, name):
        text = ''
        while True:
            part = self.send(f'qXfer:features:read:{name}:{len(text):x},1000')
            text += part[1:]
            if part[:1] != 'm':
                return text

    def register_numbers(self):
        self.send('qSupported:xmlRegisters=i386')
        numbers = {}
        for name in re.findall(r'href="([^"]+)"', self.document('target.xml')):
            following = 0
            text = re.sub(r'<!--.*?-->', '', self.document(name), flags=re.S)
            for tag in re.findall(r'<reg\s[^>]*>', text):
                given = re.search(r'regnum="(\d+)"', tag)
                following = int(given.group(1)) if given else following
                numbers[re.search(r'name="([^"]+)"', tag).group(1)] = following
                following += 1
        return numbers

    def write(self, name, value):
        if self.send(f'P{self.numbers[name]:x}={struct.pack("<Q", value).hex()}') != 'OK':
            sys.exit(f'the debugger stub refused to write {name}')


def registers_of(qmp):
    text = qmp.monitor('info registers')
    values = {name: int(value, 16) for name, value in re.findall(r'\b(CR[0234]|EFER|RIP)=([0-9a-f]+)', text)}
    values['CPL'] = int(re.search(r'CPL=(\d)', text).group(1))
    return values


# --- Guest memory ----------------------------------------------------------------------------------------------------


class Memory:
    """Guest RAM behind its file. The q35 machine moves what does not fit below 2 GiB (of 2.75) to 4 GiB."""

    def __init__(self, path, size):
        self.file = open(path, 'rb')
        self.low = 0x80000000 if size >= 0xB0000000 else size
        self.size = size

    def page(self, address):
        offset = address if address < self.low else address - (1 << 32) + self.low
        if not 0 <= offset < self.size:
            sys.exit(f'a table outside of RAM: {address:#x}')
        self.file.seek(offset)
        return self.file.read(PAGE)


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


# --- Questions -------------------------------------------------------------------------------------------------------


def questions(runs, walker, limit, seed):
    """Starts, ends, neighbours and insides of runs, points near the edges of the address space, and at random."""
    chance = random.Random(seed)
    top = (1 << 64) - 1
    half = 1 << (11 + 9 * walker.levels)
    asked = {0, 1, top, top - PAGE, half - 1, half, half - PAGE, (1 << 64) - half, (1 << 64) - half - 1, 1 << 47}
    asked |= {(1 << 47) - 1, 1 << 56, (1 << 56) - 1, 1 << 63, (1 << 63) - 1, 0xFFFF800000000000, 0xFFFF7FFFFFFFFFFF}
    chosen = runs if len(runs) <= limit // 6 else chance.sample(runs, limit // 6)
    for start, end, _ in chosen:
        asked |= {start, end - 1, max(start - 1, 0), end & top}
        asked |= {chance.randrange(start, end), chance.randrange(start, end)}
    while len(asked) < limit + 300:
        start, end, _ = chance.choice(runs)
        # Somewhere near a run: within what one entry of some level covers.
        span = 1 << (12 + 9 * chance.randrange(walker.levels))
        asked.add(max(0, min(top, chance.choice([start, end]) + chance.randrange(-span, span))))
    for _ in range(150):
        asked.add(chance.getrandbits(64))  # hardly ever canonical
        asked.add(chance.getrandbits(12 + 9 * walker.levels - 1))
    return sorted(asked)


def ask(qmp, va):
    answer = qmp.monitor(f'gva2gpa {va:#x}').strip()
    found = re.fullmatch(r'gpa: 0x([0-9a-f]+)|gpa: (0)', answer)
    if found:
        return int(found.group(1) or '0', 16)
    if answer != 'Unmapped':
        sys.exit(f'gva2gpa {va:#x}: {answer}')
    return None


# --- Files -----------------------------------------------------------------------------------------------------------


def write_gzip(path, data):
    with open(path, 'wb') as file, gzip.GzipFile(fileobj=file, mode='wb', compresslevel=9, mtime=0, filename='') as out:
        out.write(data)


def lines_of(text):
    return [line for line in text.replace('\r', '').split('\n') if line]


def elf_core(tables):
    """An ELF64 core whose segments are runs of table pages at their physical addresses."""
    runs = []
    for address in sorted(tables):
        if runs and runs[-1][0] + len(runs[-1][1]) == address:
            runs[-1][1].extend(tables[address])
        else:
            runs.append((address, bytearray(tables[address])))
    offset = 64 + 56 * len(runs)
    ident = b'\x7fELF\x02\x01\x01' + b'\0' * 9
    head = ident + struct.pack('<HHIQQQIHHHHHH', 4, 62, 1, 0, 64, 0, 0, 64, 56, len(runs), 0, 0, 0)
    body = bytearray()
    for address, data in runs:
        head += struct.pack('<IIQQQQQQ', 1, 4, offset + len(body), 0, address, len(data), len(data), PAGE)
        body += data
    return head + bytes(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('kernel', help='vmlinuz')
    parser.add_argument('out', help='folder of the capture')
    parser.add_argument('--levels', type=int, choices=[4, 5], default=4, help='that the processor offers')
    parser.add_argument('--cpu', default='max', help='model and properties; the levels are added')
    parser.add_argument('--memory', type=int, default=2304, help='MiB; two GiB pages need more than 2048')
    parser.add_argument('--append', default='pti=on', help='more boot arguments')
    parser.add_argument('--questions', type=int, default=3000, help='per root')
    parser.add_argument('--wait', type=int, default=400, help='seconds until the guest must be ready')
    given = parser.parse_args()

    directory = tempfile.mkdtemp(prefix='capture-')
    inside = lambda name: os.path.join(directory, name)
    boot_args = f'console=ttyS0 panic=-1 hugepagesz=1G hugepages=1 hugepagesz=2M {given.append}'.strip()
    cpu = f'{given.cpu},la57={"on" if given.levels == 5 else "off"}'
    options = ['-M', 'q35,memory-backend=ram', '-cpu', cpu, '-smp', '1', '-m', str(given.memory), '-display', 'none']
    files = ['-kernel', given.kernel, '-initrd', initramfs(directory), '-append', boot_args]
    backend = f'memory-backend-file,id=ram,size={given.memory}M,mem-path={inside("ram")},share=on'
    channels = ['-serial', f'file:{inside("serial")}', '-qmp', f'unix:{inside("qmp")},server=on,wait=off']
    channels += ['-gdb', f'unix:{inside("gdb")},server=on,wait=off']
    machine = subprocess.Popen(['qemu-system-x86_64', *options, '-no-reboot', '-object', backend, *files, *channels])
    try:
        capture(given, machine, inside, boot_args, cpu)
    finally:
        machine.kill()
        machine.wait()
        subprocess.run(['rm', '-r', directory], check=False)


def console(inside):
    try:
        with open(inside('serial'), encoding='utf8', errors='replace') as file:
            return file.read().replace('\r', '')
    except OSError:
        return ''


def capture(given, machine, inside, boot_args, cpu):
    deadline = time.time() + given.wait
    while '\nREADY\n' not in console(inside):
        if time.time() > deadline or machine.poll() is not None:
            sys.exit(f'the guest never became ready:\n{console(inside)[-2000:]}')
        time.sleep(1)
    qmp = Qmp(inside('qmp'))
    while True:
        qmp.command('stop')
        registers = registers_of(qmp)
        if registers['CPL'] == 3:
            break
        qmp.command('cont')
        time.sleep(0.01)
    text = console(inside)
    lines = lambda tag: re.findall(rf'^{tag} (.*)$', text, re.M)
    symbols = {}
    for line in lines('SYMBOL'):
        value, _, name = line.split()[:3]
        symbols[name] = f'0x{value}'

    # The kernel has the last word on the levels: no5lvl, or a build that knows only four.
    levels = 5 if registers['CR4'] & CR4_LA57 else 4
    walker = Walker(Memory(inside('ram'), given.memory << 20), levels)
    # Under page table isolation a process has two roots side by side; the user's is the one with bit 12 set.
    isolated = 'isolation: enabled' in text
    user = registers['CR3']
    roots = {'user': user}
    if isolated:
        roots['kernel'] = user & ~0x1000
    init_top = walker.translate(roots.get('kernel', user) & ADDRESS, int(symbols['init_top_pgt'], 16))
    roots['init_top_pgt'] = init_top

    gdb = Gdb(inside('gdb'))
    oracle = []
    permissions = []
    leaves = []
    facts = {}
    wrong = 0
    for label, value in roots.items():
        gdb.write('cr3', value)
        if registers_of(qmp)['CR3'] != value:
            sys.exit('writing CR3 had no effect')
        before = walker.leaf_entries
        runs = list(walker.leaves(value & ADDRESS))
        facts[label] = {
            'cr3': hex(value),
            'root_pa': hex(value & ADDRESS),
            'merged_leaves': len(runs),
            'leaf_entries': walker.leaf_entries - before,
        }
        for va in questions(runs, walker, given.questions, label):
            pa = ask(qmp, va)
            answer = {'va': hex(va), 'pa': None if pa is None else hex(pa), 'root': label, 'source': 'gva2gpa'}
            oracle.append(json.dumps(answer))
            wrong += walker.translate(value & ADDRESS, va) != pa
        permissions += [f'root {label}', *lines_of(qmp.monitor('info mem'))]
        leaves += [f'root {label}', *lines_of(qmp.monitor('info tlb'))]
    gdb.write('cr3', user)
    if wrong:
        sys.exit(f'the walker of this script and QEMU disagree {wrong} times')

    version = qmp.command('query-version')
    maxphyaddr = re.search(r'MAXPHYADDR (\d+)', text)
    gbpages = re.search(r'GBPAGES (\d)', text)
    cpu_facts = {
        'maxphyaddr': int(maxphyaddr.group(1)) if maxphyaddr else 52,
        'gbpages': gbpages is None or gbpages.group(1) == '1',
    }
    facts_file = {
        'name': os.path.basename(os.path.normpath(given.out)),
        'arch': 'x86_64',
        'stage': 'full',
        'mode': f'{levels}-level',
        'page_size': PAGE,
        'levels': levels,
        'roots': facts,
        'registers': {name: hex(registers[name]) for name in ('CR0', 'CR3', 'CR4', 'EFER')},
        'cpu': cpu_facts,
        'tables': len(walker.tables),
        'isolation': isolated,
        'stopped': f'in user mode at {registers["RIP"]:#x}',
        'qemu': f'qemu-system-x86_64 -M q35 -cpu {cpu} -smp 1 -m {given.memory} -append "{boot_args}"',
        'qemu_version': f'QEMU {version["qemu"]["major"]}.{version["qemu"]["minor"]} {version["package"]}'.strip(),
        'kernel_version': lines('KERNEL')[0] if lines('KERNEL') else '',
        'boot_args': boot_args,
        'symbols': symbols,
        'user_regions': [dict(zip(('what', 'start', 'bytes'), line.split())) for line in lines('REGION')],
        'note': 'gva2gpa looks at neither permissions nor reserved bits: null means not mapped',
    }
    os.makedirs(given.out, exist_ok=True)
    target = lambda name: os.path.join(given.out, name)
    with open(target('registers.json'), 'w', encoding='utf8') as file:
        json.dump(facts_file, file, indent=1)
        file.write('\n')
    write_gzip(target('tables.elf.gz'), elf_core(walker.tables))
    write_gzip(target('oracle.jsonl.gz'), ('\n'.join(oracle) + '\n').encode())
    if len(permissions) > len(roots):  # QEMU 7.2 prints nothing for five levels
        write_gzip(target('mem.txt.gz'), ('\n'.join(permissions) + '\n').encode())
    write_gzip(target('tlb.txt.gz'), ('\n'.join(leaves) + '\n').encode())
    with open(target('user_maps.txt'), 'w', encoding='utf8') as file:
        file.write('\n'.join(lines('MAPS')) + '\n')
    print(f'{given.out}: {len(walker.tables)} tables, {len(oracle)} answers, roots {", ".join(roots)}')


if __name__ == '__main__':
    main()
