//! README.md: its commands are run, and their answers are compared with those it shows.
//!
//! In a block of the kind `console`, a line that starts with `$ ` is a command, lines that
//! start with two blanks behind it belong to it, and all others are what it prints. Programs,
//! of the kind `js`, are run by `web/tests/package/readme.test.mjs`.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::support::program::{self, Program, tenantry, workspace};

/// Commands that are not run, and why.
const NOT_RUN: [(&str, &str); 2] = [
    ("cargo xtask test", "this test is a part of it"),
    (
        "docker compose -f deploy/compose.yaml up --build",
        "there may be no Docker engine",
    ),
];

/// Starts the server. Here, the built program is that.
const SERVE: &str = "cargo xtask serve";

/// Runs the program. Here, the built one.
const RUN: &str = "cargo run --quiet -p tenantry --";

/// The port that README.md talks to.
const PORT: &str = ":8001";

struct Step {
    command: String,
    shown: String,
}

fn readme() -> String {
    fs::read_to_string(workspace().join("README.md")).expect("README.md")
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in text.split("\n```").skip(1).step_by(2) {
        let (kind, block) = block.split_once('\n').unwrap_or_default();
        assert!(
            ["console", "js", "mermaid"].contains(&kind),
            "a block of kind {kind:?}, which is not run"
        );
        if kind != "console" {
            continue;
        }
        let first = steps.len();
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    command: command.to_owned(),
                    shown: String::new(),
                });
                continue;
            }
            assert!(
                steps.len() > first,
                "a block starts with an answer: {line:?}"
            );
            let step = steps.last_mut().expect("a command");
            let text = if step.shown.is_empty() && line.starts_with("  ") {
                &mut step.command
            } else {
                &mut step.shown
            };
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
    }
    steps
}

