//! When a source is asked next.

use timeball_timebase::{MonoTime, Span};

use super::config::{Due, PollRange, SourceConfig};
use crate::random::Random;

/// Limits of what may be configured (RFC 5905 section 7.3, and bursts below a second).
const POLL_MIN: i8 = -4;
const POLL_MAX: i8 = 17;
/// Requests of the burst at the start. The first four are two seconds apart; then the time doubles
/// up to the regular interval, so that the rate error that a few seconds leave open is never
/// carried far.
const BURST_REQUESTS: u8 = 8;
const BURST_EVEN: u8 = 4;
const BURST_INTERVAL: Span = Span::from_secs(2);
/// With `burst`, requests of each poll, as far apart as at the start; where polls are at least this
/// far from each other.
const ROW_REQUESTS: u8 = 4;
const ROW_WORTH: Span = Span::from_secs(32);
/// A source that has been asked this often in vain is no longer waited for at the start, nor one
/// that is asked seldom for longer than this after its first request: an answer has come by then.
const TRIES_BEFORE_DOUBT: u32 = 3;
const FIRST_WAIT_MAX: Span = Span::from_secs(8);
/// A source is asked when what is known has become so uncertain that a usual measurement of it will
/// weigh this much: a little more than all that was known.
const WEIGHT_WORTH: f64 = 0.55;
/// No interval is longer than this share of the time that the clock has been watched for: what is
/// known of it is carried no further than that.
const WATCHED_SHARE: i64 = 2;
/// After so many answers in a row that were not used the interval grows.
const UNUSED_ANSWERS: u8 = 2;

/// The polling state of one source.
#[derive(Clone, Debug)]
pub(super) struct Polling {
    range: PollRange,
    poll: i8,
    next: Due,
    burst_left: u8,
    iburst: bool,
    /// Whether the server has asked for less: it is never asked in a row again, and not sooner.
    slowed: bool,
    /// Whether the requests in a row were put off until it answers.
    waits_for_word: bool,
    /// Whether each poll is a few requests in a row, and how many of them are still to come.
    burst: bool,
    row_left: u8,
    reach: u8,
    tries: u32,
    /// When the first of them was.
    asked_from: Due,
    /// Since when the clock has been watched by this source.
    watched_since: Due,
    /// Answers since one was used or the interval grew.
    unused: u8,
}

impl Polling {
    /// Not started, as a source's settings say.
    pub(super) fn of(source: &SourceConfig) -> Self {
        Self::new(source.poll, source.options.iburst, source.options.burst)
    }

    /// Not started; a range out of limits or upside down is put right.
    fn new(range: PollRange, iburst: bool, burst: bool) -> Self {
        let min = range.min.clamp(POLL_MIN, POLL_MAX);
        let range = PollRange { min, max: range.max.clamp(min, POLL_MAX) };
        Self {
            range,
            poll: min,
            next: None,
            burst_left: 0,
            iburst,
            slowed: false,
            waits_for_word: false,
            burst,
            row_left: 0,
            reach: 0,
            tries: 0,
            asked_from: None,
            watched_since: None,
            unused: 0,
        }
    }

    /// Sets the first request's time.
    pub(super) fn start(&mut self, at: MonoTime) {
        self.next = Some(at);
        self.burst_left = if self.iburst { BURST_REQUESTS } else { 0 };
    }

    /// Reachability and interval begin anew; what the server asked for stays.
    pub(super) fn restart(&mut self, now: MonoTime) {
        let first = self.next.filter(|_| self.tries == 0 || self.slowed);
        let slowed = self.slowed;
        *self = Self { slowed, ..Self::new(self.range, self.iburst, self.burst) };
        self.start(first.unwrap_or(now));
    }

    /// Another server is asked from now on, as `settings` say, at first a few times in a row only
    /// if `in_a_row`.
    pub(super) fn replace(&mut self, now: MonoTime, settings: Self, in_a_row: bool) {
        let first = self.next.filter(|_| self.tries == 0);
        *self = settings;
        self.start(first.unwrap_or(now));
        if !in_a_row {
            self.burst_left = 0;
            self.waits_for_word = true;
        }
    }

    /// When to ask next; `None` while not started.
    pub(super) fn due(&self) -> Due {
        self.next
    }

    /// Notes that a request goes out now, and sets the next one's time.
    pub(super) fn sent(&mut self, now: MonoTime, random: &mut Random) {
        self.reach <<= 1;
        self.tries = self.tries.saturating_add(1);
        self.asked_from.get_or_insert(now);
        self.burst_left = self.burst_left.saturating_sub(1);
        let regular = interval(self.poll);
        let pause = match self.burst_pause() {
            Some(pause) => pause.min(regular),
            None => self.row_pause(regular),
        };
        // Nobody else can foresee the moment, and clients do not fall into step with each other.
        let spread = (pause / 32).min(Span::from_millis(500));
        let shift = Span::from_nanos((spread.as_nanos() as f64 * (random.unit() - 0.5)) as i64);
        self.next = Some(now + pause + shift);
    }

