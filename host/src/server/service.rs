//! One request: from hyper's types to the contract's, and back.

use std::{
    borrow::Cow,
    convert::Infallible,
    future::{Future, poll_fn},
    net::IpAddr,
    pin::pin,
    rc::Rc,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, header, request::Parts, uri::PathAndQuery};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use opentelemetry::Context;
use tenantry_core::{
    contract::{self, Body, Method, Payload, Request},
    tenancy::Unavailable,
};

use super::{
    Extras, Settings,
    activity::Activity,
    aside::{self, Aside},
    assets,
    body::{self, Refusal},
    client::Client,
    framing,
    log::{self, Id, X_REQUEST_ID},
    reason,
    tally::{Tally, timed},
};
use crate::{
    engine::{Answered, Engine},
    metrics::{Requests, Route, Trouble, last_noted, noted},
    state::Entry,
    traces,
};

pub(super) type Answer = Response<Full<Bytes>>;

/// What the engine answers.
pub(super) struct Reply {
    pub(super) answered: Answered,
    /// The bytes of its body.
    pub(super) body: Bytes,
    /// What was noted of stores, where that was on another thread.
    pub(super) trouble: Option<Trouble>,
}

/// Answers the requests of one worker thread.
pub(super) struct Service {
    engine: Engine,
    aside: Aside,
    settings: Settings,
    extras: Extras,
    requests: Arc<Requests>,
}

impl Service {
    pub(super) fn new(engine: Engine, aside: Aside, settings: Settings, extras: Extras) -> Self {
        Self {
            requests: engine.state().metrics.add_worker(),
            engine,
            aside,
            settings,
            extras,
        }
    }

    /// Whether an answer may be far larger than the contract's are.
    pub(super) fn has_large_answers(&self) -> bool {
        self.extras.demo.is_some()
    }

    /// Answers one request that came from `peer`. There always is an answer.
    pub(super) async fn handle(
        &self,
        request: http::Request<Incoming>,
        activity: &Rc<Activity>,
        peer: IpAddr,
    ) -> Result<Answer, Infallible> {
        activity.flushed().await;
        let start = activity.request_begins();
        let (head, body) = request.into_parts();
        let client = Client::of(peer, &self.extras.trusted_proxies, &head.headers);
        let id = Id::of(&head.headers, client.is_by_proxy);
        let mut entry = log::Entry::new(&head, &id, &client);
        let mut tally = Tally::new(self.engine.state(), &self.requests, &head.method);
        let traces = self.engine.state().traces.as_ref();
        let context = traces.map(|traces| traces.request(&head.headers, start.elapsed()));
        entry.trace = context.as_ref().and_then(traces::trace_id);
        // A connection keeps the room of its request for as long as it is open; most wait.
        let respond = Box::pin(self.respond(&head, body, activity, &entry, &tally));
        let mut answer = traces::within(context.as_ref(), respond).await;
        if let Some(cors) = &self.extras.cors {
            cors.mark(&head.headers, &mut answer);
        }
        if activity.was_cut_short() || activity.is_draining() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        let duration = start.elapsed();
        let bytes_out = answer.body().size_hint().lower();
        let status = answer.status().as_u16();
        tally.answered(status, duration);
        entry.write(&log::Outcome {
            tenant: tally.tenant_id(),
            status,
            bytes_in: tally.bytes_in.get(),
            bytes_out,
            duration,
        });
        if let Some(context) = &context {
            traces::answered(
                context,
                &traces::Answered {
                    method: &head.method,
                    route: tally.route.get().name(),
                    status,
                    tenant: tally.tenant_id(),
                    request_id: id.as_str(),
                },
            );
        }
        // The page's files are shared by all who take them.
        let own_bytes = match tally.route.get() {
            Route::Demo => 0,
            _ => usize::try_from(bytes_out).unwrap_or(usize::MAX),
        };
        // It is counted before anybody can have seen the answer.
        drop(tally);
        answer.headers_mut().insert(X_REQUEST_ID, id.into_value());
        activity.answer_begins(own_bytes);
        Ok(answer)
    }

