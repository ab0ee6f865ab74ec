//! The same profiles through this compiler and through libseccomp, the same calls to both filters.
//!
//! Where libseccomp does something else on purpose, the calls are left out and the reason stands beside it.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::super::{runtime_default, tables};
use super::*;

/// Numbers above this one Debian 12's libseccomp (2.5.4) does not know; x32's own ones come much later.
const OLD: u32 = 440;

const ARCHITECTURES: [Architecture; 3] = [X86_64, X86, X32];

#[expect(
    clippy::print_stderr,
    reason = "a test that does nothing should say so"
)]
fn skipped() {
    eprintln!("skipped: needs python3 and libseccomp.so.2");
}

/// What libseccomp makes of these profiles; `None` without Python or the library.
fn libseccomp(profiles: &[Value]) -> Option<Vec<Vec<Instruction>>> {
    let mut child = Command::new("python3")
        .args(["-c", include_str!("libseccomp.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let input: String = profiles
        .iter()
        .map(|profile| format!("{profile}\n"))
        .collect();
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || {
        // Without the library it ends before it has read.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("its end");
    writer.join().expect("written");
    if output.status.code() == Some(77) {
        return None;
    }
    assert!(output.status.success(), "libseccomp.py failed");
    let text = String::from_utf8(output.stdout).expect("text");
    Some(text.lines().map(decode).collect())
}

fn decode(line: &str) -> Vec<Instruction> {
    let byte = |place: usize| u8::from_str_radix(&line[2 * place..][..2], 16).expect("a byte");
    let instruction = |place: usize| Instruction {
        code: u16::from_le_bytes([byte(place), byte(place + 1)]),
        jump_true: byte(place + 2),
        jump_false: byte(place + 3),
        operand: u32::from_le_bytes([4, 5, 6, 7].map(|offset| byte(place + offset))),
    };
    (0..line.len() / 2).step_by(8).map(instruction).collect()
}

/// Compares the answers for all numbers both know, with each of these first arguments, and gives how many were
/// compared.
fn compare(text: &Value, theirs: &[Instruction], arguments: &[[u64; 2]]) -> usize {
    let document = Document::from_json(text.to_string().as_bytes()).expect("a document");
    let circumstances = Circumstances {
        capabilities: CapabilitySet::EMPTY,
        kernel: (6, 18),
        architecture: X86_64,
    };
    let profile = document.resolve(&circumstances).expect("a profile");
    let ours = profile.compile().expect("short");
    simulate::check_loadable(ours.instructions());
    let mut compared = 0;
    for &architecture in &profile.architectures {
        let numbers = architecture.numbers();
        let first = architecture.span().0;
        // runc, not libseccomp, gives ENOSYS to what is newer than the profile.
        let closed = architecture.closed_block();
        let named = profile.rules.iter().flat_map(|rule| &rule.names);
        let named = named.filter_map(|name| numbers.get(name.as_ref()).copied());
        let highest = named.filter(|number| !closed.contains(number)).max();
        let is_newer =
            |number| !closed.contains(&number) && highest.is_some_and(|highest| number > highest);
        for number in (first..first + 600).filter(|number| !is_newer(*number)) {
            for &[zeroth, second] in arguments {
                // Their x32 looks at half of each argument.
                if architecture != X86_64 && zeroth.max(second) > u64::from(u32::MAX) {
                    continue;
                }
                // They take a version in the upper bits of what to do for part of it.
                if architecture == X86 && numbers["ipc"] == number && zeroth > 0xffff {
                    continue;
                }
                let arguments = [zeroth, 0, second, 0, 0, 0];
                let call = Call {
                    number,
                    architecture: architecture.audit(),
                    arguments,
                };
                assert_eq!(
                    simulate::run(ours.instructions(), &call),
                    simulate::run(theirs, &call),
                    "{architecture:?} {number} {arguments:x?} with {text}"
                );
                compared += 1;
            }
        }
    }
    compared
}

/// Numbers that look random and are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.next() % from.len() as u64).unwrap()]
    }
}

/// Names that both know wherever they exist. `socketcall` and `ipc` are left to the companions of other rules.
fn names() -> Vec<&'static str> {
    const LEFT_OUT: [&str; 4] = ["socketcall", "ipc", "uretprobe", "uprobe"];
    let tables = ARCHITECTURES.map(|architecture| (architecture.span().0, architecture.numbers()));
    let is_known = |name: &str| {
        let is_old = |number: u32| !(OLD + 1..512).contains(&number);
        tables
            .iter()
            .all(|(first, table)| table.get(name).is_none_or(|number| is_old(number - first)))
    };
    let names: BTreeSet<&'static str> = tables
        .iter()
        .flat_map(|(_, table)| table.keys().copied())
        .collect();
    names
        .into_iter()
        .filter(|name| is_known(name) && !LEFT_OUT.contains(name))
        .collect()
}

const VALUES: [u64; 5] = [0, 1, 5, 0x7e02_0000, 0xffff_ffff];
const WIDE_VALUES: [u64; 6] = [0, 5, 1 << 32, (1 << 32) + 5, 5 << 32, u64::MAX];

/// A profile of some rules, where libseccomp leaves no doubt:
///
/// - Several rules with conditions for one call have one action. Which of them counts when two hold is the order of the
///   profile
///   here, and libseccomp's own affair there.
/// - They do not order the same argument: version 2.5.4 refuses 5 by "below 5 << 32, or below 0".
fn random_profile(dice: &mut Dice, values: &[u64], architectures: &[&str]) -> Value {
    let names = names();
    let actions = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_LOG",
        "SCMP_ACT_TRAP",
    ];
    let mut rules = Vec::new();
    let mut all_called = Vec::new();
    let mut conditional = BTreeSet::new();
    for _ in 0..1 + dice.next() % 40 {
        let called: Vec<_> = (0..1 + dice.next() % 6)
            .map(|_| *dice.pick(&names))
            .collect();
        let errno = 2 + dice.next() % 3;
        all_called.extend_from_slice(&called);
        rules.push(json!({"names": called, "action": dice.pick(&actions), "errnoRet": errno}));
    }
    for _ in 0..1 + dice.next() % 10 {
        let is_called_already = dice.next().is_multiple_of(4);
        let name = *dice.pick(if is_called_already {
            &all_called
        } else {
            &names
        });
        // The older door of 32-bit x86 cannot see arguments, and libseccomp lets everything through it.
        if is_behind_a_door(name) || !conditional.insert(name) {
            continue;
        }
        let action = *dice.pick(&["SCMP_ACT_ALLOW", "SCMP_ACT_KILL"]);
        let shape = dice.next() % 3;
        let mut condition = |index: u64, operators: &[&str]| {
            json!({
                "index": index, "op": format!("SCMP_CMP_{}", dice.pick(operators)),
                "value": dice.pick(values), "valueTwo": dice.pick(values),
            })
        };
        let unordered = ["EQ", "MASKED_EQ"];
        let every = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
        let alternatives = match shape {
            0 => vec![json!([condition(0, &every), condition(2, &every)])],
            1 => vec![json!([condition(2, &every)])],
            _ => vec![
                json!([condition(0, &unordered), condition(0, &unordered)]),
                json!([condition(0, &unordered), condition(2, &unordered)]),
                json!([condition(2, &unordered)]),
            ],
        };
        rules.extend(
            alternatives
                .into_iter()
                .map(|args| json!({"names": [name], "action": action, "args": args})),
        );
    }
    json!({
        "defaultAction": dice.pick(&["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"]),
        "architectures": architectures,
        "syscalls": rules,
    })
}

