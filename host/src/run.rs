//! What the program does: checks a file, or serves. Everything that can be wrong with the
//! configuration is found before the port is bound.

use std::{io, io::Write, path::Path, sync::Arc};

use tenantry_component::Precompiled;

use crate::{
    GUEST,
    engine::EngineKind,
    limits, logging,
    opts::ServeTask,
    reload,
    sandbox::{Component, SandboxLimits},
    server::{self, Cors, Demo, DemoError, Extras, Server},
    signals,
    state::{Clock, CountedBy, Directory, Redis, RedisError, State, SystemClock},
    tenants_file::{self, ReadError, TenantsFile},
};

/// Why the program stopped, or never started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tenants file was not taken.
    #[error(transparent)]
    Tenants(#[from] ReadError),
    /// The folder of a web page cannot be served.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The Redis of `--cache` can't be used.
    #[error(transparent)]
    Cache(#[from] RedisError),
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
            Self::Tenants(_) | Self::Demo(_) => 2,
            Self::Cache(_)
            | Self::Sandbox(_)
            | Self::Bind { .. }
            | Self::Serve(_)
            | Self::Output(_) => 1,
        }
    }
}

/// Checks a tenants file: says on `out` what is odd about it, and how many tenants it has.
///
/// # Errors
/// It cannot be read, or has problems, which are all named.
pub fn check(path: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let parsed = tenants_file::read(path)?;
    let file = path.display().to_string();
    let mut lines = String::new();
    for warning in &parsed.warnings {
        lines += &format!("{}\n", warning.in_file(&file));
    }
    lines += &format!("{file}: {parsed}\n");
    out.write_all(lines.as_bytes()).map_err(Error::Output)
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
    // Before it is read: what changes from now on is seen.
    let seen = tenants_file::look(&task.tenants);
    let (file, parsed) = TenantsFile::open(task.tenants.clone())?;
    let extras = extras(&task)?;
    let log = logging::start(task.log, task.log_filter);
    let name = task.tenants.display().to_string();
    for warning in &parsed.warnings {
        tracing::warn!("{}", warning.in_file(&name));
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
    let tenants = parsed.registry.rows().len();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let directory = Arc::new(Directory::of(parsed.registry));
    let file_name = task.tenants;
    let mut state = State::in_memory(Arc::clone(&directory), file_name, rules, Arc::clone(&clock));
    if let Some(cache) = &task.cache {
        let redis = Redis::start(cache, task.store_timeout, clock, CountedBy::Redis)?;
        state.limiter = Box::new(redis.limiter(rules));
    }

    let no_address = |source| Error::Bind {
        address: task.listen,
        source,
    };
    let listener = server::bind(task.listen).map_err(no_address)?;
    let address = listener.local_addr().map_err(no_address)?;
    let server = Server::new(listener, settings, Arc::new(state), component).with_extras(extras);
    signals::stop(server.shutdown()).map_err(Error::Serve)?;
    let shutdown = server.shutdown();
    reload::start(file, seen, task.watch, directory, shutdown).map_err(Error::Serve)?;
    announce(address).map_err(Error::Output)?;
    tracing::info!(%address, tenants, "listening");
    server.run().map_err(Error::Serve)?;
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
