//! The engine under a script of inputs that nobody sane would give it: answers with arbitrary
//! content, stamps and clocks that jump by years, writes that are refused, wake-ups that come at
//! any time. It never panics, never talks to itself, and what it publishes makes sense.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use timeball_ntp::engine::{
    Action, AdjustError, ClockMode, Command, Engine, EngineConfig, Input, KernelClock, LeapPolicy,
    ResolveError, SendError, SourceConfig, SourceId, SourceOptions, TransmitToken,
};
use timeball_ntp::mac::KeyRing;
use timeball_timebase::{Frequency, MonoTime, Now, Span, SyncState, Timestamp};

const SOURCES: usize = 3;
/// Actions that may follow from one input.
const ROUNDS_MAX: usize = 100;
/// Inputs of one script.
const INPUTS_MAX: usize = 600;
const ORIGIN: std::ops::Range<usize> = 24..32;
const TRANSMIT: std::ops::Range<usize> = 40..48;

pub(crate) fn check(octets: &[u8]) {
    let mut script = Script(octets);
    let mut rig = Rig::new(script.octet());
    for _ in 0..INPUTS_MAX {
        if script.0.is_empty() {
            break;
        }
        rig.step(&mut script);
    }
}

/// What is left of the fuzzer's octets; zeros beyond the end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.octet()).collect()
    }

    /// Small or enormous, either way, in nanoseconds.
    fn span(&mut self) -> Span {
        const SECOND: i64 = 1_000_000_000;
        let scale = [1, 1_000, 10_000, 1_000_000, SECOND, 100_000 * SECOND, i64::MAX / 128];
        let scale = scale[usize::from(self.octet()) % scale.len()];
        Span::from_nanos(i64::from(self.octet().cast_signed()).saturating_mul(scale))
    }
}

struct Rig {
    engine: Engine,
    now: Now,
    kernel: KernelClock,
    /// What was asked last of each source, with its token while the stamp has not come.
    asked: [Option<Vec<u8>>; SOURCES],
    tokens: VecDeque<TransmitToken>,
    wake_at: Option<MonoTime>,
    refuses: bool,
}

impl Rig {
    fn new(choice: u8) -> Self {
        // Half a minute before a leap second could come, and before the era ends, or so.
        let start_s = [1_798_761_570, 2_085_978_466][usize::from(choice & 1)];
        let raw = MonoTime::from_nanos(86_400_000_000_000);
        let now = Now::exact(raw, Timestamp::from_unix(start_s, 0));
        let options = |i: usize| SourceOptions {
            iburst: choice & 2 == 0,
            interleaved: i == 1,
            prefer: i == 2 && choice & 4 != 0,
            trust: i == 0 && choice & 8 != 0,
            ..SourceOptions::default()
        };
        let source = |i: usize| SourceConfig {
            options: options(i),
            ..SourceConfig::new(format!("192.0.2.{}", i + 1), 123)
        };
        let config = EngineConfig {
            mode: if choice & 16 == 0 { ClockMode::Discipline } else { ClockMode::Observe },
            leap: [LeapPolicy::System, LeapPolicy::Slew, LeapPolicy::Ignore]
                [usize::from(choice >> 5) % 3],
            sources: (0..SOURCES).map(source).collect(),
            keys: KeyRing::default(),
            kernel: Some(KernelClock::default()),
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, [7; 32], now);
        let actions = engine.start(now);
        let mut rig = Self {
            engine,
            now,
            kernel: KernelClock::default(),
            asked: [const { None }; SOURCES],
            tokens: VecDeque::new(),
            wake_at: None,
            refuses: false,
        };
        rig.carry_out(actions);
        rig
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.octet() % 10 {
            // The common case: time passes to the next wake-up.
            0..=2 => {
                let until = self.wake_at.unwrap_or(self.now.raw + Span::from_secs(1));
                self.pass((until - self.now.raw).max(Span::NANOSECOND));
                self.feed(Input::Wake);
            }
            3 | 4 => self.answer_well(script),
            5 => self.answer_arbitrarily(script),
            6 => {
                // Raw clocks do not go back, and no script is as long as a year.
                self.pass(script.span().abs().min(Span::from_secs(1_000_000)));
                self.feed(Input::Wake);
            }
            7 => {
                self.now.system += script.span();
                self.feed(Input::ClockJumped);
            }
            8 => self.refuses = !self.refuses,
            _ => self.odd(script),
        }
        self.judge();
    }

    fn pass(&mut self, span: Span) {
        self.now.raw += span;
        self.now.system += span + self.kernel.frequency.over(span);
    }

