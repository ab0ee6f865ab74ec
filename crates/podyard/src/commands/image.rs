//! `image …`: the images of this instance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use podyard_image::{
    AuthFile, Digest, Image, ImportError, ImportOptions, Progress, PullError, PullOptions,
    Reference, Store,
};

use super::{note, now, print, print_list, print_object};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::Timestamp;
use crate::output::table::Table;
use crate::output::{age, size};
use crate::pods;
use crate::settings::{Context, Format, ImageCommand};

pub(super) fn run(context: &Context, command: &ImageCommand) -> Result<ExitCode, CliError> {
    let store = open_store(context)?;
    match command {
        ImageCommand::Import { files, name } => import(context, &store, files, name.as_deref()),
        ImageCommand::List { format } => list(&store, *format),
        ImageCommand::Pull { references } => pull(context, &store, references),
        ImageCommand::Remove { references } => remove(&store, references),
        ImageCommand::Inspect { reference } => inspect(&store, reference),
    }?;
    Ok(ExitCode::Success)
}

/// The image store of this instance.
pub(super) fn open_store(context: &Context) -> Result<Store, CliError> {
    let roots = pods::roots(context)?;
    Store::open(&roots.images())
        .map_err(|error| CliError::failed("cannot open the image store", error))
}

fn import(
    context: &Context,
    store: &Store,
    files: &[PathBuf],
    name: Option<&str>,
) -> Result<(), CliError> {
    let name = name.map(parse).transpose()?;
    for file in files {
        let options = ImportOptions {
            name: name.clone(),
            ..ImportOptions::default()
        };
        let path = if file.as_os_str() == "-" {
            Path::new("/dev/stdin")
        } else {
            file
        };
        let mut report = |progress| tell(context, &progress);
        let images = store
            .import(path, &options, &mut report)
            .map_err(|error| import_error(file, error))?;
        for name in images.iter().flat_map(|image| &image.names) {
            print(format!("{}\n", name.familiar()))?;
        }
    }
    Ok(())
}

fn import_error(file: &Path, error: ImportError) -> CliError {
    match error {
        ImportError::Read { path, source } => CliError::File { path, source },
        error => CliError::failed(format!("cannot import `{}`", file.display()), error),
    }
}

fn pull(context: &Context, store: &Store, references: &[String]) -> Result<(), CliError> {
    for text in references {
        let reference = parse(text)?;
        let options = pull_options(context, &reference)?;
        let mut report = |progress| tell(context, &progress);
        let pulled = store
            .pull(&reference, &options, &mut report)
            .map_err(|error: PullError| CliError::failed(format!("cannot pull `{text}`"), error))?;
        if !pulled.changed {
            note(format!("{text} is up to date"));
        }
        print(format!("{reference}\n"))?;
    }
    Ok(())
}

/// With the credentials of the first file that has some for this image.
fn pull_options(context: &Context, reference: &Reference) -> Result<PullOptions, CliError> {
    let mut options = PullOptions {
        proxy: context.proxy.clone(),
        ..PullOptions::default()
    };
    for path in context.auth_files.iter().filter(|path| path.is_file()) {
        let credentials = AuthFile::read(path).and_then(|file| file.credentials_for(reference));
        options.credentials = credentials.map_err(|error| {
            CliError::failed("cannot use the credentials for the registry", error)
        })?;
        if !options.credentials.is_empty() {
            break;
        }
    }
    Ok(options)
}

fn parse(text: &str) -> Result<Reference, CliError> {
    Reference::parse(text).map_err(|error| CliError::Usage(error.to_string()))
}

/// What happens meanwhile, for whoever wants to know.
fn tell(context: &Context, progress: &Progress) {
    match progress {
        Progress::Waiting { on } => note(format!("waiting for another process that fetches {on}")),
        Progress::Retrying { layer, reason } => {
            note(format!("layer {}: {reason}, once more", layer.short()))
        }
        Progress::Resolved { layers, .. } if context.verbose => {
            note(format!("{} layers", layers.len()))
        }
        Progress::LayerExists { layer } if context.verbose => {
            note(format!("layer {}: here already", layer.short()))
        }
        Progress::Unpacked { layer } if context.verbose => {
            note(format!("layer {}: unpacked", layer.short()))
        }
        _ => {}
    }
}

