//! A small disk of its own for a database: it can be full, read-only, and broken.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::guard::Guard;

/// What a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// A folder of a disk that others use.
    Folder,
    /// A file system in memory.
    Memory,
    /// A file system of Linux's own kind, in a file: where it finds an error, nobody can write
    /// to it any more, not even to files that are open.
    Image(PathBuf),
}

/// A disk, as far as this user may have one.
pub(crate) struct Disk {
    pub(crate) folder: PathBuf,
    form: Form,
}

impl Disk {
    /// A new one of that many MiB in memory, where this user may mount; else a folder.
    ///
    /// # Errors
    /// The folder can't be made.
    pub(crate) fn in_memory(folder: PathBuf, mib: u64, guard: &Guard) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let options = format!("size={mib}m,mode=755");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &folder);
        if mounted.is_ok() {
            guard.mounted(&folder);
        }
        let form = if mounted.is_ok() {
            Form::Memory
        } else {
            Form::Folder
        };
        Ok(Self { folder, form })
    }

    /// A new one of that many MiB in a file, where this user may mount that; else one in memory.
    ///
    /// # Errors
    /// The folder can't be made.
    pub(crate) fn in_file(folder: PathBuf, mib: u64, guard: &Guard) -> Result<Self> {
        let image = folder.with_extension("img");
        File::create(&image)?.set_len(mib << 20)?;
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let mut make = Command::new("mkfs.ext4");
        // Nothing is kept back for root. Blocks are of a page, as on disks of a usual size: with
        // the smaller ones of small disks, SQLite's reservation of memory that it shares
        // (`-shm`) reserves too little, and a full disk kills it.
        let made = make
            .args(["-q", "-m", "0", "-b", "4096"])
            .arg(&image)
            .output();
        let is_made = made.is_ok_and(|made| made.status.success());
        if is_made && mount_image(&image, &folder).is_ok() {
            guard.mounted(&folder);
            let form = Form::Image(image);
            return Ok(Self { folder, form });
        }
        Self::in_memory(folder, mib, guard)
    }

    /// Whether it can be filled, and made read-only.
    pub(crate) fn is_mounted(&self) -> bool {
        self.form != Form::Folder
    }

    /// Whether it can break.
    pub(crate) fn can_break(&self) -> bool {
        matches!(self.form, Form::Image(_))
    }

    /// Has the system find an error: nobody can write to it any more.
    ///
    /// # Errors
    /// The system does not let this user.
    pub(crate) fn break_down(&self) -> Result<()> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let folder = self.folder.to_string_lossy();
        let is_it = |line: &&str| line.split(' ').nth(1) == Some(&*folder);
        let line = mounts.lines().find(is_it).context("it is not mounted")?;
        let device = line.split(' ').next().unwrap_or_default();
        let name = device.trim_start_matches("/dev/");
        let file = format!("/sys/fs/ext4/{name}/trigger_fs_error");
        fs::write(&file, "1").with_context(|| file.clone())
    }

    /// Repairs it, as a person would; nobody may have a file of it open.
    ///
    /// # Errors
    /// It is in use, or can't be repaired.
    pub(crate) fn repair(&self) -> Result<()> {
        let Form::Image(image) = &self.form else {
            bail!("there is nothing to repair");
        };
        let unmounted = Command::new("umount").arg(&self.folder).status()?;
        ensure!(unmounted.success(), "the disk is in use");
        let repaired = Command::new("e2fsck")
            .args(["-f", "-y"])
            .arg(image)
            .output()?;
        // 1: it has mended something.
        let is_good = matches!(repaired.status.code(), Some(0 | 1));
        ensure!(
            is_good,
            "e2fsck: {}",
            String::from_utf8_lossy(&repaired.stdout)
        );
        mount_image(image, &self.folder)
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves no byte free.
    ///
    /// # Errors
    /// No file can be made.
    pub(crate) fn fill(&self) -> Result<()> {
        ensure!(self.is_mounted(), "this disk is everybody's");
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

fn mount_image(image: &Path, folder: &Path) -> Result<()> {
    let image = image.to_string_lossy();
    mount(&["-o", "loop,errors=remount-ro", &image], folder)
}

fn mount(args: &[&str], folder: &Path) -> Result<()> {
    let output = Command::new("mount").args(args).arg(folder).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "mount: {}", said.trim());
    Ok(())
}
