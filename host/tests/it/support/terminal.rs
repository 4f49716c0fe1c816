//! A terminal, as programs see it: util-linux's `script` makes one.

use std::{
    fs,
    process::{Command, ExitStatus, Stdio},
};

use super::database::Folder;

/// Which of a program's outputs is the terminal. The other one is a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Stdout,
    Stderr,
}

/// Runs a program with a terminal; returns how it ended, what it wrote there, and what it
/// wrote into the file.
pub(crate) fn run(command: &Command, shown: Shown) -> (ExitStatus, String, String) {
    let folder = Folder::new();
    let file = folder.join("other");
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| quoted(word.to_str().expect("UTF-8")));
    let mut line = words.collect::<Vec<_>>().join(" ");
    line += match shown {
        Shown::Stdout => " 2>",
        Shown::Stderr => " >",
    };
    line += &quoted(file.to_str().expect("UTF-8"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        script.current_dir(folder);
    }
    script
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = script
        .spawn()
        .expect("script is installed (apt-get install bsdutils)");
    // It would show the end of its input as `^D`.
    let stdin = child.stdin.take();
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    let said = String::from_utf8(output.stdout).expect("text");
    let other = fs::read_to_string(file).expect("a file");
    // A terminal moves to the beginning of the line, too.
    (output.status, said.replace("\r\n", "\n"), other)
}

/// A word of a shell's command.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
