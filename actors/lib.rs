//! The call tree: what happens in a call, and who watches over whom.
//!
//! ```text
//! Switchboard            one per process: live calls and their threads, admission, drain
//! Router                 one per process: which mode a call begins in, and why
//! Fallback               one per process: a breaker per mode; which rung of its ladder a call goes to next
//! ├ CallActor            one per call in a media mode: the only parent; owns lanes and ledger; decides by pure functions
//! │   ├ TwilioStream     the leg: carrier socket <-> frames, playout, marks, clear
//! │   ├ Transcoder       only when the leg's and the engine's formats differ
//! │   ├ RealtimeSession | CascadeSession     the engine: one model that hears and speaks, or three in a row
//! │   └ UsageRecorder    prices what the call uses, and hands it over to be kept
//! └ TurnCall             one per call in mode `traditional`: no socket, each webhook is a question
//!     └ TurnSession      the engine: a chat model that answers turn by turn
//!
//!  carrier socket --read--> leg --lane--> (transcoder) --lane--> engine --write--> provider socket
//!  carrier socket <--write- leg <--lane-- (transcoder) <--lane-- engine <--read--- provider socket
//! ```
//!
//! Frames travel on lanes, decisions in mailboxes: a lane is bounded and keeps books, a message overtakes frames.
//! Leg and engine know each other only as lanes. Everything of a call runs on the thread that answered its webhook.
//!
//! **A call survives its parts.** An engine that is lost is redialled once, then the call steps down its ladder, in place
//! as long as the mode needs the same socket: the new engine is told what was said and *heard* (the ledger), hears again
//! what the old one may not have understood (lanes keep and rewind), and goes on. A socket that is lost is awaited: the
//! carrier asks what is next, and another socket takes its place. What is known of a call outlives its actor
//! ([`record`]): whoever is asked next, goes on by it.
//!
//! | actor | file | owner | when it fails | in | out |
//! |---|---|---|---|---|---|
//! | `Switchboard` | `switchboard.rs` | the program | live calls go on | `Admit`, `Opened`, `FindCall`, `CallEnded`, `Drain` | `EndCall`, reports |
//! | `Router` | `router/actor.rs` | the program | calls get the ladder's first mode | `Choose`, `ChangeRouting`, `CallFinished`, `BreakerChanged` | decisions, the book |
//! | `Fallback` | `fallback/mod.rs` | the program | the ladder alone decides | `NextRung`, `EngineFared` | rungs, `BreakerChanged`, probes |
//! | `CallActor` | `call/mod.rs` | the switchboard's watch | goes on by its record at the carrier's next question | `LegArrived`, `FromLeg`, `FromEngine`, `FromUsage`, exit notices | commands, its record, `CallEnded` |
//! | `TwilioStream` | `leg/twilio/stream.rs` | the call | another socket is awaited for 15 s | carrier socket, agent lane, `LegCommand` | carrier socket, caller lane, `FromLeg` |
//! | `Transcoder` | `transcoder.rs` | the call | replaced at once, 3 in 10 s | caller lane, wide agent lane | wide caller lane, agent lane |
//! | `RealtimeSession` | `engine/realtime/actor.rs` | the call | redialled with the ledger, 1 in 30 s, then the next rung | provider socket, caller lane, `EngineCommand` | provider socket, agent lane, `FromEngine` |
//! | `CascadeSession` | `engine/cascade/actor.rs` | the call | the same | models' answers, caller lane, `EngineCommand` | requests to models, agent lane, `FromEngine` |
//! | `UsageRecorder` | `usage/actor.rs` | the call | replaced at once, 5 in 60 s, then an alarm; nothing is lost before | `Record` | events to the spool, `FromUsage` |
//! | `TurnCall` | `call/turns.rs` | the switchboard's watch | goes on by its record at the carrier's next question | `Ask`, `FromEngine`, exit notices | answers, its record, `CallEnded` |
//! | `TurnSession` | `engine/turn/actor.rs` | the call by turns | apology, 1 for an answer and 2 for a call, then the next rung | `AnswerCaller` | requests to the model, `FromEngine` |
//!
//! What the actors decide is decided by pure functions beside them: `call::decide` (the supervision table),
//! `call::phase`, `call::replay` (what is heard again), `call::opening` (what a new engine owes), `call::silence` (the
//! dead-air guard), `call::audit` (the balance sheet), `call::cost` (what was spent), [`budgets`] (what a month may cost), `call::turns::conversation` (turn by
//! turn), `usage::recorder` (prices), `usage::meter` (time and minutes), `usage::heard` (what was paid for in vain),
//! `fallback::ladder` and `fallback::breaker`, `router::choose` and `router::plan`, `engine::realtime::session` and
//! `engine::cascade::session` (the protocols), `leg::twilio::intake` (gaps) and `tandem_media::playout` (what was heard). The crate refuses to know
//! HTTP, SQL, sockets and the environment: what it needs of the outside is in [`ports`].

pub mod agent;
pub mod budgets;
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
pub mod response_times;
pub mod router;
pub mod switchboard;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transcoder;
pub mod usage;
