//! Verbs about the machine and the program: image, system.

use std::path::PathBuf;

use super::Format;
use crate::args::{ImageVerb, SystemVerb};

#[derive(Debug)]
pub(crate) enum ImageCommand {
    Import {
        files: Vec<PathBuf>,
        name: Option<String>,
    },
    List {
        format: Option<Format>,
    },
    Pull {
        references: Vec<String>,
    },
    Remove {
        references: Vec<String>,
    },
    Inspect {
        reference: String,
    },
}

#[derive(Debug)]
pub(crate) enum SystemCommand {
    Df { format: Option<Format> },
    Prune { dry_run: bool, all: bool },
    Info { format: Option<Format> },
}

pub(super) fn image(verb: ImageVerb) -> ImageCommand {
    match verb {
        ImageVerb::Import(args) => ImageCommand::Import {
            files: args.files,
            name: args.name,
        },
        ImageVerb::List(args) => ImageCommand::List {
            format: args.output.map(Into::into),
        },
        ImageVerb::Pull(args) => ImageCommand::Pull {
            references: args.references,
        },
        ImageVerb::Rm(args) => ImageCommand::Remove {
            references: args.references,
        },
        ImageVerb::Inspect(args) => ImageCommand::Inspect {
            reference: args.reference,
        },
    }
}

pub(super) fn system(verb: SystemVerb) -> SystemCommand {
    match verb {
        SystemVerb::Df(args) => SystemCommand::Df {
            format: args.output.map(Into::into),
        },
        SystemVerb::Prune(args) => SystemCommand::Prune {
            dry_run: args.dry_run,
            all: args.all,
        },
        SystemVerb::Info(args) => SystemCommand::Info {
            format: args.output.map(Into::into),
        },
    }
}
