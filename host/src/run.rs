//! What the program does: checks a file, or serves. Everything that can be wrong with the
//! configuration is found before the port is bound.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tenantry_component::Precompiled;
use tenantry_core::registry::{Parsed, Problem, Registry};

use crate::{
    GUEST,
    engine::EngineKind,
    limits, logging,
    opts::{ExportTask, ImportTask, ServeTask, StateKind},
    sandbox::{Component, SandboxLimits},
    server::{self, Cors, Demo, DemoError, Extras, Server},
    signals,
    state::{
        Author, Directory, State, SystemClock,
        sql::{
            self, ExportError, Exported, ImportError, OpenError, Place, SqlStore, StoreSettings,
        },
    },
};

/// Why the program stopped, or never started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tenants file cannot be read.
    #[error("{}: the tenants file cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The tenants file has problems.
    #[error("{}", report(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of its problems.
        problems: Vec<Problem>,
    },
    /// A database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Nothing was imported.
    #[error(transparent)]
    Import(ImportError),
    /// Tenants were not exported, or not all of them.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The file to export to cannot be made.
    #[error("{}: the file cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder of a web page cannot be served.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The sandboxes cannot be made.
    #[error(
        "the sandboxes cannot be made; --sandboxes (for each of --threads) says how many, the \
         system's limits on address space (ulimit -v) and mappings (vm.max_map_count) how many \
         can be, and --engine native does without"
    )]
    Sandbox(#[source] wasmtime::Error),
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on; --listen names another address")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something failed while the server ran.
    #[error("the server has stopped")]
    Serve(#[source] io::Error),
    /// Standard output is closed.
    #[error("the address cannot be written to standard output")]
    Output(#[source] io::Error),
}

impl Error {
    /// What the program exits with: 2 where the configuration is wrong, 1 where the
    /// machine is not as it should be.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } | Self::Invalid { .. } | Self::Demo(_) => 2,
            Self::Sandbox(_)
            | Self::Store(_)
            | Self::Import(_)
            | Self::Export(_)
            | Self::Unwritable { .. }
            | Self::Bind { .. }
            | Self::Serve(_)
            | Self::Output(_) => 1,
        }
    }
}

/// How many problems there are, and a line for each, which begins with the file's name.
fn report(path: &Path, problems: &[Problem]) -> String {
    let file = path.display().to_string();
    let s = if problems.len() == 1 { "" } else { "s" };
    let mut report = format!("{} problem{s} in the tenants file", problems.len());
    for problem in problems {
        report += &format!("\n{}", problem.in_file(&file));
    }
    report
}

