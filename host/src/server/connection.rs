//! One connection, from its first byte to its last.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::IpAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::http1::{Builder, Connection},
    service::{HttpService, service_fn},
};
use tokio::net::TcpStream;

use super::{
    Settings,
    activity::{Activity, Order},
    linger, refusal,
    service::Service,
    timed::TimedStream,
    turns::Turns,
};

/// Headers of a request, at most.
pub(super) const MAX_HEADERS: usize = 256;

/// The line that a client begins with which speaks HTTP/2 without asking.
const HTTP_2_LINE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

pub(super) async fn serve(
    socket: TcpStream,
    peer: IpAddr,
    activity: Rc<Activity>,
    turns: &Turns,
    settings: &Settings,
    service: &Rc<Service>,
) {
    let mut http = Builder::new();
    // A client may close its side once it has sent its request.
    http.half_close(true)
        .max_headers(MAX_HEADERS)
        .max_header_size(settings.max_head)
        .max_buf_size(settings.max_head)
        // An answer is small: copying it behind its head costs less than a second piece to
        // write. Of a large one, no client that takes it slowly is to keep a copy here.
        .writev(service.has_large_answers());
    let handler = service_fn(|request| {
        let (service, activity) = (Rc::clone(service), Rc::clone(&activity));
        async move { service.handle(request, &activity, peer).await }
    });
    let stream = TimedStream::new(socket, Rc::clone(&activity), !service.has_large_answers());
    let mut connection = http.serve_connection(stream, &handler);
    let mut ended = run(&mut connection, &activity, turns).await;
    if matches!(&ended, Ended::Early(error) if error.is_parse_version_h2()) {
        // hyper says nothing where it sees all of HTTP/2's opening, and the usual 400 where
        // it sees no more than its first line.
        let mut stream = connection.into_parts().io;
        stream.read_first(HTTP_2_LINE);
        connection = http.serve_connection(stream, &handler);
        ended = run(&mut connection, &activity, turns).await;
    }
    let parts = connection.into_parts();
    let mut stream = parts.io;
    let refusal = stream.take_refusal();
    if let Some(answer) = refusal::answer(&refusal, &parts.read_buf, settings.max_head, peer) {
        // Where the client does not take it, the connection ends all the same.
        let _ = tokio::time::timeout(settings.write_timeout, stream.send(&answer)).await;
    }
    drop(parts.read_buf);
    match ended {
        Ended::Done => linger::close(stream, activity.was_cut_short()).await,
        Ended::Early(error) => {
            tracing::debug!(%error, "a connection ended early");
            if error.is_parse() {
                linger::close(stream, true).await;
            }
        }
        Ended::Evicted => tracing::debug!("a connection was closed to make room"),
        Ended::TimedOut(timeout) => tracing::debug!(timeout, "a connection timed out"),
    }
}

/// How a connection ended.
enum Ended {
    /// After its last answer, or before its first request.
    Done,
    /// With a request that is none, or with the socket.
    Early(hyper::Error),
    /// By a timeout of that name.
    TimedOut(&'static str),
    /// To make room for others.
    Evicted,
}

/// Serves requests until the connection ends.
async fn run<S>(
    connection: &mut Connection<TimedStream, S>,
    activity: &Rc<Activity>,
    turns: &Turns,
) -> Ended
where
    S: HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible>,
{
    let mut is_draining = false;
    poll_fn(|cx: &mut Context<'_>| {
        let order = activity.order(cx);
        if let Order::Close(timeout) = order {
            return Poll::Ready(Ended::TimedOut(timeout));
        }
        let is_evicted = activity.is_told_to_leave();
        if is_evicted && !activity.is_reading_body() {
            return Poll::Ready(Ended::Evicted);
        }
        let start = Instant::now();
        // What makes room does not wait.
        if !is_evicted && !turns.may_go(activity, start) {
            return Poll::Pending;
        }
        activity.read_room.set(0);
        let mut connection = Pin::new(&mut *connection);
        let mut polled = connection.as_mut().poll(cx);
        // Only now that everything that has come is read, it is known to be idle. A request
        // that has begun is awaited: hyper would close a connection that has had another.
        if order == Order::Drain && polled.is_pending() && !is_draining && !activity.is_in_head() {
            is_draining = true;
            connection.as_mut().graceful_shutdown();
            polled = connection.poll(cx);
        }
        let now = Instant::now();
        turns.charge(activity.party.get(), now - start, now);
        polled.map(|ended| match ended {
            Ok(()) => Ended::Done,
            Err(error) => Ended::Early(error),
        })
    })
    .await
}
