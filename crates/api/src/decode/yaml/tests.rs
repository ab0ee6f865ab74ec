//! The rules of YAML as Kubernetes reads it, one line each.

use super::*;

fn json(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) => text.clone(),
        Value::String(text) => quote(text),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}:{}", quote(&entry.key), json(&entry.node)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

fn read(text: &str) -> String {
    match parse(text, 0) {
        Ok(tree) => {
            let mut out: Vec<String> = tree.documents.iter().map(json).collect();
            out.extend(tree.warnings.iter().map(|warning| warning.message.clone()));
            out.join(" ")
        }
        Err(problem) => problem.message,
    }
}

#[test]
fn read_as_kubernetes_does() {
    for (text, expected) in [
        // Keys become texts, whatever YAML 1.1 makes of them.
        (
            "on: x\nn: 1\n1: a\n1.50: b\n\"on\": z",
            r#"{"true":"x","false":1,"1":"a","1.5":"b","on":"z"}"#,
        ),
        (
            "a: yes\nb: NO\nc: 'yes'\nd: y\ne: off",
            r#"{"a":true,"b":false,"c":"yes","d":true,"e":false}"#,
        ),
        (
            "a: 0644\nb: 0o644\nc: 0888\nd: 1_000\ne: 012e1",
            r#"{"a":420,"b":420,"c":888,"d":1000,"e":120}"#,
        ),
        (
            "a: ~\nb:\nc: null\nd: ''",
            r#"{"a":null,"b":null,"c":null,"d":""}"#,
        ),
        (
            "a: 12:30:45\nb: 2024-01-02\nc: 1.2.3",
            r#"{"a":"12:30:45","b":"2024-01-02","c":"1.2.3"}"#,
        ),
        (
            "a: !!str 1\nb: !!int \"2\"\nc: !custom x",
            r#"{"a":"1","b":2,"c":"x"}"#,
        ),
        // Anchors and merge keys.
        ("a: &x {b: 1}\nc: *x", r#"{"a":{"b":1},"c":{"b":1}}"#),
        (
            "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}",
            r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":3}}"#,
        ),
        (
            "a: &x {b: 1}\nd: {b: 3, <<: *x}",
            r#"{"a":{"b":1},"d":{"b":1}} the merge key replaces "b" written before it"#,
        ),
        (
            "x: &x {a: 1}\nw: &w {a: 2, b: 2}\nz: {<<: [*x, *w]}",
            r#"{"x":{"a":1},"w":{"a":2,"b":2},"z":{"a":1,"b":2}}"#,
        ),
        (
            "a: {<<: 1}",
            "map merge requires map or sequence of maps as the value",
        ),
        ("\"<<\": {a: 1}", r#"{"<<":{"a":1}}"#),
        // Block texts. kubectl ends every line with a line feed, the last one too.
        (
            "a: |\n  x\n  y\nb: >-\n  x\n  y",
            r#"{"a":"x\ny\n","b":"x y"}"#,
        ),
        ("a: |+\n  x\n\nb: |2\n    x", r#"{"a":"x\n\n","b":"  x\n"}"#),
        (
            "a: \"\\u00e4\\n\\x41\"\nb: 'it''s'",
            r#"{"a":"ä\nA","b":"it's"}"#,
        ),
        ("a: x # comment\nb: x#y", r##"{"a":"x","b":"x#y"}"##),
        (
            "a: http://x/y:1\nb: {c: d:e}",
            r#"{"a":"http://x/y:1","b":{"c":"d:e"}}"#,
        ),
        (
            "a:\n- 1\n- [2, {b: 3}]\n- - 4\n  - 5",
            r#"{"a":[1,[2,{"b":3}],[4,5]]}"#,
        ),
        // Documents.
        (
            "a: 1\n---\n---\n# nothing\n--- # comment\nb: 2\n...\n",
            r#"{"a":1} {"b":2}"#,
        ),
        (
            "%YAML 1.1\n---\na: 1\n",
            "a YAML directive cannot stand here",
        ),
        ("a: 1\r\nb: 2\r\n---\r\nc: 3", r#"{"a":1,"b":2} {"c":3}"#),
        // Cut even inside a block text, as kubectl does.
        ("a: |\n---\nb: 2", r#"{"a":""} {"b":2}"#),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    for (text, at, expected) in [
        ("a: [1, 2", 3, "this `[` is not closed"),
        ("a: [1, 2\nb: 3\nc: 4", 3, "this `[` is not closed"),
        ("a: {b: c d: e}", 10, "`,` or `}` is expected here"),
        ("a: b\n  c: d", 8, "a key cannot stand here"),
        ("a: 'x", 3, "the quote that begins here is not closed"),
        (
            "a: \"b\" c",
            7,
            "a quoted text ends at its second quote; nothing can follow it",
        ),
        ("a: \"b\\q\"", 5, "`\\q` means nothing inside double quotes"),
        ("a: `b`", 3, "` cannot begin a text"),
        ("a: %b", 3, "% cannot begin a text"),
        ("a:\n\t- b", 3, "a tab cannot indent"),
        ("a:\n  - b\n\t- c", 9, "a tab cannot indent"),
        (
            "a:\n  b: 1\n c: 2",
            11,
            "this line is indented like nothing above it",
        ),
        ("a:\n- b\nc", 7, "`c` is no key: a colon is missing"),
        ("a: ]", 3, "nothing that this `]` could close is open"),
        ("a: b: c", 4, "a second `: ` on one line"),
        (
            "- a\nb: c",
            4,
            "an entry of the list, beginning with `- `, is expected here",
        ),
        ("a: - b", 3, "a list cannot begin here"),
        ("a: *", 3, "a name is missing after `*`"),
        ("a: *b", 3, "no anchor `&b` stands before this alias"),
        (
            "image:nginx\nname: x",
            5,
            "a blank is missing after the colon",
        ),
        (
            "a: {{- if .x }}\nb: c",
            3,
            "this is a template that has not been rendered",
        ),
        (
            "a: {{ .x }}",
            4,
            "a key must be a text, not a list or a map",
        ),
    ] {
        let Err(problem) = parse(text, 0) else {
            panic!("accepted: {text}")
        };
        assert_eq!(
            (problem.message.as_str(), problem.range.start),
            (expected, at),
            "{text}"
        );
    }
}
