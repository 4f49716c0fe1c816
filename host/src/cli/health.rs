//! `tenantry health`: whether a server is well, for what starts and stops containers.

use std::time::Duration;

use http::{Request, header};
use serde::Deserialize;

/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 1 << 20;

/// Which server is asked, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The address of the server's admin listener, or of the service itself, without a slash
    /// at its end.
    pub server: String,
    /// Whether it is enough that the server answers.
    pub live: bool,
    /// For the answer.
    pub timeout: Duration,
}

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not answer.
    #[error("{server} does not answer")]
    Silent {
        /// The address.
        server: String,
        /// Why not.
        #[source]
        source: ureq::Error,
    },
    /// It is not ready.
    #[error("{server} is not ready: {why}")]
    NotReady {
        /// The address.
        server: String,
        /// What is not as it should be.
        why: String,
    },
    /// It answers with an error, or is another server.
    #[error("{server}{path} is answered with {status}")]
    Refused {
        /// The address.
        server: String,
        /// What was asked for.
        path: &'static str,
        /// The status of the answer.
        status: u16,
    },
}

/// What /readyz says.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    obstacles: Vec<Obstacle>,
}

#[derive(Deserialize)]
struct Obstacle {
    what: String,
    why: String,
}

/// Asks a server whether it is ready, or alive. The port of the service has no such paths;
/// there, an answer to GET / is as good.
///
/// # Errors
/// It is not, or its answer does not come in time.
pub fn ask(task: &Task) -> Result<(), Error> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(task.timeout))
        .build();
    let agent = config.new_agent();
    let get = |path: &'static str| {
        let request = Request::get(format!("{}{path}", task.server));
        let request = request.header(header::CONNECTION, "close").body(());
        let answer = request.map_err(ureq::Error::Http);
        let answer = answer.and_then(|request| agent.run(request));
        answer.map_err(|source| Error::Silent {
            server: task.server.clone(),
            source,
        })
    };
    let mut path = if task.live { "/healthz" } else { "/readyz" };
    let mut answer = get(path)?;
    if answer.status() == 404 {
        path = "/";
        answer = get(path)?;
    }
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(MAX_ANSWER);
    let text = text.read_to_string().unwrap_or_default();
    match serde_json::from_str::<Answer>(&text) {
        Ok(answer) if !answer.obstacles.is_empty() => {
            let obstacles = answer.obstacles.iter();
            let obstacles = obstacles.map(|one| format!("{}: {}", one.what, one.why));
            Err(Error::NotReady {
                server: task.server.clone(),
                why: obstacles.collect::<Vec<_>>().join(", "),
            })
        }
        _ => Err(Error::Refused {
            server: task.server.clone(),
            path,
            status,
        }),
    }
}
