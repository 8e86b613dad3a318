"""What differs between architectures: where to stop, which registers count, which roots there are."""

import re
import time

from qemu import fail
from questions import questions
from walkers import Arm64, ArmLong, ArmShort, Riscv


def field(value, low, width=1):
    return value >> low & ((1 << width) - 1)


def noop():
    pass


class RiscvArch:
    name = 'riscv64'
    qemu = 'qemu-system-riscv64'
    compiler = 'riscv64-linux-gnu-gcc'
    console = 'console=ttyS0'
    elf_machine = 243
    bits = 64
    ram_base = 0x80000000
    load = entry = 0x80200000
    dtb_register = 'a1'
    text = '_start'
    stages = ['start_kernel', 'after_setup_vm_final']
    wanted = (
        '_start _stext _text _etext __init_begin __init_text_begin __init_text_end __init_data_begin __init_data_end '
        '__init_end __start_rodata __end_rodata _data _sdata _edata __bss_start __bss_stop _end swapper_pg_dir '
        'early_pg_dir trampoline_pg_dir early_pmd early_pud early_p4d trampoline_pmd trampoline_pud trampoline_p4d '
        'fixmap_pte fixmap_pmd fixmap_pud fixmap_p4d kernel_map pgtable_l4_enabled pgtable_l5_enabled satp_mode '
        'phys_ram_base vmemmap_start_pfn init_mm _dtb_early_pa _dtb_early_va memory_limit max_low_pfn min_low_pfn '
        'max_pfn high_memory start_kernel setup_arch paging_init setup_vm relocate_enable_mmu init_task '
        'empty_zero_page vdso_start pt_ops initrd_start initrd_end acpi_boot_table_init update_process_times'
    ).split()
    options = [
        'CONFIG_KFENCE',
        'CONFIG_KFENCE_SAMPLE_INTERVAL',
        'CONFIG_KFENCE_NUM_OBJECTS',
        'CONFIG_KASAN',
        'CONFIG_STRICT_KERNEL_RWX',
        'CONFIG_RELOCATABLE',
        'CONFIG_RANDOMIZE_BASE',
    ]
    HARDWARE = ['sv57', 'sv48', 'sv39']

    def more_symbols(self, session):
        return {}

    def boot(self, session, stages):
        gdb = session.machine.gdb
        for stage in stages:
            where = {'after_setup_vm_final': 'acpi_boot_table_init'}.get(stage, stage)
            gdb.run_to(session.symbols[where], 90, where)
            session.capture(stage)

    def running(self, session):
        gdb = session.machine.gdb
        for _ in range(20):
            gdb.run_to(session.symbols['update_process_times'], 60, 'update_process_times')
            # SPP: the timer interrupted user mode.
            if not field(gdb.read('sstatus'), 8):
                return session.capture('full')
            gdb.step()
        return fail('the guest never runs in user mode')

    def force(self, gdb, ask):
        """Another root, and a status with which nothing is a matter of permission."""
        old = {name: gdb.read(name) for name in ('satp', 'mstatus', 'priv')}
        if old['priv'] != 1:
            fail('stopped outside of supervisor mode')
        gdb.write('mstatus', old['mstatus'] | 1 << 18 | 1 << 19)
        gdb.write('satp', ask['satp'])

        def restore():
            gdb.write('satp', old['satp'])
            gdb.write('mstatus', old['mstatus'])

        return restore

    def state(self, session, stage, pages):
        gdb = session.machine.gdb
        ram = session.machine.ram
        satp = gdb.read('satp')
        mode = satp >> 60 << 60
        held = lambda name: mode | session.physical(name) >> 12
        if stage == 'full':
            roots = {'kernel': held('swapper_pg_dir'), 'user': satp}
        elif stage == 'after_setup_vm_final':
            roots = {name: held(name) for name in ('swapper_pg_dir', 'early_pg_dir', 'trampoline_pg_dir')}
        else:
            roots = {name: held(name) for name in ('early_pg_dir', 'trampoline_pg_dir')}
        walkers = {label: Riscv(ram, value, pages) for label, value in roots.items()}
        levels = walkers[next(iter(roots))].root_level + 1
        text = {3: 'sv39', 4: 'sv48', 5: 'sv57'}[levels]
        registers = {name: gdb.read(name) for name in ('pc', 'satp', 'sstatus', 'mstatus', 'stvec', 'sp', 'gp', 'tp', 'ra')}
        return {
            'facts': {'mode': text, 'page_size': 4096, 'levels': levels},
            'roots': {
                label: {
                    'satp': hex(value),
                    'mode': text,
                    'asid': field(value, 44, 16),
                    'root_pa': hex(walkers[label].root),
                    'walker': walkers[label],
                    'ask': {'satp': value},
                }
                for label, value in roots.items()
            },
            'after': {
                'cpu_registers_at_stop': {name: hex(value) for name, value in registers.items() if value is not None},
                'note': 'gva2gpa with SUM and MXR forced; other roots by writing satp',
            },
            'description': {'hardwareModes': self.HARDWARE, 'expect': {'mode': text}},
        }

    def values(self, session):
        names = ['page_offset', 'virt_addr', 'virt_offset', 'phys_addr', 'size', 'va_pa_offset', 'va_kernel_pa_offset']
        at = session.physical('kernel_map')
        out = {
            'kernel_map': {
                name: hex(int.from_bytes(session.machine.ram.read(at + 8 * i, 8), 'little')) for i, name in enumerate(names)
            }
        }
        for name in ('pgtable_l4_enabled', 'pgtable_l5_enabled'):
            out[name] = hex(session.image(name, 1))
        for name in ('satp_mode', 'phys_ram_base', 'vmemmap_start_pfn', 'max_low_pfn', 'max_pfn', 'high_memory'):
            out[name] = hex(session.image(name))
        return out