/// Reads a tenants file.
///
/// # Errors
/// It cannot be read, or has problems, which are all named.
pub fn read_tenants(path: &Path) -> Result<Parsed, Error> {
    let text = fs::read(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    Registry::parse(&text).map_err(|problems| Error::Invalid {
        path: path.to_owned(),
        problems: problems.0,
    })
}

/// Checks a tenants file: says on `out` what is odd about it, and how many tenants it has.
///
/// # Errors
/// It cannot be read, or has problems, which are all named.
pub fn check(path: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let parsed = read_tenants(path)?;
    let file = path.display().to_string();
    let mut lines = String::new();
    for warning in &parsed.warnings {
        lines += &format!("{}\n", warning.in_file(&file));
    }
    lines += &format!("{file}: {parsed}\n");
    out.write_all(lines.as_bytes()).map_err(Error::Output)
}

/// Puts the tenants of a file into a database, and says on `out` how many they are.
///
/// # Errors
/// The file cannot be read or has problems, or the database cannot be used or has tenants.
pub fn import(task: &ImportTask, out: &mut dyn Write) -> Result<(), Error> {
    let path = &task.file;
    let text = fs::read(path).map_err(|source| Error::Unreadable {
        path: path.clone(),
        source,
    })?;
    let by = Author {
        who: "tenantry import".to_owned(),
        request_id: String::new(),
    };
    let file = path.display().to_string();
    let mut lines = String::new();
    match sql::import(&store(task.place.clone()), &text, by, &SystemClock::new()) {
        Ok(imported) => {
            for warning in &imported.parsed.warnings {
                lines += &format!("{}\n", warning.in_file(&file));
            }
            let (place, parsed) = (&task.place, &imported.parsed);
            lines += &format!("{file}: {parsed} imported into {place}\n");
        }
        Err(ImportError::Invalid(problems)) => {
            return Err(Error::Invalid {
                path: path.clone(),
                problems: problems.0,
            });
        }
        Err(ImportError::NotEmpty { place, count }) if task.if_empty => {
            lines += &format!("{place} has {count} tenants already; nothing was imported\n");
        }
        Err(error) => return Err(Error::Import(error)),
    }
    out.write_all(lines.as_bytes()).map_err(Error::Output)
}

/// Writes the tenants of a database as a tenants file.
///
/// # Errors
/// The database cannot be used, or the file not written.
pub fn export(task: &ExportTask) -> Result<(), Error> {
    let settings = store(task.place.clone());
    let exported = match &task.file {
        None => sql::export(&settings, task.archived, &mut io::stdout().lock())?,
        Some(path) => {
            let unwritable = |source| Error::Unwritable {
                path: path.clone(),
                source,
            };
            let file = fs::File::create(path).map_err(unwritable)?;
            let mut file = io::BufWriter::new(file);
            sql::export(&settings, task.archived, &mut file)?
        }
    };
    complain(&exported, task.archived);
    Ok(())
}

/// Says what a tenants file cannot.
#[expect(clippy::print_stderr, reason = "standard output may be the file")]
fn complain(exported: &Exported, with_archived: bool) {
    if exported.suspended > 0 {
        eprintln!(
            "warning: {} of the tenants are suspended; as a file cannot say so, they would be \
             active where it is used",
            exported.suspended
        );
    }
    if exported.archived > 0 {
        let written = if with_archived {
            "written, too"
        } else {
            "not written"
        };
        eprintln!(
            "warning: {} archived tenants were {written}",
            exported.archived
        );
    }
}

/// How a command uses a database, which may take its time.
fn store(place: Place) -> StoreSettings {
    StoreSettings {
        place,
        timeout: Duration::from_secs(60),
    }
}

/// What a server has beyond the contract.
///
/// # Errors
/// The folder of a web page cannot be served.
pub fn extras(task: &ServeTask) -> Result<Extras, Error> {
    let demo = task.demo.as_deref().map(Demo::read).transpose()?;
    let origins = &task.cors_origins;
    Ok(Extras {
        demo: demo.map(Arc::new),
        cors: (!origins.is_empty()).then(|| Arc::new(Cors::new(origins))),
    })
}

/// Serves until the program is told to stop.
///
/// # Errors
/// The configuration is wrong, or the machine does not give what it asks for.
pub fn serve(task: ServeTask) -> Result<(), Error> {
    serve_guest(task, &GUEST)
}

/// Serves until the program is told to stop, with this guest in its sandboxes.
///
/// # Errors
/// Those of [`serve`].
pub fn serve_guest(task: ServeTask, guest: &Precompiled) -> Result<(), Error> {
    let ServeTask {
        server: settings,
        rules,
        ..
    } = task;
    let parsed = match task.state {
        StateKind::Memory => Some(read_tenants(&task.tenants)?),
        StateKind::Database(_) => None,
    };
    let extras = extras(&task)?;
    let log = logging::start(task.log, task.log_filter);
    let file = task.tenants.display().to_string();
    for warning in parsed.iter().flat_map(|parsed| &parsed.warnings) {
        tracing::warn!("{}", warning.in_file(&file));
    }
    let component = match task.engine {
        EngineKind::Native => None,
        EngineKind::Wasm => {
            let component = Component::load(guest, settings.threads, task.sandbox);
            Some(Arc::new(component.map_err(Error::Sandbox)?))
        }
    };
    limits::raise_open_files(settings.max_connections);
    if component.is_some() {
        limits::check_mappings(task.sandbox.total(settings.threads));
        check_room(&task.sandbox, settings.max_body);
    }
    let clock = Arc::new(SystemClock::new());
    let (directory, state, store) = match (task.state, parsed) {
        (StateKind::Database(place), _) => {
            let settings = StoreSettings {
                place,
                timeout: task.store_timeout,
            };
            let (store, state) = SqlStore::open(&settings, rules, clock)?;
            (Arc::clone(store.directory()), state, Some(store))
        }
        (StateKind::Memory, parsed) => {
            let registry = parsed.map(|parsed| parsed.registry).unwrap_or_default();
            let directory = Arc::new(Directory::of(registry));
            let state = State::in_memory(Arc::clone(&directory), task.tenants, rules, clock);
            (directory, state, None)
        }
    };
    let tenants = directory.len();

    let no_address = |source| Error::Bind {
        address: task.listen,
        source,
    };
    let listener = server::bind(task.listen).map_err(no_address)?;
    let address = listener.local_addr().map_err(no_address)?;
    let server = Server::new(listener, settings, Arc::new(state), component).with_extras(extras);
    signals::stop(server.shutdown()).map_err(Error::Serve)?;
    announce(address).map_err(Error::Output)?;
    tracing::info!(%address, tenants, "listening");
    server.run().map_err(Error::Serve)?;
    if let Some(store) = store {
        store.close();
    }
    match log.dropped_lines() {
        0 => tracing::info!("stopped"),
        dropped => tracing::warn!(dropped, "stopped; log lines were dropped, unwritten"),
    }
    Ok(())
}

/// Memory that a sandbox needs for a body, as a multiple of it: the body, what it says, and
/// an answer of three times its size, while that grows.
const MEMORY_PER_BODY: usize = 16;

/// What an answer can be, as a multiple of the request's body: capital letters can be three
/// times as long.
const REPLY_PER_BODY: usize = 3;

/// Says so where there are bodies that may be sent, but for which there is no room: they
/// are answered with 500.
fn check_room(sandbox: &SandboxLimits, max_body: usize) {
    for (flag, set, needed) in [
        (
            "--sandbox-memory",
            sandbox.max_memory,
            max_body.saturating_mul(MEMORY_PER_BODY),
        ),
        (
            "--max-reply",
            sandbox.max_reply,
            max_body.saturating_mul(REPLY_PER_BODY),
        ),
    ] {
        if set < needed {
            tracing::warn!(
                flag,
                set,
                needed,
                "the largest bodies may be answered with 500; raise this, or lower --max-body"
            );
        }
    }
}

fn announce(address: std::net::SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}