fn is_behind_a_door(name: &str) -> bool {
    let call = tables::Call::named(name);
    let doors = ["socketcall", "ipc"]
        .into_iter()
        .filter_map(tables::Call::named);
    doors
        .flat_map(|door| X86.behind(door))
        .any(|behind| Some(behind.call) == call)
}

fn pairs(values: &[u64]) -> Vec<[u64; 2]> {
    let near = |value: &u64| [value.wrapping_sub(1), *value, value.wrapping_add(1)];
    let values: BTreeSet<u64> = values.iter().flat_map(near).collect();
    values
        .iter()
        .flat_map(|&first| values.iter().map(move |&second| [first, second]))
        .collect()
}

#[test]
fn random_profiles_mean_what_they_mean_to_libseccomp() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let everywhere = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    let mut cases: Vec<(Value, Vec<[u64; 2]>)> = Vec::new();
    for _ in 0..6 {
        // 32-bit architectures compare half of each value there.
        cases.push((
            random_profile(&mut dice, &VALUES, &everywhere),
            pairs(&VALUES),
        ));
        cases.push((
            random_profile(&mut dice, &WIDE_VALUES, &everywhere[..1]),
            pairs(&WIDE_VALUES),
        ));
    }
    let profiles: Vec<Value> = cases.iter().map(|(profile, _)| profile.clone()).collect();
    let Some(theirs) = libseccomp(&profiles) else {
        skipped();
        return;
    };
    assert_eq!(theirs.len(), cases.len());
    let compared: usize = cases
        .iter()
        .zip(&theirs)
        .map(|((profile, arguments), theirs)| compare(profile, theirs, arguments))
        .sum();
    assert!(compared > 100_000, "{compared}");
}

