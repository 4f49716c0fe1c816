//! The program `tenantry`: serves, checks, and talks to one that serves.

use std::{env, io, process::ExitCode};

use tenantry::{
    causes,
    cli::{self, health},
    commands,
    opts::{self, ServeTask, Task},
    run,
    terminal::escaped_lines,
};

fn main() -> ExitCode {
    let warnings = opts::unknown_variables(env::vars_os());
    let task = match opts::parse(env::args_os(), env::var_os("PORT")) {
        Ok(task) => task,
        // Prints help on standard output, errors on standard error; exits with 0 or 2.
        Err(error) => {
            if error.use_stderr() {
                warn(&warnings);
            }
            error.exit()
        }
    };
    if !matches!(task, Task::Serve(_)) {
        warn(&warnings);
    }
    let done = match task {
        Task::Check(file) => commands::check(&file, &mut io::stdout()).map_err(of_command),
        Task::Import(task) => commands::import(&task, &mut io::stdout()).map_err(of_command),
        Task::Export(task) => commands::export(&task).map_err(of_command),
        Task::Migrate(place) => commands::migrate(place, &mut io::stdout()).map_err(of_command),
        Task::Serve(task) => {
            let warnings = [warnings, task.warnings].concat();
            let task = ServeTask { warnings, ..*task };
            run::serve(task).map_err(of_run)
        }
        Task::Health(task) => {
            return match health::ask(&task) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    complain(&anyhow::Error::new(error));
                    ExitCode::FAILURE
                }
            };
        }
        Task::Ask(task) => cli::run(&task, &mut io::stdout().lock())
            .map_err(|error| (error.exit_code(), anyhow::Error::new(error))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            complain(&error);
            ExitCode::from(code)
        }
    }
}

fn of_run(error: run::Error) -> (u8, anyhow::Error) {
    (error.exit_code(), anyhow::Error::new(error))
}

fn of_command(error: commands::Error) -> (u8, anyhow::Error) {
    (error.exit_code(), anyhow::Error::new(error))
}

/// Prints what is odd, and no reason to stop. A server logs it.
#[expect(
    clippy::print_stderr,
    reason = "standard output has what was asked for"
)]
fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

/// Prints an error and what caused it.
#[expect(clippy::print_stderr, reason = "what a program says before it exits")]
fn complain(error: &anyhow::Error) {
    let said = causes::all(error.as_ref());
    eprintln!("error: {}", escaped_lines(&said));
}
