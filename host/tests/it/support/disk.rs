//! A small disk that a test fills and empties.

use std::{
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    process::Command,
};

use super::database::Folder;

/// A file system of its own, in memory; gone at the end of the test.
pub(crate) struct SmallDisk(Folder);

impl SmallDisk {
    /// A file system of this size, such as `3m`. None where only root could make one, unless
    /// this runs in CI.
    #[expect(clippy::print_stderr, reason = "what a test could not try")]
    pub(crate) fn new(size: &str) -> Option<Self> {
        let folder = Folder::new();
        let mount = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "tenantry-test",
            ])
            .arg(&folder.0)
            .output()
            .expect("mount runs");
        if !mount.status.success() {
            let why = String::from_utf8_lossy(&mount.stderr);
            assert!(std::env::var_os("CI").is_none(), "no small disk: {why}");
            eprintln!("skipped: a small file system cannot be mounted: {why}");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.join("filler")).expect("a file");
        let block = vec![0x55; 4096];
        while filler.write_all(&block).is_ok() {}
    }

    /// Makes room again.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.join("filler")).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process of the test may still be ending.
        let _ = Command::new("umount").arg("-l").arg(&self.0.0).status();
    }
}
