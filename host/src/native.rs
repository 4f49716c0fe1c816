//! The native engine: the core's rules without a sandbox.
//!
//! The same answers, for comparison, and for platforms on which no compiled component
//! runs. What a sandbox adds is missing: a fault in the rules is a fault of the server.

use std::pin::Pin;

use tenantry_core::{
    contract::{Call, Response},
    limit::{Admission, Quota},
    session::SessionId,
    tenancy::{OpenError, Owner, Tenancy, Unavailable},
    tenant::Tenant,
};

use crate::{
    random,
    state::{Answer, Entry, State},
};

/// Answers one request for one scope.
///
/// The core's rules do not wait. Where a store answers later, the rules are stopped, the
/// answer is waited for, and they start again with what is known by then. They are a
/// function of it, so they come to the same point, and no store is asked twice.
pub(crate) async fn answer(call: &Call<'_>, tenant: Option<&Entry>, state: &State) -> Response {
    let mut known = Vec::new();
    loop {
        let mut scope = Scope {
            tenant,
            state,
            known,
            asked: 0,
            waiting: None,
        };
        let response = call.answer(&mut scope);
        known = scope.known;
        match scope.waiting {
            None => return response.with_quota(quota(&known)),
            Some(fact) => known.push(fact.await),
        }
    }
}

/// What a store, or chance, has said.
#[derive(Clone, Copy)]
enum Fact {
    NewId(SessionId),
    Opened(Result<(), OpenError>),
    Owner(Result<Owner, Unavailable>),
    Admission(Result<Admission, Unavailable>),
}

/// What was left of the limit, where it was asked.
fn quota(known: &[Fact]) -> Option<Quota> {
    known.iter().find_map(|fact| match fact {
        Fact::Admission(Ok(admission)) => admission.quota(),
        _ => None,
    })
}

type Later<'a> = Pin<Box<dyn Future<Output = Fact> + Send + 'a>>;

struct Scope<'a> {
    tenant: Option<&'a Entry>,
    state: &'a State,
    /// What was said so far, in the order of the questions.
    known: Vec<Fact>,
    asked: usize,
    /// What the rules were stopped for.
    waiting: Option<Later<'a>>,
}

impl<'a> Scope<'a> {
    /// The answer to the next question, if it is known; otherwise the rules have to stop.
    fn ask<T: 'a>(
        &mut self,
        question: impl FnOnce(&'a Entry, &'a State) -> Answer<'a, T>,
        to_fact: fn(T) -> Fact,
    ) -> Option<Fact> {
        let at = self.asked;
        self.asked += 1;
        if let Some(fact) = self.known.get(at) {
            return Some(*fact);
        }
        match question(self.tenant?, self.state) {
            Answer::Now(answer) => {
                let fact = to_fact(answer);
                self.known.push(fact);
                Some(fact)
            }
            Answer::Later(answer) => {
                self.waiting = Some(Box::pin(async move { to_fact(answer.await) }));
                None
            }
        }
    }
}

impl<'a> Tenancy<'a> for Scope<'a> {
    fn tenant(&self) -> Option<Tenant<'a>> {
        self.tenant.map(|entry| entry.packed.tenant())
    }

    fn new_session_id(&mut self) -> SessionId {
        let new_id = |_: &_, _: &_| Answer::Now(random::session_id());
        match self.ask(new_id, Fact::NewId) {
            Some(Fact::NewId(id)) => id,
            _ => random::session_id(),
        }
    }

    fn open_session(&mut self, id: SessionId) -> Result<(), OpenError> {
        match self.ask(
            |tenant, state| state.sessions.open(tenant, id),
            Fact::Opened,
        ) {
            Some(Fact::Opened(opened)) => opened,
            _ => Err(Unavailable.into()),
        }
    }

    fn owner(&mut self, id: SessionId) -> Result<Owner, Unavailable> {
        match self.ask(
            |tenant, state| state.sessions.owner(tenant, id),
            Fact::Owner,
        ) {
            Some(Fact::Owner(owner)) => owner,
            _ => Err(Unavailable),
        }
    }

    fn admit_chat(&mut self) -> Result<bool, Unavailable> {
        match self.ask(|tenant, state| state.limiter.admit(tenant), Fact::Admission) {
            Some(Fact::Admission(admission)) => Ok(admission?.is_granted()),
            _ => Err(Unavailable),
        }
    }
}
