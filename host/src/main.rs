//! `tenantry serve` and `tenantry check`.

use std::{env, io, process::ExitCode};

use tenantry::{
    opts::{self, Task},
    run,
};

fn main() -> ExitCode {
    let task = match opts::parse(env::args_os(), env::var_os("PORT")) {
        Ok(task) => task,
        // Prints help on standard output, errors on standard error; exits with 0 or 2.
        Err(error) => error.exit(),
    };
    let done = match task {
        Task::Check(file) => run::check(&file, &mut io::stdout()),
        Task::Import(task) => run::import(&task, &mut io::stdout()),
        Task::Export(task) => run::export(&task),
        Task::Serve(task) => run::serve(*task),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            complain(&anyhow::Error::new(error));
            ExitCode::from(code)
        }
    }
}

/// Prints an error and what caused it.
#[expect(clippy::print_stderr, reason = "what a program says before it exits")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
