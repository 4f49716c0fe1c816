//! One worker thread: accepts connections and looks after them until their end.

use std::{
    io,
    net::{IpAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
};

use super::{
    Shared, activity::Activities, aside::Aside, connection, listener::BACKLOG, service::Service,
    start::Start, turns::Turns,
};
use crate::{engine::Engine, metrics::Gauge};

/// After an error of accept, such as no more file descriptors, which would only come again
/// if it were tried at once.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Runs the calling thread as a worker until the server stops.
pub(super) fn work(
    listener: TcpListener,
    shared: Arc<Shared>,
    engine: Engine,
    aside: Aside,
    start: Start,
) -> io::Result<()> {
    // Everything of a connection stays on its thread.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    if start.wait() {
        runtime.block_on(serve(listener, shared, engine, aside))
    } else {
        Ok(())
    }
}

async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    engine: Engine,
    aside: Aside,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = Service::new(engine, aside, shared.settings, shared.extras.clone());
    let mut worker = Worker {
        service: Rc::new(service),
        activities: Rc::default(),
        turns: Rc::new(Turns::new()),
        connections: JoinSet::new(),
        shared: &shared,
    };
    let activities = Rc::clone(&worker.activities);
    let turns = Rc::clone(&worker.turns);
    tokio::task::spawn_local(async move { turns.run().await });
    tokio::select! {
        () = worker.accept_all(&listener) => {}
        () = activities.watch(&shared.settings) => {}
        () = shared.shutdown.requested() => {}
    }
    worker.accept_waiting(listener.into_std()?);
    // What has come is seen in this time, and is answered.
    tokio::time::sleep(Duration::from_millis(1)).await;
    activities.drain();
    let drained = async { while worker.connections.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => {}
        () = activities.watch(&shared.settings) => {}
        () = tokio::time::sleep(shared.settings.drain) => {}
        () = shared.shutdown.stopped() => {}
    }
    Ok(())
}

/// What a worker thread has.
struct Worker<'a> {
    shared: &'a Shared,
    service: Rc<Service>,
    activities: Rc<Activities>,
    turns: Rc<Turns>,
    connections: JoinSet<()>,
}

impl Worker<'_> {
    /// Accepts connections, for ever.
    async fn accept_all(&mut self, listener: &tokio::net::TcpListener) {
        loop {
            // Held until the connection ends. The semaphore is never closed.
            let permit = Arc::clone(&self.shared.connections).acquire_owned().await;
            match listener.accept().await {
                Ok((socket, peer)) => self.begin(socket, peer.ip(), permit.ok()),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection could be accepted");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Accepts the connections that the system has accepted already: their clients believe
    /// themselves served.
    fn accept_waiting(&mut self, listener: TcpListener) {
        for _ in 0..BACKLOG {
            let Ok(permit) = Arc::clone(&self.shared.connections).try_acquire_owned() else {
                return;
            };
            let (socket, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if is_the_clients(&error) => continue,
                // There is none any more, or the system gives none.
                Err(_) => return,
            };
            let socket = socket.set_nonblocking(true).map(|()| socket);
            if let Ok(socket) = socket.and_then(TcpStream::from_std) {
                self.begin(socket, peer.ip(), Some(permit));
            }
        }
    }

    fn begin(&mut self, socket: TcpStream, peer: IpAddr, permit: Option<OwnedSemaphorePermit>) {
        prepare(&socket);
        while self.connections.try_join_next().is_some() {}
        let (service, turns) = (Rc::clone(&self.service), Rc::clone(&self.turns));
        let activity = self.activities.add(&self.shared.budget);
        let settings = self.shared.settings;
        let open = Gauge::hold(&self.shared.metrics, |metrics| &metrics.connections);
        self.connections.spawn_local(async move {
            connection::serve(socket, peer, activity, &turns, &settings, &service).await;
            drop((permit, open));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_socket_sends_without_delay() {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
            let listener = listener.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let _client = std::net::TcpStream::connect(address).expect("it listens");
            let (socket, _) = listener.accept().await.expect("a connection");
            assert!(!socket.nodelay().expect("an option"));
            prepare(&socket);
            assert!(socket.nodelay().expect("an option"));
        });
    }
}
