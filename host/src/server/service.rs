//! One request: from hyper's types to the contract's, and back.

use std::{
    borrow::Cow,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, header, request::Parts, uri::PathAndQuery};
use http_body_util::Full;
use hyper::body::Incoming;
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
};
use crate::{
    engine::{Answered, Engine},
    state::Entry,
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
}

impl Service {
    pub(super) fn new(engine: Engine, aside: Aside, settings: Settings, extras: Extras) -> Self {
        Self {
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
        let mut entry = log::Entry::new(&head.method, head.uri.path(), start);
        let mut answer = self.respond(&head, body, activity, &mut entry).await;
        if let Some(cors) = &self.extras.cors {
            cors.mark(&head.headers, &mut answer);
        }
        if activity.was_cut_short() || activity.is_draining() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        entry.write(answer.status());
        activity.answer_begins();
        Ok(answer)
    }

    async fn respond(
        &self,
        head: &Parts,
        incoming: Incoming,
        activity: &Rc<Activity>,
        entry: &mut log::Entry<'_>,
    ) -> Answer {
        let method = Method::from(head.method.as_str());
        let own = assets::answer(method, head.uri.path(), &head.headers);
        if let Some(answer) = own.or_else(|| self.extras.answer(method, head)) {
            body::discard(incoming, &head.headers, activity);
            return answer;
        }
        let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
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
        let content_type = head.headers.get(header::CONTENT_TYPE);
        let is_of = |tenant: Option<&Entry>| activity.party.set(tenant.map(|tenant| tenant.key));
        let reply = async {
            if body.len() >= aside::LARGE_BYTES {
                let job = aside::Job {
                    method,
                    target: target.to_owned(),
                    content_type: content_type.cloned(),
                    body,
                };
                let reply = self.aside.ask(job).await;
                let (answered, body) = reply.unwrap_or_else(|Unavailable| unavailable());
                is_of(answered.tenant.as_deref());
                return (answered, body);
            }
            let request = Request {
                method,
                target,
                content_type: content_type.map(HeaderValue::as_bytes),
                body: Payload::from(&*body),
            };
            body_of(&self.engine, self.engine.answer_for(&request, is_of).await).await
        };
        let answered = within(self.settings.request_timeout, reply).await;
        let (answered, body) = answered.unwrap_or_else(|| {
            entry.timed_out();
            unavailable()
        });
        entry.answered(&answered);
        activity
            .party
            .set(answered.tenant.as_ref().map(|tenant| tenant.key));
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