/// One shell for all commands, because they set variables for each other.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    const MARK: &'static str = "--- end of a command:";

    fn start(folder: &Path) -> Self {
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(folder)
            .env("no_proxy", "localhost")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash is installed");
        let mut shell = Self {
            stdin: child.stdin.take().expect("a pipe"),
            stdout: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        };
        shell.run("exec 2>&1");
        shell
    }

    /// What a command prints. It must succeed.
    fn run(&mut self, command: &str) -> String {
        let mark = Self::MARK;
        let script = format!("{{ {command}\n}} < /dev/null\nprintf '\\n%s %s\\n' '{mark}' $?\n");
        self.stdin.write_all(script.as_bytes()).expect("bash reads");
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("text");
            assert!(read > 0, "bash ended at {command}");
            if let Some(code) = line.strip_prefix(mark) {
                assert_eq!(code.trim(), "0", "{command}\nprinted: {printed}");
                return printed;
            }
            printed += &line;
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Text without what differs from run to run: ids are numbered in the order in which they
/// first come up, dates and seconds are left out.
#[derive(Default)]
struct Plain {
    ids: Vec<String>,
}

impl Plain {
    fn text(&mut self, text: &str) -> String {
        let lines = text.trim().lines().map(|line| self.line(line.trim_end()));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&mut self, line: &str) -> String {
        if line.starts_with("date: ") {
            return "date: (a date)".to_owned();
        }
        if line.starts_with("x-request-id: ") {
            return "x-request-id: (an id)".to_owned();
        }
        if line.starts_with("retry-after: ") {
            return "retry-after: (seconds)".to_owned();
        }
        if let Some((before, _)) = line.split_once(";t=")
            && line.starts_with("ratelimit: ")
        {
            return format!("{before};t=(seconds)");
        }
        let mut plain = String::new();
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            match rest.get(..36).filter(|text| is_uuid(text)) {
                Some(id) => {
                    let known = self.ids.iter().position(|known| known == id);
                    let number = known.unwrap_or_else(|| {
                        self.ids.push(id.to_owned());
                        self.ids.len() - 1
                    });
                    plain += &format!("(id {number})");
                    rest = &rest[36..];
                }
                None => {
                    plain.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        plain
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// A folder that only this test uses, with the tenants file in it.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    // What an earlier run has left is no concern of this one.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let tenants = fs::read(workspace().join("tenants.jsonl")).expect("tenants.jsonl");
    fs::write(folder.join("tenants.jsonl"), tenants).expect("a file");
    folder
}

#[test]
fn every_command_answers_as_shown() {
    for tool in ["bash", "curl", "jq"] {
        let found = Command::new(tool).arg("--version").output();
        assert!(
            found.is_ok_and(|output| output.status.success()),
            "README.md's commands need {tool}: install it (apt-get install bash curl jq)"
        );
    }
    let folder = folder();
    let mut shell = Shell::start(&folder);
    let mut server: Option<Program> = None;
    let (mut plain_shown, mut plain_printed) = (Plain::default(), Plain::default());
    let mut skipped = BTreeSet::new();
    let mut run = 0;
    for Step { command, shown } in steps(&readme()) {
        if let Some((known, _)) = NOT_RUN.iter().find(|(known, _)| *known == command) {
            assert_eq!(shown, "", "{command} is not run, and shows an answer");
            skipped.insert(*known);
            continue;
        }
        let printed = if command == SERVE {
            // The one before has been stopped by ctrl-c.
            drop(server.take());
            let mut serve = tenantry(&["serve", "--listen", "127.0.0.1:0"]);
            serve.current_dir(&folder);
            let started = server.insert(Program::start(serve));
            let port = format!(":{}", started.address.port());
            started.address.to_string().replace(&port, PORT)
        } else {
            let port = match &server {
                Some(server) => format!("localhost:{}", server.address.port()),
                None => format!("localhost{PORT}"),
            };
            let command = command.replace(&format!("localhost{PORT}"), &port);
            assert!(
                !command.contains(PORT),
                "{command} talks to another address"
            );
            shell.run(&command.replace(RUN, env!("CARGO_BIN_EXE_tenantry")))
        };
        assert_eq!(
            plain_printed.text(&printed),
            plain_shown.text(&shown),
            "{command}"
        );
        run += 1;
    }
    assert!(run >= 15, "{run} commands were run");
    let unused: Vec<_> = NOT_RUN
        .iter()
        .filter(|(known, _)| !skipped.contains(known))
        .collect();
    assert!(unused.is_empty(), "README.md has no {unused:?}");
}

/// A flag as a row of README.md's table.
fn row(flag: &str, help: &str) -> String {
    let (name, value) = match flag.split_once(' ') {
        Some((name, value)) => (name, value.trim_matches(['<', '>'])),
        None => (flag, ""),
    };
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let inside = |start: &str| {
        let (_, behind) = words.split_once(start)?;
        Some(behind.split_once(']')?.0)
    };
    let values: Vec<_> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'))
        .map(|(value, _)| format!("`{value}`"))
        .collect();
    let value = if values.is_empty() {
        value.to_owned()
    } else {
        values.join(", ")
    };
    let default = match inside("[default: ") {
        Some(text) if text.contains(' ') => text.to_owned(),
        Some(text) => format!("`{text}`"),
        None => "off".to_owned(),
    };
    let variable = inside("[env: ").unwrap_or_default().trim_end_matches('=');
    let meaning = help.trim().split("\n\n").next().unwrap_or_default();
    let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
    let meaning = meaning.split(" [default").next().unwrap_or_default();
    format!("| `{name}` | {value} | {default} | `{variable}` | {meaning} |")
}

#[test]
fn the_table_of_flags_is_the_programs() {
    let help = program::run(&["serve", "--help"]);
    let help = String::from_utf8(help.stdout).expect("text");
    let (_, options) = help.split_once("Options:\n").expect("options");
    let mut rows = Vec::new();
    for option in options.split("\n      --") {
        let option = option.trim_start().trim_start_matches("--");
        let (flag, help) = option.split_once('\n').expect("help");
        // Blank lines may have blanks.
        let help: Vec<_> = help.lines().map(str::trim_end).collect();
        let help = help.join("\n");
        let help = help.split("\n  -h, --help").next().unwrap_or_default();
        rows.push(row(&format!("--{flag}"), help));
    }
    assert!(rows.len() > 20, "{help}");
    let readme = readme();
    let (_, behind) = readme
        .split_once("| Flag | Value | Default | Variable | Meaning |\n|---|---|---|---|---|\n")
        .expect("a table of flags");
    let table = behind.split("\n\n").next().unwrap_or_default();
    assert!(
        table.trim_end() == rows.join("\n"),
        "README.md's table of flags should be:\n{}",
        rows.join("\n")
    );
}
