//! From a document to a schedule that can be planned.

use super::LoadedSchedule;
use super::calendars::{Calendars, Chosen};
use super::checks::{check_name, expect, fingerprint, range};
use super::error::DocumentError;
use super::target;
use crate::store::DetailLimits;
use crate::targets::ScheduleName;
use crate::zones::Zones;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use timeball_api::cron_job::{self, Metadata, PreciseCronJob, Spec};
use timeball_schedule::ScheduleUid;
use timeball_schedule::language::{Dialect, DstPolicy, Schedule, Zone};
use timeball_schedule::planner::{
    CatchUp, CatchUpPolicy, ClockPolicy, Concurrency, FireMode, Follow, OnExceeded, ScheduleSpec,
};
use timeball_timebase::Span;
use uuid::Uuid;

/// The namespace of the uids that are made of namespace and name: UUIDv5 of `timeball.dev` in the
/// namespace of DNS names.
const UID_NAMESPACE: Uuid = Uuid::from_u128(0x7921_d042_b316_5cdd_b282_3728_e6d5_ed07);

/// The longest deadline and catch-up window, in seconds.
pub(crate) const YEAR_S: i64 = 366 * 86_400;
const NAME_OCTETS_MAX: usize = 52;
const NAMESPACE_OCTETS_MAX: usize = 63;
/// The largest history limit.
pub(crate) const DETAILS_MAX: i64 = 10_000;
const CATCH_UP_MAX: i64 = 1_000;
const FAILURES_MAX: i64 = 1_000_000;

/// Checks a document and compiles it.
pub(super) fn schedule(
    document: &PreciseCronJob,
    calendars: &Calendars,
    zones: &mut Zones,
) -> Result<LoadedSchedule, DocumentError> {
    let PreciseCronJob { api_version, kind, metadata, spec } = document;
    expect("apiVersion", api_version, cron_job::API_VERSION)?;
    expect("kind", kind, cron_job::KIND)?;
    check_name("metadata.name", &metadata.name, NAME_OCTETS_MAX)?;
    check_name("metadata.namespace", &metadata.namespace, NAMESPACE_OCTETS_MAX)?;
    let name = ScheduleName { namespace: metadata.namespace.clone(), name: metadata.name.clone() };
    let uid = uid(metadata)?;
    let zone = zones.zone(spec.time_zone.as_deref().unwrap_or("Etc/UTC"))?;
    let include = calendars.choose("spec.include", &name.namespace, &spec.include)?;
    let exclude = calendars.choose("spec.exclude", &name.namespace, &spec.exclude)?;
    let days = days_definition(&include, &exclude);
    let compiled = compile(spec, &zone, uid, (&include, &exclude))?;
    let clock = clock(&spec.clock)?;
    let spec_for_planner = ScheduleSpec {
        uid,
        generation: generation(document, &zone, &days),
        suspended: spec.suspend,
        deadline: deadline(spec)?,
        concurrency: concurrency(spec.concurrency_policy),
        catch_up: catch_up(&spec.catch_up)?,
        jitter: Span::from_millis(range(
            "spec.jitterMilliseconds",
            spec.jitter_milliseconds,
            0,
            86_400_000,
        )?),
        pause_on_failure: pause_on_failure(spec.pause_on_failure)?,
        clock,
        schedule: compiled,
    };
    let (successful, failed) = (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit);
    let limits = DetailLimits {
        successful: details("spec.successfulJobsHistoryLimit", successful)?,
        failed: details("spec.failedJobsHistoryLimit", failed)?,
    };
    let expression = spec.schedule.clone();
    let (dialect, dst) = (spec.dialect, spec.dst);
    let definition = format!("{expression} | {dialect:?} | {} | {dst:?}{days}", zone.name());
    let members = target::members(&spec.target);
    let target = target::parse(&spec.target)?.ok_or(DocumentError::Targets { count: members })?;
    let document = Arc::new(document.clone());
    Ok(LoadedSchedule {
        spec: spec_for_planner,
        target,
        name,
        expression,
        definition,
        limits,
        document,
    })
}

/// The identity of a schedule: its own, or one that is made of namespace and name.
pub(crate) fn uid(metadata: &Metadata) -> Result<ScheduleUid, DocumentError> {
    let Metadata { namespace, name, uid, .. } = metadata;
    let uid = match uid {
        None => Uuid::new_v5(&UID_NAMESPACE, format!("{namespace}/{name}").as_bytes()),
        Some(value) => {
            Uuid::parse_str(value).map_err(|_| DocumentError::Uid { value: value.clone() })?
        }
    };
    Ok(ScheduleUid(uid.into_bytes()))
}

fn compile(
    spec: &Spec,
    zone: &Zone,
    uid: ScheduleUid,
    (include, exclude): (&Chosen, &Chosen),
) -> Result<Schedule, DocumentError> {
    let (dialect, dst) = (dialect(spec), dst(spec));
    let expression = || spec.schedule.clone();
    let compiled = Schedule::parse_seeded(&spec.schedule, dialect, zone, dst, uid.seed())
        .map_err(|source| DocumentError::Expression { expression: expression(), source })?
        .on_days(&include.days, &exclude.days);
    // One that is over is none the worse for it: its file would else become wrong by itself, and
    // keep all others from being taken up.
    let now = timeball_runtime::read_clocks().system;
    if compiled.next_after(now).is_none() && compiled.previous_before(now).is_none() {
        let on_days = !include.days.is_empty() || !exclude.days.is_empty();
        return Err(DocumentError::NeverFires { expression: expression(), on_days });
    }
    Ok(compiled)
}

