//! The scheduling core: what a schedule expression means, and what is to be done about it when.
//!
//! Pure: instants come as arguments, the zone database as TZif octets, effects leave as actions.
//!
//! # What an expression means
//! ```
//! use timeball_schedule::language::{Dialect, Schedule, Zone};
//! use timeball_timebase::Timestamp;
//!
//! let schedule = Schedule::parse("*/0.250 * * * * *", Dialect::Vixie, &Zone::utc(), None)?;
//! let now = Timestamp::from_unix(1_800_000_000, 100_000_000);
//! let next = schedule.next_after(now).expect("there is always a next quarter second");
//! assert_eq!(next.to_string(), "2027-01-15T08:00:00.250Z");
//! assert_eq!(schedule.describe(), "every 250 ms");
//! # Ok::<(), timeball_schedule::language::ParseError>(())
//! ```
//!
//! # Embedding the planner
//! The planner is told what happened and answers with what is to be done. Whoever embeds it keeps
//! claims and records durably, waits until the instants, and carries the work out. Here a store
//! that never fails, and a clock that jumps from instant to instant:
//! ```
//! use timeball_schedule::language::{Dialect, Schedule, Zone};
//! use timeball_schedule::planner::{
//!     Action, CatchUp, CatchUpPolicy, ClaimResult, ClockPolicy, Concurrency, Input, Planner,
//!     PlannerOptions, Resume, ScheduleSpec,
//! };
//! use timeball_schedule::{Outcome, ScheduleUid};
//! use timeball_timebase::{Span, Timestamp};
//!
//! let schedule = Schedule::parse("@every 10ms", Dialect::Vixie, &Zone::utc(), None)?;
//! let spec = ScheduleSpec {
//!     uid: ScheduleUid([7; 16]),
//!     generation: 1,
//!     schedule,
//!     suspended: false,
//!     deadline: None,
//!     concurrency: Concurrency::Allow,
//!     catch_up: CatchUp {
//!         policy: CatchUpPolicy::Latest,
//!         window: Span::from_secs(86_400),
//!         limit: 1,
//!     },
//!     jitter: Span::ZERO,
//!     pause_on_failure: None,
//!     clock: ClockPolicy::default(),
//! };
//! let mut planner = Planner::new(PlannerOptions::default());
//! let mut now = Timestamp::from_unix(1_800_000_000, 0);
//! // Nothing is known of it from before.
//! let upsert = Input::Upsert { spec: Box::new(spec), resume: Resume::default() };
//! let mut inputs = vec![upsert, Input::Wake];
//! let mut fired = Vec::new();
//! while fired.len() < 3 {
//!     let mut next = Vec::new();
//!     for input in inputs.drain(..) {
//!         for action in planner.handle_input(now, input) {
//!             match action {
//!                 // A real store writes them in one commit before it answers.
//!                 Action::Claim(claims) => {
//!                     let claimed = claims.iter().map(|claim| (claim.fire, ClaimResult::Claimed));
//!                     next.push(Input::Claimed(claimed.collect()));
//!                 }
//!                 // A real shell prepares the target now and lets it go at `release_at`.
//!                 Action::Arm(armed) => {
//!                     now = now.max(armed.release_at);
//!                     fired.push(armed.fire.scheduled_at);
//!                     let (fire, lateness) = (armed.fire, now - armed.release_at);
//!                     next.push(Input::Released {
//!                         fire,
//!                         lateness,
//!                         clock_bound: None,
//!                         clock_exceeded: false,
//!                     });
//!                     let outcome = Outcome::Fired;
//!                     next.push(Input::Finished { fire, outcome, duration: None });
//!                 }
//!                 Action::WakeAt(at) if next.is_empty() => {
//!                     now = now.max(at);
//!                     next.push(Input::Wake);
//!                 }
//!                 // Records are kept; revoked and stopped fires are none here.
//!                 _ => {}
//!             }
//!         }
//!     }
//!     inputs = next;
//! }
//! assert_eq!(fired[0].to_string(), "2027-01-15T08:00:00.010Z");
//! # Ok::<(), timeball_schedule::language::ParseError>(())
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod fire;
pub mod language;
mod mix;
pub mod planner;
mod retry;
mod trigger;

pub use fire::{FireDetail, FireId, Outcome, Reason, ScheduleUid};
pub use trigger::{BACKFILLS_MAX, Trigger};
