//! What is measured of a switch: whether it is in service, and how well it carries calls.

use sip_protocol::Millis;

/// Calls whose outcome is looked at, and failures among them that take the switch out when they are half or more.
const RECENT_MAX: u32 = 32;
const FAILURES_MIN: u32 = 5;
/// Out of service at least so long; twice as long each time it comes back and fails again.
const BREAK_MILLIS: u64 = 30_000;
const BREAK_DOUBLINGS: u32 = 4;
/// A switch that says when to come back is believed up to five minutes.
const BUSY_SECONDS_MAX: u64 = 300;
/// Unanswered probes that take it out, answered ones that bring it back.
const MISSES_MAX: u32 = 3;
const ANSWERS_MIN: u32 = 2;
/// Between two probes of a switch: in service, and out of it.
const PROBE_EVERY: u64 = 30_000;
const PROBE_SOON: u64 = 5_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Service {
    #[default]
    Up,
    Down,
    /// One call is let through as the probe of a switch that answers none.
    Trial,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    service: Service,
    /// Whatever it is, not before then.
    until: Millis,
    /// Outcomes of the last calls, the newest in the lowest bit; set: the switch's own failure.
    outcomes: u32,
    known: u32,
    /// Times it was taken out without having done well in between.
    strikes: u32,
    misses: u32,
    answers: u32,
}

impl Health {
    /// May a call go there? Without probes a call is the probe.
    pub fn is_open(&self, now: Millis, is_probed: bool) -> bool {
        now >= self.until
            && match self.service {
                Service::Up => true,
                Service::Down => !is_probed,
                Service::Trial => false,
            }
    }

    /// True: this call tries it out, and what comes of it is told with that.
    pub fn call_begins(&mut self) -> bool {
        let is_trial = self.service == Service::Down;
        if is_trial {
            self.service = Service::Trial;
        }
        is_trial
    }

    /// It rang, was answered or was refused by the called party: the switch did its part.
    pub fn did_well(&mut self, is_trial: bool) {
        if is_trial && self.service == Service::Trial {
            self.bring_back();
        }
        self.note(false);
        if self.known == RECENT_MAX && self.outcomes.count_ones() * 10 < RECENT_MAX {
            self.strikes = 0;
        }
    }

    pub fn did_fail(&mut self, now: Millis, is_trial: bool) {
        self.note(true);
        let failures = self.outcomes.count_ones();
        let is_share = failures >= FAILURES_MIN && 2 * failures >= self.known;
        let is_its_trial = is_trial && self.service == Service::Trial;
        if is_its_trial || (self.service == Service::Up && is_share) {
            self.take_out(now);
        }
    }

    /// The call that was to try it out ended without a word of the switch: the next one tries.
    pub fn call_ends(&mut self, is_trial: bool) {
        if is_trial && self.service == Service::Trial {
            self.service = Service::Down;
        }
    }

    /// Retry-After.
    pub fn is_busy(&mut self, now: Millis, seconds: u64) {
        self.until = self.until.max(now.plus(seconds.min(BUSY_SECONDS_MAX) * 1000));
    }

    pub fn probed(&mut self, now: Millis, is_alive: bool) {
        if !is_alive {
            self.answers = 0;
            self.misses += 1;
            if self.misses >= MISSES_MAX {
                self.service = Service::Down;
            }
            return;
        }
        self.misses = 0;
        if self.service != Service::Up && now >= self.until {
            self.answers += 1;
            if self.answers >= ANSWERS_MIN {
                self.bring_back();
            }
        }
    }

    pub fn next_probe(&self, now: Millis) -> Millis {
        let soon = if self.service == Service::Up { PROBE_EVERY } else { PROBE_SOON };
        now.plus(soon)
    }

    fn note(&mut self, failed: bool) {
        self.outcomes = self.outcomes << 1 | u32::from(failed);
        self.known = (self.known + 1).min(RECENT_MAX);
    }

    fn take_out(&mut self, now: Millis) {
        let wait = BREAK_MILLIS << self.strikes.min(BREAK_DOUBLINGS);
        self.until = self.until.max(now.plus(wait));
        self.strikes += 1;
        self.service = Service::Down;
        self.answers = 0;
    }

    fn bring_back(&mut self) {
        (self.service, self.outcomes, self.known, self.answers) = (Service::Up, 0, 0, 0);
    }
}

/// Calls after which what was measured earlier counts half.
const WINDOW: u32 = 200;
/// A mean call of so many seconds, or a delay of so many milliseconds until it rings, is as good as any better
/// or as bad as any worse.
const TALK_SECONDS_GOOD: u64 = 180;
const DELAY_MILLIS_BAD: u64 = 5_000;

/// Answer-seizure ratio, mean duration and post-dial delay (ITU-T E.411, E.425).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quality {
    attempts: u32,
    answered: u32,
    talks: u32,
    talk_seconds: u64,
    delay_millis: u64,
}

impl Quality {
    pub fn attempted(&mut self) {
        self.attempts += 1;
        if self.attempts > WINDOW {
            self.attempts /= 2;
            self.answered /= 2;
        }
    }

