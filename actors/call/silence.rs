//! The dead-air guard: what to do when the caller waits for an answer and hears nothing.
//!
//! Pure: `now` is an argument. It refuses to know why nothing comes.

use std::time::Duration;

use tokio::time::Instant;

/// An answer that the caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Since when this engine owes it.
    owed_since: Instant,
    /// When the caller last heard anything, or fell silent.
    heard_at: Instant,
    /// How long the caller has heard nothing before a sound is made, if sooner than usual.
    sound_after_opt: Option<Duration>,
    /// The engine has answered with nothing, and was asked again.
    asked_again: bool,
}

/// When an engine is lost the caller hears something so soon, unless he still hears the agent. Less would sound where the
/// next engine is quick.
const SOUND_SOON: Duration = Duration::from_millis(400);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Let the caller hear that somebody is there.
    Sound,
    /// This engine does not answer.
    GiveUp,
}

impl Due {
    pub fn since(now: Instant) -> Self {
        Self { owed_since: now, heard_at: now, sound_after_opt: None, asked_again: false }
    }

    /// Another engine owes the answer from now on; the caller has been waiting all along.
    pub fn owed_by_another(&mut self, now: Instant) {
        self.owed_since = now;
        self.asked_again = false;
    }

    /// The engine has answered with nothing. Tells whether it may be asked again, which is once.
    pub fn ask_again(&mut self, now: Instant) -> bool {
        self.owed_since = now;
        !std::mem::replace(&mut self.asked_again, true)
    }

    /// The engine was lost in the midst of it.
    pub fn sound_soon(&mut self) {
        self.sound_after_opt = Some(SOUND_SOON);
    }

    /// The caller hears the agent.
    pub fn sounded(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// The caller hears a sound of ours.
    pub fn bridged(&mut self, now: Instant) {
        self.heard_at = now;
        self.sound_after_opt = None;
    }

    /// Whether the caller has heard nothing for too long.
    pub fn is_unheard(&self, now: Instant, silence_max: Duration) -> bool {
        now.saturating_duration_since(self.heard_at) >= self.sound_after_opt.unwrap_or(silence_max)
    }

    /// `silence_max` bounds both: how long an engine may take, and how long the caller hears nothing.
    pub fn step(&self, now: Instant, silence_max: Duration) -> Step {
        if now.saturating_duration_since(self.owed_since) >= silence_max {
            Step::GiveUp
        } else if now.saturating_duration_since(self.heard_at) >= self.sound_after_opt.unwrap_or(silence_max)
        {
            Step::Sound
        } else {
            Step::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(4);

    #[test]
    fn an_engine_that_does_not_answer_is_given_up_in_time() {
        let start = Instant::now();
        let due = Due::since(start);
        assert_eq!(due.step(start + MAX / 2, MAX), Step::Wait);
        assert_eq!(due.step(start + MAX, MAX), Step::GiveUp);
    }

    #[test]
    fn the_caller_hears_something_while_engines_change() {
        let start = Instant::now();
        let mut due = Due::since(start);
        due.owed_by_another(start + MAX / 2);
        assert_eq!(due.step(start + MAX, MAX), Step::Sound);
        due.bridged(start + MAX);
        assert_eq!(due.step(start + MAX, MAX), Step::Wait);
        assert_eq!(due.step(start + MAX + MAX / 2, MAX), Step::GiveUp);
    }

    #[test]
    fn after_a_loss_a_sound_comes_soon_but_not_into_the_agents_words() {
        let start = Instant::now();
        let mut due = Due::since(start);
        due.sound_soon();
        due.sounded(start + SOUND_SOON);
        assert_eq!(due.step(start + SOUND_SOON, MAX), Step::Wait);
        assert_eq!(due.step(start + 2 * SOUND_SOON, MAX), Step::Sound);
        due.bridged(start + 2 * SOUND_SOON);
        assert_eq!(due.step(start + 4 * SOUND_SOON, MAX), Step::Wait, "once");
    }

    #[test]
    fn an_empty_answer_is_asked_for_once_more() {
        let start = Instant::now();
        let mut due = Due::since(start);
        assert!(due.ask_again(start));
        assert!(!due.ask_again(start));
        due.owed_by_another(start);
        assert!(due.ask_again(start), "another engine may be asked too");
    }
}
