//! What the parser understands, and what it refuses.

use super::*;

/// The words of every simple command, nested ones included, as far as they are text.
fn words(list: &List, out: &mut Vec<String>) {
    for item in list {
        for command in &item.pipeline {
            match &command.kind {
                Kind::Simple { words, .. } => {
                    let texts: Vec<&str> = words
                        .iter()
                        .map(|word| word.literal().unwrap_or("?"))
                        .collect();
                    out.push(texts.join(" "));
                }
                Kind::Loop {
                    condition, body, ..
                } => {
                    words_of(&[condition, body], out);
                }
                Kind::For { body, .. } | Kind::Group(body) | Kind::Subshell(body) => {
                    self::words(body, out);
                }
                Kind::Branches {
                    conditions,
                    branches,
                } => {
                    self::words(conditions, out);
                    for branch in branches {
                        self::words(branch, out);
                    }
                }
                Kind::Function { body, .. } => {
                    let item = Item {
                        join: Join::Then,
                        negated: false,
                        pipeline: vec![(**body).clone()],
                        background: false,
                    };
                    self::words(&vec![item], out);
                }
                Kind::Condition(_) => out.push("[[".to_owned()),
            }
        }
    }
}

fn words_of(lists: &[&List], out: &mut Vec<String>) {
    for list in lists {
        words(list, out);
    }
}

fn check(script: &str, expected: &[&str]) {
    let list = parse(script).unwrap_or_else(|_| panic!("cannot read {script:?}"));
    let mut found = Vec::new();
    words(&list, &mut found);
    assert_eq!(found, expected, "{script}");
}

#[test]
fn what_people_write() {
    check("echo hi", &["echo hi"]);
    check("a && b || c; d &\ne", &["a", "b", "c", "d", "e"]);
    check("a | b |& c", &["a", "b", "c"]);
    check("echo 'a b' \"c d\" e\\ f", &["echo a b c d e f"]);
    check(
        "until nc -z db 5432; do sleep 1; done",
        &["nc -z db 5432", "sleep 1"],
    );
    check("while ! a\ndo b\ndone > /x", &["a", "b"]);
    check("for i in 1 2; do a $i; done", &["a ?"]);
    check("for ((i=0; i<3; i++)); do a; done", &["a"]);
    check(
        "if [ -f /x ]; then a; elif b; then c; else d; fi",
        &["[ -f /x ]", "b", "a", "c", "d"],
    );
    check("case $x in a|b) c;; *) d; esac", &["c", "d"]);
    check("f() { a; }; f", &["a", "f"]);
    check("( a; b ) && { c; }", &["a", "b", "c"]);
    check("[[ -f /x && $a == b ]] && c", &["[[", "c"]);
    check("cat <<END > /x\nany (text \" here\nEND\nb", &["cat", "b"]);
    check(
        "cat > /x <<-'END'\n\tx\n\tEND\nb # not a command",
        &["cat", "b"],
    );
    check("echo \"$(date +%s)\" ${A:-b} $((1 + (2)))", &["echo ? ? ?"]);
    check("A=1 B=\"x y\" c d=e", &["c d=e"]);
    check("[[ $HOST =~ -([0-9]+)$ ]] || exit 1", &["[[", "exit 1"]);
    check("echo a;# comment\n", &["echo a"]);
    check("trap 'x' EXIT", &["trap x EXIT"]);
    check("a \\\n  b", &["a b"]);
    check("", &[]);
}

#[test]
fn what_cannot_be_read_is_no_guess() {
    for script in [
        "if a; then b",
        "echo 'unfinished",
        "a &&",
        "while a; b; done",
        "((",
        "echo $(a",
        "| a",
        "echo (a)",
    ] {
        assert_eq!(parse(script), Err(Unreadable), "{script}");
    }
    let deep = "(".repeat(10_000);
    assert_eq!(parse(&deep), Err(Unreadable));
    let deep = "$(".repeat(10_000);
    assert_eq!(parse(&deep), Err(Unreadable));
}

#[test]
fn redirections_know_their_direction() {
    let list = parse("a > /x 2>> /y 2>&1 < /z >& /w").expect("readable");
    let redirects: Vec<_> = list[0].pipeline[0]
        .redirects
        .iter()
        .map(|redirect| (redirect.descriptor, redirect.operator))
        .collect();
    assert_eq!(
        redirects,
        [
            (None, Operator::Write),
            (Some(2), Operator::Append),
            (Some(2), Operator::Duplicate),
            (None, Operator::Read),
            (None, Operator::Write),
        ]
    );
}

/// A script that ends anywhere is read or refused, and never more than that.
#[test]
fn unfinished_scripts_do_no_harm() {
    let script = "f() { [[ $A =~ ^x(y)$ ]] && B=\"${C:-`d`}\"; }\nfor i in a $(b 'c') $((1+2)); do\n  case \"$i\" in (a|b*) e;; *) f &;; esac\ndone <<-END 2>&1 >> /x\n\ttext\n\tEND\nwhile :; do ( { g; } | h ) || ! j; done # k\n";
    assert!(parse(script).is_ok());
    for (end, _) in script.char_indices() {
        let _ = parse(&script[..end]);
        let _ = parse(&script[end..]);
    }
}
