//! Findings for programs: JSON of our own, and SARIF 2.1.0, which code scanning services read.

use podyard_api::Span;
use serde_json::{Value, json};

use crate::catalog::{CHECKS, Check};
use crate::finding::{Finding, Severity};

/// Findings as JSON: what, where, and what to do.
#[must_use]
pub fn json(findings: &[Finding]) -> Value {
    let items: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check.id,
                "severity": finding.check.severity.word(),
                "message": finding.message,
                "fix": finding.fix,
                "object": {
                    "apiVersion": finding.object.api_version,
                    "kind": finding.object.kind,
                    "name": finding.object.name,
                },
                "field": finding.path.to_string(),
                "location": location(&finding.span),
                "related": finding.related.iter().map(|(span, text)| {
                    let mut place = location(span);
                    place["message"] = text.as_str().into();
                    place
                }).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "version": 1, "findings": items })
}

fn location(span: &Span) -> Value {
    let (line, column) = span.line_column();
    json!({ "file": span.source().name, "line": line, "column": column })
}

/// Findings as a SARIF log with one run.
#[must_use]
pub fn sarif(findings: &[Finding], version: &str) -> Value {
    let rules: Vec<Value> = CHECKS.iter().map(|check| rule(check)).collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let index = CHECKS.iter().position(|check| *check == finding.check);
            json!({
                "ruleId": finding.check.id,
                "ruleIndex": index.unwrap_or_default(),
                "level": level(finding.check.severity),
                "message": { "text": format!("{}. Fix: {}.", finding.message, finding.fix) },
                "locations": [{ "physicalLocation": physical(&finding.span) }],
                "relatedLocations": finding.related.iter().enumerate().map(|(id, (span, text))| json!({
                    "id": id,
                    "physicalLocation": physical(span),
                    "message": { "text": text },
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "podyard", "version": version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(check: &Check) -> Value {
    json!({
        "id": check.id,
        "shortDescription": { "text": format!("{}.", check.title) },
        "fullDescription": { "text": check.explanation },
        "help": { "text": check.fix },
        "defaultConfiguration": { "level": level(check.severity) },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Remark => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn physical(span: &Span) -> Value {
    let (line, column) = span.line_column();
    let width = span
        .text()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .count();
    json!({
        "artifactLocation": { "uri": span.source().name },
        "region": { "startLine": line, "startColumn": column, "endColumn": column + width.max(1) },
    })
}