    pub fn rang(&mut self, after_millis: u64) {
        self.delay_millis = (self.delay_millis * 7 + after_millis) / 8;
    }

    pub fn answered(&mut self) {
        self.answered += 1;
    }

    pub fn talked(&mut self, seconds: u64) {
        self.talks += 1;
        self.talk_seconds = self.talk_seconds.saturating_add(seconds);
        if self.talks > WINDOW {
            self.talks /= 2;
            self.talk_seconds /= 2;
        }
    }

    /// 0 to 1000: half by how many are answered, a quarter by how long they last, a quarter by how soon they ring.
    pub fn score(&self) -> u16 {
        // Little is known after few calls: seven in ten are answered and last a minute and a half.
        let ratio = u64::from(self.answered + 7) * 1000 / u64::from(self.attempts + 10);
        let seconds = (self.talk_seconds + 900) / u64::from(self.talks + 10);
        let duration = seconds.min(TALK_SECONDS_GOOD) * 1000 / TALK_SECONDS_GOOD;
        let speed = 1000 - self.delay_millis.min(DELAY_MILLIS_BAD) * 1000 / DELAY_MILLIS_BAD;
        ((ratio.min(1000) * 2 + duration + speed) / 4) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000_000);

    fn later(seconds: u64) -> Millis {
        NOW.plus(seconds * 1000)
    }

    #[test]
    fn half_of_the_calls_failing_takes_a_switch_out_and_a_third_does_not() {
        let mut shaky = Health::default();
        for call in 0..60 {
            if call % 3 == 0 { shaky.did_fail(NOW, false) } else { shaky.did_well(false) }
        }
        assert!(shaky.is_open(NOW, false), "one in three");
        let mut bad = Health::default();
        let failed = (0..60).position(|call| {
            if call % 2 == 0 {
                bad.did_well(false)
            } else {
                bad.did_fail(NOW, false)
            }
            !bad.is_open(NOW, false)
        });
        assert_eq!(failed, Some(9), "at the fifth failure of ten calls");
    }

    #[test]
    fn without_probes_one_call_tries_it_out_and_each_failure_doubles_the_wait() {
        let mut health = Health::default();
        assert!(!health.call_begins(), "nothing to try out");
        (0..5).for_each(|_| health.did_fail(NOW, false));
        assert!(!health.is_open(later(29), false));
        assert!(health.is_open(later(30), false));
        assert!(health.call_begins());
        assert!(!health.is_open(later(30), false), "one at a time");
        health.call_ends(false);
        health.did_well(false);
        assert!(!health.is_open(later(30), false), "older calls say nothing of it now");
        health.call_ends(true);
        assert!(health.is_open(later(30), false), "that one said nothing");
        assert!(health.call_begins());
        health.did_fail(later(30), true);
        assert!(!health.is_open(later(89), false));
        assert!(health.is_open(later(90), false));
        assert!(health.call_begins());
        health.did_well(true);
        assert!(health.is_open(later(90), false));
        health.call_ends(true);
        assert!(health.is_open(later(90), false));
    }

    #[test]
    fn a_probed_switch_comes_back_by_two_answers_and_not_before_its_time() {
        let mut health = Health::default();
        (0..5).for_each(|_| health.did_fail(NOW, false));
        (0..5).for_each(|_| health.probed(later(10), true));
        assert!(!health.is_open(later(31), true), "not by answers before its time");
        health.probed(later(31), true);
        health.probed(later(36), false);
        health.probed(later(41), true);
        assert!(!health.is_open(later(41), true));
        health.probed(later(46), true);
        assert!(health.is_open(later(46), true));
        (0..3).for_each(|_| health.probed(later(60), false));
        assert!(!health.is_open(later(60), true), "three silent probes");
        (0..2).for_each(|_| health.probed(later(70), true));
        assert!(health.is_open(later(70), true));
    }

    #[test]
    fn who_is_busy_is_left_alone_for_as_long_as_it_says() {
        let mut health = Health::default();
        health.is_busy(NOW, 120);
        assert!(!health.is_open(later(119), true) && health.is_open(later(120), true));
        health.is_busy(NOW, 100_000);
        assert!(health.is_open(later(300), true), "five minutes at most");
    }

    #[test]
    fn answered_calls_long_talks_and_fast_ringing_make_quality() {
        let measure = |answered: u32, seconds: u64, delay: u64| {
            let mut quality = Quality::default();
            for call in 0..100 {
                quality.attempted();
                quality.rang(delay);
                if call < answered {
                    quality.answered();
                    quality.talked(seconds);
                }
            }
            quality.score()
        };
        assert!(measure(90, 100, 500) > measure(50, 100, 500));
        assert!(
            measure(60, 170, 500) > measure(60, 10, 500),
            "calls that end at once are bad calls"
        );
        assert!(measure(60, 100, 300) > measure(60, 100, 4000));
        assert!(measure(100, 10_000, 0) <= 1000);
    }
}
