//! One connection, from its first byte to its last.

use std::{pin::pin, rc::Rc};

use hyper::{server::conn::http1, service::service_fn};

use super::{
    Shared,
    service::Service,
    timed::{Activity, TimedStream},
};

/// Headers of a request, at most.
const MAX_HEADERS: usize = 256;

pub(super) async fn serve(socket: tokio::net::TcpStream, shared: &Shared, service: &Rc<Service>) {
    let activity = Activity::new();
    let stream = TimedStream::new(socket, Rc::clone(&activity));
    let handler = service_fn(|request| {
        let (service, activity) = (Rc::clone(service), Rc::clone(&activity));
        async move { service.handle(request, &activity).await }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // A client may close its side once it has sent its request.
            .half_close(true)
            .max_headers(MAX_HEADERS)
            .max_buf_size(shared.settings.max_head)
            .pipeline_flush(true)
            .serve_connection(stream, handler)
    );
    let timed_out = activity.timed_out(&shared.settings);
    let (mut timed_out, mut draining) = (pin!(timed_out), pin!(shared.shutdown.requested()));
    let mut is_draining = false;
    loop {
        tokio::select! {
            // In this order: the connection is what there is most to do for.
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            timeout = &mut timed_out => {
                tracing::debug!(timeout, "a connection timed out");
                return;
            }
            () = &mut draining, if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
