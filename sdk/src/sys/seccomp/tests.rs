#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::*;

/// Runs a program as the kernel does: the machine of packet filters, as far as seccomp(2) lets programs use it.
pub(crate) fn run(program: &[u8], audit: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [number.to_ne_bytes(), audit.to_ne_bytes(), [0; 4], [0; 4]].concat();
    data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
    let load = |at: u32| u32::from_ne_bytes(data[at as usize..at as usize + 4].try_into().unwrap());
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let instruction = &program[at * INSTRUCTION_SIZE..][..INSTRUCTION_SIZE];
        let code = u16::from_ne_bytes(instruction[..2].try_into().unwrap());
        let k = u32::from_ne_bytes(instruction[4..].try_into().unwrap());
        let jump = |condition| usize::from(if condition { instruction[2] } else { instruction[3] });
        at += 1;
        at += match code {
            0x20 => {
                accumulator = load(k);
                0
            }
            0x54 => {
                accumulator &= k;
                0
            }
            0x05 => k as usize,
            0x15 => jump(accumulator == k),
            0x25 => jump(accumulator > k),
            0x35 => jump(accumulator >= k),
            0x06 => return k,
            other => panic!("instruction {other:#x}"),
        };
    }
}

/// What a policy means, read as slowly and plainly as can be.
fn meaning(policy: &Policy, audit: u32, number: u32, arguments: [u64; 6]) -> Verdict {
    let own = |table: &&Table| {
        let (first, last) = table.architecture.range();
        table.architecture.audit() == audit && (first..last).contains(&number)
    };
    let Some(table) = policy.tables.iter().find(own) else { return policy.foreign };
    let holds = |condition: &Condition| {
        let whole = arguments[usize::from(condition.argument)];
        let found = if condition.width == Width::Whole { whole } else { whole & 0xffff_ffff };
        match condition.comparison {
            Comparison::NotEqual => found != condition.value,
            Comparison::Less => found < condition.value,
            Comparison::LessOrEqual => found <= condition.value,
            Comparison::Equal => found == condition.value,
            Comparison::GreaterOrEqual => found >= condition.value,
            Comparison::Greater => found > condition.value,
            Comparison::Masked(mask) => found & mask == condition.value,
        }
    };
    let rules = table.rules.get(&number).map(Vec::as_slice).unwrap_or_default();
    let unconditional = rules.iter().find(|rule| rule.conditions.is_empty());
    let first = unconditional.or_else(|| rules.iter().find(|rule| rule.conditions.iter().all(holds)));
    match first {
        Some(rule) => rule.verdict,
        None if table.architecture.unknown().iter().any(|(from, to)| (*from..*to).contains(&number)) => policy.unknown,
        None => policy.default,
    }
}

/// Numbers that look random and are the same in each run: xorshift.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

const VALUES: [u64; 9] = [0, 1, 38, 40, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0026, 0x7e02_0000, u64::MAX];
const VERDICTS: [Verdict; 5] =
    [Verdict::Allow, Verdict::Errno(1), Verdict::Errno(38), Verdict::KillProcess, Verdict::Log];

fn policy(dice: &mut Dice) -> Policy {
    let families: [&[Architecture]; 4] = [
        &[Architecture::X86_64],
        &[Architecture::X86_64, Architecture::X86, Architecture::X32],
        &[Architecture::Aarch64, Architecture::Arm],
        &[Architecture::X32],
    ];
    let family = dice.of(&families);
    let tables = family.iter().map(|architecture| {
        let mut rules = BTreeMap::<u32, Vec<Rule>>::new();
        for _ in 0..dice.below(150) {
            let number = architecture.range().0 + dice.below(470) as u32;
            let conditions = (0..dice.below(4)).map(|argument| {
                let mask = dice.of(&VALUES);
                let (comparison, mask) = match dice.below(7) {
                    0 => (Comparison::NotEqual, u64::MAX),
                    1 => (Comparison::Less, u64::MAX),
                    2 => (Comparison::LessOrEqual, u64::MAX),
                    3 => (Comparison::Equal, u64::MAX),
                    4 => (Comparison::GreaterOrEqual, u64::MAX),
                    5 => (Comparison::Greater, u64::MAX),
                    _ => (Comparison::Masked(mask), mask),
                };
                let width = dice.of(&[Width::Whole, Width::LowHalf]);
                let low = if width == Width::LowHalf { 0xffff_ffff } else { u64::MAX };
                Condition { argument: argument as u8, comparison, value: dice.of(&VALUES) & mask & low, width }
            });
            let rule = Rule { conditions: conditions.collect(), verdict: dice.of(&VERDICTS) };
            rules.entry(number).or_default().push(rule);
        }
        Table { architecture: *architecture, rules }
    });
    let tables = tables.collect();
    Policy { default: dice.of(&VERDICTS), unknown: Verdict::Errno(38), tables, foreign: Verdict::KillProcess }
}