class Arm64Arch:
    name = 'arm64'
    qemu = 'qemu-system-aarch64'
    compiler = 'aarch64-linux-gnu-gcc'
    console = 'console=ttyAMA0'
    elf_machine = 183
    bits = 64
    ram_base = 0x40000000
    load = entry = 0x40200000
    dtb_register = 'x0'
    text = '_text'
    stages = ['mmu_off_idmap', 'start_kernel', 'paging_init', 'after_paging_init']
    wanted = (
        '_text _stext _etext __start_rodata __end_rodata __init_begin __inittext_begin __inittext_end '
        '__initdata_begin __initdata_end __init_end _data _sdata _edata __bss_start __bss_stop _end swapper_pg_dir '
        'idmap_pg_dir init_idmap_pg_dir init_idmap_pg_end init_pg_dir init_pg_end tramp_pg_dir reserved_pg_dir bm_pte '
        'bm_pmd bm_pud empty_zero_page memstart_addr kimage_voffset arm64_use_ng_mappings rodata_full __fdt_pointer '
        'high_memory max_pfn max_low_pfn init_mm primary_entry __primary_switched __primary_switch __enable_mmu '
        'start_kernel setup_arch paging_init bootmem_init arm64_memblock_init __pi_early_map_kernel __pi_map_range '
        '__entry_tramp_text_start __entry_tramp_text_end tramp_vectors __hyp_text_start __hyp_text_end '
        '__idmap_text_start __idmap_text_end __kprobes_text_start vectors module_direct_base module_plt_base '
        'memory_limit __kfence_pool init_task boot_args __boot_cpu_mode update_process_times __idmap_kpti_flag '
        'acpi_boot_table_init'
    ).split()
    options = [
        'CONFIG_KFENCE',
        'CONFIG_KFENCE_SAMPLE_INTERVAL',
        'CONFIG_KFENCE_NUM_OBJECTS',
        'CONFIG_KASAN',
        'CONFIG_STRICT_KERNEL_RWX',
        'CONFIG_ARM64_VA_BITS',
        'CONFIG_ARM64_PA_BITS',
        'CONFIG_RELOCATABLE',
        'CONFIG_RANDOMIZE_BASE',
        'CONFIG_RODATA_FULL_DEFAULT_ENABLED',
        'CONFIG_UNMAP_KERNEL_AT_EL0',
        'CONFIG_ARM64_HW_AFDBM',
    ]
    IDS = ['ID_AA64MMFR0_EL1', 'ID_AA64MMFR1_EL1', 'ID_AA64MMFR2_EL1']
    BR_X8 = 0xD61F0100

    def more_symbols(self, session):
        return {}

    def boot(self, session, stages):
        gdb = session.machine.gdb
        if 'mmu_off_idmap' in stages:
            gdb.run_to(session.physical('__enable_mmu'), 60, '__enable_mmu')
            session.capture('mmu_off_idmap')
        # The kernel maps itself from its identity map, and then jumps to where it decided to run: by `br x8`.
        gdb.run_to(session.physical('__pi_early_map_kernel'), 60, '__pi_early_map_kernel')
        back = gdb.read('x30')
        jump = next((back + 4 * i for i in range(16) if self.word(session, back + 4 * i) == self.BR_X8), None)
        if jump is None:
            fail('no jump after __pi_early_map_kernel')
        gdb.run_to(jump, 60, 'the jump to the kernel')
        offset = gdb.read('x8') - session.linked['__primary_switched']
        session.symbols = {name: (at + offset) & ((1 << 64) - 1) for name, at in session.linked.items()}
        for stage in stages:
            if stage != 'mmu_off_idmap':
                where = {'after_paging_init': 'acpi_boot_table_init'}.get(stage, stage)
                gdb.run_to(session.symbols[where], 60, where)
                session.capture(stage)

    @staticmethod
    def word(session, at):
        return int.from_bytes(session.machine.ram.read(at, 4), 'little')

    def running(self, session):
        gdb = session.machine.gdb
        for _ in range(200):
            if field(gdb.read('cpsr'), 2, 2) == 0:
                break
            gdb.run()
            time.sleep(0.02)
            gdb.interrupt()
        else:
            fail('the guest never runs in user mode')
        lines = self.trampoline(session)
        gdb.run_to(session.symbols['update_process_times'], 60, 'update_process_times')
        session.capture('full', lines)

    def trampoline(self, session):
        """With page table isolation user mode has another upper root: asked while that is in its register."""
        machine = session.machine
        gdb = machine.gdb
        root = gdb.read('TTBR1_EL1') & 0xFFFFFFFFFFFE
        session.user_ttbr1 = gdb.read('TTBR1_EL1')
        if self.el2(session) or not session.physical('tramp_pg_dir') <= root < session.physical('tramp_pg_dir') + 4096:
            session.trampoline = None
            return []
        walker = self.walker(session, root, True, {}, None)
        restore = self.force(gdb, {})
        lines = []
        for va in questions(walker.runs(), walker, 64, 600, 'trampoline'):
            if field(va, 55):
                pa = machine.translate(va)
                lines.append({'va': hex(va), 'pa': pa and hex(pa), 'root': 'tramp_pg_dir', 'source': 'gva2gpa'})
        restore()
        session.trampoline = root
        return lines

    @staticmethod
    def el2(session):
        return field(session.machine.gdb.read('cpsr'), 2, 2) == 2

    def force(self, gdb, ask):
        """The kernel's exception level without privileged-access-never: then null is 'not mapped'."""
        old = gdb.read('cpsr')
        level = max(field(old, 2, 2), 1)
        gdb.write('cpsr', old & ~(1 << 22) & ~0xF | level << 2 | 1)
        return lambda: gdb.write('cpsr', old)

    def registers(self, session):
        gdb = session.machine.gdb
        el2 = field(gdb.read('cpsr'), 2, 2) == 2
        names = [
            *('TTBR0_EL1', 'TTBR1_EL1', 'TCR_EL1', 'MAIR_EL1', 'SCTLR_EL1', *self.IDS, 'VBAR_EL1', 'CONTEXTIDR_EL1'),
            *(('HCR_EL2', 'TTBR0_EL2', 'TTBR1_EL2', 'TCR_EL2', 'MAIR_EL2', 'SCTLR_EL2', 'VBAR_EL2') if el2 else ()),
            *('pc', 'sp', 'cpsr', 'x0', 'x1', 'x2', 'x30'),
        ]
        # QEMU lists this one without its level.
        return {name: gdb.read('SCTLR' if name == 'SCTLR_EL1' else name) for name in names}

    def suffix(self, session):
        return 'EL2' if self.el2(session) else 'EL1'

    def walker(self, session, root, upper, pages, tsz):
        tcr = session.machine.gdb.read(f'TCR_{self.suffix(session)}')
        size = field(tcr, 16, 6) if upper else field(tcr, 0, 6)
        granule = session.given.page.bit_length() - 1
        ignored = field(tcr, 38 if upper else 37)
        tsz = size if tsz is None else tsz
        return Arm64(session.machine.ram, granule, tsz, field(tcr, 59), upper, ignored, root, pages)

    def state(self, session, stage, pages):
        registers = self.registers(session)
        suffix = self.suffix(session)
        tcr = registers[f'TCR_{suffix}']
        lpa2 = field(tcr, 59)
        base = lambda ttbr: ttbr & 0xFFFFFFFFFFC0 | field(ttbr, 2, 4) << 48 if lpa2 else ttbr & 0xFFFFFFFFFFFE
        on = field(registers[f'SCTLR_{suffix}'], 0)
        roots = {}

        def add(label, root, upper, tsz=None, register=None):
            walker = self.walker(session, root, upper, pages, tsz)
            entry = {'root_pa': hex(root), 'tsz': 64 - walker.va_bits, 'start_level': 3 - walker.root_level, 'walker': walker}
            if register is None:
                entry['upper'] = upper
                entry['not_in_oracle'] = 'in no base register at the stop'
            else:
                value = registers[register]
                entry = {'reg': register, 'ttbr': hex(value), 'asid': value >> 48, **entry}
                entry['ask'] = {'selects': lambda va: field(va, 55) == upper}
                if suffix == 'EL2':
                    entry['el'] = 2
            roots[label] = entry

        symbol = lambda name: session.physical(name)
        names = ['init_idmap_pg_dir', 'idmap_pg_dir', 'reserved_pg_dir', 'swapper_pg_dir', 'init_pg_dir', 'tramp_pg_dir']

        def held(number):
            at = base(registers[f'TTBR{number}_{suffix}'])
            return at, next((name for name in names if symbol(name) <= at < symbol(name) + session.given.page), 'user')

        for number in (0, 1) if on else ():
            at, label = held(number)
            label = 'kernel' if stage == 'full' and label == 'swapper_pg_dir' else label
            add(label, at, number == 1, None, f'TTBR{number}_{suffix}')
        low = names[:2]
        others = {
            'mmu_off_idmap': low[:1],
            'start_kernel': [*low[:1], 'init_pg_dir'],
            'paging_init': [*low[:1], 'init_pg_dir'],
            'after_paging_init': [*low, 'init_pg_dir'],
            'full': low[1:],
        }[stage]
        for name in others:
            if name not in roots:
                # Identity maps have a size of their own: 48 bits.
                add(name, symbol(name), name not in low, 16 if name in low else None)
        if stage == 'full' and session.trampoline is not None:
            add('tramp_pg_dir', session.trampoline, True)
            roots['tramp_pg_dir'].pop('not_in_oracle')
            roots['tramp_pg_dir'].update(reg='TTBR1_EL1', ttbr=hex(session.user_ttbr1))
        regime = {
            't0sz': field(tcr, 0, 6),
            't1sz': field(tcr, 16, 6),
            'va_bits_low': 64 - field(tcr, 0, 6),
            'va_bits_high': 64 - field(tcr, 16, 6),
            'granule0': session.given.page,
            'granule1': session.given.page,
            'ds_lpa2': bool(lpa2),
            'ips': field(tcr, 32, 3),
        }
        bits = {'tbi0': 37, 'tbi1': 38, 'ha': 39, 'hd': 40, 'hpd0': 41, 'hpd1': 42, 'a1': 22, 'as16': 36}
        bits.update(e0pd0=55, e0pd1=56, epd0=7, epd1=23)
        regime.update({name: field(tcr, at) for name, at in bits.items()})
        return {
            'facts': {'page_size': session.given.page, 'regime': regime},
            'roots': roots,
            'after': {
                'registers': {name: hex(value) for name, value in registers.items() if value is not None},
                'note': 'gva2gpa at the kernel\'s exception level with PAN clear',
            },
            'description': {
                'idRegisters': {name: hex(registers[name]) for name in self.IDS},
                'expect': {'regime': regime},
            },
        }

    def values(self, session):
        names = ['memstart_addr', 'kimage_voffset', '__fdt_pointer', 'high_memory', 'max_pfn', 'memory_limit', '__kfence_pool']
        out = {name: session.image(name) for name in names}
        out.update({name: session.image(name, 1) for name in ('arm64_use_ng_mappings', 'rodata_full')})
        return {name: hex(value) for name, value in out.items() if value is not None}


