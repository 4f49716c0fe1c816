//! A small disk of its own for a database: it can be full, and read-only.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::guard::Guard;

/// A file system in memory; without one, a folder that can't be filled.
pub(crate) struct Disk {
    pub(crate) folder: PathBuf,
    pub(crate) is_mounted: bool,
}

impl Disk {
    /// A new one of that size, where this user may mount; else a folder.
    ///
    /// # Errors
    /// The folder can't be made.
    pub(crate) fn new(folder: PathBuf, size: &str, guard: &Guard) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let options = format!("size={size},mode=755");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &folder);
        if mounted.is_ok() {
            guard.mounted(&folder);
        }
        Ok(Self {
            folder,
            is_mounted: mounted.is_ok(),
        })
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves no byte free.
    ///
    /// # Errors
    /// No file can be made.
    pub(crate) fn fill(&self) -> Result<()> {
        ensure!(self.is_mounted, "this disk is everybody's");
        let mut file = File::create(self.filler())?;
        for size in [64 << 10, 4 << 10, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    /// Leaves again what was free before.
    ///
    /// # Errors
    /// The disk was not filled.
    pub(crate) fn free(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("the filler")
    }

    /// Lets nobody write, or lets everybody again.
    ///
    /// # Errors
    /// Somebody writes.
    pub(crate) fn set_read_only(&self, is_read_only: bool) -> Result<()> {
        let options = if is_read_only { "ro" } else { "rw" };
        mount(&["-o", &format!("remount,{options}")], &self.folder)
    }
}

fn mount(args: &[&str], folder: &Path) -> Result<()> {
    let output = Command::new("mount").args(args).arg(folder).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "mount: {}", said.trim());
    Ok(())
}
