//! What everybody may read of the schedules: written by the dispatcher, never waited for by it.

use crate::files::LoadedSchedule;
use crate::lateness::Histogram;
use crate::store::{Event, HistoryEntry, LedgerCounters, Pause, Tally};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use timeball_api::files::{FileProblem, Reload};
use timeball_api::schedules as api;
use timeball_schedule::language::LeftOut;
use timeball_schedule::planner::Times;
use timeball_schedule::{FireId, Reason, ScheduleUid, Trigger};
use timeball_timebase::{Span, Timestamp};

/// How many next instants are shown.
const NEXT_MAX: usize = 10;
/// How far ahead an instant is looked for that calendars leave out.
const LEFT_OUT_AHEAD: Span = Span::from_secs(2 * 366 * 86_400);
/// How long it is taken for granted that there is none.
const NONE_LEFT_OUT_FOR: Span = Span::from_secs(86_400);

/// Outcomes counted by what made the fire happen, their word and their reason.
pub(crate) type Outcomes = BTreeMap<(&'static str, &'static str, &'static str), u64>;

/// The state of all schedules as others see it.
#[derive(Default)]
pub(crate) struct Board(Mutex<Content>);

#[derive(Default)]
struct Content {
    panels: BTreeMap<ScheduleUid, Arc<Panel>>,
    file_problems: Vec<FileProblem>,
    store_problem: Option<FileProblem>,
    reload: Option<Reload>,
    ledger: LedgerCounters,
    /// Outcomes of this process, of all schedules.
    tally: Tally,
    /// The same by trigger and reason.
    outcomes: Outcomes,
    /// Lateness of all fires of this process.
    lateness: Histogram,
}

/// One schedule.
pub(crate) struct Panel {
    pub(crate) schedule: LoadedSchedule,
    progress: Mutex<Progress>,
    /// What calendars leave out next: found with a search through years of days, and asked for
    /// each second.
    left_out: Mutex<Option<Box<LeftOutNext>>>,
}

/// An answer to what calendars leave out next.
struct LeftOutNext {
    /// It holds from when it was found,
    found_at: Timestamp,
    /// and ends before then.
    until: Timestamp,
    answer: Option<api::LeftOut>,
}

/// How one schedule fares.
#[derive(Clone, Default)]
pub(crate) struct Progress {
    pub(crate) last: Option<HistoryEntry>,
    pub(crate) tally: Tally,
    pub(crate) lateness: Histogram,
    pub(crate) running: u32,
    /// Outcomes of what was asked for.
    pub(crate) requested: Tally,
    pub(crate) paused: Option<Pause>,
    pub(crate) failures: u32,
}

/// Numbers for metrics.
pub(crate) struct Totals {
    pub(crate) schedules: u64,
    pub(crate) running: u64,
    pub(crate) problems: u64,
    /// The next instant of all, by the clock that its schedule follows.
    pub(crate) next: Option<Timestamp>,
    pub(crate) paused: u64,
    pub(crate) tally: Tally,
    pub(crate) outcomes: Outcomes,
    pub(crate) lateness: Histogram,
    pub(crate) ledger: LedgerCounters,
}

impl Board {
    /// Puts up a schedule, with what is known of it so far.
    pub(crate) fn put(&self, schedule: LoadedSchedule, progress: Progress) {
        let uid = schedule.spec.uid;
        let panel = Arc::new(Panel::new(schedule, progress));
        self.lock().panels.insert(uid, panel);
    }

    pub(crate) fn remove(&self, uid: ScheduleUid) {
        self.lock().panels.remove(&uid);
    }

    pub(crate) fn panel(&self, uid: ScheduleUid) -> Option<Arc<Panel>> {
        self.lock().panels.get(&uid).map(Arc::clone)
    }

    /// The schedule of that name.
    pub(crate) fn named(&self, namespace: &str, name: &str) -> Option<ScheduleUid> {
        let content = self.lock();
        let mut panels = content.panels.iter();
        let found = panels.find(|(_, panel)| {
            let of = &panel.schedule.name;
            of.namespace == namespace && of.name == name
        });
        found.map(|(uid, _)| *uid)
    }

    pub(crate) fn set_file_problems(&self, problems: Vec<FileProblem>) {
        self.lock().file_problems = problems;
    }

    pub(crate) fn set_reload(&self, reload: Reload) {
        self.lock().reload = Some(reload);
    }

    pub(crate) fn set_store(&self, counters: LedgerCounters, problem: Option<FileProblem>) {
        let mut content = self.lock();
        (content.ledger, content.store_problem) = (counters, problem);
    }

    /// Counts an outcome for the process as a whole.
    pub(crate) fn count(&self, entry: &HistoryEntry) {
        let trigger = Trigger::of(entry.from);
        let reason = entry.outcome.reason().map_or("", Reason::name);
        let mut content = self.lock();
        if trigger == Trigger::Schedule {
            content.tally.add(entry.outcome, entry.count);
        }
        *content.outcomes.entry((trigger.name(), entry.outcome.name(), reason)).or_default() +=
            entry.count;
    }

    pub(crate) fn count_lateness(&self, lateness: Span) {
        self.lock().lateness.add(lateness);
    }

    /// Everything, by namespace and name, as of `now`.
    pub(crate) fn report(&self, now: &Times) -> api::Schedules {
        // The lock is held only to copy handles: next instants may take a while to find.
        let (panels, problems, reload) = {
            let content = self.lock();
            let panels: Vec<Arc<Panel>> = content.panels.values().map(Arc::clone).collect();
            let problems = content.store_problem.iter().chain(&content.file_problems);
            (panels, problems.cloned().collect(), content.reload.clone())
        };
        let mut schedules: Vec<api::Schedule> =
            panels.iter().map(|panel| panel.report(panel.time(now))).collect();
        schedules.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        api::Schedules { schedules, problems, reload }
    }

    pub(crate) fn totals(&self, now: &Times) -> Totals {
        let (panels, mut totals) = {
            let content = self.lock();
            let panels: Vec<Arc<Panel>> = content.panels.values().map(Arc::clone).collect();
            let problems = content.file_problems.len() + content.store_problem.iter().len();
            let totals = Totals {
                schedules: panels.len() as u64,
                running: 0,
                problems: problems as u64,
                next: None,
                paused: 0,
                tally: content.tally,
                outcomes: content.outcomes.clone(),
                lateness: content.lateness.clone(),
                ledger: content.ledger,
            };
            (panels, totals)
        };
        let mut soonest: Option<(Span, Timestamp)> = None;
        for panel in panels {
            totals.running += u64::from(panel.progress().running);
            totals.paused += u64::from(panel.progress().paused.is_some());
            let now = panel.time(now);
            let next = panel.next(now, 1).pop().map(|at| (at - now, at));
            soonest = soonest.into_iter().chain(next).min();
        }
        totals.next = soonest.map(|(_, at)| at);
        totals
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Panel {
    fn new(schedule: LoadedSchedule, progress: Progress) -> Self {
        Self { schedule, progress: Mutex::new(progress), left_out: Mutex::default() }
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the clock shows that the schedule follows.
    fn time(&self, now: &Times) -> Timestamp {
        now.by(self.schedule.spec.clock.follow)
    }

    /// The next instants after `now`, which is by that clock as everywhere here.
    fn next(&self, now: Timestamp, n: usize) -> Vec<Timestamp> {
        let spec = &self.schedule.spec;
        if spec.suspended || self.progress().paused.is_some() {
            return Vec::new();
        }
        let next = |after: &Timestamp| spec.schedule.next_after(*after);
        std::iter::successors(next(&now), next).take(n).collect()
    }

    fn left_out(&self, now: Timestamp) -> Option<api::LeftOut> {
        let mut kept = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = kept.as_ref().filter(|next| (next.found_at..next.until).contains(&now))
        {
            return next.answer.clone();
        }
        let schedule = &self.schedule.spec.schedule;
        let found = schedule.next_left_out(now, now + LEFT_OUT_AHEAD);
        let until = found.map_or(now + NONE_LEFT_OUT_FOR, |found| found.at);
        let answer = found.map(|LeftOut { at, excluded_by }| api::LeftOut {
            at_ns: at.as_unix_nanos(),
            excluded_by: excluded_by.map(str::to_owned),
        });
        *kept = Some(Box::new(LeftOutNext { found_at: now, until, answer: answer.clone() }));
        answer
    }

    fn report(&self, now: Timestamp) -> api::Schedule {
        let LoadedSchedule { spec, target, name, expression, .. } = &self.schedule;
        let progress = self.progress().clone();
        let (include, exclude) = (spec.schedule.included(), spec.schedule.excluded());
        let is_every_day = include.is_empty() && exclude.is_empty();
        let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        api::Schedule {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            uid: spec.uid.to_string(),
            schedule: expression.clone(),
            time_zone: spec.schedule.zone().name().to_owned(),
            target: target.to_string(),
            suspended: spec.suspended,
            next_ns: self.next(now, NEXT_MAX).into_iter().map(Timestamp::as_unix_nanos).collect(),
            include: names(include),
            exclude: names(exclude),
            left_out: if is_every_day { None } else { self.left_out(now) },
            last: progress.last.as_ref().map(outcome),
            paused: progress.paused.as_ref().map(|pause| api::Pause {
                at_ns: pause.at_ns,
                by: pause.by.clone(),
                why: pause.why.clone(),
            }),
            failures: progress.failures,
            pause_on_failure: spec.pause_on_failure,
            counts: counts(progress.tally),
            requested: counts(progress.requested),
            lateness: progress.lateness.report(),
            running: progress.running,
        }
    }
}

fn counts(tally: Tally) -> api::Counts {
    let Tally { fired, missed, skipped, failed, unknown } = tally;
    api::Counts { fired, missed, skipped, failed, unknown }
}

/// The API's form of what somebody did.
pub(crate) fn event(event: &Event) -> api::Event {
    let Event { kind, at_ns, by, why, from_ns, until_ns, count } = event.clone();
    api::Event { kind: kind.name().to_owned(), at_ns, by, why, from_ns, until_ns, count }
}

/// The API's form of an outcome.
pub(crate) fn outcome(entry: &HistoryEntry) -> api::Outcome {
    let detail = entry.detail;
    api::Outcome {
        result: entry.outcome.name().to_owned(),
        reason: entry.outcome.reason().map_or("", Reason::name).to_owned(),
        explanation: entry.outcome.explanation().to_owned(),
        trigger: Trigger::of(entry.from).name().to_owned(),
        message: entry.message.clone(),
        scheduled_ns: nominal(entry.from),
        until_ns: nominal(entry.until),
        count: entry.count,
        lateness_ns: detail.lateness.map(Span::as_nanos),
        clock_bound_ns: detail.clock_bound.map(Span::as_nanos),
        duration_ns: detail.duration.map(Span::as_nanos),
        clock_exceeded: detail.clock_exceeded,
    }
}

/// The instant that a fire stands for, whatever made it happen.
fn nominal(scheduled_at: Timestamp) -> i64 {
    FireId { schedule: ScheduleUid([0; 16]), scheduled_at }.nominal().as_unix_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::LoadedSet;
    use crate::zones::Zones;

    #[test]
    fn what_calendars_leave_out_next_is_searched_for_anew_only_where_the_answer_may_be_another() {
        let eve = Timestamp::from_unix(1_924_300_800, 0); // 2030-12-24T00:00:00Z
        let at = |day: i64, hour: i64| eve + Span::from_secs(day * 86_400 + hour * 3_600);
        let text = "\
apiVersion: timeball.dev/v1alpha1
kind: Calendar
metadata: { name: holidays }
spec: { days: [{ date: 2030-12-25 }] }
---
apiVersion: timeball.dev/v1alpha1
kind: PreciseCronJob
metadata: { name: daily }
spec:
  schedule: '0 9 * * *'
  exclude: [{ calendar: holidays }]
  target: { exec: { command: ['true'] } }
";
        let set = LoadedSet::of_text(text, &mut Zones::new());
        assert_eq!(set.problems, []);
        let schedule = set.schedules.into_values().next().unwrap();
        let panel = Panel::new(schedule, Progress::default());
        let left_out = |now| {
            let next = panel.report(now).left_out.map(|next| next.at_ns);
            (next, panel.left_out.lock().unwrap().as_ref().unwrap().found_at)
        };
        let christmas = Some(at(1, 9).as_unix_nanos());
        assert_eq!(left_out(at(0, 0)), (christmas, at(0, 0)));
        assert_eq!(left_out(at(1, 8)), (christmas, at(0, 0)), "the same answer");
        assert_eq!(left_out(at(1, 9)), (None, at(1, 9)), "it is over");
        assert_eq!(left_out(at(2, 8)), (None, at(1, 9)), "none for a day");
        assert_eq!(left_out(at(2, 9)), (None, at(2, 9)));
        assert_eq!(left_out(at(1, 0)), (christmas, at(1, 0)), "the clock was set back");
    }
}
