//! OCI archives: taking one apart for the floor, and making one with a hundred layers.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Result;

/// Unpacks the layers of an archive over each other. Only for images without whiteouts, like busybox.
pub(crate) fn unpack(archive: &Path, into: &Path) -> Result<()> {
    let work = into.with_extension("archive");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;
    tar(&["--extract", "--directory"], &work, archive)?;
    let temporary = into.with_extension("part");
    let _ = fs::remove_dir_all(&temporary);
    fs::create_dir_all(&temporary)?;
    for layer in manifest(&work)?["layers"].as_array().into_iter().flatten() {
        tar(
            &["--extract", "--gzip", "--directory"],
            &temporary,
            &blob(&work, layer)?,
        )?;
    }
    fs::rename(temporary, into)?;
    fs::remove_dir_all(work)?;
    Ok(())
}

/// The archive `from` with so many layers on top, each of which brings one file, under another name.
pub(crate) fn with_more_layers(from: &Path, to: &Path, name: &str, count: usize) -> Result<()> {
    let work = to.with_extension("archive");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;
    tar(&["--extract", "--directory"], &work, from)?;
    let mut manifest = manifest(&work)?;
    let mut config: Value = serde_json::from_slice(&fs::read(blob(&work, &manifest["config"])?)?)?;
    for number in 0..count {
        let content = work.join("content");
        fs::create_dir_all(content.join("layers"))?;
        fs::write(content.join(format!("layers/{number}")), number.to_string())?;
        let layer = work.join("layer.tar");
        let mut command = Command::new("tar");
        command
            .arg("--create")
            .arg("--file")
            .arg(&layer)
            .arg("--directory")
            .arg(&content)
            .arg("layers");
        finish(command)?;
        fs::remove_dir_all(content)?;
        let mut descriptor = add(&work, &fs::read(layer)?)?;
        descriptor["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
        push(
            &mut config["rootfs"]["diff_ids"],
            descriptor["digest"].clone(),
        );
        push(&mut manifest["layers"], descriptor);
    }
    if let Some(history) = config.get_mut("history") {
        *history = json!([]);
    }
    let mut descriptor = add(&work, &serde_json::to_vec(&config)?)?;
    descriptor["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    manifest["config"] = descriptor;
    let mut descriptor = add(&work, &serde_json::to_vec(&manifest)?)?;
    descriptor["mediaType"] = "application/vnd.oci.image.manifest.v1+json".into();
    descriptor["annotations"] =
        json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor],
    });
    fs::write(work.join("index.json"), serde_json::to_vec(&index)?)?;
    let _ = fs::remove_file(work.join("layer.tar"));
    let mut command = Command::new("tar");
    command
        .arg("--create")
        .arg("--file")
        .arg(to)
        .arg("--directory")
        .arg(&work)
        .args(["oci-layout", "index.json", "blobs"]);
    finish(command)?;
    fs::remove_dir_all(work)?;
    Ok(())
}

fn push(list: &mut Value, value: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(value);
    }
}

fn manifest(layout: &Path) -> Result<Value> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    Ok(serde_json::from_slice(&fs::read(blob(
        layout,
        &index["manifests"][0],
    )?)?)?)
}

fn blob(layout: &Path, descriptor: &Value) -> Result<std::path::PathBuf> {
    let digest = descriptor["digest"]
        .as_str()
        .and_then(|digest| digest.split_once(':'));
    let (algorithm, hex) = digest.ok_or("a descriptor without a digest")?;
    Ok(layout.join("blobs").join(algorithm).join(hex))
}

/// Puts content into the layout's blobs; gives its descriptor without a media type.
fn add(layout: &Path, content: &[u8]) -> Result<Value> {
    let hex: String = Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    fs::write(layout.join("blobs/sha256").join(&hex), content)?;
    Ok(json!({ "digest": format!("sha256:{hex}"), "size": content.len() }))
}

fn tar(before: &[&str], directory: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command
        .args(before)
        .arg(directory)
        .arg("--file")
        .arg(archive);
    finish(command)
}

fn finish(mut command: Command) -> Result<()> {
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("tar ended with {status}").into())
    }
}