#[test]
fn a_tree_says_what_its_policy_means() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..40 {
        let policy = policy(&mut dice);
        let program = compile(&policy).unwrap();
        for audit in [0xc000_003e, 0x4000_0003, 0xc000_00b7, 0x4000_0028, 1] {
            let numbers = (0..600).chain(0x4000_0000..0x4000_0258).chain(0xf_0000..0xf_0010).chain([u32::MAX - 1]);
            for number in numbers {
                let arguments = std::array::from_fn(|_| dice.of(&VALUES));
                let expected = meaning(&policy, audit, number, arguments);
                let found = run(&program, audit, number, arguments);
                assert_eq!(found, expected.code(), "{audit:#x} {number:#x} {arguments:x?}");
            }
        }
    }
}

/// The same policy by another author's compiler, where that can express it: one architecture, two answers.
fn oracle(policy: &Policy) -> BpfProgram {
    let action = |verdict| match verdict {
        Verdict::Allow => SeccompAction::Allow,
        Verdict::Errno(errno) => SeccompAction::Errno(errno.into()),
        other => panic!("{other:?}"),
    };
    let rules = policy.tables[0].rules.iter().map(|(number, rules)| {
        let rules = rules.iter().filter(|rule| !rule.conditions.is_empty()).map(|rule| {
            let conditions = rule.conditions.iter().map(|condition| {
                let length = match condition.width {
                    Width::Whole => SeccompCmpArgLen::Qword,
                    Width::LowHalf => SeccompCmpArgLen::Dword,
                };
                let operator = match condition.comparison {
                    Comparison::NotEqual => SeccompCmpOp::Ne,
                    Comparison::Less => SeccompCmpOp::Lt,
                    Comparison::LessOrEqual => SeccompCmpOp::Le,
                    Comparison::Equal => SeccompCmpOp::Eq,
                    Comparison::GreaterOrEqual => SeccompCmpOp::Ge,
                    Comparison::Greater => SeccompCmpOp::Gt,
                    Comparison::Masked(mask) => SeccompCmpOp::MaskedEq(mask),
                };
                SeccompCondition::new(condition.argument, length, operator, condition.value).unwrap()
            });
            SeccompRule::new(conditions.collect()).unwrap()
        });
        (i64::from(*number), rules.collect())
    });
    let filter = SeccompFilter::new(rules.collect(), action(policy.default), SeccompAction::Allow, TargetArch::x86_64);
    filter.unwrap().try_into().unwrap()
}

#[test]
fn another_compiler_gives_the_same_verdicts() {
    let mut dice = Dice(0x0123_4567_89ab_cdef);
    for _ in 0..20 {
        let mut policy = policy(&mut dice);
        policy.tables.truncate(1);
        let table = &mut policy.tables[0];
        table.architecture = Architecture::X86_64;
        table.rules = std::mem::take(&mut table.rules).into_iter().map(|(n, rules)| (n & 0x3ff, rules)).collect();
        for rules in table.rules.values_mut() {
            rules.iter_mut().for_each(|rule| rule.verdict = Verdict::Allow);
            if rules.iter().any(|rule| rule.conditions.is_empty()) {
                rules.truncate(1);
                rules[0].conditions.clear();
            }
        }
        policy.default = Verdict::Errno(1);
        policy.unknown = policy.default;
        let ours = compile(&policy).unwrap();
        let theirs: Vec<u8> = oracle(&policy)
            .iter()
            .flat_map(|i| [&i.code.to_ne_bytes()[..], &[i.jt, i.jf], &i.k.to_ne_bytes()].concat())
            .collect();
        for number in 0..600 {
            for _ in 0..4 {
                let arguments = std::array::from_fn(|_| dice.of(&VALUES));
                let audit = Architecture::X86_64.audit();
                assert_eq!(
                    run(&ours, audit, number, arguments),
                    run(&theirs, audit, number, arguments),
                    "{number} {arguments:x?}"
                );
            }
        }
    }
}

#[test]
fn a_policy_that_the_kernel_would_not_take_is_refused() {
    let rule = |value| Rule {
        conditions: vec![Condition { argument: 0, comparison: Comparison::Equal, value, width: Width::Whole }],
        verdict: Verdict::Allow,
    };
    let rules = BTreeMap::from([(0, (0..1100).map(rule).collect::<Vec<_>>())]);
    let tables = vec![Table { architecture: Architecture::X86_64, rules }];
    let default = Verdict::Errno(1);
    let policy = Policy { default, unknown: default, tables, foreign: Verdict::KillProcess };
    assert!(matches!(compile(&policy), Err(TooLong(4097..))));
}
