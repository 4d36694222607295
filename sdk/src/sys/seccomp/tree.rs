//! From a policy to instructions for the kernel's packet filter machine, as a search tree.
//!
//! ```text
//! load the architecture; to its tree
//! load the number
//! number >= middle? ── no ── number >= ... ── verdict of a range of numbers
//!                   └─ yes ─ number >= ... ── compare arguments, verdict
//! ```
//!
//! The kernel runs the filter for every number when it is loaded, and at every call after that: both cost the length of
//! the path, which is 7 comparisons here where a list of calls has hundreds. It also translates every instruction to
//! machine code for each process that loads it: what is the same in many places is there once, as far as jumps reach.

use std::collections::HashMap;

use super::{Comparison, Condition, INSTRUCTION_SIZE, Policy, Rule, Table, TooLong, Verdict, Width};

/// `BPF_MAXINSNS`.
const MOST_INSTRUCTIONS: usize = 4096;

/// Instruction codes of `linux/bpf_common.h`: class, size or operation, mode or source.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// How far a conditional jump leads at most, with room for a condition between a check of the distance and the jump.
const REACH: usize = 240;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

impl Instruction {
    fn new(code: u16, k: u32) -> Self {
        Self { code, if_true: 0, if_false: 0, k }
    }

    fn encode(self) -> [u8; INSTRUCTION_SIZE] {
        let ([a, b], [c, d, e, f]) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [a, b, self.if_true, self.if_false, c, d, e, f]
    }
}

/// The program of a policy, as an array of `struct sock_filter`.
///
/// # Errors
/// It is longer than the kernel takes.
pub(crate) fn compile(policy: &Policy) -> Result<Vec<u8>, TooLong> {
    let mut by_audit: Vec<(u32, Vec<&Table>)> = Vec::new();
    for table in &policy.tables {
        let audit = table.architecture.audit();
        match by_audit.iter_mut().find(|(known, _)| *known == audit) {
            Some((_, tables)) => tables.push(table),
            None => by_audit.push((audit, vec![table])),
        }
    }
    let mut program = vec![Instruction::new(LOAD, ARCHITECTURE)];
    let trees: Vec<Vec<Instruction>> = by_audit.iter().map(|(_, tables)| Tree::of(&ranges(policy, tables))).collect();
    // Two instructions for each architecture, and the verdict for all others.
    let mut ahead = 2 * trees.len() + 1;
    for ((audit, _), tree) in by_audit.iter().zip(&trees) {
        program.push(Instruction { if_false: 1, ..Instruction::new(JUMP_EQUAL, *audit) });
        ahead -= 2;
        program.push(Instruction::new(JUMP, ahead as u32));
        ahead += tree.len();
    }
    program.push(Instruction::new(RETURN, policy.foreign.code()));
    program.extend(trees.into_iter().flatten());
    match program.len() {
        length if length > MOST_INSTRUCTIONS => Err(TooLong(length)),
        _ => Ok(program.into_iter().flat_map(Instruction::encode).collect()),
    }
}

/// What the numbers from `first` on are answered, until the next range.
#[derive(Debug, Clone, PartialEq)]
struct Range<'a> {
    first: u32,
    leaf: Leaf<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Leaf<'a> {
    Verdict(Verdict),
    Rules(&'a [Rule], Verdict),
}

