//! The agent's metrics, written at each scrape from what the time loop published.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use timeball_api::status::{Source, Status};
use timeball_runtime::metrics::Metrics;
use timeball_runtime::{ClockCell, read_clocks};
use timeball_timebase::{Leap, Span};

use crate::ntp_server::ServerTally;
use crate::status::StatusReader;

/// Adds the agent's part.
pub(crate) fn add(
    metrics: &Metrics,
    version: &str,
    clock: &Arc<ClockCell>,
    status: &StatusReader,
    server: Option<ServerTally>,
) {
    let (version, clock, reader) = (version.to_owned(), Arc::clone(clock), status.clone());
    metrics.add(move |registry| {
        let info = Info::new(vec![("version", version.clone())]);
        registry.register("timeball_build", "Version of the program", info);
        let status = reader.read();
        clock_part(registry, &clock, &reader);
        kernel_part(registry, &status);
        sources_part(registry, &status.sources);
        rejections_part(registry, &status.sources);
        counters_part(registry, &status);
        if let Some(server) = &server {
            server_part(registry, server);
        }
    });
}

/// What is unknown is left out, since every number would be a lie.
fn clock_part(registry: &mut Registry, clock: &ClockCell, status: &StatusReader) {
    let now = read_clocks();
    let (is_well, silence) = status.pulse(now.raw);
    let help = "How long ago the time loop ran last; it hangs or has ended where that is over 10 s";
    seconds(registry, "timeball_time_loop_silence", help, silence);
    let state = clock.read_at(now.raw);
    let reading = state.reading(now);
    if state.offset.is_some() {
        seconds(
            registry,
            "timeball_clock_offset",
            "True time less system time; positive when the system clock is behind",
            reading.estimate - now.system,
        );
    }
    if let Some(bound) = reading.half_width {
        seconds(
            registry,
            "timeball_clock_error_bound",
            "Largest error of the offset: true time is certainly within it",
            bound,
        );
    }
    let usable = i64::from(state.is_usable() && is_well);
    let help =
        "Whether the clock may be relied on (synchronized or holdover, and looked after): 1 or 0";
    registry.register("timeball_clock_synchronized", help, ConstGauge::new(usable));
    let frequency = ConstGauge::new(state.frequency.as_ratio_f64());
    let help = "Rate error of the undisciplined oscillator; positive when it gains";
    registry.register_with_unit("timeball_clock_frequency_error", help, Unit::Ratios, frequency);
    let stratum = ConstGauge::new(i64::from(state.stratum));
    let help = "Steps from a reference clock: 1 to 15, 16 while unsynchronized";
    registry.register("timeball_clock_stratum", help, stratum);
    let leap = match state.leap {
        Leap::None => 0,
        Leap::Insert => 1,
        Leap::Delete => -1,
    };
    let help = "Seconds that the announced leap second adds to UTC: 1, 0 (none) or -1";
    registry.register("timeball_clock_leap", help, ConstGauge::new(i64::from(leap)));
    let help = "Sum of round trips to the reference clock";
    seconds(registry, "timeball_clock_root_delay", help, state.root_delay);
}

fn kernel_part(registry: &mut Registry, status: &Status) {
    let Some(kernel) = &status.kernel else { return };
    let synchronized = ConstGauge::new(i64::from(kernel.synchronized));
    let help = "Whether the kernel's STA_UNSYNC is clear: 1 or 0";
    registry.register("timeball_kernel_synchronized", help, synchronized);
    let max_error = Span::from_nanos(kernel.max_error_ns);
    seconds(registry, "timeball_kernel_max_error", "The kernel's maxerror", max_error);
}

