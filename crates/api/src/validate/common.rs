//! Checks that several places share: paths inside volumes, numbers in a range, names of referenced objects.

use super::Found;
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;

pub(super) const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
pub(super) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

impl Found {
    /// A number in a list of integers, printed bare.
    pub(super) fn number(&mut self, path: &Path, value: impl std::fmt::Display, detail: &str) {
        self.add(Diagnostic::invalid_json(path, &value.to_string(), detail));
    }

    pub(super) fn port_number(&mut self, path: &Path, port: i32) {
        for message in names::port_number(port) {
            self.number(path, port, &message);
        }
    }

    /// User and group numbers.
    pub(super) fn id(&mut self, path: &Path, id: Option<i64>) {
        if let Some(id) = id.filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
            self.number(path, id, "must be between 0 and 2147483647, inclusive");
        }
    }

    pub(super) fn file_mode(&mut self, path: &Path, mode: Option<i32>) {
        if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
            let mut diagnostic = Diagnostic::invalid_json(path, &mode.to_string(), FILE_MODE);
            if let Some(octal) = meant_octal(mode) {
                diagnostic.hint = Some(octal);
            }
            self.add(diagnostic);
        }
    }

    /// Relative, and not out of the volume.
    pub(super) fn descending_path(&mut self, path: &Path, at: &Path, text: &str) {
        if text.starts_with('/') {
            let diagnostic = Diagnostic::invalid(path, text, "must be a relative path");
            self.add(diagnostic.located_at(at.clone()));
        }
        self.no_backsteps(path, at, text);
    }

    pub(super) fn no_backsteps(&mut self, path: &Path, at: &Path, text: &str) {
        if has_backsteps(text) {
            let diagnostic = Diagnostic::invalid(path, text, "must not contain '..'");
            self.add(diagnostic.located_at(at.clone()));
        }
    }

    /// A file of a volume that is written atomically: names that begin with two dots are taken by the writer.
    pub(super) fn projected_path(&mut self, path: &Path, at: &Path, text: &str) {
        self.descending_path(path, at, text);
        if text.starts_with("..") && !text.starts_with("../") {
            let diagnostic = Diagnostic::invalid(path, text, "must not start with '..'");
            self.add(diagnostic.located_at(at.clone()));
        }
    }

    /// A name that must be given and must be a label.
    pub(super) fn required_label(&mut self, path: &Path, text: &str) {
        if text.is_empty() {
            self.add(Diagnostic::required(path, ""));
        } else {
            self.label(path, text);
        }
    }

    pub(super) fn label(&mut self, path: &Path, text: &str) {
        for message in names::dns_label(text) {
            let mut diagnostic = Diagnostic::invalid(path, text, &message);
            diagnostic.hint = name_hint(text, names::dns_label);
            self.add(diagnostic);
        }
    }

    pub(super) fn subdomain(&mut self, path: &Path, text: &str) {
        for message in names::dns_subdomain(text) {
            let mut diagnostic = Diagnostic::invalid(path, text, &message);
            diagnostic.hint = name_hint(text, names::dns_subdomain);
            self.add(diagnostic);
        }
    }

    /// The optional ones: absent and empty are the same.
    pub(super) fn optional_subdomain(&mut self, path: &Path, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.subdomain(path, text);
        }
    }
}

pub(super) fn has_backsteps(text: &str) -> bool {
    text.split('/').any(|part| part == "..")
}

/// `Web_1` was probably meant to be `web-1`.
fn name_hint(text: &str, check: fn(&str) -> Vec<String>) -> Option<String> {
    let fixed: String = text.to_lowercase().replace(['_', ' '], "-");
    (fixed != text && check(&fixed).is_empty()).then(|| format!("`{fixed}` would be valid"))
}

/// 644 was probably meant to be 0644.
fn meant_octal(mode: i32) -> Option<String> {
    let text = mode.to_string();
    let octal = i32::from_str_radix(&text, 8).ok()?;
    ((0..=0o777).contains(&octal) && mode > 0)
        .then(|| format!("in octal, with a leading zero: 0{text} (which is {octal})"))
}
