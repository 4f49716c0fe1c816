//! One request: from hyper's types to the contract's, and back.

use std::{
    borrow::Cow,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, header, request::Parts, uri::PathAndQuery};
use http_body_util::Full;
use hyper::body::Incoming;
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
    log,
    tally::{Tally, timed},
};
use crate::{
    engine::{Answered, Engine},
    metrics::{Requests, Route},
    state::Entry,
    traces,
};

pub(super) type Answer = Response<Full<Bytes>>;

/// What the engine answers, and the bytes of its body.
pub(super) type Reply = (Answered, Bytes);

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

    /// Answers one request. There always is an answer.
    pub(super) async fn handle(
        &self,
        request: http::Request<Incoming>,
        activity: &Rc<Activity>,
    ) -> Result<Answer, Infallible> {
        activity.flushed().await;
        let start = activity.request_begins();
        let (head, body) = request.into_parts();
        let entry = log::Entry::new(&head.method, head.uri.path());
        let mut tally = Tally::new(self.engine.state(), &self.requests, &head.method);
        let traces = self.engine.state().traces.as_ref();
        let context = traces.map(|traces| traces.request(&head.headers, start.elapsed()));
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
        tally.answered(answer.status().as_u16(), duration);
        entry.write(tally.tenant_id(), answer.status(), duration);
        if let Some(context) = &context {
            let (route, status) = (tally.route.get().name(), answer.status().as_u16());
            traces::answered(context, &head.method, route, status, tally.tenant_id());
        }
        // It is counted before anybody can have seen the answer.
        drop(tally);
        activity.answer_begins();
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
        let own = assets::answer(method, head.uri.path(), &head.headers);
        let own = own.map(|answer| (answer, Route::Assets));
        if let Some((answer, route)) = own.or_else(|| self.extras.answer(method, head)) {
            tally.route.set(route);
            body::discard(incoming, &head.headers, activity);
            return answer;
        }
        tally.route.set(Route::of(target));
        let body = if contract::wants_body(method, target) {
            match body::read(incoming, &self.settings).await {
                Ok(body) => body,
                Err(refusal) => {
                    activity.cuts_short();
                    return refused(refusal);
                }
            }
        } else {
            body::discard(incoming, &head.headers, activity);
            Bytes::new()
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
        let answered = within(self.settings.request_timeout, reply).await;
        let (answered, body) = answered.unwrap_or_else(|| {
            entry.timed_out();
            unavailable()
        });
        if let Some(whose) = whose.get() {
            is_of(whose.get());
        }
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
        Ok(body) => (answered, body),
        Err(Unavailable) => unavailable(),
    }
}

/// Stands for a body that is elsewhere.
const TAKEN: Body = Body::Bytes(Cow::Borrowed(&[]));

/// What is answered where a store is out of reach, or takes too long.
fn unavailable() -> Reply {
    let (response, body) = split(contract::Response::unavailable());
    (Answered::from(response), body)
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

/// What is answered to a body that is not read, or not to its end.
fn refused(refusal: Refusal) -> Answer {
    let detail = contract::Response::detail;
    own(match refusal {
        Refusal::TooLarge => contract::Response::body_too_large(),
        Refusal::TooSlow => detail(408, "Request body too slow"),
        Refusal::Broken => detail(400, "There was an error parsing the body"),
    })
}