    fn burst_pause(&self) -> Option<Span> {
        let sent = BURST_REQUESTS - self.burst_left.min(BURST_REQUESTS);
        let doublings = sent.saturating_sub(BURST_EVEN - 1);
        (self.burst_left > 0).then(|| BURST_INTERVAL * (1 << doublings))
    }

    /// Until the next request of a row, or until the next row, so that rows begin at the regular
    /// interval.
    fn row_pause(&mut self, regular: Span) -> Span {
        if !self.burst || regular < ROW_WORTH {
            self.row_left = 0;
            return regular;
        }
        self.row_left = self.row_left.checked_sub(1).unwrap_or(ROW_REQUESTS - 1);
        if self.row_left > 0 {
            BURST_INTERVAL
        } else {
            regular - BURST_INTERVAL * i64::from(ROW_REQUESTS - 1)
        }
    }

    /// Moves the first request after the burst, so that sources are asked evenly in turn:
    /// this one is at `place` of `places`.
    pub(super) fn spread(&mut self, now: MonoTime, place: usize, places: usize) {
        let places = places.max(1) as i64;
        let regular = interval(self.poll);
        let share = regular / places * (place as i64 + 1);
        self.next = Some(now + regular / 2 + share / 2);
    }

    /// Whether the request just sent was the last of a burst.
    pub(super) fn burst_has_ended(&self) -> bool {
        self.burst_left == 0 && self.tries == u32::from(BURST_REQUESTS) && self.iburst
    }

    /// Notes that the last request was answered. A source that is heard for the first time, or the
    /// first time after a long silence, is asked a few times in a row, as at the start: its first
    /// word alone tells nothing of rates.
    pub(super) fn answered(&mut self, now: MonoTime) {
        self.watched_since.get_or_insert(now);
        let is_late = self.tries > 1 || self.waits_for_word;
        if self.reach == 0 && is_late && self.iburst {
            self.burst_left = BURST_REQUESTS - 1;
            self.next = Some(now + BURST_INTERVAL.min(interval(self.poll)));
        }
        self.reach |= 1;
    }

    /// Sets the interval to the longest at whose end a measurement is not worth more than what is
    /// known then; `weight_after` tells what it will weigh, 0 to 1, that much later. To be called
    /// when an answer was used: it lets the interval double at most, as how long the next one takes
    /// to come is known from few.
    ///
    /// The request that is due next comes that much sooner or later, too: it is this answer that
    /// tells what another one is worth.
    pub(super) fn adapt(&mut self, now: MonoTime, weight_after: impl Fn(Span) -> f64) {
        if self.burst_left > 0 {
            return;
        }
        self.unused = 0;
        let watched = self.watched_since.map_or(Span::ZERO, |since| now - since);
        let most = (self.poll + 1).min(self.range.max);
        let mut longer = (self.range.min + 1..=most).rev();
        let longest = longer.find(|&poll| {
            interval(poll) <= watched / WATCHED_SHARE
                && weight_after(self.until_answer(poll)) <= WEIGHT_WORTH
        });
        self.change(longest.unwrap_or(self.range.min));
    }

    /// Changes the interval; it is counted from the last request.
    fn change(&mut self, poll: i8) {
        let longer = interval(poll) - self.interval();
        self.poll = poll;
        // Within a row the next request comes soon, whatever the interval is.
        if self.row_left == 0 {
            self.next = self.next.map(|next| next + longer);
        }
    }

    /// How long it takes on average to the next answer, at the rate of the last eight polls.
    fn until_answer(&self, poll: i8) -> Span {
        let asked = self.tries.clamp(1, u8::BITS);
        let answered = self.reach.count_ones().clamp(1, asked);
        interval(poll) * i64::from(asked) / i64::from(answered)
    }

    /// Notes that an answer was not used: the source is asked less often.
    pub(super) fn rest(&mut self) {
        if self.burst_left > 0 {
            return;
        }
        self.unused += 1;
        if self.unused == UNUSED_ANSWERS {
            self.unused = 0;
            self.change((self.poll + 1).min(self.range.max));
        }
    }

    /// The clock is not what it was taken for: it is looked at closely until it is known again.
    pub(super) fn hasten(&mut self, now: MonoTime) {
        if self.burst_left > 0 {
            return;
        }
        self.poll = self.range.min;
        let soon = now + interval(self.poll) / if self.slowed { 1 } else { 4 };
        self.next = self.next.map(|next| next.min(soon));
    }

