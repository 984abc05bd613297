//! Embeds the built dashboard: lists every file of `web/dist` for
//! `include_bytes!`. Without a built dashboard the list is empty, and the
//! gateway shows a page that says how to build it; node is never needed here.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let root = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let dist = root.join("../../web/dist");
    // Cargo watches a folder with all that is in it, but runs the script at each
    // build while the folder does not exist. An empty one is ignored by git.
    if !dist.exists() && root.join("../../web").exists() {
        let _ = fs::create_dir(&dist);
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", dist.display());

    let mut files = Vec::new();
    if dist.is_dir() {
        collect(&dist, &dist, &mut files)?;
    }
    files.sort();
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    let mut list = fs::File::create(out.join("dashboard.rs"))?;
    writeln!(list, "&[")?;
    for (name, path) in files {
        writeln!(
            list,
            "    ({name:?}, include_bytes!({:?}) as &[u8]),",
            path.display().to_string()
        )?;
    }
    writeln!(list, "]")
}

/// Adds each file below `folder` with its path relative to `root`.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            files.push((name.to_string_lossy().replace('\\', "/"), path.canonicalize()?));
        }
    }
    Ok(())
}
