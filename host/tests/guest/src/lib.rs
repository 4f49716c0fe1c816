//! A guest that misbehaves on order.
//!
//! It answers as the real guest does, with the same code, until a chat's message, or the
//! query of a request that is nobody's, says `misbehave=`: then it does that. It is what a guest that was taken over could be, so
//! it holds itself to no rule but those that the sandbox enforces.

#![cfg(target_family = "wasm")]

mod memory;
mod probe;

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
};

use tenantry_guest::bindings::{
    self,
    exports::tenantry::sandbox::handler::{
        Body, ContentType, Guest, Operation, Request, Response, Texts,
    },
    tenantry::sandbox::scope,
};

/// The handler that this component exports.
pub struct Misbehaving;

bindings::export!(Misbehaving with_types_in bindings);

/// Calls of this sandbox: state that outlives a request, which the real guest has not.
static CALLS: AtomicU32 = AtomicU32::new(0);

impl Guest for Misbehaving {
    fn handle(request: Request) -> Response {
        CALLS.fetch_add(1, Ordering::Relaxed);
        match Order::of(target(&request)) {
            Some(order) => obey(&order, None),
            None => tenantry_guest::handle(&request),
        }
    }

    fn perform(operation: Operation) -> Response {
        CALLS.fetch_add(1, Ordering::Relaxed);
        match Order::of(message(&operation)) {
            Some(order) => obey(&order, Some(&operation)),
            None => tenantry_guest::perform(&operation),
        }
    }
}

fn target(request: &Request) -> &str {
    let texts = match &request.texts {
        Texts::Utf8(texts) => texts.as_bytes(),
        Texts::Bytes(texts) => texts,
    };
    let target = texts.get(..request.target_end as usize);
    std::str::from_utf8(target.unwrap_or_default()).unwrap_or_default()
}

fn message(operation: &Operation) -> &str {
    let message = operation.texts.get(operation.session_id_end as usize..);
    message.unwrap_or_default()
}

/// What stands behind `misbehave=`: a word, and what belongs to it.
struct Order {
    word: String,
    argument: String,
}

impl Order {
    fn of(text: &str) -> Option<Self> {
        let (_, order) = text.split_once("misbehave=")?;
        let (word, argument) = order.split_once(':').unwrap_or((order, ""));
        Some(Self {
            word: word.to_owned(),
            argument: argument.to_owned(),
        })
    }

    fn number(&self) -> usize {
        self.argument.parse().expect("a number")
    }
}

fn obey(order: &Order, operation: Option<&Operation>) -> Response {
    match &*order.word {
        "count" => text(CALLS.load(Ordering::Relaxed).to_string()),
        "loop" => endless(|| black_box(())),
        "loop-asking" => endless(|| {
            black_box(scope::owner(probe::an_id(0)));
        }),
        "open-and-loop" => {
            let opened = scope::open_session(probe::id(&order.argument));
            assert_eq!(probe::opened(opened), "opened");
            endless(|| black_box(()))
        }
        "allocate" => {
            let mut hoard = Vec::new();
            endless(|| hoard.push(vec![0x55_u8; 100_000]))
        }
        "grow" => text(memory::grow_to(order.number()).to_string()),
        "recurse" => text(depth(order.number()).to_string()),
        "recurse-in-memory" => text(depth_in_memory(order.number()).to_string()),
        "unreachable" => core::arch::wasm32::unreachable(),
        "panic" => panic!("as ordered"),
        "out-of-bounds" => text(memory::out_of_bounds().to_string()),
        "reply" => text("x".repeat(order.number())),
        "status" => Response {
            status: u16::try_from(order.number()).expect("16 bits"),
            ..text("")
        },
        "location" => Response {
            status: 307,
            location: Some("/\r\nset-cookie: injected=1".to_owned()),
            ..text("")
        },
        "long-location" => Response {
            status: 307,
            location: Some("/".repeat(order.number())),
            ..text("")
        },
        "head-only" => Response {
            head_only: true,
            ..text("a body that never comes")
        },
        "tenant-list" => Response {
            body: Body::TenantList,
            ..text("")
        },
        "open" => text(probe::opened(scope::open_session(probe::id(
            &order.argument,
        )))),
        "probe" => text(probe::everything(operation, &order.argument)),
        "fill" => text(memory::fill(&order.argument).to_string()),
        "find" => text(memory::find(&order.argument)),
        unknown => panic!("no way to misbehave is called {unknown}"),
    }
}

fn text(body: impl Into<Vec<u8>>) -> Response {
    Response {
        status: 200,
        content_type: Some(ContentType::Text),
        allow: None,
        location: None,
        retry_after: None,
        body: Body::Bytes(body.into()),
        head_only: false,
    }
}

fn endless(mut step: impl FnMut()) -> ! {
    loop {
        step();
    }
}

/// Calls itself as often; its values stay on the engine's stack.
#[inline(never)]
fn depth(calls: usize) -> usize {
    match calls {
        0 => 0,
        // Not a sum of equal steps, which would be compiled to no call at all.
        _ => (depth(calls - 1) ^ calls).wrapping_mul(31),
    }
}

/// Calls itself as often, with values on the stack that is in its memory.
#[inline(never)]
fn depth_in_memory(calls: usize) -> usize {
    let mut frame = [calls; 64];
    let frame = black_box(&mut frame);
    match calls {
        0 => 0,
        _ => depth_in_memory(calls - 1) ^ frame[calls % 64],
    }
}
