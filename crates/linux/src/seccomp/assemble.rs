//! Puts classic BPF together, back to front.
//!
//! Jumps of classic BPF only lead forwards, so whoever emits the last instruction first knows every target by the time
//! a jump needs it. A conditional jump reaches 255 instructions: for targets further away a landing place is put in
//! between, a jump without condition, which reaches everything, or simply one more `return`.

use super::Instruction;

// Operations of `linux/bpf_common.h`.
const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// How far a conditional jump is planned to reach: 255, less two landing places that may come in between.
const REACH: usize = 253;

/// When the accumulator makes a jump take its first way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Test {
    Equal(u32),
    Greater(u32),
    GreaterOrEqual(u32),
}

/// An instruction that is already there: its distance from the end of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program that grows at its beginning.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// The latest `return` of each value. There are few, so that looking through them is cheaper than hashing.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    /// The answer of the filter.
    pub(super) fn finish_with(&mut self, value: u32) -> Label {
        let known = self.returns.iter().position(|&(known, _)| known == value);
        if let Some(known) = known
            && self.distance(self.returns[known].1) < REACH
        {
            return self.returns[known].1;
        }
        let label = self.push(RETURN, 0, 0, value);
        match known {
            Some(known) => self.returns[known].1 = label,
            None => self.returns.push((value, label)),
        }
        label
    }

    /// Loads the 32 bits at an offset of `seccomp_data`, then goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.fall_through_to(next);
        self.push(LOAD_WORD, 0, 0, offset)
    }

    /// Keeps only these bits, then goes on at `next`.
    pub(super) fn mask(&mut self, bits: u32, next: Label) -> Label {
        self.fall_through_to(next);
        self.push(AND, 0, 0, bits)
    }

    /// Two ways to go on.
    pub(super) fn branch(&mut self, test: Test, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let (code, operand) = match test {
            Test::Equal(operand) => (0x15, operand),
            Test::Greater(operand) => (0x25, operand),
            Test::GreaterOrEqual(operand) => (0x35, operand),
        };
        let yes = self.near(yes);
        let no = self.near(no);
        let skip = |label| u8::try_from(self.distance(label)).expect("landing places are near");
        let (yes, no) = (skip(yes), skip(no));
        self.push(code, yes, no, operand)
    }

    /// The program, which begins at `entry`.
    pub(super) fn finish(mut self, entry: Label) -> Vec<Instruction> {
        self.fall_through_to(entry);
        self.reversed.reverse();
        self.reversed
    }

    /// How many instructions the next one has to skip to get there.
    const fn distance(&self, label: Label) -> usize {
        self.reversed.len() - 1 - label.0
    }

    /// The same place, or one that leads there, within reach of conditional jumps.
    fn near(&mut self, label: Label) -> Label {
        if self.distance(label) <= REACH {
            return label;
        }
        let target = self.reversed[label.0];
        if target.code == RETURN {
            return self.finish_with(target.operand);
        }
        self.jump(label)
    }

    fn fall_through_to(&mut self, label: Label) {
        if self.distance(label) != 0 {
            self.jump(label);
        }
    }

    fn jump(&mut self, label: Label) -> Label {
        let distance = u32::try_from(self.distance(label)).expect("programs are short");
        self.push(JUMP, 0, 0, distance)
    }

    fn push(&mut self, code: u16, jump_true: u8, jump_false: u8, operand: u32) -> Label {
        self.reversed.push(Instruction {
            code,
            jump_true,
            jump_false,
            operand,
        });
        Label(self.reversed.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::simulate::{Call, run};
    use super::*;

    /// A jump over more instructions than a conditional jump can skip gets to the same place, both ways.
    #[test]
    fn far_targets_are_reached() {
        for filling in [0, 200, 250, 251, 252, 253, 254, 255, 256, 257, 600] {
            let mut assembler = Assembler::default();
            let end = assembler.finish_with(7);
            let end = assembler.mask(1, end);
            let mut middle = assembler.finish_with(8);
            for _ in 0..filling {
                middle = assembler.mask(u32::MAX, middle);
            }
            let branch = assembler.branch(Test::Equal(3), end, middle);
            let branch = assembler.branch(Test::Equal(4), middle, branch);
            let entry = assembler.load(0, branch);
            let program = assembler.finish(entry);
            for (number, expected) in [(3, 7), (4, 8), (5, 8)] {
                let call = Call {
                    number,
                    architecture: 0,
                    arguments: [0; 6],
                };
                assert_eq!(run(&program, &call), expected, "{number} with {filling}");
            }
        }
    }
}
