//! Which mode a call gets: rules that an operator writes, plans that roll a mode out by themselves, and a bandit that
//! learns from outcomes.
//!
//! ```text
//! CallSid, agent, numbers, time ──► Chooser (pure) ──► Routed { mode, reason, rule }
//!                                     ▲ rules · plans' steps · bandit's shares · breakers
//! finished calls, outcomes ──► Router (actor) ──► RoutingBook (port): document and audit log
//! ```
//!
//! The decision for one call is a hash, not a die ([`draw`]): a repeated webhook, a resume and every node agree on it.
//! It refuses to know HTTP, SQL, and how an engine is dialled.

pub mod actor;
pub mod bandit;
pub mod book;
pub mod choose;
pub mod draw;
pub mod evidence;
mod place;
pub mod plan;
pub mod rules;
pub mod standing;
pub mod validate;
pub mod window;

pub use actor::{
    BreakerChanged, CallFacts, CallFinished, CallOutcome, ChangeError, ChangeRouting, Choose, Explain,
    OutcomeError, ReadRouting, Router, RouterSetup, RoutingChange, RoutingView,
};
pub use bandit::{Bandit, BanditState};
pub use book::{BookEntry, BookError, Change, MemoryBook, RoutingBook};
pub use choose::{Chooser, Explanation, Reason, RouteQuery, Routed};
pub use evidence::{Measure, Observation};
pub use plan::{Plan, PlanState, PlanStates, PlanView, Verdict};
pub use rules::{Per, Routing, Rule, Shares, Then, When};
pub use standing::Standing;
pub use validate::{Fault, Known, Warning};
pub use window::Window;
