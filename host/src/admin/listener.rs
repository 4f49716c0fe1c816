//! The listener: its thread, its connections, and its end.

use std::{
    io,
    net::TcpListener,
    pin::pin,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet};
use tokio_io_timeout::TimeoutStream;

use super::{Admin, Settings};
use crate::server::Shutdown;

/// Bytes of a request's line and headers, at most.
const MAX_HEAD: usize = 64 << 10;

/// After an error of accept, such as no more file descriptors, which would only come again
/// if it were tried at once.
const BACK_OFF: Duration = Duration::from_millis(100);

/// An admin listener that answers.
#[derive(Debug)]
#[must_use = "it answers until it is stopped"]
pub struct Running {
    shutdown: Shutdown,
    thread: JoinHandle<()>,
}

impl Running {
    /// Stops it: accepts nothing new, answers what was begun, and waits for that.
    pub fn stop(self) {
        self.shutdown.drain();
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Admin {
    /// Answers, on a thread of its own, until [`Running::stop`]: longer than the server does,
    /// so that somebody may see how that drains. Where `server` is to stop at once, requests
    /// that are still open then are cut off.
    ///
    /// # Errors
    /// The system gives no thread, or the thread no runtime.
    pub fn start(self, server: Shutdown) -> io::Result<Running> {
        let Self {
            listener,
            settings,
            tokens,
            state,
            open,
        } = self;
        let app = Self::app(settings, tokens, state, open);
        let shutdown = Shutdown::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        listener.set_nonblocking(true)?;
        let stop = shutdown.clone();
        let work = move || {
            let served = runtime.block_on(serve(listener, settings, app, &stop, &server));
            if let Err(error) = served {
                tracing::error!(target: "tenantry::admin", %error, "the admin listener failed");
            }
        };
        let thread = thread::Builder::new()
            .name("tenantry-admin".to_owned())
            .spawn(work)?;
        Ok(Running { shutdown, thread })
    }
}

async fn serve(
    listener: TcpListener,
    settings: Settings,
    app: Router,
    stop: &Shutdown,
    server: &Shutdown,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    let accept = async {
        let permits = Arc::new(Semaphore::new(settings.max_connections));
        loop {
            // Held until the connection ends. The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await;
            match listener.accept().await {
                Ok((socket, _)) => {
                    let connection = connection(socket, settings, app.clone(), stop.clone());
                    while connections.try_join_next().is_some() {}
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::debug!(target: "tenantry::admin", %error, "no connection accepted");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop.requested() => {}
    }
    drop(listener);
    tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => {}
        () = tokio::time::sleep(settings.drain) => {}
        () = server.stopped() => {}
    }
    Ok(())
}

/// Serves a connection to its end.
async fn connection(socket: TcpStream, settings: Settings, app: Router, stop: Shutdown) {
    // Answers are sent whole.
    let _ = socket.set_nodelay(true);
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(settings.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(
            TokioIo::new(Box::pin(socket)),
            TowerToHyperService::new(app),
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "tenantry::admin", %error, "a connection ended early");
    }
}
