//! What the code that answers a request may ask of the world.

use crate::{session::SessionId, tenant::Tenant};

/// The world as one scope sees it: one tenant, or nobody.
///
/// No method takes a tenant. The code that handles acme's request is given acme's
/// `Tenancy` and has no way to *name* globex, let alone to reach it: not by a mistake in
/// a rule, and not by a clever request. What it can do wrong ends at its own tenant. The
/// sandbox's world (`host/wit`) is this trait again, so that the same holds for a guest
/// that was taken over.
///
/// A runner makes one for each request, or for each tenant, from what
/// [`contract::scope`](crate::contract::scope) says about the request.
pub trait Tenancy<'t> {
    /// This scope's tenant; `None` in the anonymous scope, which serves every request
    /// that names no known tenant.
    fn tenant(&self) -> Option<Tenant<'t>>;

    /// A new session id, made of random bytes that nobody can guess.
    fn new_session_id(&mut self) -> SessionId;

    /// Opens a session with that id for this scope's tenant.
    ///
    /// # Errors
    /// Nothing was opened; the error says why. An id in use keeps its owner.
    fn open_session(&mut self, id: SessionId) -> Result<(), OpenError>;

    /// Whose a session is, as far as this scope may know. Where it is its own, this is a
    /// use of the session.
    ///
    /// # Errors
    /// The store that knows is out of reach.
    fn owner(&mut self, id: SessionId) -> Result<Owner, Unavailable>;

    /// Counts one chat of this scope's tenant, if its limit allows one more now; returns
    /// whether it does. What is left of the limit goes out with the answer, but not
    /// through here: see [`Response::with_quota`](crate::contract::Response::with_quota).
    ///
    /// # Errors
    /// The store that counts is out of reach.
    fn admit_chat(&mut self) -> Result<bool, Unavailable>;
}

/// Whose a session is: enough to answer, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This scope's tenant's.
    Mine,
    /// Another tenant's; never whose.
    Another,
    /// Nobody's: never opened, or ended.
    Unknown,
}

/// Why a session was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The id is in use; try another one.
    #[error("the session id is in use")]
    Exists,
    /// The tenant has as many sessions as it may.
    #[error("the tenant has too many sessions")]
    Full,
    /// The store is out of reach; nothing is known.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A store is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a store is out of reach")]
pub struct Unavailable;