    /// An honest answer but for what the script changes: offset, delay, leap and stratum.
    fn answer_well(&mut self, script: &mut Script<'_>) {
        let source = usize::from(script.octet()) % SOURCES;
        let Some(request) = self.asked[source].clone() else { return };
        // Mostly what can be used, or nothing else would ever be reached.
        let leap = script.octet().saturating_sub(192);
        let stratum = script.octet() % 17;
        let delay = Span::from_nanos(i64::from(script.octet()) * 40_000);
        let told = self.now.system + script.span() + delay / 2;
        self.pass(delay);
        let mut answer = vec![0; 48];
        answer[0] = leap << 6 | 4 << 3 | 4;
        answer[1] = stratum;
        answer[3] = 0xe8;
        answer[ORIGIN].copy_from_slice(&request[TRANSMIT]);
        let stamp = timeball_timebase::NtpTime::from_timestamp(told).to_bits().to_be_bytes();
        answer[32..40].copy_from_slice(&stamp);
        answer[TRANSMIT].copy_from_slice(&stamp);
        self.deliver(source, &answer, self.now.system);
    }

    fn answer_arbitrarily(&mut self, script: &mut Script<'_>) {
        let source = usize::from(script.octet()) % SOURCES;
        let length = usize::from(script.octet());
        let mut octets = script.take(length);
        if let (Some(origin), Some(request)) = (octets.get_mut(ORIGIN), &self.asked[source]) {
            origin.copy_from_slice(&request[TRANSMIT]);
        }
        let received_at = self.now.system + script.span();
        self.deliver(source, &octets, received_at);
    }

    fn odd(&mut self, script: &mut Script<'_>) {
        let source = SourceId(u16::from(script.octet() % 5));
        match script.octet() % 7 {
            0 => self.feed(Input::Command(Command::Burst)),
            1 => self.feed(Input::Resolved { source, result: Err(ResolveError::NotFound) }),
            2 => {
                let address = SocketAddr::from(([192, 0, 2, script.octet()], 123));
                self.feed(Input::Resolved { source, result: Ok(vec![address]) });
            }
            3 => self.feed(Input::AdjustOutcome(Ok(KernelClock {
                frequency: Frequency::from_ppm(i64::from(script.octet())),
                ..self.kernel
            }))),
            4 => {
                let time = Timestamp::from_unix(self.now.system.as_unix_nanos() / 1_000_000_000, 0);
                let hardware_clock = (script.octet() < 128).then(|| time + script.span());
                self.feed(Input::HardwareClock(hardware_clock));
            }
            5 => {
                let address = IpAddr::from([192, 0, 2, script.octet()]);
                let port = (script.octet() < 128).then_some(123);
                self.feed(Input::OwnAddress { address, port });
            }
            _ => {
                let Some(token) = self.tokens.pop_front() else { return };
                let sent_at = self.now.system + script.span();
                if script.octet() < 128 {
                    self.feed(Input::Transmitted { token, sent_at });
                } else {
                    let error = SendError::NotSent { errno: 101 };
                    self.feed(Input::SendFailed { token, error });
                }
            }
        }
    }

    fn deliver(&mut self, source: usize, octets: &[u8], received_at: Timestamp) {
        let from = SocketAddr::from(([192, 0, 2, source as u8 + 1], 123));
        let source = SourceId(source as u16);
        self.feed(Input::Datagram { source, from, octets, received_at });
    }

    fn feed(&mut self, input: Input<'_>) {
        let actions = self.engine.handle_input(self.now, input);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        let mut rounds = 0;
        while let Some(action) = actions.pop_front() {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "the engine talks to itself");
            if action.is_write() && !self.engine.keeps_clock() {
                continue;
            }
            let outcome = match action {
                Action::Send { source, octets, token, .. } => {
                    self.asked[usize::from(source.0)] = Some(octets);
                    self.tokens.push_back(token);
                    self.tokens.truncate(8);
                    continue;
                }
                Action::WakeAt(at) => {
                    self.wake_at = Some(at);
                    continue;
                }
                Action::SetFrequency(_) | Action::Step(_) | Action::SetKernelStatus(_)
                    if self.refuses =>
                {
                    Err(AdjustError::Failed { errno: 22 })
                }
                Action::SetFrequency(frequency) => {
                    assert!(frequency.abs() <= Frequency::from_ppm(100_000), "{frequency:?}");
                    self.kernel.frequency = frequency;
                    Ok(self.kernel)
                }
                Action::Step(by) => {
                    self.now.system += by;
                    Ok(self.kernel)
                }
                Action::SetKernelStatus(status) => {
                    assert!(
                        !status.max_error.is_negative() && !status.estimated_error.is_negative()
                    );
                    Ok(self.kernel)
                }
                Action::ReadKernel => Ok(self.kernel),
                _ => continue,
            };
            actions.extend(self.engine.handle_input(self.now, Input::AdjustOutcome(outcome)));
        }
    }

    /// Whatever it was told, what it tells can be used.
    fn judge(&self) {
        let state = self.engine.clock_state();
        if let Some(bound) = state.bound {
            assert!(bound.half_width > Span::ZERO && bound.growth >= Frequency::ZERO, "{bound:?}");
            assert!(state.offset.is_some());
            assert!((1..=16).contains(&state.stratum), "{state:?}");
            assert!(!state.root_delay.is_negative() && !state.root_dispersion.is_negative());
        } else {
            assert_eq!((state.state, state.offset), (SyncState::Unsynchronized, None));
        }
        let report = self.engine.report(self.now);
        assert_eq!(report.sources.len(), SOURCES);
    }
}
