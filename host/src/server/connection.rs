//! One connection, from its first byte to its last.

use std::{future::poll_fn, pin::pin, rc::Rc, task::Poll};

use hyper::{server::conn::http1, service::service_fn};
use tokio::net::TcpStream;

use super::{
    Settings,
    activity::{Activity, Order},
    service::Service,
    timed::TimedStream,
};

/// Headers of a request, at most.
const MAX_HEADERS: usize = 256;

pub(super) async fn serve(
    socket: TcpStream,
    activity: Rc<Activity>,
    settings: &Settings,
    service: &Rc<Service>,
) {
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
            .max_buf_size(settings.max_head)
            // An answer is small: copying it behind its head costs less than a second
            // piece to write.
            .writev(false)
            .serve_connection(stream, handler)
    );
    let mut is_draining = false;
    poll_fn(|cx| {
        match activity.order(cx) {
            Order::Go => {}
            Order::Drain if is_draining => {}
            Order::Drain => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Close(timeout) => {
                tracing::debug!(timeout, "a connection timed out");
                return Poll::Ready(());
            }
        }
        connection.as_mut().poll(cx).map(|ended| {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        })
    })
    .await;
}
