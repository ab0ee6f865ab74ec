//! Reading manifests: files, directories of them, stdin. What they mean is decided in `podyard-api`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use podyard_api::limits::MAX_SOURCE_BYTES;
use podyard_api::{Diagnostic, Diagnostics, LoadOptions, Objects, Severity, Source, render};

use crate::error::CliError;
use crate::named;
use crate::output::escape::one_line;
use crate::output::style::{Palette, Tone};
use crate::settings::Context;

/// Reads and checks everything; warnings go to `warn`.
pub(crate) fn load(
    context: &Context,
    files: &[PathBuf],
    skip_unknown: bool,
    replicas: Option<i32>,
    warn: impl FnOnce(&str),
) -> Result<Objects, CliError> {
    let texts = read(files)?;
    let options = LoadOptions {
        random: random(),
        skip_unknown,
        replicas,
        present: named::present(context),
        accept_unsupported: false,
    };
    let objects = texts
        .load(&options)
        .map_err(|diagnostics| invalid(&diagnostics, context.stderr))?;
    let warnings = describe(&objects.warnings, context.stderr);
    if !warnings.is_empty() {
        warn(warnings.trim_end());
    }
    Ok(objects)
}

/// Reads everything only to look at it: what cannot be run on this machine, or is of a kind that is not known, is accepted.
pub(crate) fn inspect(
    context: &Context,
    files: &[PathBuf],
    replicas: Option<i32>,
) -> Result<Result<Objects, Diagnostics>, CliError> {
    let texts = read(files)?;
    let options = LoadOptions {
        random: 0,
        skip_unknown: true,
        replicas,
        present: named::present(context),
        accept_unsupported: true,
    };
    Ok(texts.load(&options))
}

/// What was accepted and is worth knowing. A remark only says what a field means on one machine: one line is enough.
pub(crate) fn describe(warnings: &[Diagnostic], palette: Palette) -> String {
    let mut text = String::new();
    for warning in warnings {
        if warning.severity == Severity::Remark {
            let place = warning.span.as_ref().map(|span| format!("{span}: "));
            let word = palette.paint(Tone::Active, "remark:");
            let message = one_line(&warning.message);
            text.push_str(&format!("{}{word} {message}\n", place.unwrap_or_default()));
        } else {
            text.push_str(&render::render(warning, palette.is_enabled()));
        }
    }
    text
}

/// The namespace that an object belongs to: its own, or the one that was asked for. Two different ones are a mistake, as with kubectl.
pub(crate) fn namespace_of(own: &str, asked: Option<&str>) -> Result<String, CliError> {
    match asked {
        Some(asked) if own != asked && own != "default" => Err(CliError::Usage(format!(
            "the manifest's namespace `{own}` is not the namespace `{asked}` of --namespace"
        ))),
        Some(asked) => Ok(asked.to_owned()),
        None => Ok(own.to_owned()),
    }
}

pub(crate) fn invalid(diagnostics: &Diagnostics, palette: Palette) -> CliError {
    let count = diagnostics
        .0
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    CliError::Manifest {
        rendered: render::render_all(diagnostics, palette.is_enabled()),
        count,
    }
}

/// What was read, and what of it is no text.
#[derive(Default)]
struct Texts {
    sources: Vec<Source>,
    problems: Vec<Diagnostic>,
}

impl Texts {
    /// Reads one text, and not much more of it than a manifest may have: the rest makes it only larger than it may be.
    fn add(&mut self, name: &str, from: impl Read) -> io::Result<()> {
        let mut text = Vec::new();
        let most = u64::try_from(MAX_SOURCE_BYTES).unwrap_or(u64::MAX);
        from.take(most.saturating_add(1)).read_to_end(&mut text)?;
        match Source::from_bytes(name, text) {
            Ok(source) => self.sources.push(source),
            Err(problem) => self.problems.push(*problem),
        }
        Ok(())
    }

