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
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_io_timeout::TimeoutStream;

use super::{
    Admin, MAX_HEAD, Settings,
    clients::{Answer, Clients, Seat},
    stream::Stream,
};
use crate::server::Shutdown;

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
            names,
        } = self;
        let clients = Clients::new(settings.max_connections, settings.max_requests);
        let clients = Arc::new(clients);
        let app = Self::app(settings, tokens, state, open, names, Arc::clone(&clients));
        let shutdown = Shutdown::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        listener.set_nonblocking(true)?;
        let stop = shutdown.clone();
        let work = move || {
            let served = runtime.block_on(serve(listener, settings, app, clients, &stop, &server));
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
    clients: Arc<Clients>,
    stop: &Shutdown,
    server: &Shutdown,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    while connections.try_join_next().is_some() {}
                    if let Some(seat) = clients.admit() {
                        let app = app.clone();
                        connections.spawn(connection(socket, seat, settings, app, stop.clone()));
                    }
                    // What has come already is read before another connection can want the
                    // room.
                    tokio::task::yield_now().await;
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

/// Serves a connection to its end, or until another one needs its room.
async fn connection(
    socket: TcpStream,
    seat: Seat,
    settings: Settings,
    app: Router,
    stop: Shutdown,
) {
    // Answers are sent whole.
    let _ = socket.set_nodelay(true);
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(settings.write_timeout));
    let client = seat.client();
    let app = TowerToHyperService::new(app);
    let service = service_fn(|mut request: http::Request<Incoming>| {
        client.asks();
        request.extensions_mut().insert(Arc::clone(client));
        let answer = app.call(request);
        let client = Arc::clone(client);
        async move {
            // Requests that were sent behind each other wait for those of other connections.
            tokio::task::yield_now().await;
            let answer = answer.await?;
            Ok::<_, std::convert::Infallible>(answer.map(|body| Answer { body, client }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        // What is written begins with a head, which the stream looks at.
        .writev(false)
        .serve_connection(
            TokioIo::new(Stream::new(Box::pin(socket), Arc::clone(client))),
            service,
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = client.closing() => {
            tracing::debug!(target: "tenantry::admin", "a connection made room for another one");
            return;
        }
        () = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "tenantry::admin", %error, "a connection ended early");
    }
}
