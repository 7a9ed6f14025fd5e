//! The call tree: what happens in a call, and who watches over whom.
//!
//! ```text
//! Switchboard            one per process: live calls, admission, drain
//! └ CallActor            one per call: the only parent; owns lanes and ledger; decides by pure functions
//!     ├ TwilioStream     the leg: carrier socket <-> frames, playout, marks, clear
//!     ├ Transcoder       only when the leg's and the engine's formats differ
//!     └ RealtimeSession  the engine: frames <-> provider socket
//!
//!  carrier socket --read--> leg --lane--> (transcoder) --lane--> engine --write--> provider socket
//!  carrier socket <--write- leg <--lane-- (transcoder) <--lane-- engine <--read--- provider socket
//! ```
//!
//! Frames travel on lanes, decisions in mailboxes: a lane is bounded and keeps books, a message overtakes frames.
//! Leg and engine know each other only as lanes. Everything of a call runs on the thread its carrier's socket
//! arrived on.
//!
//! | actor | file | owner | when it fails | in | out |
//! |---|---|---|---|---|---|
//! | `Switchboard` | `switchboard.rs` | the program | live calls go on | `Admit`, `Opened`, `CallEnded`, `Drain` | `EndCall`, reports |
//! | `CallActor` | `call/mod.rs` | the switchboard's watch | its children die with it, no other call notices | `FromLeg`, `FromEngine`, exit notices | commands, `CallEnded` |
//! | `TwilioStream` | `leg/twilio/stream.rs` | the call | the call ends as lost | carrier socket, agent lane, `LegCommand` | carrier socket, caller lane, `FromLeg` |
//! | `Transcoder` | `transcoder.rs` | the call | replaced at once, 3 in 10 s | caller lane, wide agent lane | wide caller lane, agent lane |
//! | `RealtimeSession` | `engine/realtime/actor.rs` | the call | redialled with the ledger, 1 in 30 s | provider socket, caller lane, `EngineCommand` | provider socket, agent lane, `FromEngine` |
//!
//! What the actors decide is decided by pure functions beside them: `call::decide` (the supervision table),
//! `call::phase`, `call::audit` (the balance sheet), `engine::realtime::session` (the protocol), `leg::twilio::intake`
//! (gaps) and `tandem_media::playout` (what was heard). The crate refuses to know HTTP, SQL, sockets and the
//! environment: what it needs of the outside is in [`ports`].

pub mod agent;
pub mod call;
pub mod engine;
pub mod fallback;
pub mod kit;
pub mod ledger;
pub mod leg;
pub mod messages;
pub mod mode;
pub mod ports;
pub mod record;
pub mod router;
pub mod switchboard;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transcoder;