    fn load(self, options: &LoadOptions) -> Result<Objects, Diagnostics> {
        let mut problems = self.problems;
        if problems.is_empty() {
            return podyard_api::load(&self.sources, options);
        }
        // What is wrong with the others is told as well.
        if !self.sources.is_empty()
            && let Err(more) = podyard_api::load(&self.sources, options)
        {
            problems.extend(more.0);
        }
        Err(Diagnostics(problems))
    }
}

fn read(files: &[PathBuf]) -> Result<Texts, CliError> {
    let mut texts = Texts::default();
    for path in files {
        if path.as_os_str() == "-" {
            let read = texts.add("<stdin>", io::stdin().lock());
            read.map_err(|error| file_error(Path::new("<stdin>"), error))?;
        } else if path.is_dir() {
            for file in manifests_in(path)? {
                read_file(&mut texts, &file)?;
            }
        } else {
            read_file(&mut texts, path)?;
        }
    }
    Ok(texts)
}

fn read_file(texts: &mut Texts, path: &Path) -> Result<(), CliError> {
    let file = fs::File::open(path).map_err(|error| file_error(path, error))?;
    let read = texts.add(&path.display().to_string(), file);
    read.map_err(|error| file_error(path, error))
}

/// The manifests of a directory, by name, as kubectl takes them.
fn manifests_in(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = fs::read_dir(directory).map_err(|error| file_error(directory, error))?;
    let is_manifest = |path: &PathBuf| {
        path.extension().is_some_and(|extension| {
            ["yaml", "yml", "json"]
                .iter()
                .any(|known| extension == *known)
        })
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_manifest)
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(CliError::NotFound(format!(
            "there is no manifest (*.yaml, *.yml, *.json) in `{}`",
            directory.display()
        )));
    }
    Ok(files)
}

fn file_error(path: &Path, source: io::Error) -> CliError {
    CliError::File {
        path: path.to_owned(),
        source,
    }
}

/// Five characters for the end of a name that is made up.
pub(crate) fn name_suffix() -> String {
    podyard_api::names::name_suffix(random())
}

/// For the names of pods that have only a `generateName`.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers two such pods may get one name, and the second is refused.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_asked_for_or_the_manifests_own() {
        assert_eq!(
            namespace_of("default", None).ok().as_deref(),
            Some("default")
        );
        assert_eq!(namespace_of("a", None).ok().as_deref(), Some("a"));
        assert_eq!(
            namespace_of("default", Some("b")).ok().as_deref(),
            Some("b")
        );
        assert_eq!(namespace_of("b", Some("b")).ok().as_deref(), Some("b"));
        assert!(namespace_of("a", Some("b")).is_err());
    }

    #[test]
    fn what_cannot_be_read_has_a_code_of_its_own() {
        use crate::exit_code::ExitCode;
        let missing = read(&["/nowhere/pod.yaml".into()]).err().expect("missing");
        assert_eq!(missing.exit_code(), ExitCode::NotFound);
    }

    #[test]
    fn what_is_no_text_is_told_beside_what_is_wrong_with_the_others() {
        let mut texts = Texts::default();
        texts.add("a.yaml", &b"a\nb\xff"[..]).expect("read");
        texts.add("b.yaml", &b"kind: Pod"[..]).expect("read");
        let problems = texts.load(&LoadOptions::default()).expect_err("wrong");
        let messages: Vec<&str> = problems.0.iter().map(Diagnostic::server_message).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[1].contains("apiVersion"), "{messages:?}");
    }

    /// A file without an end is read no further than a manifest may go.
    #[test]
    fn nothing_is_read_without_end() {
        let mut texts = Texts::default();
        texts.add("endless", io::repeat(b'a')).expect("read");
        let problems = texts.load(&LoadOptions::default()).expect_err("too large");
        assert!(problems.0[0].message.contains("larger than 10 MiB"));
    }
}