/// The default profile, written down as JSON and without what is newer than the library.
#[test]
fn the_default_profile_means_what_it_means_to_libseccomp() {
    let known = names();
    let multiplexers = ["socketcall", "ipc"];
    let sets = [CapabilitySet::EMPTY, crate::Capability::all().collect()];
    let profiles: Vec<Value> = sets
        .iter()
        .map(|&capabilities| {
            let profile = default::named(&runtime_default::profile(capabilities, X86_64));
            let is_known = |name: &str| known.contains(&name) || multiplexers.contains(&name);
            let rules: Vec<Value> = profile
                .rules
                .iter()
                // Two conditions on one argument cannot be said in JSON.
                .filter(|rule| rule.conditions.len() < 2)
                .map(|rule| to_json(rule, is_known))
                .collect();
            json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                "syscalls": rules,
            })
        })
        .collect();
    let Some(theirs) = libseccomp(&profiles) else {
        skipped();
        return;
    };
    // No rule looks at other arguments than the first.
    let mut arguments = pairs(&[0, 8, 38, 40, 0x2_0000, 0x2_0008, 0x7e02_0000, 0xffff_ffff]);
    arguments.retain(|&[_, second]| second == 0);
    for (profile, theirs) in profiles.iter().zip(&theirs) {
        assert!(compare(profile, theirs, &arguments) > 20_000);
    }
}

fn to_json(rule: &Rule, is_known: impl Fn(&str) -> bool) -> Value {
    let args: Vec<Value> = rule
        .conditions
        .iter()
        .map(|condition| {
            let (operator, value, second) = match condition.comparison {
                Comparison::Equal(value) => ("EQ", value, 0),
                Comparison::Less(value) => ("LT", value, 0),
                Comparison::MaskedEqual { mask, value } => ("MASKED_EQ", mask, value),
                other => panic!("the default profile does not use {other:?}"),
            };
            json!({
                "index": condition.argument.position(), "op": format!("SCMP_CMP_{operator}"),
                "value": value, "valueTwo": second,
            })
        })
        .collect();
    let (action, errno) = match rule.action {
        Action::Errno(errno) => ("SCMP_ACT_ERRNO", Some(errno)),
        Action::Allow => ("SCMP_ACT_ALLOW", None),
        other => panic!("the default profile does not use {other:?}"),
    };
    let names: Vec<&str> = rule
        .names
        .iter()
        .map(AsRef::as_ref)
        .filter(|name| is_known(name))
        .collect();
    json!({"names": names, "action": action, "errnoRet": errno, "args": args})
}
