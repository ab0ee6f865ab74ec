//! `bpf(2)`, as far as the device control of cgroup v2 needs it.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// One eBPF instruction; the layout of `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbf;
const MOVE_IMMEDIATE: u8 = 0xb7;
const AND_IMMEDIATE: u8 = 0x57;
const SHIFT_RIGHT_IMMEDIATE: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

impl Instruction {
    const fn new(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Self {
        Self {
            code,
            registers: to | (from << 4),
            offset,
            immediate,
        }
    }

    /// `to = *(u32 *)(base + offset)`
    pub(crate) const fn load_word(to: u8, base: u8, offset: i16) -> Self {
        Self::new(LOAD_WORD, to, base, offset, 0)
    }

    /// `to = from`
    pub(crate) const fn move_register(to: u8, from: u8) -> Self {
        Self::new(MOVE_REGISTER, to, from, 0, 0)
    }

    /// `to = value`
    pub(crate) const fn load(to: u8, value: i32) -> Self {
        Self::new(MOVE_IMMEDIATE, to, 0, 0, value)
    }

    /// `to &= mask`
    pub(crate) const fn and(to: u8, mask: i32) -> Self {
        Self::new(AND_IMMEDIATE, to, 0, 0, mask)
    }

    /// `to >>= bits`
    pub(crate) const fn shift_right(to: u8, bits: i32) -> Self {
        Self::new(SHIFT_RIGHT_IMMEDIATE, to, 0, 0, bits)
    }

    /// Skips unless the register holds the value; where to is said by [`Self::aim_skip`].
    pub(crate) const fn skip_unless_equal(register: u8, value: i32) -> Self {
        Self::new(JUMP_UNLESS_EQUAL, register, 0, 0, value)
    }

    /// Lets a skip jump over that many instructions; does nothing to others.
    pub(crate) fn aim_skip(&mut self, over: usize) {
        if self.code == JUMP_UNLESS_EQUAL {
            self.offset = i16::try_from(over).unwrap_or(i16::MAX);
        }
    }

    /// Returns register 0.
    pub(crate) const fn exit() -> Self {
        Self::new(EXIT, 0, 0, 0, 0)
    }
}

const PROG_LOAD: u32 = 5;
const PROG_ATTACH: u32 = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest as zero.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// The same for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachAttributes {
    target: RawFd,
    program: RawFd,
    attach_type: u32,
    flags: u32,
}

/// Loads a program that decides about devices.
pub(crate) fn load_device_filter(instructions: &[Instruction]) -> Result<OwnedFd, Errno> {
    let attributes = LoadAttributes {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(instructions.len()).map_err(|_| Errno::INVAL)?,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
    };
    // SAFETY: the attributes have the layout and size the kernel is told, and the pointers in them outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_LOAD,
            std::ptr::from_ref(&attributes),
            size_of::<LoadAttributes>(),
        )
    };
    let fd = super::check(result)?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches it to a cgroup, beside those that are there; all must allow.
pub(crate) fn attach_device_filter(cgroup: BorrowedFd<'_>, program: &OwnedFd) -> Result<(), Errno> {
    let attributes = AttachAttributes {
        target: cgroup.as_raw_fd(),
        program: program.as_raw_fd(),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the attributes have the layout and size the kernel is told; it only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_ATTACH,
            std::ptr::from_ref(&attributes),
            size_of::<AttachAttributes>(),
        )
    };
    super::check(result).map(drop)
}

/// What a program of the instructions above answers: tests ask it, and the kernel's verifier has to be content as well.
#[cfg(test)]
pub(crate) fn simulate(program: &[Instruction], context: [u32; 3]) -> u64 {
    let mut registers = [0_u64; 11];
    let mut at = 0;
    loop {
        let instruction = program[at];
        at += 1;
        let to = usize::from(instruction.registers & 0xf);
        let from = usize::from(instruction.registers >> 4);
        let immediate = i64::from(instruction.immediate) as u64;
        match instruction.code {
            LOAD_WORD => {
                let word = usize::try_from(instruction.offset).expect("in the context") / 4;
                registers[to] = u64::from(context[word]);
            }
            MOVE_REGISTER => registers[to] = registers[from],
            MOVE_IMMEDIATE => registers[to] = immediate,
            AND_IMMEDIATE => registers[to] &= immediate,
            SHIFT_RIGHT_IMMEDIATE => registers[to] >>= immediate,
            JUMP_UNLESS_EQUAL if registers[to] != immediate => {
                at += usize::try_from(instruction.offset).expect("forwards");
            }
            JUMP_UNLESS_EQUAL => {}
            EXIT => return registers[0],
            other => panic!("no such operation: {other:#x}"),
        }
    }
}
