//! `check`: what is valid in manifests and still does not do what was meant.

use podyard_api::{Diagnostic, Severity as Level, render};
use podyard_check::{CHECKS, Finding, Severity, check_objects, report};

use super::{note, print, print_object};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::manifests;
use crate::output::escape::one_line;
use crate::output::style::{Palette, Tone};
use crate::output::table::Table;
use crate::settings::{CheckForm, CheckSettings, Context, Format};

pub(super) fn run(context: &Context, settings: &CheckSettings) -> Result<ExitCode, CliError> {
    let Some(files) = &settings.files else {
        print(list())?;
        return Ok(ExitCode::Success);
    };
    let objects = manifests::inspect(context, files, None)?
        .map_err(|diagnostics| manifests::invalid(&diagnostics, context.stderr))?;
    let mut findings = check_objects(&objects);
    let is_failure = settings.fail_on.is_some_and(|limit| {
        findings
            .iter()
            .any(|finding| finding.check.severity >= limit)
    });
    // What makes the command fail is shown, whatever was asked for.
    let shown = settings
        .fail_on
        .map_or(settings.severity, |limit| limit.min(settings.severity));
    let all = findings.len();
    findings.retain(|finding| finding.check.severity >= shown);
    match settings.form {
        CheckForm::Json => print_object(&report::json(&findings), Format::Json)?,
        CheckForm::Sarif => print_object(
            &report::sarif(&findings, env!("CARGO_PKG_VERSION")),
            Format::Json,
        )?,
        CheckForm::Text => {
            let text: Vec<String> = findings
                .iter()
                .map(|finding| describe(finding, context.stdout))
                .collect();
            print(text.join("\n"))?;
            note(summary(&findings, all));
        }
    }
    Ok(if is_failure {
        ExitCode::Failure
    } else {
        ExitCode::Success
    })
}

/// One finding, as messages about manifests look, with the other places that belong to it.
fn describe(finding: &Finding, palette: Palette) -> String {
    let level = match finding.check.severity {
        Severity::Remark => Level::Remark,
        Severity::Warning => Level::Warning,
        Severity::Error => Level::Error,
    };
    let message = format!("{} [{}]", finding.message, finding.check.id);
    let kind = podyard_api::Kind::Notice;
    let mut diagnostic = Diagnostic::new(level, kind, finding.path.clone(), message);
    diagnostic.span = Some(finding.span.clone());
    let mut text = render::render(&diagnostic, palette.is_enabled());
    for (span, related) in &finding.related {
        text.push_str(&format!("{span}: {}\n", one_line(related)));
    }
    let hint = palette.paint(Tone::Active, "hint:");
    text.push_str(&format!("{hint} {}\n", one_line(&finding.fix)));
    text
}

fn summary(findings: &[Finding], all: usize) -> String {
    let count = |severity: Severity| {
        let number = findings
            .iter()
            .filter(|finding| finding.check.severity == severity)
            .count();
        let plural = if number == 1 { "" } else { "s" };
        (number > 0).then(|| format!("{number} {severity}{plural}"))
    };
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Remark]
        .into_iter()
        .filter_map(count)
        .collect();
    let mut text = if counts.is_empty() {
        "nothing found".to_owned()
    } else {
        format!("{}; docs/checks.md explains them", counts.join(", "))
    };
    let hidden = all - findings.len();
    if hidden > 0 {
        text.push_str(&format!("; `--severity remark` shows {hidden} more"));
    }
    text
}

fn list() -> String {
    let mut table = Table::new(["CHECK", "SEVERITY", "FINDS"]);
    for check in CHECKS {
        table.push([check.id, check.severity.word(), check.title]);
    }
    table.render()
}
