//! Why a server stopped, or never started.

use std::io;

use crate::{
    admin::TokenError,
    limits::TooFewFiles,
    server::DemoError,
    state::{RedisError, sql::OpenError},
    tenants_file::ReadError,
    traces::TracesError,
};

/// Why the program stopped, or never started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tenants file was not taken.
    #[error(transparent)]
    Tenants(#[from] ReadError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The folder of a web page cannot be served.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The Redis of `--cache` can't be used.
    #[error(transparent)]
    Cache(#[from] RedisError),
    /// Too few files may be open.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
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
    /// There is no token for the admin API.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Traces cannot be sent to where they should be.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The address of the admin API cannot be listened on.
    #[error("{address} cannot be listened on for the admin API; --admin names another address")]
    BindAdmin {
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
            Self::Tenants(_) | Self::Demo(_) | Self::Token(_) | Self::Traces(_) => 2,
            Self::Sandbox(_)
            | Self::Files(_)
            | Self::Store(_)
            | Self::Cache(_)
            | Self::Bind { .. }
            | Self::BindAdmin { .. }
            | Self::Serve(_)
            | Self::Output(_) => 1,
        }
    }
}
