//! Running programs.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("a member is inside of its workspace")
        .to_owned()
}

/// A program that is run in the workspace's folder.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// Cargo. By its name, so that rustup finds the workspace's toolchain, as a user's call
/// would; without what the cargo that runs this program has set for this program.
pub(crate) fn cargo() -> Command {
    let mut command = program("cargo");
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_")
            || name_text.starts_with("CARGO_MANIFEST_")
            || name_text.starts_with("TENANTRY_")
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it to its end, its output visible.
///
/// # Errors
/// It could not be run, or it failed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().map_err(|error| missing(command, error))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs it to its end; returns what it wrote on standard output.
///
/// # Errors
/// It could not be run, or it failed: then with the line in which it says why.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(command), reason(&output));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}`", shown(command)))
}

/// Runs it to its end, silently.
///
/// # Errors
/// It could not be run.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|error| missing(command, error))
}

/// Why a program says that it failed: its first line that starts with `error` or `E:`,
/// else its last one.
pub(crate) fn reason(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines = stderr.lines().map(str::trim);
    let marked = lines.clone().find_map(|line| {
        let message = line
            .strip_prefix("error: ")
            .or_else(|| line.strip_prefix("E: "));
        message.or_else(|| line.starts_with("error[").then_some(line))
    });
    match marked.or_else(|| lines.rfind(|line| !line.is_empty())) {
        Some(line) => line.to_owned(),
        None => output.status.to_string(),
    }
}

fn missing(command: &Command, error: io::Error) -> anyhow::Error {
    let name = command.get_program().to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound {
        anyhow!("the program {name} is missing: please install it")
    } else {
        anyhow!(error).context(format!("{name} can't be run"))
    }
}

/// The command as it would be typed, without the folder of its program.
fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program());
    let name = name.file_name().unwrap_or(command.get_program());
    let words = [name].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Asks a program to stop, as systemd and container engines do.
///
/// # Errors
/// It has ended already.
#[cfg(unix)]
pub(crate) fn terminate(child: &mut Child) -> Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    kill_process(Pid::from_child(child), Signal::TERM).context("SIGTERM can't be sent")
}

/// Ends a program.
///
/// # Errors
/// It has ended already.
#[cfg(not(unix))]
pub(crate) fn terminate(child: &mut Child) -> Result<()> {
    child.kill().context("the program can't be stopped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_quoted_with_its_reason() {
        let fails = |stderr: &str| {
            let script = format!("printf '%s' \"{stderr}\" >&2; exit 3");
            let output = Command::new("sh").args(["-c", &script]).output();
            reason(&output.expect("sh runs"))
        };
        assert_eq!(fails("info: a\nerror: no way\n\nstack\n"), "no way");
        assert_eq!(
            fails("E: Version was not found\nmore\n"),
            "Version was not found"
        );
        assert_eq!(fails("first\nlast\n\n"), "last");
        assert_eq!(fails(""), "exit status: 3");
    }

    #[test]
    fn a_missing_program_is_asked_for() {
        let error = read(&mut Command::new("tenantry-no-such-program"));
        let error = error.expect_err("there is none").to_string();
        assert_eq!(
            error,
            "the program tenantry-no-such-program is missing: please install it"
        );
    }
}