/// All numbers in order; neighbours differ.
fn ranges<'a>(policy: &Policy, tables: &[&'a Table]) -> Vec<Range<'a>> {
    let foreign = Leaf::Verdict(policy.foreign);
    let mut tables = tables.to_vec();
    tables.sort_by_key(|table| table.architecture.range());
    let mut all = vec![Range { first: 0, leaf: foreign.clone() }];
    let mut end = 0;
    for table in tables {
        let (first, last) = table.architecture.range();
        if first > end {
            all.push(Range { first: end, leaf: foreign.clone() });
        }
        all.push(Range { first, leaf: Leaf::Verdict(policy.default) });
        // Where an answer begins; of several at one number the last counts.
        let default = |first| Range { first, leaf: Leaf::Verdict(policy.default) };
        let mut marks: Vec<Range<'a>> = table.rules.keys().map(|number| default(number.saturating_add(1))).collect();
        for (from, to) in table.architecture.unknown() {
            marks.extend((to < last).then(|| default(to)));
            marks.push(Range { first: from, leaf: Leaf::Verdict(policy.unknown) });
        }
        for (number, rules) in &table.rules {
            marks.push(Range { first: *number, leaf: leaf(rules, policy.default) });
        }
        marks.sort_by_key(|mark| mark.first);
        all.extend(marks);
        end = last;
    }
    if end != u32::MAX {
        all.push(Range { first: end, leaf: foreign });
    }
    let mut ranges: Vec<Range<'a>> = Vec::new();
    for range in all {
        match ranges.last_mut() {
            Some(last) if last.first == range.first => last.leaf = range.leaf,
            Some(last) if last.leaf == range.leaf => {}
            _ => ranges.push(range),
        }
    }
    ranges.dedup_by(|second, first| second.leaf == first.leaf);
    ranges
}

fn leaf(rules: &[Rule], default: Verdict) -> Leaf<'_> {
    match rules.iter().find(|rule| rule.conditions.is_empty()) {
        Some(rule) => Leaf::Verdict(rule.verdict),
        None => Leaf::Rules(rules, default),
    }
}

/// An instruction, counted from the end of the program.
#[derive(Debug, Clone, Copy)]
struct Label(usize);

/// A balanced tree over ranges, from its end: jumps lead forward, and where they lead is known then.
#[derive(Default)]
struct Tree<'a> {
    /// The last one first.
    instructions: Vec<Instruction>,
    /// Where what each leaf stands for begins.
    leaves: HashMap<Leaf<'a>, Label>,
}