class ArmArch:
    name = 'arm'
    qemu = 'qemu-system-arm'
    compiler = 'arm-linux-gnueabihf-gcc'
    console = 'console=ttyAMA0'
    elf_machine = 40
    bits = 32
    ram_base = 0x40000000
    load = 0x40208000
    entry = 0x40010000
    dtb_register = 'r2'
    text = '_text'
    stages = ['start_kernel', 'paging_init', 'after_paging_init']
    wanted = (
        '_stext _etext start_kernel setup_arch paging_init early_fixmap_init unflatten_device_tree bootmem_init '
        'update_process_times __turn_mmu_on secondary_startup _sinittext _einittext dma_contiguous_remap '
        'early_ioremap_reset free_initmem'
    ).split()
    options = [
        'CONFIG_VMSPLIT_3G',
        'CONFIG_HIGHMEM',
        'CONFIG_CMA_SIZE_MBYTES',
        'CONFIG_KASAN',
        'CONFIG_STRICT_KERNEL_RWX',
        'CONFIG_ARM_LPAE',
    ]
    IDS = ['ID_MMFR0', 'ID_MMFR1', 'ID_MMFR2', 'ID_MMFR3']
    PAGE_OFFSET = 0xC0000000

    def more_symbols(self, session):
        """This kernel lists no data: the pieces of /proc/iomem and the root register tell them."""
        virtual = lambda pa: pa - self.ram_base + self.PAGE_OFFSET
        pieces = {}
        for start, end, what in re.findall(r'^IOMEM +([0-9a-f]+)-([0-9a-f]+) : Kernel (code|data)$', session.console, re.M):
            pieces[what] = (int(start, 16), int(end, 16) + 1)
        root = session.machine.gdb.read('TTBR1') & 0xFFFFFFF000
        return {
            '_text': virtual(pieces['code'][0]),
            '__init_begin': virtual(pieces['code'][1]),
            '__init_end': virtual(pieces['data'][0]),
            '_end': virtual(pieces['data'][1]),
            'swapper_pg_dir': virtual(root),
        }

    def boot(self, session, stages):
        gdb = session.machine.gdb
        for stage in stages:
            where = {'after_paging_init': 'unflatten_device_tree'}.get(stage, stage)
            gdb.run_to(session.symbols[where], 120, where)
            # The decompressor chose the place: the root tells it.
            root = gdb.read('TTBR1') & 0xFFFFFFF000
            session.load = root - session.linked['swapper_pg_dir'] + session.linked['_text']
            session.capture(stage)

    def running(self, session):
        gdb = session.machine.gdb
        gdb.run_to(session.symbols['update_process_times'], 60, 'update_process_times')
        session.capture('full')

    def force(self, gdb, ask):
        return noop

    def state(self, session, stage, pages):
        gdb = session.machine.gdb
        names = ['TTBR0', 'TTBR1', 'TTBCR', 'DACR', 'MAIR0', 'MAIR1', 'SCTLR', 'MIDR', *self.IDS, 'pc', 'cpsr', 'sp', 'lr']
        registers = {name: gdb.read(name) for name in names}
        ttbcr = registers['TTBCR']
        long = field(ttbcr, 31)
        root = session.physical('swapper_pg_dir')
        if long:
            walker = ArmLong(session.machine.ram, 0, root, pages)
            regime = {'format': 'long (LPAE)', 't0sz': field(ttbcr, 0, 3), 't1sz': field(ttbcr, 16, 3)}
            regime.update(epd0=field(ttbcr, 7), epd1=field(ttbcr, 23), a1=field(ttbcr, 22))
            entry = {'reg': 'TTBR1', 'ttbr': hex(registers['TTBR1']), 'root_pa': hex(root), 'start_level': 1, 'tsz': 0}
        else:
            walker = ArmShort(session.machine.ram, root, pages)
            regime = {'format': 'short', 'ttbcr_n': field(ttbcr, 0, 3), 'pd0': field(ttbcr, 4), 'pd1': field(ttbcr, 5)}
            entry = {'reg': 'TTBR0', 'ttbr': hex(registers['TTBR0']), 'root_pa': hex(root)}
        limit = 1 << (32 - regime['t0sz']) if long and regime['t0sz'] else 0
        return {
            'facts': {'page_size': 4096, 'regime': regime},
            'roots': {'swapper_pg_dir': {**entry, 'walker': walker, 'ask': {'selects': lambda va: va >= limit}}},
            'after': {
                'registers': {name: hex(value) for name, value in registers.items() if value is not None},
                'note': 'gva2gpa in SVC mode; nothing is forced',
            },
            'description': {
                'idRegisters': {name: hex(registers[name]) for name in self.IDS},
                'expect': {'regime': regime},
            },
        }

    def values(self, session):
        return {}


ARCHES = {'riscv64': RiscvArch, 'arm64': Arm64Arch, 'arm': ArmArch}
