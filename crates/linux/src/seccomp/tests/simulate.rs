//! The kernel's side of a filter: what it accepts, and what a program answers.

use super::super::Instruction;

/// A call as a filter sees it (`struct seccomp_data`; the instruction pointer does not matter here).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) architecture: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        let argument = |position: u32| self.arguments[usize::try_from(position / 2).unwrap()];
        match offset {
            0 => self.number,
            4 => self.architecture,
            16..64 if offset.is_multiple_of(4) => {
                let position = (offset - 16) / 4;
                let shift = 32 * (position % 2);
                (argument(position) >> shift & 0xffff_ffff)
                    .try_into()
                    .unwrap()
            }
            _ => panic!("a load from {offset}"),
        }
    }
}

/// What the program answers. Panics on what the kernel would not load.
pub(crate) fn run(program: &[Instruction], call: &Call) -> u32 {
    let mut accumulator = 0;
    let mut next = 0;
    loop {
        let Instruction {
            code,
            jump_true,
            jump_false,
            operand,
        } = program[next];
        next += 1;
        let holds = match code {
            0x06 => return operand,
            0x20 => {
                accumulator = call.word(operand);
                continue;
            }
            0x54 => {
                accumulator &= operand;
                continue;
            }
            0x05 => {
                next += usize::try_from(operand).unwrap();
                continue;
            }
            0x15 => accumulator == operand,
            0x25 => accumulator > operand,
            0x35 => accumulator >= operand,
            0x45 => accumulator & operand != 0,
            _ => panic!("operation {code:#x}"),
        };
        next += usize::from(if holds { jump_true } else { jump_false });
    }
}

/// What the kernel checks before it loads a program (`bpf_check_classic`): where jumps lead, and how it ends.
pub(crate) fn check_loadable(program: &[Instruction]) {
    assert!(program.len() <= 4096, "{} instructions", program.len());
    assert_eq!(
        program.last().map(|last| last.code),
        Some(0x06),
        "the last one returns"
    );
    for (place, instruction) in program.iter().enumerate() {
        let farthest = match instruction.code {
            0x05 => usize::try_from(instruction.operand).unwrap(),
            _ => usize::from(instruction.jump_true.max(instruction.jump_false)),
        };
        assert!(
            place + 1 + farthest < program.len() || instruction.code == 0x06,
            "at {place}"
        );
    }
}