impl<'a> Tree<'a> {
    fn of(ranges: &[Range<'a>]) -> Vec<Instruction> {
        let mut tree = Self::default();
        let begin = tree.node(ranges);
        tree.go_to(begin);
        tree.add(Instruction::new(LOAD, NUMBER));
        tree.instructions.reverse();
        tree.instructions
    }

    /// Puts an instruction before the others.
    fn add(&mut self, instruction: Instruction) -> Label {
        self.instructions.push(instruction);
        Label(self.instructions.len())
    }

    /// How many instructions lie between the next one to be added and this one.
    fn distance(&self, label: Label) -> usize {
        self.instructions.len() - label.0
    }

    /// Lets the next instruction lead there.
    fn go_to(&mut self, label: Label) -> Label {
        match self.distance(label) {
            0 => label,
            distance => self.add(Instruction::new(JUMP, distance as u32)),
        }
    }

    /// The same place, or a jump to it that can be reached.
    fn near(&mut self, label: Label) -> Label {
        if self.distance(label) < REACH { label } else { self.go_to(label) }
    }

    /// Both must be near.
    fn jump(&mut self, code: u16, k: u32, if_true: Label, if_false: Label) -> Label {
        let (if_true, if_false) = (self.distance(if_true) as u8, self.distance(if_false) as u8);
        self.add(Instruction { code, k, if_true, if_false })
    }

    fn node(&mut self, ranges: &[Range<'a>]) -> Label {
        let (left, right) = match ranges {
            [only] => return self.leaf(&only.leaf),
            [around, one, behind] if around.leaf == behind.leaf && one.first + 1 == behind.first => {
                let (one_leaf, around) = (self.leaf(&one.leaf), self.leaf(&around.leaf));
                let one_leaf = self.near(one_leaf);
                return self.jump(JUMP_EQUAL, one.first, one_leaf, around);
            }
            _ => ranges.split_at(ranges.len() / 2),
        };
        let (above, below) = (self.node(right), self.node(left));
        let (above, below) = (self.near(above), self.near(below));
        self.jump(JUMP_GREATER_OR_EQUAL, right[0].first, above, below)
    }

    fn leaf(&mut self, leaf: &Leaf<'a>) -> Label {
        if let Some(known) = self.leaves.get(leaf).copied().filter(|known| self.distance(*known) < REACH) {
            return known;
        }
        let begin = match leaf {
            Leaf::Verdict(verdict) => self.add(Instruction::new(RETURN, verdict.code())),
            Leaf::Rules(rules, default) => {
                let mut behind = self.leaf(&Leaf::Verdict(*default));
                for rule in rules.iter().rev() {
                    behind = self.rule(rule, behind);
                }
                behind
            }
        };
        self.leaves.insert(leaf.clone(), begin);
        begin
    }

    /// A rule ends with its verdict; what does not match goes on behind it.
    fn rule(&mut self, rule: &Rule, behind: Label) -> Label {
        let mut begin = self.leaf(&Leaf::Verdict(rule.verdict));
        for condition in rule.conditions.iter().rev() {
            let (holds, fails) = (self.near(begin), self.near(behind));
            begin = holds;
            for (code, k, if_true, if_false) in steps(condition).into_iter().rev() {
                let resolve = |jump| match jump {
                    Jump::Next => begin,
                    Jump::Holds => holds,
                    Jump::Fails => fails,
                };
                begin = match code {
                    LOAD | AND => self.add(Instruction::new(code, k)),
                    _ => self.jump(code, k, resolve(if_true), resolve(if_false)),
                };
            }
        }
        begin
    }
}

/// Where a comparison leads.
#[derive(Debug, Clone, Copy)]
enum Jump {
    /// To the next instruction.
    Next,
    /// To where its condition holds.
    Holds,
    /// Behind the rule.
    Fails,
}

type Step = (u16, u32, Jump, Jump);

/// The comparison of one argument, of which the machine loads 32 bits at a time.
fn steps(condition: &Condition) -> Vec<Step> {
    use Jump::{Fails, Holds, Next};
    let low_at = ARGUMENTS + 8 * u32::from(condition.argument);
    let load = |at| (LOAD, at, Next, Next);
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let last = match condition.comparison {
        Comparison::NotEqual => (JUMP_EQUAL, low, Fails, Next),
        Comparison::Less => (JUMP_GREATER_OR_EQUAL, low, Fails, Next),
        Comparison::LessOrEqual => (JUMP_GREATER, low, Fails, Next),
        Comparison::Equal | Comparison::Masked(_) => (JUMP_EQUAL, low, Next, Fails),
        Comparison::GreaterOrEqual => (JUMP_GREATER_OR_EQUAL, low, Next, Fails),
        Comparison::Greater => (JUMP_GREATER, low, Next, Fails),
    };
    let mut steps = Vec::new();
    // Both architectures of this program are little-endian, and so are those of their kernels.
    if condition.width == Width::Whole {
        steps.push(load(low_at + 4));
        match condition.comparison {
            Comparison::Masked(mask) => {
                steps.push((AND, (mask >> 32) as u32, Next, Next));
                steps.push((JUMP_EQUAL, high, Next, Fails));
            }
            Comparison::Equal => steps.push((JUMP_EQUAL, high, Next, Fails)),
            Comparison::NotEqual => steps.push((JUMP_EQUAL, high, Next, Holds)),
            Comparison::Less | Comparison::LessOrEqual => {
                steps.push((JUMP_GREATER, high, Fails, Next));
                steps.push((JUMP_EQUAL, high, Next, Holds));
            }
            Comparison::GreaterOrEqual | Comparison::Greater => {
                steps.push((JUMP_GREATER, high, Holds, Next));
                steps.push((JUMP_EQUAL, high, Next, Fails));
            }
        }
    }
    steps.push(load(low_at));
    if let Comparison::Masked(mask) = condition.comparison {
        steps.push((AND, mask as u32, Next, Next));
    }
    steps.push(last);
    steps
}
