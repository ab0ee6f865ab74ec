//! Projected volumes: several sources in one directory.

use std::collections::BTreeSet;

use super::Found;
use super::volume_sources::{downward_file, items};
use crate::core::{KeyToPath, Volume};
use crate::diagnostic::Diagnostic;
use crate::path::Path;

const SHORTEST_TOKEN: i64 = 10 * 60;
const LONGEST_TOKEN: i64 = 1 << 32;

pub(super) fn projected(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(projected) = &volume.projected else {
        return;
    };
    found.file_mode(&path.field("defaultMode"), projected.default_mode);
    let mut paths = BTreeSet::new();
    for (index, source) in projected.sources.iter().flatten().enumerate() {
        let own = path.field("sources").index(index);
        let mut given = 0;
        if let Some(secret) = &source.secret {
            given += 1;
            named(
                found,
                &own.field("secret"),
                &secret.name,
                secret.items.as_deref(),
            );
            unique(
                found,
                path,
                &own,
                &secret.name,
                secret.items.as_deref(),
                &mut paths,
            );
        }
        if let Some(map) = &source.config_map
            && first(found, &own, &mut given)
        {
            named(
                found,
                &own.field("configMap"),
                &map.name,
                map.items.as_deref(),
            );
            unique(
                found,
                path,
                &own,
                &map.name,
                map.items.as_deref(),
                &mut paths,
            );
        }
        if let Some(downward) = &source.downward_api
            && first(found, &own, &mut given)
        {
            let printed = own.field("downwardAPI");
            for (index, file) in downward.items.iter().flatten().enumerate() {
                downward_file(found, &printed, &printed.field("items").index(index), file);
                if !file.path.is_empty() && !paths.insert(file.path.clone()) {
                    conflict(found, path, &own, &file.path);
                }
            }
        }
        if let Some(token) = &source.service_account_token
            && first(found, &own, &mut given)
        {
            let own = own.field("serviceAccountToken");
            let seconds = token.expiration_seconds.unwrap_or(3600);
            let at = own.field("expirationSeconds");
            if seconds < SHORTEST_TOKEN {
                found.number(
                    &at,
                    seconds,
                    "may not specify a duration less than 10 minutes",
                );
            } else if seconds > LONGEST_TOKEN {
                found.number(
                    &at,
                    seconds,
                    "may not specify a duration larger than 2^32 seconds",
                );
            }
            // The API server names the volume's path here.
            let (printed, at) = (path.field("path"), own.field("path"));
            if token.path.is_empty() {
                found.add(Diagnostic::required(&printed, "").located_at(at));
            } else {
                found.projected_path(&printed, &at, &token.path);
            }
        }
    }
}

/// Whether this is the only source of its entry so far.
fn first(found: &mut Found, own: &Path, given: &mut usize) -> bool {
    *given += 1;
    if *given > 1 {
        let message = "may not specify more than 1 volume type per source";
        found.add(Diagnostic::forbidden(own, message));
    }
    *given == 1
}

fn named(found: &mut Found, path: &Path, name: &str, files: Option<&[KeyToPath]>) {
    if name.is_empty() {
        found.add(Diagnostic::required(&path.field("name"), ""));
    }
    items(found, &path.field("items"), files);
}

fn unique(
    found: &mut Found,
    path: &Path,
    own: &Path,
    name: &str,
    items: Option<&[KeyToPath]>,
    paths: &mut BTreeSet<String>,
) {
    for item in items.into_iter().flatten() {
        if !item.path.is_empty() && !paths.insert(item.path.clone()) {
            conflict(found, path, own, name);
        }
    }
}

fn conflict(found: &mut Found, path: &Path, own: &Path, text: &str) {
    let diagnostic = Diagnostic::invalid(path, text, "conflicting duplicate paths");
    found.add(diagnostic.located_at(own.clone()));
}