    async fn respond(
        &self,
        head: &Parts,
        incoming: Incoming,
        activity: &Rc<Activity>,
        entry: &log::Entry<'_>,
        tally: &Tally<'_>,
    ) -> Answer {
        let method = Method::from(head.method.as_str());
        let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
        if let Some((response, error)) = framing::refusal(head) {
            // Nothing that follows on this connection is believed.
            activity.cuts_short();
            entry.refused(Some(error));
            return own(response);
        }
        let own_file = assets::answer(method, head.uri.path(), &head.headers);
        let own_file = own_file.map(|answer| (answer, Route::Assets));
        if let Some((answer, route)) = own_file.or_else(|| self.extras.answer(method, head)) {
            tally.route.set(route);
            body::discard(incoming, &head.headers, activity);
            entry.refused(reason::name(answer.status().as_u16(), b""));
            return answer;
        }
        tally.route.set(Route::of(target));
        let body::Read { bytes: body, room } = if contract::wants_body(method, target) {
            match body::read(incoming, &self.settings, activity).await {
                Ok(body) => body,
                Err(refusal) => {
                    activity.cuts_short();
                    let (response, error) = refused(refusal);
                    entry.refused(Some(error));
                    return own(response);
                }
            }
        } else {
            body::discard(incoming, &head.headers, activity);
            body::Read::nothing()
        };
        tally.bytes_in.set(body.len());
        let content_type = head.headers.get(header::CONTENT_TYPE);
        let is_of = |tenant: Option<&Arc<Entry>>| {
            tally.is_of(tenant);
            activity.party.set(tenant.map(|tenant| tenant.key));
        };
        let whose = OnceLock::new();
        let reply = async {
            if body.len() >= aside::LARGE_BYTES {
                let job = aside::Job {
                    method,
                    target: target.to_owned(),
                    content_type: content_type.cloned(),
                    body,
                    room,
                    whose: Arc::clone(whose.get_or_init(Arc::default)),
                    context: self
                        .engine
                        .state()
                        .traces
                        .as_ref()
                        .map(|_| Context::current()),
                };
                let reply = self.aside.ask(job).await;
                return reply.unwrap_or_else(|Unavailable| unavailable());
            }
            let request = Request {
                method,
                target,
                content_type: content_type.map(HeaderValue::as_bytes),
                body: Payload::from(&*body),
            };
            let reply = async {
                body_of(&self.engine, self.engine.answer_for(&request, is_of).await).await
            };
            timed(&tally.busy, reply).await
        };
        // Its future is large: it stays where it is.
        let replied = {
            let mut reply = pin!(reply);
            let replied = within(self.settings.request_timeout, reply.as_mut());
            noted(&entry.trouble, replied).await
        };
        let is_late = replied.is_none();
        if is_late && let Some(trouble) = last_noted() {
            // By the store that was given up just now.
            entry.trouble.set(Some(trouble));
        }
        let Reply {
            answered,
            body,
            trouble,
        } = replied.unwrap_or_else(|| {
            entry.timed_out();
            unavailable()
        });
        if let Some(whose) = whose.get() {
            is_of(whose.get());
        }
        if trouble.is_some() {
            entry.trouble.set(trouble);
        }
        entry.refused(if is_late {
            Some("timeout")
        } else {
            reason::name(answered.response.status, &body)
        });
        if let Some(fault) = &answered.fault {
            entry.failed(fault, tally.tenant_id());
        }
        if !answered.response.head_only {
            tally.bytes_out.set(body.len());
        }
        to_http(&answered.response, body)
    }
}

/// An answer of this engine, and the bytes of its body.
pub(super) async fn body_of(engine: &Engine, mut answered: Answered) -> Reply {
    let body = std::mem::replace(&mut answered.response.body, TAKEN);
    match engine.body(body).await {
        Ok(body) => Reply {
            answered,
            body,
            trouble: None,
        },
        Err(Unavailable) => unavailable(),
    }
}

/// Stands for a body that is elsewhere.
const TAKEN: Body = Body::Bytes(Cow::Borrowed(&[]));

/// What is answered where a store is out of reach, or takes too long.
fn unavailable() -> Reply {
    let (response, body) = split(contract::Response::unavailable());
    Reply {
        answered: Answered::from(response),
        body,
        trouble: None,
    }
}

/// An answer that the server gives by itself, and the bytes of its body.
fn split(mut response: contract::Response) -> (contract::Response, Bytes) {
    let body = match std::mem::replace(&mut response.body, TAKEN) {
        Body::Bytes(bytes) => Bytes::from(bytes.into_owned()),
        Body::TenantList => Bytes::new(),
    };
    (response, body)
}

/// An answer that the server gives by itself, as HTTP.
pub(super) fn own(response: contract::Response) -> Answer {
    let (response, body) = split(response);
    to_http(&response, body)
}

/// An answer as HTTP.
fn to_http(response: &contract::Response, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::default());
    let mut status = http::StatusCode::from_u16(response.status);
    for (name, value) in response.headers() {
        let value = match value {
            Cow::Borrowed(value) => Ok(HeaderValue::from_static(value)),
            Cow::Owned(value) => HeaderValue::try_from(value),
        };
        match value {
            Ok(value) => {
                answer.headers_mut().append(header_name(name), value);
            }
            Err(_) => status = http::StatusCode::from_u16(0),
        }
    }
    let Ok(status) = status else {
        // Nothing that the core answers comes here.
        return internal_error();
    };
    *answer.status_mut() = status;
    if response.content_type == Some(contract::ContentType::Html) {
        assets::keep_to_this_server(&mut answer);
    }
    if response.head_only {
        let length = HeaderValue::from(body.len());
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    } else {
        *answer.body_mut() = Full::new(body);
    }
    answer
}

/// The output of `future`, unless that takes longer than `time`. What is ready at once, as
/// most is, needs no timer.
pub(super) async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Some(output);
    }
    tokio::time::timeout(time, future).await.ok()
}

/// The names that the contract uses, known to be names.
fn header_name(name: &'static str) -> header::HeaderName {
    match name {
        "content-type" => header::CONTENT_TYPE,
        "allow" => header::ALLOW,
        "location" => header::LOCATION,
        "retry-after" => header::RETRY_AFTER,
        other => header::HeaderName::from_static(other),
    }
}

fn internal_error() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"Internal Server Error")));
    *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, text);
    answer
}

/// What is answered to a body that is not read, or not to its end, and its name in the log.
fn refused(refusal: Refusal) -> (contract::Response, &'static str) {
    let too_slow = || contract::Response::detail(408, "Request body too slow");
    match refusal {
        Refusal::TooLarge => (contract::Response::body_too_large(), "body_too_large"),
        Refusal::TooSlow => (too_slow(), "body_too_slow"),
        Refusal::Evicted => (too_slow(), "body_evicted"),
        Refusal::NoRoom => (contract::Response::unavailable(), "no_room"),
        Refusal::Broken => {
            let detail = "There was an error parsing the body";
            (contract::Response::detail(400, detail), "body_broken")
        }
    }
}
