//! One worker thread: accepts connections and looks after them until their end.

use std::{io, net::TcpListener, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    task::JoinSet,
};

use super::{Shared, activity::Activities, connection, service::Service};
use crate::engine::Engine;

/// After an error of accept, such as no more file descriptors, which would only come again
/// if it were tried at once.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Runs the calling thread as a worker until the server stops.
pub(super) fn work(listener: TcpListener, shared: Arc<Shared>, engine: Engine) -> io::Result<()> {
    // Everything of a connection stays on its thread.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(serve(listener, shared, engine))
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, engine: Engine) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = Rc::new(Service::new(engine, shared.settings));
    let activities = Rc::new(Activities::default());
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept_all(&listener, &shared, &service, &activities, &mut connections) => {}
        () = activities.watch(&shared.settings) => {}
        () = shared.shutdown.requested() => {}
    }
    drop(listener);
    activities.drain();
    let drained = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => {}
        () = activities.watch(&shared.settings) => {}
        () = tokio::time::sleep(shared.settings.drain) => {}
        () = shared.shutdown.stopped() => {}
    }
    Ok(())
}

async fn accept_all(
    listener: &tokio::net::TcpListener,
    shared: &Arc<Shared>,
    service: &Rc<Service>,
    activities: &Rc<Activities>,
    connections: &mut JoinSet<()>,
) {
    loop {
        // Held until the connection ends. The semaphore is never closed.
        let permit = Arc::clone(&shared.connections).acquire_owned().await;
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                if !is_the_clients(&error) {
                    tracing::error!(%error, "no connection could be accepted");
                    tokio::time::sleep(BACK_OFF).await;
                }
                continue;
            }
        };
        prepare(&socket);
        while connections.try_join_next().is_some() {}
        let (service, activity) = (Rc::clone(service), activities.add());
        let settings = shared.settings;
        connections.spawn_local(async move {
            connection::serve(socket, activity, &settings, &service).await;
            drop(permit);
        });
    }
}

/// Answers are small, and each is sent whole: waiting for more to send would only delay
/// them, by 40 ms where the client delays its acknowledgements.
fn prepare(socket: &TcpStream) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
}

/// Whether accepting failed because that client has gone again.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