fn counters_part(registry: &mut Registry, status: &Status) {
    let counters = &status.counters;
    for (name, help, value) in [
        ("timeball_clock_updates", "Updates of the clock estimate", counters.updates),
        ("timeball_clock_steps", "Steps of the system clock made here", counters.steps),
        (
            "timeball_clock_foreign_jumps",
            "Times that somebody else was found to have set the system clock",
            counters.foreign_jumps,
        ),
        (
            "timeball_clock_suspends",
            "Times that the machine was found to have been suspended",
            counters.suspends,
        ),
        (
            "timeball_clock_write_failures",
            "Times that the kernel refused to have its clock written",
            counters.adjust_failures,
        ),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
}

type Labels = Vec<(String, String)>;

fn sources_part(registry: &mut Registry, sources: &[Source]) {
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    source_gauge(
        registry,
        sources,
        ("offset", "Last measured offset; positive when the source is ahead", Some(Unit::Seconds)),
        |source| source.offset_ns.map(seconds),
    );
    source_gauge(
        registry,
        sources,
        ("delay", "Last measured round trip", Some(Unit::Seconds)),
        |source| source.delay_ns.map(seconds),
    );
    source_gauge(
        registry,
        sources,
        ("jitter", "Variation of the offsets", Some(Unit::Seconds)),
        |source| Some(seconds(source.jitter_ns)),
    );
    source_gauge(
        registry,
        sources,
        ("root_distance", "Largest error of its time by its own word", Some(Unit::Seconds)),
        |source| source.root_distance_ns.map(seconds),
    );
    source_gauge(
        registry,
        sources,
        ("poll_interval", "Time between requests", Some(Unit::Seconds)),
        |source| Some(source.poll_interval_s),
    );
    source_gauge(
        registry,
        sources,
        ("stratum", "Stratum it claims; 0 while unknown", None),
        |source| Some(f64::from(source.stratum)),
    );
    source_gauge(
        registry,
        sources,
        ("reachable", "Whether any of the last eight requests was answered: 1 or 0", None),
        |source| Some(f64::from(u8::from(source.reach != 0))),
    );
    source_gauge(
        registry,
        sources,
        ("selected", "Whether it takes part in the estimate: 1 or 0", None),
        |source| {
            Some(f64::from(u8::from(matches!(source.selection.as_str(), "chief" | "combined"))))
        },
    );
    for (name, help, count) in [
        ("requests", "Requests sent", (|s| s.sent) as fn(&Source) -> u64),
        ("answers", "Valid answers", |s| s.received),
        ("rejected", "Datagrams that were not taken", |s| s.rejected),
    ] {
        let family = Family::<Labels, prometheus_client::metrics::counter::Counter>::default();
        for source in sources {
            family.get_or_create(&labels(source)).inc_by(count(source));
        }
        registry.register(format!("timeball_source_{name}"), help, family);
    }
}

/// Why datagrams were not taken; a reason that never came has no line.
fn rejections_part(registry: &mut Registry, sources: &[Source]) {
    let family = Family::<Labels, prometheus_client::metrics::counter::Counter>::default();
    for source in sources {
        for (reason, count) in &source.rejections {
            let mut labels = labels(source);
            labels.push(("reason".to_owned(), reason.clone()));
            family.get_or_create(&labels).inc_by(*count);
        }
    }
    registry.register("timeball_source_rejections", "Datagrams not taken, by reason", family);
}

fn source_gauge(
    registry: &mut Registry,
    sources: &[Source],
    (name, help, unit): (&str, &str, Option<Unit>),
    value: impl Fn(&Source) -> Option<f64>,
) {
    let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    for source in sources {
        if let Some(value) = value(source) {
            family.get_or_create(&labels(source)).set(value);
        }
    }
    let name = format!("timeball_source_{name}");
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, family),
        None => registry.register(name, help, family),
    }
}

fn labels(source: &Source) -> Labels {
    vec![("source".to_owned(), source.name.clone())]
}

fn server_part(registry: &mut Registry, server: &ServerTally) {
    let counters = server.read();
    for (name, help, value) in [
        ("received", "Datagrams received", counters.received),
        ("answered", "Requests answered with the time", counters.answered),
        (
            "answered_interleaved",
            "Of the requests answered with the time, those in interleaved mode",
            counters.answered_interleaved,
        ),
        (
            "answered_unsynchronized",
            "Requests answered with \"not synchronized\"",
            counters.answered_unsynchronized,
        ),
        ("malformed", "Datagrams that are no NTP packet", counters.malformed),
        ("not_a_request", "Packets that are no request", counters.not_a_request),
        ("denied", "Requests from networks that are not allowed", counters.denied),
        ("rate_limited", "Requests over the rate limit", counters.rate_limited),
        ("kisses", "Requests over the rate limit that were told so (RATE)", counters.kisses),
        ("unauthenticated", "Requests with a wrong MAC", counters.unauthenticated),
        (
            "refused_by_system",
            "Requests that the system did not hand over, and answers that it did not send",
            server.refusals().count,
        ),
    ] {
        registry.register(format!("timeball_server_{name}"), help, ConstCounter::new(value));
    }
}

fn seconds(registry: &mut Registry, name: &str, help: &str, value: Span) {
    let gauge = ConstGauge::new(value.as_seconds_f64());
    registry.register_with_unit(name, help, Unit::Seconds, gauge);
}
