//! What is done about a call that has ended here.
//!
//! It refuses to know how any of it is done.

use std::sync::Arc;

use actix::Addr;
use tandem_actors::call::CallReport;
use tandem_actors::router::{CallFinished, Router};
use tokio::sync::mpsc;

use super::briefings::Briefings;
use super::facts;
use super::remembering::Remembering;
use crate::journal::Journal;

pub(super) struct Aftermath {
    pub(super) router: Addr<Router>,
    pub(super) journal: Arc<Journal>,
    pub(super) agent: String,
    pub(super) briefings: Arc<Briefings>,
    pub(super) remembering_opt: Option<Arc<Remembering>>,
    /// Gets what is known of every call.
    pub(super) reports_opt: Option<mpsc::UnboundedSender<Arc<CallReport>>>,
}

impl Aftermath {
    /// Tells the router and the journal how every call fared, has its caller remembered, and passes its report on.
    pub(super) async fn follow(mut self, mut ended: mpsc::UnboundedReceiver<Arc<CallReport>>) {
        while let Some(report) = ended.recv().await {
            if !report.end.goes_on() {
                self.briefings.over(report.id);
            }
            if let Some(facts) = facts::facts(&report, &self.agent) {
                self.journal.ended(&facts, !report.end.goes_on());
                self.router.do_send(CallFinished(facts)); // one per call
            }
            if let Some(remembering) = &self.remembering_opt {
                remembering.consider(&report);
            }
            if self.reports_opt.as_ref().is_some_and(|reports| reports.send(report).is_err()) {
                self.reports_opt = None; // whoever subscribed has gone
            }
        }
    }
}
