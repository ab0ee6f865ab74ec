//! Objects as JSON and YAML, in kubectl's form: four blanks of indentation, keys in alphabetical order, lists as `v1.List`.

use serde::Serialize;
use serde_json::{Value, json};

use crate::settings::Format;

/// One object, with a line break at its end.
pub(crate) fn render(object: &impl Serialize, format: Format) -> Result<String, serde_json::Error> {
    // By way of a value, whose maps are sorted.
    let value = serde_json::to_value(object)?;
    Ok(match format {
        Format::Json => json_text(&value)?,
        Format::Yaml => yaml_text(&value),
    })
}

/// Several objects as a `v1.List`.
pub(crate) fn render_list<T: Serialize>(
    objects: &[T],
    format: Format,
) -> Result<String, serde_json::Error> {
    render(
        &json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": objects }),
        format,
    )
}

fn json_text(value: &Value) -> Result<String, serde_json::Error> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut text, formatter,
    ))?;
    text.push(b'\n');
    // serde_json writes UTF-8 only.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn yaml_text(value: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        // kubectl neither folds long strings nor indents lists below their key.
        prefer_block_scalars: true,
        compact_list_indent: true,
        folded_wrap_chars: usize::MAX,
        min_fold_chars: usize::MAX,
    };
    let mut text = String::new();
    // A tree of plain values always has a YAML form; writing into a string does not fail.
    let written = serde_saphyr::to_fmt_writer_with_options(&mut text, value, options);
    debug_assert!(written.is_ok(), "{written:?}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{app, pod, running};

    #[test]
    fn objects_look_as_kubectl_prints_them() {
        let object = json!({ "b": [1, { "c": "yes" }], "a": "line\nline\n", "long": "x ".repeat(60), "empty": {}, "none": [] });
        assert_eq!(
            render(&object, Format::Json).expect("JSON"),
            format!(
                "{{\n    \"a\": \"line\\nline\\n\",\n    \"b\": [\n        1,\n        {{\n            \"c\": \"yes\"\n        }}\n    ],\n    \"empty\": {{}},\n    \"long\": \"{}\",\n    \"none\": []\n}}\n",
                "x ".repeat(60)
            )
        );
        assert_eq!(
            render(&object, Format::Yaml).expect("YAML"),
            format!(
                "a: |\n  line\n  line\nb:\n- 1\n- c: \"yes\"\nempty: {{}}\nlong: \"{}\"\nnone: []\n",
                "x ".repeat(60)
            )
        );
    }

    #[test]
    fn a_pod_carries_its_kind() {
        let text =
            render_list(&[pod("Running", [app("a", running())])], Format::Yaml).expect("YAML");
        assert!(
            text.starts_with("apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n"),
            "{text}"
        );
    }
}
