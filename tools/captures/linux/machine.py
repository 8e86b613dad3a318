"""A QEMU machine that is stopped and looked into: QMP, the debugger stub, guest RAM behind a file, device trees."""

import gzip
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time


def fail(text):
    sys.exit(f'error: {text}')


# --- The guest's file system -----------------------------------------------------------------------------------------


def cpio(entries):
    """A newc archive of (name, mode, content, device) entries."""
    out = bytearray()

    def member(inode, name, mode, content, device):
        header = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, device[0], device[1], len(name) + 1, 0]
        out.extend(b'070701' + ''.join(f'{value:08x}' for value in header).encode() + name.encode() + b'\0')
        out.extend(b'\0' * (-len(out) % 4))
        out.extend(content)
        out.extend(b'\0' * (-len(out) % 4))

    for inode, entry in enumerate(entries, 1):
        member(inode, *entry)
    member(0, 'TRAILER!!!', 0, b'', (0, 0))
    return bytes(out)


def initramfs(directory, compiler, names):
    """The guest's only program, and the symbols that it should look up."""
    program = os.path.join(directory, 'init')
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'guest.c')
    subprocess.run([compiler, '-O1', '-static', '-s', '-o', program, source], check=True)
    with open(program, 'rb') as file:
        init = file.read()
    path = os.path.join(directory, 'initramfs.gz')
    files = [
        ('dev', 0o40755, b'', (0, 0)),
        ('dev/console', 0o20600, b'', (5, 1)),
        ('init', 0o100755, init, (0, 0)),
        ('symbols', 0o100644, ('\n'.join(names) + '\n').encode(), (0, 0)),
    ]
    with gzip.open(path, 'wb') as file:
        file.write(cpio(files))
    return path


# --- Device trees ----------------------------------------------------------------------------------------------------


def device_tree(blob):
    """(path, properties) of all nodes, and the reservation block, of a flattened device tree."""
    _, _, structs, strings, reservations = struct.unpack_from('>5I', blob)
    reserved = []
    while True:
        start, size = struct.unpack_from('>QQ', blob, reservations)
        if size == 0:
            break
        reserved.append((start, size))
        reservations += 16
    nodes = []
    path = []
    stack = []
    at = structs
    while True:
        (token,) = struct.unpack_from('>I', blob, at)
        at += 4
        if token == 1:
            end = blob.index(b'\0', at)
            path.append(blob[at:end].decode())
            stack.append({})
            nodes.append(('/'.join(path) or '/', stack[-1]))
            at = (end + 4) & ~3
        elif token == 2:
            path.pop()
            stack.pop()
        elif token == 3:
            size, name = struct.unpack_from('>II', blob, at)
            text = blob[strings + name : blob.index(b'\0', strings + name)].decode()
            stack[-1][text] = (at + 8, blob[at + 8 : at + 8 + size])
            at = (at + 8 + size + 3) & ~3
        elif token == 9:
            return nodes, reserved


def cells(content):
    return list(struct.unpack(f'>{len(content) // 4}I', content))


def regions(content, root):
    """The (address, size) pairs of a `reg` under the root."""
    wide_address = cells(root['#address-cells'][1])[0]
    wide_size = cells(root['#size-cells'][1])[0]
    words = cells(content)
    out = []
    while words:
        number = lambda count: sum(word << (32 * (count - 1 - i)) for i, word in enumerate(words[:count]))
        address = number(wide_address)
        words = words[wide_address:]
        size = number(wide_size)
        words = words[wide_size:]
        out.append((address, size))
    return out


def with_banks(blob, banks):
    """The tree with other memory banks: the `reg` of /memory grows or shrinks in place."""
    nodes, _ = device_tree(blob)
    root = nodes[0][1]
    (offset, content) = next(each['reg'] for path, each in nodes if re.match(r'/memory(@|$)', path))
    word = lambda value, count: b''.join(struct.pack('>I', value >> (32 * i) & 0xFFFFFFFF) for i in reversed(range(count)))
    wide_address = cells(root['#address-cells'][1])[0]
    wide_size = cells(root['#size-cells'][1])[0]
    fresh = b''.join(word(base, wide_address) + word(size, wide_size) for base, size in banks)
    grown = len(fresh) - len(content)
    out = bytearray(blob[: offset - 8] + struct.pack('>I', len(fresh)) + blob[offset - 4 : offset])
    out += fresh + blob[offset + len(content) :]
    # Everything behind the structure block moves; the size of the block is the last word of the header.
    total, structs, strings, reservations = struct.unpack_from('>4I', out, 4)
    strings += grown if strings > offset else 0
    reservations += grown if reservations > offset else 0
    struct.pack_into('>4I', out, 4, total + grown, structs, strings, reservations)
    (size,) = struct.unpack_from('>I', out, 36)
    struct.pack_into('>I', out, 36, size + grown)
    return bytes(out)


# --- Channels --------------------------------------------------------------------------------------------------------


def connect(path):
    for _ in range(100):
        try:
            channel = socket.socket(socket.AF_UNIX)
            channel.connect(path)
            return channel
        except OSError:
            time.sleep(0.1)
    return fail(f'QEMU did not open {path}')


class Qmp:
    def __init__(self, path):
        self.file = connect(path).makefile('rw', encoding='utf8')
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
                fail(f'{name}: {answer["error"]["desc"]}')

    def monitor(self, line):
        return self.command('human-monitor-command', **{'command-line': line})


