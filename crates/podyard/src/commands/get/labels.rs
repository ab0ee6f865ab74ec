//! Columns of labels: `-L KEY` and `--show-labels`.

use std::collections::BTreeMap;

use crate::settings::TableForm;

/// Their titles: of a key, what comes after its prefix.
pub(super) fn titles(form: &TableForm) -> impl Iterator<Item = String> {
    let of_keys = form.label_columns.iter().map(|key| {
        let name = key.rsplit('/').next().unwrap_or(key);
        name.to_uppercase()
    });
    let of_all = form.show_labels.then(|| "LABELS".to_owned());
    of_keys.chain(of_all)
}

/// What stands in them for an object with these labels.
pub(super) fn cells(
    form: &TableForm,
    labels: Option<&BTreeMap<String, String>>,
) -> impl Iterator<Item = String> {
    let value = move |key: &String| labels.and_then(|labels| labels.get(key)).cloned();
    let of_keys = form
        .label_columns
        .iter()
        .map(move |key| value(key).unwrap_or_default());
    let of_all = form.show_labels.then(|| all(labels));
    of_keys.chain(of_all)
}

/// `a=1,b=2`, or `<none>`.
fn all(labels: Option<&BTreeMap<String, String>>) -> String {
    let pairs: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if pairs.is_empty() {
        "<none>".to_owned()
    } else {
        pairs.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_labels_are_kubectls() {
        let form = TableForm {
            label_columns: vec!["app".to_owned(), "example.com/tier".to_owned()],
            show_labels: true,
            ..TableForm::default()
        };
        assert_eq!(titles(&form).collect::<Vec<_>>(), ["APP", "TIER", "LABELS"]);
        let labels =
            [("app", "web"), ("b", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let of_web: Vec<String> = cells(&form, Some(&labels.into())).collect();
        assert_eq!(of_web, ["web", "", "app=web,b="]);
        assert_eq!(cells(&form, None).collect::<Vec<_>>(), ["", "", "<none>"]);
        assert_eq!(titles(&TableForm::default()).count(), 0);
    }
}