fn list(store: &Store, format: Option<Format>) -> Result<(), CliError> {
    let images = store
        .list()
        .map_err(|error| CliError::failed("cannot list the images", error))?;
    if let Some(format) = format {
        let objects: Vec<_> = images.iter().map(object).collect();
        return print_list(&objects, format);
    }
    if images.is_empty() {
        note("No images found");
        return Ok(());
    }
    let now = now();
    let mut table = Table::new(["IMAGE", "IMAGE ID", "SIZE", "AGE"]);
    for image in &images {
        let names: Vec<String> = match image.names.as_slice() {
            [] => vec!["<none>".to_owned()],
            names => names.iter().map(Reference::familiar).collect(),
        };
        for name in names {
            let stored = i64::try_from(image.stored_at)
                .ok()
                .filter(|second| *second > 0);
            let stored = stored.and_then(|second| Timestamp::from_second(second).ok());
            table.push([
                name,
                image.image_id.short().to_owned(),
                size::human(image.size_bytes),
                age::since(stored, now),
            ]);
        }
    }
    print(table.render())
}

/// An image for programs.
fn object(image: &Image) -> serde_json::Value {
    let config = &image.config;
    serde_json::json!({
        "names": image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "manifestDigest": image.manifest_digest.to_string(),
        "imageID": image.image_id.to_string(),
        "repoDigest": image.repo_digest,
        "sizeBytes": image.size_bytes,
        "origin": image.origin,
        "layers": image.layers,
        "config": {
            "entrypoint": config.entrypoint,
            "cmd": config.cmd,
            "env": config.env,
            "workingDir": config.working_dir,
            "user": config.user,
            "stopSignal": config.stop_signal,
            "volumes": config.volumes,
            "labels": config.labels,
            "exposedPorts": config.exposed_ports,
            "architecture": config.architecture,
            "os": config.os,
            "created": config.created,
        },
    })
}

fn inspect(store: &Store, text: &str) -> Result<(), CliError> {
    print_object(&object(&find(store, text)?), Format::Json)
}

/// By reference, or by the beginning of an image id.
fn find(store: &Store, text: &str) -> Result<Image, CliError> {
    let failed = |error| CliError::failed("cannot read the image store", error);
    if let Some(image) = Reference::parse(text)
        .ok()
        .map(|reference| store.lookup(&reference))
        .transpose()
        .map_err(failed)?
        .flatten()
    {
        return Ok(image);
    }
    by_id(store.list().map_err(failed)?, text)
}

fn by_id(images: Vec<Image>, text: &str) -> Result<Image, CliError> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let long_enough = hex.len() >= 4 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut found: BTreeMap<Digest, Image> = BTreeMap::new();
    for image in images
        .into_iter()
        .filter(|image| long_enough && image.image_id.hex().starts_with(hex))
    {
        found.insert(image.manifest_digest.clone(), image);
    }
    match found.len() {
        0 => Err(CliError::NotFound(format!(
            "there is no image `{text}` here"
        ))),
        1 => found
            .into_values()
            .next()
            .ok_or_else(|| CliError::NotFound(text.to_owned())),
        _ => Err(CliError::Usage(format!(
            "`{text}` is the beginning of several image ids"
        ))),
    }
}

fn remove(store: &Store, references: &[String]) -> Result<(), CliError> {
    let failed = |text: &str, error| CliError::failed(format!("cannot remove `{text}`"), error);
    for text in references {
        let image = find(store, text)?;
        // A name goes alone; an id takes all names of the image.
        let asked = Reference::parse(text)
            .ok()
            .filter(|reference| image.names.contains(reference));
        let names = asked.map_or_else(|| image.names.clone(), |name| vec![name]);
        for name in names {
            let removed = store.remove(&name).map_err(|error| failed(text, error))?;
            for name in &removed.names {
                print(format!("untagged: {}\n", name.familiar()))?;
            }
            if !removed.used_by.is_empty() {
                note(format!(
                    "the content of `{text}` stays until {} pod(s) that use it are gone",
                    removed.used_by.len()
                ));
            }
        }
    }
    let report = store
        .gc()
        .map_err(|error| CliError::failed("cannot clean up the image store", error))?;
    for image in &report.images {
        print(format!("deleted: {image}\n"))?;
    }
    Ok(())
}