class Gdb:
    """The remote protocol as far as it stops a machine at an address, and reads and writes registers."""

    def __init__(self, path):
        self.channel = connect(path)
        self.pending = b''
        self.registers = self.describe()

    def post(self, text):
        body = text.encode()
        self.channel.sendall(b'$' + body + b'#%02x' % (sum(body) & 255))

    def packet(self, seconds):
        """The next packet, or None if there is none in time."""
        deadline = time.time() + seconds
        while True:
            found = re.search(rb'\$([^#]*)#..', self.pending, re.S)
            if found:
                self.pending = self.pending[found.end() :]
                self.channel.sendall(b'+')
                return found.group(1).decode('latin1')
            left = deadline - time.time()
            if left <= 0:
                return None
            self.channel.settimeout(left)
            try:
                self.pending += self.channel.recv(65536)
            except socket.timeout:
                return None

    def ask(self, text):
        self.post(text)
        return self.packet(30)

    def document(self, name):
        text = ''
        while True:
            part = self.ask(f'qXfer:features:read:{name}:{len(text):x},1000')
            text += part[1:]
            if part[:1] != 'm':
                return text

    def describe(self):
        """Numbers and bits of the registers by name, as the stub's description counts them."""
        self.ask('qSupported:xmlRegisters=i386')
        found = {}
        following = 0
        for name in re.findall(r'href="([^"]+)"', self.document('target.xml')):
            text = re.sub(r'<!--.*?-->', '', self.document(name), flags=re.S)
            for tag in re.findall(r'<reg\s[^>]*>', text):
                given = re.search(r'regnum="(\d+)"', tag)
                following = int(given.group(1)) if given else following
                bits = int(re.search(r'bitsize="(\d+)"', tag).group(1))
                found.setdefault(re.search(r'name="([^"]+)"', tag).group(1), (following, bits))
                following += 1
        return found

    def read(self, name):
        if name not in self.registers:
            return None
        answer = self.ask(f'p{self.registers[name][0]:x}')
        if not re.fullmatch(r'([0-9a-f]{2})+', answer):
            return None
        return int.from_bytes(bytes.fromhex(answer), 'little')

    def write(self, name, value):
        number, bits = self.registers[name]
        if self.ask(f'P{number:x}={value.to_bytes(bits // 8, "little").hex()}') != 'OK':
            fail(f'the debugger stub refused to write {name}')

    def run_to(self, address, seconds, what):
        if self.ask(f'Z1,{address:x},4') != 'OK':
            fail(f'no breakpoint at {address:#x}')
        self.post('c')
        stopped = self.packet(seconds)
        if stopped is None:
            fail(f'{what} ({address:#x}) was not reached')
        self.ask(f'z1,{address:x},4')

    def run(self):
        self.post('c')

    def interrupt(self):
        self.channel.sendall(b'\x03')
        if self.packet(30) is None:
            fail('the machine does not stop')

    def step(self):
        self.ask('s')


class Ram:
    """Guest RAM behind its file: one piece from `base`."""

    def __init__(self, path, base, size):
        self.file = open(path, 'r+b', buffering=0)
        self.base = base
        self.size = size

    def read(self, address, count):
        offset = address - self.base
        if not 0 <= offset <= self.size - count:
            return None
        self.file.seek(offset)
        return self.file.read(count)

    def write(self, address, content):
        self.file.seek(address - self.base)
        self.file.write(content)


class Machine:
    """A machine, stopped before its first instruction."""

    def __init__(self, program, options, memory, base):
        self.directory = tempfile.mkdtemp(prefix='capture-')
        inside = lambda name: os.path.join(self.directory, name)
        self.serial = inside('serial')
        backend = f'memory-backend-file,id=ram,size={memory}M,mem-path={inside("ram")},share=on'
        channels = ['-serial', f'file:{self.serial}', '-qmp', f'unix:{inside("qmp")},server=on,wait=off']
        channels += ['-gdb', f'unix:{inside("gdb")},server=on,wait=off', '-no-reboot', '-S', '-display', 'none']
        self.process = subprocess.Popen([program, *options, '-object', backend, *channels])
        self.qmp = Qmp(inside('qmp'))
        self.gdb = Gdb(inside('gdb'))
        self.ram = Ram(inside('ram'), base, memory << 20)

    def close(self):
        self.process.kill()
        self.process.wait()
        subprocess.run(['rm', '-r', self.directory], check=False)

    def console(self):
        with open(self.serial, encoding='utf8', errors='replace') as file:
            return file.read().replace('\r', '')

    def run_until_ready(self, seconds):
        """Runs until the guest's program spins, and stops wherever the machine is then."""
        self.gdb.run()
        deadline = time.time() + seconds
        while '\nREADY\n' not in self.console():
            if time.time() > deadline or self.process.poll() is not None:
                fail(f'the guest never became ready:\n{self.console()[-2000:]}')
            time.sleep(0.5)
        time.sleep(1)
        self.gdb.interrupt()

    def translate(self, va):
        """QEMU's own walk."""
        answer = self.qmp.monitor(f'gva2gpa {va:#x}').strip()
        found = re.fullmatch(r'gpa: (?:0x)?([0-9a-f]+)', answer)
        if found:
            return int(found.group(1), 16)
        if answer != 'Unmapped':
            fail(f'gva2gpa {va:#x}: {answer}')
        return None

    def version(self):
        version = self.qmp.command('query-version')
        numbers = version['qemu']
        return f'QEMU {numbers["major"]}.{numbers["minor"]}.{numbers["micro"]} {version["package"]}'.strip()