/// The dialect that a schedule names.
pub(crate) fn dialect(spec: &Spec) -> Dialect {
    match spec.dialect {
        cron_job::Dialect::Vixie => Dialect::Vixie,
        cron_job::Dialect::Kubernetes => Dialect::Kubernetes,
        cron_job::Dialect::Quartz => Dialect::Quartz,
        cron_job::Dialect::Ocps => Dialect::Ocps,
        cron_job::Dialect::Systemd => Dialect::Systemd,
    }
}

/// The rule for changes of the clocks that a schedule names.
pub(crate) fn dst(spec: &Spec) -> Option<DstPolicy> {
    spec.dst.map(|dst| match dst {
        cron_job::DstPolicy::Vixie => DstPolicy::Vixie,
        cron_job::DstPolicy::Kubernetes => DstPolicy::Kubernetes,
        cron_job::DstPolicy::Ocps => DstPolicy::Ocps,
    })
}

/// Nothing begins before its instant, so of a deadline of 0 nothing would ever begin.
fn deadline(spec: &Spec) -> Result<Option<Span>, DocumentError> {
    const SECONDS: &str = "spec.startingDeadlineSeconds";
    const MILLISECONDS: &str = "spec.startingDeadlineMilliseconds";
    match (spec.starting_deadline_seconds, spec.starting_deadline_milliseconds) {
        (Some(_), Some(_)) => Err(DocumentError::Both { first: SECONDS, second: MILLISECONDS }),
        (Some(seconds), None) => Ok(Some(Span::from_secs(range(SECONDS, seconds, 1, YEAR_S)?))),
        (None, Some(millis)) => {
            Ok(Some(Span::from_millis(range(MILLISECONDS, millis, 1, YEAR_S * 1_000)?)))
        }
        (None, None) => Ok(None),
    }
}

fn catch_up(form: &cron_job::CatchUp) -> Result<CatchUp, DocumentError> {
    let window = range("spec.catchUp.windowSeconds", form.window_seconds, 0, YEAR_S)?;
    let limit = range("spec.catchUp.limit", i64::from(form.limit), 0, CATCH_UP_MAX)?;
    let policy = match form.policy {
        cron_job::CatchUpPolicy::None => CatchUpPolicy::None,
        cron_job::CatchUpPolicy::Latest => CatchUpPolicy::Latest,
        cron_job::CatchUpPolicy::All => CatchUpPolicy::All,
    };
    let limit = u32::try_from(limit).expect("the range was checked");
    Ok(CatchUp { policy, window: Span::from_secs(window), limit })
}

fn clock(form: &cron_job::ClockPolicy) -> Result<ClockPolicy, DocumentError> {
    let max_error = form
        .max_error_milliseconds
        .map(|millis| range("spec.clock.maxErrorMilliseconds", millis, 1, 86_400_000))
        .transpose()?
        .map(Span::from_millis);
    let policy = ClockPolicy {
        follow: match form.follow {
            cron_job::Follow::Auto => Follow::Auto,
            cron_job::Follow::System => Follow::System,
            cron_job::Follow::Utc => Follow::Utc,
        },
        fire: match form.fire {
            cron_job::FireMode::Nearest => FireMode::Nearest,
            cron_job::FireMode::NotBefore => FireMode::NotBefore,
        },
        max_error,
        on_exceeded: match form.on_exceeded {
            cron_job::OnExceeded::Flag => OnExceeded::Flag,
            cron_job::OnExceeded::Delay => OnExceeded::Delay,
            cron_job::OnExceeded::Refuse => OnExceeded::Refuse,
        },
    };
    if policy.follow == Follow::System && policy.fire == FireMode::NotBefore {
        return Err(DocumentError::Combination {
            what: "spec.clock has `follow: System` with `fire: NotBefore`, but the system clock \
                says nothing of its error",
            fix: "use `follow: Auto` or `follow: UTC`, or `fire: Nearest`",
        });
    }
    if policy.on_exceeded != OnExceeded::Flag
        && policy.fire == FireMode::Nearest
        && max_error.is_none()
    {
        return Err(DocumentError::Combination {
            what: "spec.clock.onExceeded is given without a limit that could be exceeded",
            fix: "give spec.clock.maxErrorMilliseconds",
        });
    }
    Ok(policy)
}

fn concurrency(policy: cron_job::ConcurrencyPolicy) -> Concurrency {
    match policy {
        cron_job::ConcurrencyPolicy::Allow => Concurrency::Allow,
        cron_job::ConcurrencyPolicy::Forbid => Concurrency::Forbid,
        cron_job::ConcurrencyPolicy::Replace => Concurrency::Replace,
        cron_job::ConcurrencyPolicy::BufferOne => Concurrency::BufferOne,
    }
}

fn pause_on_failure(failures: i32) -> Result<Option<u32>, DocumentError> {
    let failures = range("spec.pauseOnFailure", i64::from(failures), 0, FAILURES_MAX)?;
    let failures = u32::try_from(failures).expect("the range was checked");
    Ok((failures > 0).then_some(failures))
}

fn details(field: &'static str, value: i32) -> Result<u32, DocumentError> {
    let value = range(field, i64::from(value), 0, DETAILS_MAX)?;
    Ok(u32::try_from(value).expect("the range was checked"))
}

/// The days of a schedule as a part of its definition.
fn days_definition(include: &Chosen, exclude: &Chosen) -> String {
    let named = |name, chosen: &Chosen| match chosen.definition.as_str() {
        "" => String::new(),
        days => format!(" | {name}{days}"),
    };
    named("include", include) + &named("exclude", exclude)
}

/// A number that changes whenever the document, the rules of its zone or its calendars do.
fn generation(document: &PreciseCronJob, zone: &Zone, days: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    fingerprint(document, Some(zone), &mut hasher);
    if !days.is_empty() {
        days.hash(&mut hasher);
    }
    hasher.finish()
}