    /// The server wants to be asked less often: at most half as often from now on, and not soon.
    pub(super) fn slow_down(&mut self, now: MonoTime) {
        self.burst_left = 0;
        self.iburst = false;
        self.burst = false;
        self.slowed = true;
        self.range.min = (self.poll + 1).min(POLL_MAX);
        self.range.max = self.range.max.max(self.range.min);
        self.poll = self.range.min;
        self.next = Some(now + interval(self.poll));
    }

    /// Asks a few times in a row, beginning at once; not a server that has asked for less.
    pub(super) fn burst(&mut self, now: MonoTime) {
        if self.next.is_some() && self.burst_left == 0 && !self.slowed {
            self.burst_left = BURST_REQUESTS;
            self.next = Some(now);
        }
    }

    /// Reachability of the last eight polls, newest in the lowest bit.
    pub(super) fn reach(&self) -> u8 {
        self.reach
    }

    /// Whether eight polls in a row had no answer.
    pub(super) fn is_unreachable(&self) -> bool {
        self.reach == 0 && self.tries >= u8::BITS
    }

    /// Whether the source may still give its first answer at `at` and is worth waiting for.
    pub(super) fn is_untried(&self, at: MonoTime) -> bool {
        self.reach == 0
            && self.tries <= TRIES_BEFORE_DOUBT
            && self.untried_until().is_none_or(|until| at < until)
    }

    /// Until when its first answer is waited for at most, once it was asked.
    pub(super) fn untried_until(&self) -> Due {
        self.asked_from.map(|from| from + FIRST_WAIT_MAX)
    }

    /// log2 of the interval in seconds.
    pub(super) fn poll(&self) -> i8 {
        self.poll
    }

    /// The regular interval.
    pub(super) fn interval(&self) -> Span {
        interval(self.poll)
    }
}

fn interval(poll: i8) -> Span {
    const SECOND: i64 = 1_000_000_000;
    let poll = poll.clamp(POLL_MIN, POLL_MAX);
    Span::from_nanos(if poll < 0 { SECOND >> -poll } else { SECOND << poll })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock has been watched for long enough for any interval.
    const LATE: MonoTime = MonoTime::from_nanos(1_000_000 * 1_000_000_000);

    fn polling(min: i8, max: i8) -> (Polling, Random) {
        let mut polling = Polling::new(PollRange { min, max }, true, false);
        polling.start(MonoTime::ZERO);
        polling.watched_since = Some(MonoTime::ZERO);
        (polling, Random::new([3; 32]))
    }

    #[test]
    fn a_burst_comes_first_and_the_interval_stays_near_its_nominal_length() {
        let (mut polling, mut random) = polling(6, 10);
        let mut at = MonoTime::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..10 {
            polling.sent(at, &mut random);
            let next = polling.due().unwrap();
            pauses.push(next - at);
            at = next;
        }
        for (pause, seconds) in pauses.iter().zip([2, 2, 2, 4, 8, 16, 32, 64, 64, 64]) {
            let off = (*pause - Span::from_secs(seconds)).abs();
            assert!(off < Span::from_millis(300), "{pauses:?}");
        }
        assert!(polling.is_unreachable());
    }

    #[test]
    fn with_bursts_each_poll_is_four_requests_and_the_interval_stays() {
        let mut random = Random::new([3; 32]);
        let mut polling = Polling::new(PollRange { min: 6, max: 6 }, false, true);
        polling.start(MonoTime::ZERO);
        let mut at = MonoTime::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            polling.sent(at, &mut random);
            let next = polling.due().unwrap();
            pauses.push(next - at);
            at = next;
        }
        for (pause, seconds) in pauses.iter().zip([2, 2, 2, 58, 2, 2, 2, 58, 2]) {
            let off = (*pause - Span::from_secs(seconds)).abs();
            assert!(off < Span::from_secs(1), "{pauses:?}");
        }
        // Who asks for less is not asked in rows any more.
        polling.slow_down(at);
        polling.sent(at, &mut random);
        assert!(polling.due().unwrap() - at > Span::from_secs(120));
    }

    #[test]
    fn a_source_is_asked_when_a_measurement_will_be_worth_it_within_the_limits() {
        let (mut polling, _) = polling(4, 10);
        let worth_after = |seconds: i64| {
            move |after: Span| if after <= Span::from_secs(seconds) { 0.5 } else { 0.6 }
        };
        polling.adapt(LATE, worth_after(i64::MAX / 1_000_000_000));
        assert_eq!(polling.poll(), 4, "the burst has not ended");
        polling.burst_left = 0;
        for (worth_s, poll) in [(512, 5), (512, 6), (127, 6), (300, 7), (300, 8), (300, 8), (9, 4)]
        {
            polling.adapt(LATE, worth_after(worth_s));
            assert_eq!(polling.poll(), poll, "worth it after {worth_s} s");
        }
        (0..20).for_each(|_| polling.adapt(LATE, |_| 0.0));
        assert_eq!(polling.poll(), 10);
        // Of four requests three are lost.
        (polling.reach, polling.tries) = (0b0001_0001, 8);
        polling.adapt(LATE, worth_after(256));
        assert_eq!(polling.poll(), 6);
    }

    #[test]
    fn no_interval_is_longer_than_half_of_the_time_that_the_clock_was_watched() {
        let (mut polling, _) = polling(6, 10);
        polling.burst_left = 0;
        for (second, poll) in [(150, 6), (255, 6), (256, 7), (2_000, 8), (2_000, 9), (2_048, 10)] {
            polling.adapt(MonoTime::ZERO + Span::from_secs(second), |_| 0.0);
            assert_eq!(polling.poll(), poll, "after {second} s");
        }
    }

    #[test]
    fn what_an_answer_tells_counts_for_the_very_next_request() {
        let (mut polling, mut random) = polling(4, 10);
        polling.burst_left = 0;
        let mut asked_at = MonoTime::ZERO;
        let mut pauses = Vec::new();
        for weight in [0.0, 0.0, 0.0, 1.0, 0.0] {
            polling.sent(asked_at, &mut random);
            polling.answered(asked_at);
            polling.adapt(LATE, |_| weight);
            let next = polling.due().unwrap();
            pauses.push(next - asked_at);
            asked_at = next;
        }
        for (pause, seconds) in pauses.iter().zip([32, 64, 128, 16, 32]) {
            assert!((*pause - Span::from_secs(seconds)).abs() < Span::from_secs(1), "{pauses:?}");
        }
    }

    #[test]
    fn a_change_of_the_interval_leaves_a_row_as_it_is() {
        let mut random = Random::new([3; 32]);
        let mut polling = Polling::new(PollRange { min: 6, max: 10 }, false, true);
        polling.start(MonoTime::ZERO);
        polling.watched_since = Some(MonoTime::ZERO);
        let mut at = MonoTime::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            polling.sent(at, &mut random);
            polling.answered(at);
            polling.adapt(LATE, |_| 0.0);
            pauses.push(polling.due().unwrap() - at);
            at = polling.due().unwrap();
        }
        for (pause, seconds) in pauses.iter().zip([2, 2, 2, 1_018, 2, 2]) {
            assert!((*pause - Span::from_secs(seconds)).abs() < Span::from_secs(1), "{pauses:?}");
        }
    }

    #[test]
    fn a_source_that_is_not_used_is_asked_less_and_less() {
        let (mut polling, _) = polling(-4, 17);
        polling.burst_left = 0;
        polling.rest();
        assert_eq!(polling.poll(), -4);
        polling.rest();
        assert_eq!(polling.poll(), -3);
        (0..1_000).for_each(|_| polling.rest());
        assert_eq!(polling.interval(), Span::from_secs(131_072));
        polling.adapt(LATE, |_| 1.0);
        assert_eq!(polling.interval(), Span::from_micros(62_500));
        assert_eq!(interval(i8::MAX), Span::from_secs(131_072));
    }

    #[test]
    fn a_server_that_asks_for_less_gets_less() {
        let (mut polling, _) = polling(6, 6);
        polling.slow_down(MonoTime::ZERO);
        assert_eq!(polling.poll(), 7);
        assert_eq!(polling.due(), Some(MonoTime::ZERO + Span::from_secs(128)));
        for _ in 0..100 {
            polling.slow_down(MonoTime::ZERO);
        }
        assert_eq!(polling.poll(), POLL_MAX);
    }

    #[test]
    fn a_server_that_asked_for_less_is_never_asked_in_a_row_again() {
        let (mut polling, mut random) = polling(6, 6);
        polling.sent(MonoTime::ZERO, &mut random);
        polling.answered(MonoTime::ZERO);
        polling.slow_down(MonoTime::ZERO);
        let due = polling.due().unwrap();
        assert_eq!(due, MonoTime::ZERO + Span::from_secs(128));
        // The clock jumped; it is looked at closely; the server counts as silent.
        polling.burst(MonoTime::ZERO);
        polling.hasten(MonoTime::ZERO);
        polling.restart(MonoTime::ZERO);
        assert_eq!(polling.due(), Some(due));
        let mut at = due;
        for heard in [false, false, true, true] {
            polling.sent(at, &mut random);
            let next = polling.due().unwrap();
            assert!(next - at > Span::from_secs(120), "{}", next - at);
            at = next;
            if heard {
                polling.answered(at - Span::from_secs(100));
            }
        }
    }
}
